"""MiT-B1 on ImageNet-1k, 224x224.

Source:    https://arxiv.org/abs/2105.15203; see mit-b0_imagenet-1k.py.
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 128 pictures each.
Published: top-1 78.7 (paper).
"""

_base_ = [
    '../_base_/models/segformer_mit-b1.py',
    '../_base_/models/image_classifier.py',
    '../_base_/datasets/imagenet-1k.py',
    '../_base_/schedules/adamw_300e.py',
    '../_base_/epoch_runtime.py',
]
model = dict(_base_.classifier, _delete_=True, backbone=_base_.model.backbone)
