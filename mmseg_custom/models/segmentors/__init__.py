"""Models that turn images into class maps."""

from mmseg_custom.models.segmentors.encoder_decoder import EncoderDecoder
from mmseg_custom.models.segmentors.tta import SegTTAModel

__all__ = ['EncoderDecoder', 'SegTTAModel']
