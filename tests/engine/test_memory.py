"""A long training needs no more memory than a short one."""

import re
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from training_runs import configured, run

from mmseg_custom.registry import HOOKS

ITERATIONS = 2000
WARM = 400
# The log's history alone takes some 0.5 MiB in 1600 iterations; one kept batch or graph of this
# network in each iteration would be more than 30.
MOST_GROWTH_MIB = 10


def resident_mib() -> float:
    """Resident memory of this process."""
    status = Path('/proc/self/status').read_text()
    return int(re.search(r'VmRSS:\s+(\d+) kB', status)[1]) / 1024


@HOOKS.register_module()
class MemoryHook(Hook):
    """Note the resident memory every hundred iterations."""

    def __init__(self) -> None:
        self.mib = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if (runner.iter + 1) % 100 == 0:
            self.mib[runner.iter + 1] = resident_mib()


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/status').is_file(), reason='needs /proc of Linux')
def test_memory_stays_flat(tmp_path, training_pictures):
    """With every default hook, a moving average, validations and checkpoints."""
    options = (
        f'max_iters={ITERATIONS}',
        'train_cfg.val_interval=500',
        'default_hooks.checkpoint.interval=200',
        'default_hooks.logger.interval=50',
    )
    config = configured(training_pictures, *options, hooks=(dict(type='MemoryHook'),))
    for transform in config.train_dataloader.dataset.pipeline:
        if transform['type'] == 'RandomCrop':
            transform['crop_size'] = (32, 32)
    config.model.data_preprocessor.size = (32, 32)
    runner = run(config, tmp_path)
    mib = next(hook.mib for hook in runner.hooks if isinstance(hook, MemoryHook))
    assert runner.iter == ITERATIONS
    growth = mib[ITERATIONS] - mib[WARM]
    assert growth < MOST_GROWTH_MIB, f'{growth:.1f} MiB in {ITERATIONS - WARM} iterations: {mib}'
    print(f'{growth:.1f} MiB in {ITERATIONS - WARM} iterations: {mib}')
