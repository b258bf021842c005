"""Models that turn images into class maps."""

from mmseg_custom.models.segmentors.encoder_decoder import EncoderDecoder

__all__ = ['EncoderDecoder']
