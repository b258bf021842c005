# Segmenter ViT-S/16 with the linear decoder.
_base_ = './segmenter_vit-t16_fcn.py'
model = dict(
    backbone=dict(embed_dims=384, num_heads=6),
    decode_head=dict(in_channels=384, channels=384),
)
