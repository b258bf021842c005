# Segmenter ViT-B/16 with the linear decoder.
_base_ = './segmenter_vit-t16_fcn.py'
model = dict(
    backbone=dict(embed_dims=768, num_heads=12),
    decode_head=dict(in_channels=768, channels=768),
)
