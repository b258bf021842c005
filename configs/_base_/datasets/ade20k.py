# ADE20K (SceneParse150) at 512x512: 20210 training and 2000 validation pictures, 150 classes.
# Layout: images/{training,validation}/*.jpg, annotations/{training,validation}/*.png (0 = other).
_base_ = ['./loaders.py', './pipelines.py']
dataset_type = 'ADE20KDataset'
data_root = 'data/ade/ADEChallengeData2016'
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=_base_.train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=_base_.test_pipeline,
    )
)
test_dataloader = val_dataloader
