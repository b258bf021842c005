# SegFormer-B1 (table 6) with OpenMMLab's decoder.
_base_ = './segformer_mit-b0.py'
model = dict(
    backbone=dict(embed_dims=64),
    decode_head=dict(in_channels=[64, 128, 320, 512]),
)
