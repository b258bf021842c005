"""SegFormer-B1 on Cityscapes, 1024x1024.

Source:    https://arxiv.org/abs/2105.15203, table 1; OpenMMLab's config of the same name.
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 1 picture each (OpenMMLab: 8 x V100, 4.49 GB each).
Published: mIoU 78.56, multi-scale + flip 79.73 (OpenMMLab); 78.5 / 80.0 (paper).
"""

_base_ = [
    '../_base_/models/segformer_mit-b1.py',
    '../_base_/datasets/cityscapes_1024x1024.py',
    '../_base_/schedules/adamw_160k.py',
    '../_base_/default_runtime.py',
]
crop_size = _base_.crop_size
data_preprocessor = dict(size=crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='mit_b1')),
    decode_head=dict(num_classes=19),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(768, 768)),
)
train_dataloader = dict(batch_size=1)
