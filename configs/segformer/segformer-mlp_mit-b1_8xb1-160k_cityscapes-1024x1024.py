"""SegFormer-B1 with the MLP decoder of its authors on Cityscapes, 1024x1024.

Source:    https://arxiv.org/abs/2105.15203, table 1; NVlabs/SegFormer: a decoder 256 wide.
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 1 picture each.
Published: mIoU 78.5, multi-scale + flip 80.0 (paper, table 1).
"""

_base_ = './segformer_mit-b1_8xb1-160k_cityscapes-1024x1024.py'
model = dict(backbone=_base_.official_norms, decode_head=dict(type='SegformerMLPHead'))
