# sgd_160k.py in 20k iterations.
_base_ = './sgd_160k.py'
max_iters = 20000
_base_.param_scheduler[0].end = max_iters
train_cfg = dict(max_iters=max_iters, val_interval=2000)
default_hooks = dict(checkpoint=dict(interval=2000))
