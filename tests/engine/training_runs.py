"""Small trainings whose results are compared bit by bit."""

from pathlib import Path

import torch
from config_leaves import CONFIG_DIR, reduced
from mmengine.hooks import Hook

from mmseg_custom.datasets import generate_quickstart_dataset
from mmseg_custom.engine import run_comparison
from mmseg_custom.engine.launch import LOADERS, train
from mmseg_custom.registry import HOOKS

QUICKSTART = CONFIG_DIR / 'quickstart/segformer_mit-b0_quickstart.py'
# Two passes and a bit over eleven pictures, with a validation that is not at a checkpoint.
ITERATIONS = 12
OPTIONS = (
    f'max_iters={ITERATIONS}',
    'model.backbone.drop_path_rate=0.5',
    'model.decode_head.dropout_ratio=0.5',
    'default_hooks.checkpoint.interval=4',
    'default_hooks.logger.interval=1',
    'train_cfg.val_interval=6',
)
AUGMENTATION = [
    dict(type='RandomResize', scale=(128, 128), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(64, 64), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
]


class Killed(BaseException):
    """Ends a run in this process as SIGKILL ends one of its own: nothing tidies up."""


@HOOKS.register_module()
class KillHook(Hook):
    """End the run in its iteration ``after``, or in the validation at it."""

    def __init__(self, after: int, validation: bool = False) -> None:
        self.after = after
        self.validation = validation

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if not self.validation and runner.iter + 1 == self.after:
            raise Killed

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.validation and runner.iter == self.after:
            raise Killed


def pictures(root: Path) -> Path:
    """Eleven pictures of the quick start to train on and two to validate."""
    return generate_quickstart_dataset(root, {'train': 11, 'val': 2, 'test': 2})


def configured(
    root: Path, *options: str, workers: int = 0, hooks: tuple = (), path: Path = QUICKSTART
):
    """The quick start on a thin network with every kind of randomness.

    Args:
        root: of the pictures.
        *options: ``KEY=VALUE``.
        workers: of the training's loader.
        hooks: configs of hooks beside the moving average.
        path: of the config.
    """
    chosen = {option.partition('=')[0]: option for option in OPTIONS}
    chosen.update((option.partition('=')[0], option) for option in options)
    if 'max_epochs' in chosen:
        del chosen['max_iters']
    config = reduced(path, root, *chosen.values())
    config.default_hooks.checkpoint.save_best = 'mIoU'
    for name in LOADERS:
        config[name].dataset.type = 'FolderDataset'
        del config[name].dataset['indices']
    config.train_dataloader.num_workers = workers
    config.train_dataloader.persistent_workers = workers > 0
    pipeline = config.train_dataloader.dataset.pipeline
    config.train_dataloader.dataset.pipeline = [*pipeline[:2], *AUGMENTATION, pipeline[-1]]
    config.custom_hooks = [dict(type='EMAHook', momentum=0.1), *hooks]
    return config


def run(config, work_dir: Path, **options):
    """Train with the options of :func:`train`; None where :class:`KillHook` ended the run."""
    torch.set_num_threads(1)
    try:
        return train(config, str(work_dir), from_scratch=True, **options)
    except Killed:
        return None


def outcome(work_dir: Path, name: str = f'iter_{ITERATIONS}.pth') -> tuple[dict, list[dict]]:
    """What a run computed, as its last checkpoint and its log say."""
    return run_comparison.outcome(work_dir, name)


def killed(after: int, **options) -> tuple[dict]:
    """The hooks of a run that :class:`KillHook` ends."""
    return (dict(type='KillHook', after=after, **options),)


def assert_equal(found: tuple[dict, list], wanted: tuple[dict, list]) -> None:
    """Compare two outcomes bit by bit."""
    assert len(wanted[0]) > 100 and len(wanted[1]) > ITERATIONS
    assert run_comparison.differences(found, wanted) == []
