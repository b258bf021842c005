"""Importing this package registers every model class of ours."""

from mmseg_custom.models import backbones, decode_heads, losses, segmentors

__all__ = ['backbones', 'decode_heads', 'losses', 'segmentors']
