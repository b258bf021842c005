"""Segmenter ViT-S/16 with the mask decoder on ADE20K, 512x512.

Source:    https://arxiv.org/abs/2105.05633; OpenMMLab's config of the same name.
Backbone:  vit_small_p16_384 (AugReg: ImageNet-21k, then 1k at 384).
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 1 picture each (OpenMMLab: 8 x V100, 2.03 GB each).
Published: mIoU 46.19, multi-scale + flip 47.85 (OpenMMLab); 45.3 / 46.9 (authors).
"""

_base_ = [
    '../_base_/models/segmenter_vit-s16_mask.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/sgd_160k.py',
    '../_base_/default_runtime.py',
]
crop_size = _base_.crop_size
data_preprocessor = dict(size=crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(
        img_size=crop_size, init_cfg=dict(type='Pretrained', checkpoint='vit_small_p16_384')
    ),
    decode_head=dict(num_classes=150),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(480, 480)),
)
train_dataloader = dict(batch_size=1)
