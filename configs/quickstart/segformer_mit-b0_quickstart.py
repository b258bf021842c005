"""SegFormer-B0 on the synthetic quick-start data set, from random weights.

Source:    this project; docs/results.md has what it reaches.
Command:   make quickstart
Hardware:  2 CPU cores, under 4 minutes.
Published: none.
"""

_base_ = [
    '../_base_/models/segformer_mit-b0.py',
    '../_base_/datasets/quickstart_128x128.py',
    '../_base_/schedules/scratch_quickstart.py',
    '../_base_/default_runtime.py',
]
data_preprocessor = dict(size=_base_.crop_size)
model = dict(data_preprocessor=data_preprocessor, decode_head=dict(num_classes=6))
