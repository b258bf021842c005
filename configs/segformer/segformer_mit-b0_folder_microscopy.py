"""SegFormer-B0 on a folder of micrographs of your own, with all flips and strong changes of colour.

Source:    this project. The classes come from the folder's dataset.yaml.
Command:   python tools/train.py CONFIG --amp --cfg-options data_root=path/to/folder
Hardware:  1 GPU or a CPU, 4 pictures of 256x256.
Published: none.
"""

_base_ = [
    '../_base_/models/segformer_mit-b0.py',
    '../_base_/datasets/folder_microscopy_256x256.py',
    '../_base_/schedules/scratch_4k.py',
    '../_base_/default_runtime.py',
]
data_preprocessor = dict(size=_base_.crop_size)
model = dict(data_preprocessor=data_preprocessor, decode_head=dict(num_classes=None))
