# Pascal Context at 480x480 without background: its pixels (0 in the files) are ignored.
_base_ = './pascal_context_480x480.py'
dataset_type = 'PascalContextDataset59'
train_dataloader = dict(dataset=dict(type=dataset_type))
val_dataloader = dict(dataset=dict(type=dataset_type))
test_dataloader = val_dataloader
