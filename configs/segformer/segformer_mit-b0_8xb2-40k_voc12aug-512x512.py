"""SegFormer-B0 on Pascal VOC 2012 with the additional labels, 512x512.

Source:    this project.
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 2 pictures each.
Published: none.
"""

_base_ = [
    '../_base_/models/segformer_mit-b0.py',
    '../_base_/datasets/pascal_voc12_aug.py',
    '../_base_/schedules/adamw_40k.py',
    '../_base_/default_runtime.py',
]
data_preprocessor = dict(size=_base_.crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='mit_b0')),
    decode_head=dict(num_classes=21),
)
train_dataloader = dict(batch_size=2, num_workers=2)
