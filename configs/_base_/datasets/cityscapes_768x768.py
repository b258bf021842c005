# Cityscapes at 768x768, pictures at their own size as Segmenter's authors have them (OpenMMLab's
# fragment of this name enlarges them to 2050x1025).
_base_ = './cityscapes_1024x1024.py'
crop_size = (768, 768)
train_pipeline = _base_.train_pipeline
train_pipeline[3].crop_size = crop_size
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
