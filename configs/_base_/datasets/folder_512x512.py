# A folder of your own: images/<split>, masks/<split>, dataset.yaml with the classes; docs/data.md
# has what else it may look like. Train on another folder with --cfg-options data_root=my/folder; it
# needs the splits train and val. Test on a third with test_dataloader.dataset.split=test.
_base_ = ['./loaders.py', './pipelines.py']
dataset_type = 'FolderDataset'
data_root = 'data/my_folder'
train_dataloader = dict(
    dataset=dict(
        type=dataset_type, data_root=data_root, split='train', pipeline=_base_.train_pipeline
    )
)
val_dataloader = dict(
    dataset=dict(type=dataset_type, data_root=data_root, split='val', pipeline=_base_.test_pipeline)
)
test_dataloader = val_dataloader
