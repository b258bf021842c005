# Segmenter ViT-L/16 with the mask decoder and a linear head beside it.
_base_ = './segmenter_vit-t16_mask_scratch.py'
model = dict(
    backbone=dict(embed_dims=1024, num_layers=24, num_heads=16),
    decode_head=dict(in_channels=1024, channels=1024, embed_dims=1024, num_heads=16),
    auxiliary_head=dict(in_channels=1024, channels=1024),
)
