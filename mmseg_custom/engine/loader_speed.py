"""In numbers: how much too slow a loader is, and what makes it faster."""

import math
import os

from mmseg_custom.parallel import usable_cores

CACHE_TYPE = 'CachedDataset'


def loader_report(
    waited_s: float, iteration_s: float, batch_size: int, num_workers: int, is_cached: bool
) -> str:
    """Say what waiting for a loader costs and what to change.

    Args:
        waited_s: mean seconds of an iteration that went into waiting.
        iteration_s: mean seconds of an iteration.
        batch_size: pictures of an iteration.
        num_workers: of the loader; 0 where the training itself reads.
        is_cached: whether decoded pictures come from a cache.
    """
    # A training that waits goes at the loader's pace.
    busy_s = num_workers * iteration_s if num_workers else waited_s
    wanted = math.ceil(busy_s / max(iteration_s - waited_s, 1e-3))
    who = f'each of its {num_workers} workers' if num_workers else 'reading without workers'
    return (
        f'{1000 * waited_s:.0f} of {1000 * iteration_s:.0f} ms of an iteration '
        f'({waited_s / iteration_s:.0%}) went into waiting for the loader; {who} takes '
        f'{1000 * busy_s / batch_size:.0f} ms per picture, {wanted} would keep up with the model: '
        f'{"; ".join(_advice(wanted, num_workers, is_cached))}'
    )


def _advice(wanted: int, num_workers: int, is_cached: bool) -> list[str]:
    cores = cores_per_process()
    advice = []
    if num_workers < cores:
        number = min(wanted, cores)
        advice.append(
            f'set train_dataloader.num_workers={max(number, num_workers + 1)} '
            f'(each process has {cores} cores)'
        )
    if wanted > cores or not advice:
        advice.append(
            'store smaller pictures, on a faster disk, or leave out costly transforms'
            if is_cached
            else 'set cache_images=True, which keeps decoded pictures on the disk'
        )
    return advice


def cores_per_process() -> int:
    """Cores that this machine has for each process of the training."""
    # torchrun says how many processes share this machine.
    return max(1, usable_cores() // int(os.environ.get('LOCAL_WORLD_SIZE', '1')))


def reads_from_cache(config: dict) -> bool:
    """Whether the data set of a loader's config is kept in a cache, at any depth of wrappers."""
    dataset = config.get('dataset') if isinstance(config, dict) else None
    while isinstance(dataset, dict):
        if str(dataset.get('type')).endswith(CACHE_TYPE):
            return True
        dataset = dataset.get('dataset')
    return False
