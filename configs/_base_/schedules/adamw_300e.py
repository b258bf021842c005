# MiT's pre-training, which its authors say is PVTv2's (and so DeiT's), for batches of 1024: AdamW
# 1e-3, no decay of norms and biases, 5 epochs of warm-up from 1e-6, then a cosine down to 1e-5. The
# warm-up is in iterations of ImageNet-1k; the cosine ends with the run.
_base_ = './hooks.py'
max_epochs = 300
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(flat_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=6255),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=False, begin=6255),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=10, save_best='top1'))
