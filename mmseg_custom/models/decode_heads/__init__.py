"""Decoders: feature maps in, class logits out."""

from mmseg_custom.models.decode_heads.fcn_head import FCNHead
from mmseg_custom.models.decode_heads.segformer_head import SegformerHead
from mmseg_custom.models.decode_heads.segformer_mlp_head import SegformerMLPHead
from mmseg_custom.models.decode_heads.segmenter_head import SegmenterMaskTransformerHead

__all__ = ['FCNHead', 'SegformerHead', 'SegformerMLPHead', 'SegmenterMaskTransformerHead']
