"""SegFormer-B5 on ADE20K, 640x640.

Source:    https://arxiv.org/abs/2105.15203, table 1; OpenMMLab's config of the same name.
Command:   bash tools/dist_train.sh CONFIG 8
Hardware:  8 GPUs, 2 pictures each (OpenMMLab: 8 x V100, 11.5 GB each).
Published: mIoU 49.62, multi-scale + flip 50.36 (OpenMMLab); 51.0 / 51.8 (paper).
"""

_base_ = [
    '../_base_/models/segformer_mit-b5.py',
    '../_base_/datasets/ade20k_640x640.py',
    '../_base_/schedules/adamw_160k.py',
    '../_base_/default_runtime.py',
]
data_preprocessor = dict(size=_base_.crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='mit_b5')),
    decode_head=dict(num_classes=150),
)
# At most 2048 pixels wide, as the authors and OpenMMLab have it here (2560 with Segmenter).
train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = (2048, 640)
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (2048, 640)
train_dataloader = dict(batch_size=2, num_workers=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
