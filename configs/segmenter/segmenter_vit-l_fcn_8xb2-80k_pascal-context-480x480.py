"""Segmenter ViT-L/16 with the linear decoder on Pascal Context with background, 480x480.

Source:    https://arxiv.org/abs/2105.05633; the authors' settings (256 epochs, batch 16);
           floor 1e-4 as in mmseg (the authors': 1e-5).
Backbone:  vit_large_p16_384 (AugReg: ImageNet-21k, then 1k at 384).
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 2 pictures each.
Published: none at one scale; 56.5 at several (quoted from the paper by others; not checked
           against it).
"""

_base_ = [
    '../_base_/models/segmenter_vit-l16_fcn.py',
    '../_base_/datasets/pascal_context_480x480.py',
    '../_base_/schedules/sgd_80k.py',
    '../_base_/default_runtime.py',
]
crop_size = _base_.crop_size
data_preprocessor = dict(size=crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(
        img_size=crop_size, init_cfg=dict(type='Pretrained', checkpoint='vit_large_p16_384')
    ),
    decode_head=dict(num_classes=60),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(320, 320)),
)
train_dataloader = dict(batch_size=2)
