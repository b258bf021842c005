# COCO-Stuff 164k at 512x512: 118287 training and 5000 validation pictures, 171 classes.
# Layout: images/{train2017,val2017}/*.jpg, annotations/{train2017,val2017}/*_labelTrainIds.png
# (mmseg's tools/dataset_converters/coco_stuff164k.py writes these).
_base_ = ['./loaders.py', './pipelines.py']
dataset_type = 'COCOStuffDataset'
data_root = 'data/coco_stuff164k'
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/train2017', seg_map_path='annotations/train2017'),
        pipeline=_base_.train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/val2017', seg_map_path='annotations/val2017'),
        pipeline=_base_.test_pipeline,
    )
)
test_dataloader = val_dataloader
