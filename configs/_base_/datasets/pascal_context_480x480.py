# Pascal Context at 480x480: 4996 training and 5104 validation pictures, 59 classes and background.
# The short side is 520 before the scaling, as Segmenter's authors have it (in OpenMMLab's fragment
# of this name the long side is).
# Layout: JPEGImages/*.jpg, SegmentationClassContext/*.png (0 = background),
# ImageSets/SegmentationContext/{train,val}.txt.
_base_ = ['./loaders.py', './pipelines.py']
dataset_type = 'PascalContextDataset'
data_root = 'data/VOCdevkit/VOC2010'
data_prefix = dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext')
crop_size = (480, 480)
train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = (4160, 520)
train_pipeline[3].crop_size = crop_size
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (4160, 520)
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=data_prefix,
        ann_file='ImageSets/SegmentationContext/train.txt',
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=data_prefix,
        ann_file='ImageSets/SegmentationContext/val.txt',
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader
