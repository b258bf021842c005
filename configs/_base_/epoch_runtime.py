# default_runtime.py for runs whose length is given in epochs.
_base_ = './default_runtime.py'
log_processor = dict(by_epoch=True)
