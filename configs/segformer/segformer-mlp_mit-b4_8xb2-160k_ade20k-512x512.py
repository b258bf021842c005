"""SegFormer-B4 with the MLP decoder of its authors on ADE20K, 512x512.

Source:    https://arxiv.org/abs/2105.15203, table 1; NVlabs/SegFormer: a decoder 768 wide.
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 2 pictures each.
Published: mIoU 50.3, multi-scale + flip 51.1 (paper; tested on sides that are
           multiples of 32).
"""

_base_ = './segformer_mit-b4_8xb2-160k_ade20k-512x512.py'
model = dict(
    backbone=_base_.official_norms, decode_head=dict(type='SegformerMLPHead', channels=768)
)
