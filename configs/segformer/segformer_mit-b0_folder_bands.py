"""SegFormer-B0 on a folder of your own whose pictures have any number of bands.

Source:    this project. Classes and bands come from the folder's dataset.yaml.
Command:   python tools/train.py CONFIG --cfg-options data_root=path/to/folder
Hardware:  1 GPU or a CPU, 4 pictures of 512x512.
Published: none.
"""

_base_ = [
    '../_base_/models/segformer_mit-b0.py',
    '../_base_/datasets/folder_bands_512x512.py',
    '../_base_/schedules/scratch_4k.py',
    '../_base_/default_runtime.py',
]
data_preprocessor = dict(size=_base_.crop_size, mean=None, std=None, bgr_to_rgb=False)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(in_channels=None, rgb_channels=None),
    decode_head=dict(num_classes=None),
)
