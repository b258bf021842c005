# Segmenter ViT-S/16 with the mask decoder and a linear head beside it.
_base_ = './segmenter_vit-t16_mask_scratch.py'
model = dict(
    backbone=dict(embed_dims=384, num_heads=6),
    decode_head=dict(in_channels=384, channels=384, embed_dims=384, num_heads=6),
    auxiliary_head=dict(in_channels=384, channels=384),
)
