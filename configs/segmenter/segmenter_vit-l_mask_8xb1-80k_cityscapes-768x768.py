"""Segmenter ViT-L/16 with the mask decoder on Cityscapes, 768x768.

Source:    https://arxiv.org/abs/2105.05633; the authors' settings (216 epochs, batch 8, 0.01),
           with one decoder layer as theirs (322M); floor 1e-4 as in mmseg (the authors': 1e-5).
Backbone:  vit_large_p16_384 (AugReg: ImageNet-21k, then 1k at 384).
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 1 picture each.
Published: mIoU 79.1, multi-scale + flip 81.3 (authors).
"""

_base_ = [
    '../_base_/models/segmenter_vit-l16_mask.py',
    '../_base_/datasets/cityscapes_768x768.py',
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
    decode_head=dict(num_classes=19, num_layers=1),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(512, 512)),
)
train_dataloader = dict(batch_size=1)
optim_wrapper = dict(optimizer=dict(lr=0.01))
