"""Segmenter ViT-B/16 with the linear decoder on ADE20K, 512x512.

Source:    https://arxiv.org/abs/2105.05633, with what OpenMMLab has for ViT-S.
Backbone:  vit_base_p16_384 (AugReg: ImageNet-21k, then 1k at 384).
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 1 picture each.
Published: mIoU 48.06 (quoted from the paper by others; not checked against it).
"""

_base_ = [
    '../_base_/models/segmenter_vit-b16_fcn.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/sgd_160k.py',
    '../_base_/default_runtime.py',
]
crop_size = _base_.crop_size
data_preprocessor = dict(size=crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(
        img_size=crop_size, init_cfg=dict(type='Pretrained', checkpoint='vit_base_p16_384')
    ),
    decode_head=dict(num_classes=150),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(480, 480)),
)
train_dataloader = dict(batch_size=1)
