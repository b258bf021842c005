"""SegFormer-B5 with the MLP decoder of its authors on ADE20K, 512x512.

Source:    https://arxiv.org/abs/2105.15203, table 1; NVlabs/SegFormer: a decoder 768 wide.
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 2 pictures each.
Published: none; the paper trains B5 at 640x640.
"""

_base_ = './segformer_mit-b5_8xb2-160k_ade20k-512x512.py'
model = dict(
    backbone=_base_.official_norms, decode_head=dict(type='SegformerMLPHead', channels=768)
)
