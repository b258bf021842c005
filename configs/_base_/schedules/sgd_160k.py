# Segmenter's schedule (paper, section 4.1) as mmseg has it: SGD 1e-3, no weight decay, no warm-up,
# poly 0.9 down to a tenth, 1e-4 (rstrudel's code goes down to 1e-5).
_base_ = './hooks.py'
max_iters = 160000
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.001, momentum=0.9, weight_decay=0.0),
)
param_scheduler = [
    dict(type='PolyLR', eta_min_ratio=0.1, power=0.9, begin=0, end=max_iters, by_epoch=False),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(checkpoint=dict(interval=16000))
