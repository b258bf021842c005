# The hooks of every run; a schedule adds how often a checkpoint is saved.
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, save_best='mIoU', max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    validation_loss=dict(type='ValidationLossHook'),
    progress=dict(type='ProgressHook'),
    report=dict(type='ReportHook'),
    guard=dict(type='GuardHook'),
)
