# Segmenter ViT-L/16 with the linear decoder.
_base_ = './segmenter_vit-t16_fcn.py'
model = dict(
    backbone=dict(embed_dims=1024, num_layers=24, num_heads=16),
    decode_head=dict(in_channels=1024, channels=1024),
)
