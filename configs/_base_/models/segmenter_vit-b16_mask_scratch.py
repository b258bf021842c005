# Segmenter ViT-B/16 with the mask decoder and a linear head beside it.
_base_ = './segmenter_vit-t16_mask_scratch.py'
model = dict(
    backbone=dict(embed_dims=768, num_heads=12),
    decode_head=dict(in_channels=768, channels=768, embed_dims=768, num_heads=12),
    auxiliary_head=dict(in_channels=768, channels=768),
)
