"""Segmenter ViT-Ti/16 with the mask decoder on CamVid from random weights.

Source:    this project; docs/results.md has what it reaches.
Command:   python tools/train.py CONFIG
Hardware:  1 GPU or a CPU, 8 pictures.
Published: none for this version of the data set.
"""

_base_ = [
    '../_base_/models/segmenter_vit-t16_mask_scratch.py',
    '../_base_/datasets/camvid_360x480.py',
    '../_base_/schedules/scratch_4k_vit.py',
    '../_base_/default_runtime.py',
]
data_preprocessor = dict(size=_base_.crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    # The height that 360 is padded to: a multiple of the patch.
    backbone=dict(img_size=(368, 480)),
    decode_head=dict(num_classes=11),
    auxiliary_head=dict(num_classes=11),
)
