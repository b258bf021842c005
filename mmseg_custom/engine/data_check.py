"""Let the data be checked before a training begins, by the first process for all."""

from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process

from mmseg_custom.registry import SCOPE, TASK_UTILS

DEPTHS = (True, False, 'full')
DEPTH_KEY, TOLERANCE_KEY = 'check_data', 'invalid_data_tolerance_percent'


def check_data(runner) -> None:
    """Check the data of a training and leave out the samples that it may train without.

    The config's ``check_data`` (True, False, ``'full'``) says how thoroughly, and
    ``invalid_data_tolerance_percent`` how much may be bad; a run that is resumed leaves out what it
    left out before. Only segmentors are checked.

    Args:
        runner: before its training.

    Raises:
        ValueError: a key has a wrong value, or something is wrong with the data.
        OSError: a data set cannot be opened.
    """
    depth, percent = _depth(runner.cfg), _tolerance(runner.cfg)
    loaders = {'train': runner._train_dataloader, 'val': runner._val_dataloader}
    datasets = {
        name: loader['dataset']
        for name, loader in loaders.items()
        if isinstance(loader, dict) and isinstance(loader['dataset'], dict)
    }
    if 'decode_head' not in runner.cfg.model or not datasets:
        return
    check = TASK_UTILS.build(
        dict(
            type=f'{SCOPE}.TrainingDataCheck',
            datasets=datasets,
            work_dir=runner.work_dir,
            depth=depth,
            tolerance_percent=percent,
            earlier=_earlier_folders(runner),
            show=runner.logger.info,
            warn=runner.logger.warning,
        )
    )
    found: list = [None, None]
    if is_main_process():
        try:
            found[0] = check.run()
        except Exception as error:  # the other processes wait for it
            found[1] = error
    broadcast_object_list(found)
    if found[1] is not None:
        raise found[1]
    check.apply(found[0])


def _depth(config) -> bool | str:
    depth = config.get(DEPTH_KEY, True)
    if not any(depth is known or depth == known == 'full' for known in DEPTHS):
        raise ValueError(f"{DEPTH_KEY}={depth!r}; expected True, False or 'full'")
    return depth


def _tolerance(config) -> float:
    percent = config.get(TOLERANCE_KEY, 0)
    is_number = isinstance(percent, int | float) and not isinstance(percent, bool)
    if not is_number or not 0 <= percent <= 100:
        raise ValueError(f'{TOLERANCE_KEY}={percent!r}; expected a number of percent, 0 to 100')
    return percent


def _earlier_folders(runner) -> list[Path]:
    """Where the run that is resumed may have left its list of bad samples."""
    if not runner._resume:
        return []
    checkpoint = [Path(runner._load_from).parent] if runner._load_from else []
    return [Path(runner.work_dir), *checkpoint]
