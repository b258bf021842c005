"""Importing this package registers every model class of ours."""

# First: it mends what keeps OpenMMLab's modules, which those below import, from being imported.
from mmseg_custom import registry  # noqa: F401
from mmseg_custom.models import backbones, classifiers, decode_heads, losses, segmentors
from mmseg_custom.models.data_preprocessor import SegDataPreProcessor

__all__ = [
    'SegDataPreProcessor',
    'backbones',
    'classifiers',
    'decode_heads',
    'losses',
    'segmentors',
]
