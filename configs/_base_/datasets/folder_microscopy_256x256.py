# A folder of micrographs: no direction is up, and stain and light differ between pictures, so all
# flips and strong changes of colour are drawn; and most of a picture may be background, which crops
# of several classes alone would show too little of. docs/binary.md has what it brings.
_base_ = './folder_512x512.py'
crop_size = (256, 256)
train_pipeline = _base_.train_pipeline
train_pipeline[3].update(crop_size=crop_size, cat_max_ratio=1.0)
train_pipeline[4].update(prob=0.75, direction=['horizontal', 'vertical', 'diagonal'])
train_pipeline[5].update(
    brightness_delta=64, contrast_range=(0.4, 1.6), saturation_range=(0.0, 1.5), hue_delta=30
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
