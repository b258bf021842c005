# Pascal VOC 2012 with the additional labels of SBD, at 512x512: 10582 training and 1449 validation
# pictures, 20 classes and background; 255 (borders of objects) is ignored.
# OpenMMLab's fragment of this name pads with Pad; here, as everywhere, the data preprocessor does.
# Layout: JPEGImages/*.jpg, SegmentationClass/*.png, SegmentationClassAug/*.png,
# ImageSets/Segmentation/{train,aug,val}.txt.
_base_ = ['./loaders.py', './pipelines.py']
dataset_type = 'PascalVOCDataset'
data_root = 'data/VOCdevkit/VOC2012'
train_dataloader = dict(
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type=dataset_type,
                data_root=data_root,
                data_prefix=dict(img_path='JPEGImages', seg_map_path=labels),
                ann_file=f'ImageSets/Segmentation/{split}.txt',
                pipeline=_base_.train_pipeline,
            )
            for labels, split in (
                ('SegmentationClass', 'train'),
                ('SegmentationClassAug', 'aug'),
            )
        ],
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/val.txt',
        pipeline=_base_.test_pipeline,
    )
)
test_dataloader = val_dataloader
