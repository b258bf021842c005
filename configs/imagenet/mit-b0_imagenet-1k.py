"""MiT-B0 on ImageNet-1k, 224x224.

Source:    https://arxiv.org/abs/2105.15203; its authors point to PVTv2's recipe for the details
           (NVlabs/SegFormer, issues 67 and 97). Not here: repeated augmentation (three copies of a
           picture in an epoch), Pillow's pixels in RandAugment, noise drawn after normalisation.
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 128 pictures each.
Published: top-1 70.5 (paper).
"""

_base_ = [
    '../_base_/models/segformer_mit-b0.py',
    '../_base_/models/image_classifier.py',
    '../_base_/datasets/imagenet-1k.py',
    '../_base_/schedules/adamw_300e.py',
    '../_base_/epoch_runtime.py',
]
model = dict(
    _base_.classifier,
    _delete_=True,
    backbone=_base_.model.backbone,
    head=dict(_base_.classifier.head, in_channels=256),
)
