"""Encoders: images in, a tuple of feature maps out."""

from mmseg_custom.models.backbones.vision_transformer import VisionTransformer

__all__ = ['VisionTransformer']
