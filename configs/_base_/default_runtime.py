# Everything that is neither model, nor data, nor schedule.
# custom_imports makes these configs work in stock mmseg tools, too.
custom_imports = dict(
    imports=[
        'mmseg_custom.models',
        'mmseg_custom.datasets',
        'mmseg_custom.evaluation',
        'mmseg_custom.engine.hooks',
    ],
    allow_failed_imports=False,
)
default_scope = 'mmseg_custom'
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    # Seconds that a process waits for the others.
    dist_cfg=dict(backend='nccl', timeout=1800),
)
randomness = dict(seed=0)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(type='LogProcessor', by_epoch=False)
log_level = 'INFO'

load_from = None
resume = False
tta_model = dict(type='SegTTAModel')
