# adamw_160k.py in 40k iterations.
_base_ = './adamw_160k.py'
max_iters = 40000
_base_.param_scheduler[1].end = max_iters
train_cfg = dict(max_iters=max_iters, val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
