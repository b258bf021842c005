# The quick start: minutes on two CPU cores.
_base_ = './scratch_4k.py'
max_iters = 600
_base_.param_scheduler[1].end = max_iters
train_cfg = dict(max_iters=max_iters, val_interval=200)
default_hooks = dict(checkpoint=dict(interval=200))
