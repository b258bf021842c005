# A folder of your own whose pictures have any bands (TIFF, .npy, 16-bit PNG). dataset.yaml says
# `bands`, `mean`, `std` and, where there are some, `rgb_bands` and `nodata`; see docs/bands.md.
# Take some of the bands with --cfg-options "bands=[red,nir]" (names or indices). Leaves set `mean`,
# `std` and the backbone's `in_channels` to None, which takes those of the data set.
_base_ = './folder_512x512.py'
bands = None
img_suffix = ('.tif', '.tiff', '.npy', '.png')
loading = dict(type='LoadBandsFromFile', bands=bands)
train_pipeline = [
    loading,
    dict(type='LoadAnnotations'),
    dict(type='IgnoreNodata'),
    *_base_.train_pipeline[2:5],
    dict(type='PackSegInputs'),
]
test_pipeline = [
    loading,
    _base_.test_pipeline[1],
    dict(type='LoadAnnotations'),
    dict(type='IgnoreNodata'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [loading, _base_.tta_pipeline[1]]
train_dataloader = dict(dataset=dict(img_suffix=img_suffix, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(img_suffix=img_suffix, pipeline=test_pipeline))
test_dataloader = val_dataloader
