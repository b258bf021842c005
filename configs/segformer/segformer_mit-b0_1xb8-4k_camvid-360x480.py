"""SegFormer-B0 on CamVid from random weights.

Source:    this project; docs/results.md has what it reaches.
Command:   python tools/train.py CONFIG
Hardware:  1 GPU or a CPU, 8 pictures.
Published: none for this version of the data set.
"""

_base_ = [
    '../_base_/models/segformer_mit-b0.py',
    '../_base_/datasets/camvid_360x480.py',
    '../_base_/schedules/scratch_4k.py',
    '../_base_/default_runtime.py',
]
data_preprocessor = dict(size=_base_.crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(drop_path_rate=0.0),
    decode_head=dict(num_classes=11),
)
