"""SegFormer-B0 with the MLP decoder of its authors on COCO-Stuff 164k, 512x512.

Source:    https://arxiv.org/abs/2105.15203, table 1 and section 4.1; no config was published.
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 2 pictures each.
Published: mIoU 35.6 (paper).
"""

_base_ = [
    '../_base_/models/segformer_mit-b0.py',
    '../_base_/datasets/coco_stuff164k.py',
    '../_base_/schedules/adamw_80k.py',
    '../_base_/default_runtime.py',
]
data_preprocessor = dict(size=_base_.crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(_base_.official_norms, init_cfg=dict(type='Pretrained', checkpoint='mit_b0')),
    decode_head=dict(type='SegformerMLPHead', num_classes=171),
)
train_dataloader = dict(batch_size=2, num_workers=2)
