"""Segmenter ViT-L/16 with the mask decoder on ADE20K, 640x640.

Source:    https://arxiv.org/abs/2105.05633; OpenMMLab's config of the same name, which says
           512x512 and trains at 640x640.
Backbone:  vit_large_p16_384 (AugReg: ImageNet-21k, then 1k at 384).
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 1 picture each (OpenMMLab: 8 x V100, 16.56 GB each).
Published: mIoU 52.16, multi-scale + flip 53.65 (OpenMMLab); 51.8 / 53.6 (authors).
"""

_base_ = [
    '../_base_/models/segmenter_vit-l16_mask.py',
    '../_base_/datasets/ade20k_640x640.py',
    '../_base_/schedules/sgd_160k.py',
    '../_base_/default_runtime.py',
]
crop_size = _base_.crop_size
data_preprocessor = dict(size=crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(
        img_size=crop_size, init_cfg=dict(type='Pretrained', checkpoint='vit_large_p16_384')
    ),
    decode_head=dict(num_classes=150),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(608, 608)),
)
train_dataloader = dict(batch_size=1)
