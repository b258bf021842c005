"""Segmenter ViT-Ti with the mask decoder on the synthetic quick-start data set, from scratch.

Source:    this project; docs/results.md has what it reaches.
Command:   make quickstart-segmenter
Hardware:  2 CPU cores, under 4 minutes.
Published: none.
"""

_base_ = [
    '../_base_/models/segmenter_vit-t16_mask_scratch.py',
    '../_base_/datasets/quickstart_128x128.py',
    '../_base_/schedules/scratch_quickstart_vit.py',
    '../_base_/default_runtime.py',
]
crop_size = _base_.crop_size
data_preprocessor = dict(size=crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    # Patches of 8: at 16 a picture of 128x128 has 64 tokens, too few for its objects. Fewer layers
    # than ViT-Ti learn sooner.
    backbone=dict(img_size=crop_size, patch_size=8, num_layers=3),
    decode_head=dict(num_classes=6, num_layers=1),
    auxiliary_head=dict(num_classes=6),
)
