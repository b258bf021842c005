"""Segmenter ViT-Ti/16 with the mask decoder on a folder of your own.

Source:    this project. The number of classes comes from the folder's dataset.yaml.
Command:   python tools/train.py CONFIG --cfg-options data_root=path/to/folder
Hardware:  1 GPU or a CPU, 4 pictures of 512x512.
Published: none.
"""

_base_ = [
    '../_base_/models/segmenter_vit-t16_mask_scratch.py',
    '../_base_/datasets/folder_512x512.py',
    '../_base_/schedules/scratch_4k_vit.py',
    '../_base_/default_runtime.py',
]
crop_size = _base_.crop_size
data_preprocessor = dict(size=crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(img_size=crop_size),
    decode_head=dict(num_classes=None),
    auxiliary_head=dict(num_classes=None),
)
