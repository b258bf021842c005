# Generated pictures of one object each: 800/100 of 64x64, 5 classes, written to data_root on first
# use.
_base_ = './class_loaders.py'
dataset_type = 'QuickstartClassesDataset'
data_root = 'work_dirs/quickstart_classes'
crop_size = (64, 64)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomFlip', prob=[0.25] * 3, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PackClassInputs'),
]
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackClassInputs')]
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(type=dataset_type, data_root=data_root, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        type=dataset_type, data_root=data_root, split='val', test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
