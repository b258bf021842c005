"""Encoders: images in, a tuple of feature maps out."""

from mmseg_custom.models.backbones.mix_vision_transformer import MixVisionTransformer
from mmseg_custom.models.backbones.vision_transformer import VisionTransformer

__all__ = ['MixVisionTransformer', 'VisionTransformer']
