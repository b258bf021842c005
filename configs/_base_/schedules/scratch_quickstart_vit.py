# The quick start for a plain transformer, which learns more slowly from random weights.
_base_ = './scratch_4k_vit.py'
max_iters = 1200
_base_.param_scheduler[1].end = max_iters
train_cfg = dict(max_iters=max_iters, val_interval=400)
default_hooks = dict(checkpoint=dict(interval=400))
