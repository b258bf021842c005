"""MiT-B0 as a classifier of generated pictures, from random weights.

Source:    this project; docs/classification.md shows how a segmentor takes the encoder.
Command:   python tools/train.py CONFIG
Hardware:  2 CPU cores, minutes.
Published: none.
"""

_base_ = [
    '../_base_/models/segformer_mit-b0.py',
    '../_base_/models/image_classifier.py',
    '../_base_/datasets/quickstart_classes_64x64.py',
    '../_base_/schedules/scratch_quickstart.py',
    '../_base_/default_runtime.py',
]
model = dict(
    _base_.classifier,
    _delete_=True,
    backbone=dict(_base_.model.backbone, drop_path_rate=0.0),
    head=dict(_base_.classifier.head, in_channels=256, num_classes=5, label_smoothing=0.0),
    batch_mixing=None,
)
default_hooks = dict(checkpoint=dict(save_best='top1'))
