"""Errors of torch in the middle of a run, in words that name what to change in the config."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config

from mmseg_custom.engine.config import check_key

ONE_VALUE_PER_CHANNEL = 'Expected more than 1 value per channel when training'


@contextmanager
def explained(runner) -> Iterator[None]:
    """Say what to change where a run within this context cannot go on.

    Args:
        runner: that trains or tests.

    Raises:
        MemoryError: the GPU's memory is full.
        ValueError: a batch norm got one value per channel.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        # A validation fills the memory in another way than the training that it belongs to.
        stage = runner.message_hub.runtime_info.get('loop_stage', 'train')
        if stage == 'train':
            advice = _training_advice(runner.cfg)
        else:
            advice = _prediction_advice(runner.cfg, f'{stage}_dataloader')
        raise MemoryError(
            f'the memory of the GPU is full{_peak()}; change one of: {"; ".join(advice)}'
        ) from error
    except ValueError as error:
        if not str(error).startswith(ONE_VALUE_PER_CHANNEL):
            raise
        raise ValueError(
            f'{error}: a batch norm cannot be trained on one picture whose map is one pixel; set '
            'train_dataloader.batch_size=2 or more, or a larger crop_size'
        ) from error


def _peak() -> str:
    if not torch.cuda.is_available():
        return ''
    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    return f' (peak {torch.cuda.max_memory_allocated() / 2**30:.1f} of {total / 2**30:.1f} GiB)'


def _training_advice(config: Config) -> list[str]:
    """Each key with its present value and what to set, what changes the result least first."""
    advice = []
    wrapper = config.optim_wrapper
    if wrapper.get('type') == 'OptimWrapper':
        advice.append('--amp (not given: float32)')
    backbone = config.model.get('backbone') or {}
    if not backbone.get('with_cp') and _takes(config, 'model.backbone.with_cp'):
        advice.append('model.backbone.with_cp=True (now False), slower')
    size = config.train_dataloader.get('batch_size') or 1
    if size > 1:
        counts = wrapper.get('accumulative_counts', 1)
        advice.append(
            f'train_dataloader.batch_size={size // 2} (now {size}) with '
            f'optim_wrapper.accumulative_counts={2 * counts} (now {counts}) and, '
            'in a new run, twice the iterations: as many samples a step'
        )
    crop = config.get('crop_size')
    if crop:
        smaller = ','.join(str(max(32, side * 3 // 4 // 32 * 32)) for side in crop)
        advice.append(f'"crop_size=({smaller})" (now {tuple(crop)})')
    return advice or ['a smaller model']


def _prediction_advice(config: Config, loader: str) -> list[str]:
    # Test-time augmentation has the model inside.
    test_cfg = config.model.get('module', config.model).get('test_cfg') or {}
    advice = []
    if test_cfg.get('mode') == 'slide':
        windows = test_cfg.get('window_batch_size', 4)
        if windows > 1:
            advice.append(f'model.test_cfg.window_batch_size={windows // 2} (now {windows})')
    elif 'crop_size' in config:
        height, width = config.crop_size
        advice.append(
            f'windows: model.test_cfg.mode=slide "model.test_cfg.crop_size=({height},{width})" '
            f'"model.test_cfg.stride=({height * 2 // 3},{width * 2 // 3})" (now whole pictures)'
        )
    size = config[loader].get('batch_size') or 1
    if size > 1:
        advice.append(f'{loader}.batch_size={size // 2} (now {size})')
    return advice or [f'a smaller Resize in {loader}.dataset.pipeline']


def _takes(config: Config, key: str) -> bool:
    try:
        check_key(config, key)
    except ValueError:
        return False
    return True
