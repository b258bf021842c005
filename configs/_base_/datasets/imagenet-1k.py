# ImageNet-1k (ILSVRC2012) at 224x224: 1281167 training and 50000 validation pictures, 1000 classes.
# Layout: {train,val}/<class>/*.JPEG, classes in the order of their folders' names (n01440764 ...).
_base_ = './class_loaders.py'
dataset_type = 'ClassFolderDataset'
data_root = 'data/imagenet'
crop_size = (224, 224)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandAugment', num_ops=2, magnitude=9, magnitude_std=0.5),
    dict(type='RandomErasing', prob=0.25),
    dict(type='PackClassInputs'),
]
# The shorter side becomes 256 pixels; the longer one may be as long as it gets.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='Resize',
        scale=(1000000, 256),
        keep_ratio=True,
        interpolation='bicubic',
        backend='pillow',
    ),
    dict(type='CenterCrop', crop_size=crop_size),
    dict(type='PackClassInputs'),
]
train_dataloader = dict(
    dataset=dict(type=dataset_type, data_root=data_root, split='train', pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type, data_root=data_root, split='val', test_mode=True, pipeline=test_pipeline
    )
)
test_dataloader = val_dataloader
