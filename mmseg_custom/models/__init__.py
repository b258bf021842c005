"""Importing this package registers every model class of ours."""

from mmseg_custom.models import backbones, decode_heads, losses, segmentors
from mmseg_custom.models.data_preprocessor import SegDataPreProcessor

__all__ = ['SegDataPreProcessor', 'backbones', 'decode_heads', 'losses', 'segmentors']
