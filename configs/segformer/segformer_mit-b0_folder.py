"""SegFormer-B0 on a folder of your own; the number of classes comes from its dataset.yaml.

Source:    this project.
Command:   python tools/train.py CONFIG --cfg-options data_root=path/to/folder
Hardware:  1 GPU or a CPU, 4 pictures of 512x512.
Published: none.
"""

_base_ = [
    '../_base_/models/segformer_mit-b0.py',
    '../_base_/datasets/folder_512x512.py',
    '../_base_/schedules/scratch_4k.py',
    '../_base_/default_runtime.py',
]
data_preprocessor = dict(size=_base_.crop_size)
model = dict(data_preprocessor=data_preprocessor, decode_head=dict(num_classes=None))
