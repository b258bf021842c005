"""SegFormer-B0 with the MLP decoder of its authors on Cityscapes, 1024x1024.

Source:    https://arxiv.org/abs/2105.15203, table 1; NVlabs/SegFormer: a decoder 256 wide.
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 1 picture each.
Published: mIoU 76.2, multi-scale + flip 78.1 (paper, table 1).
"""

_base_ = './segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py'
model = dict(backbone=_base_.official_norms, decode_head=dict(type='SegformerMLPHead'))
