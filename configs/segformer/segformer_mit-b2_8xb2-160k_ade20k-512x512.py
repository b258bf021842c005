"""SegFormer-B2 on ADE20K, 512x512.

Source:    https://arxiv.org/abs/2105.15203, table 1; OpenMMLab's config of the same name.
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 2 pictures each (OpenMMLab: 8 x TITAN Xp, 3.6 GB each).
Published: mIoU 45.58, multi-scale + flip 47.03 (OpenMMLab); 46.5 / 47.5 (paper).
"""

_base_ = [
    '../_base_/models/segformer_mit-b2.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/adamw_160k.py',
    '../_base_/default_runtime.py',
]
data_preprocessor = dict(size=_base_.crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='mit_b2')),
    decode_head=dict(num_classes=150),
)
train_dataloader = dict(batch_size=2, num_workers=2)
