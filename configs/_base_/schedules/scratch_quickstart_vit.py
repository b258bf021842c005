# The quick start for a plain transformer, which learns more slowly from random weights and diverges
# sooner: more iterations, a shorter memory of squared gradients, clipped gradients. The LayerNorm
# over the classes bounds the mask decoder's logits; its scale must grow before they can be sure.
_base_ = './scratch_quickstart.py'
max_iters = 1200
optim_wrapper = dict(
    optimizer=dict(lr=1.4e-3, betas=(0.9, 0.95)),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(custom_keys={'mask_norm': dict(lr_mult=10.0)}),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', eta_min=0.0, power=1.0, begin=50, end=max_iters, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=400)
default_hooks = dict(checkpoint=dict(interval=400))
