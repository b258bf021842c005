# Cityscapes at 1024x1024: 2975 training and 500 validation pictures of 2048x1024, 19 classes.
# Layout: leftImg8bit/{train,val}/<city>/*_leftImg8bit.png,
# gtFine/{train,val}/<city>/*_gtFine_labelTrainIds.png (cityscapesscripts writes these).
_base_ = ['./loaders.py', './pipelines.py']
dataset_type = 'CityscapesDataset'
data_root = 'data/cityscapes'
crop_size = (1024, 1024)
train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = (2048, 1024)
train_pipeline[3].crop_size = crop_size
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (2048, 1024)
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader
