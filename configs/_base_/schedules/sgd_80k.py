# sgd_160k.py in 80k iterations.
_base_ = './sgd_160k.py'
max_iters = 80000
_base_.param_scheduler[0].end = max_iters
train_cfg = dict(max_iters=max_iters, val_interval=8000)
default_hooks = dict(checkpoint=dict(interval=8000))
