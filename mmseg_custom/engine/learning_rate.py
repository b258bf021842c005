"""The learning rate as a function of the global batch."""

import math

RULES = {'linear': lambda ratio: ratio, 'sqrt': math.sqrt}


def samples_per_step(config: dict, world_size: int) -> int:
    """Samples of one step of the optimizer: per process, times processes, times accumulation.

    Args:
        config: of the run.
        world_size: number of processes.

    Raises:
        ValueError: the config does not say how large a batch is.
    """
    batch_size = (config.get('train_dataloader') or {}).get('batch_size')
    if not batch_size:
        raise ValueError(
            'a learning rate that follows the batch needs train_dataloader.batch_size, which the '
            'config does not have; set it, or give optim_wrapper.optimizer.lr alone'
        )
    return batch_size * world_size * _accumulation(config)


def _accumulation(config: dict) -> int:
    return (config.get('optim_wrapper') or {}).get('accumulative_counts', 1)


def _product(config: dict, world_size: int) -> str:
    size = config['train_dataloader']['batch_size']
    return f'{size} per process x {world_size} process(es) x {_accumulation(config)} accumulated'


def rate_of_items(config: dict, world_size: int) -> tuple[float, str] | None:
    """The optimizer's learning rate from the config's ``per_item_lr``.

    Args:
        config: of the run.
        world_size: number of processes.

    Returns:
        The rate and a line that says how it came about; None without ``per_item_lr``.

    Raises:
        ValueError: ``optim_wrapper.optimizer.lr`` says something else, or ``auto_scale_lr`` would
            scale once more.
    """
    per_item = config.get('per_item_lr')
    if per_item is None:
        return None
    if isinstance(per_item, bool) or not isinstance(per_item, int | float) or per_item <= 0:
        raise ValueError(f'per_item_lr={per_item!r}, expected a positive number')
    if (config.get('auto_scale_lr') or {}).get('enable', False):
        raise ValueError(
            'per_item_lr and auto_scale_lr.enable=True both scale the learning rate; leave one out'
        )
    rate = per_item * samples_per_step(config, world_size)
    given = config['optim_wrapper']['optimizer'].get('lr')
    if given is not None and not math.isclose(given, rate, rel_tol=1e-6):
        raise ValueError(
            f'per_item_lr={per_item:g} x {_product(config, world_size)} = {rate:g}, but '
            f'optim_wrapper.optimizer.lr={given:g}; set optim_wrapper.optimizer.lr=None, or leave '
            'per_item_lr out'
        )
    return rate, f'learning rate {rate:g} = {per_item:g} x {_product(config, world_size)}'


def scale_of_batch(config: dict, auto_scale_lr: dict | None, world_size: int) -> tuple[float, str]:
    """The factor that ``auto_scale_lr`` puts on every learning rate.

    Args:
        config: of the run.
        auto_scale_lr: mmengine's ``enable`` and ``base_batch_size``, and ``rule``: ``linear``, the
            default (Goyal et al., https://arxiv.org/abs/1706.02677), or ``sqrt``, which suits
            Adam (Malladi et al., https://arxiv.org/abs/2205.10287).
        world_size: number of processes.

    Returns:
        The factor and a line that says how it came about, empty where nothing is scaled.

    Raises:
        ValueError: no ``base_batch_size``, or an unknown ``rule``.
    """
    if not auto_scale_lr or not auto_scale_lr.get('enable', False):
        return 1.0, ''
    base, rule = auto_scale_lr.get('base_batch_size'), auto_scale_lr.get('rule', 'linear')
    if not isinstance(base, int) or base < 1:
        raise ValueError(
            f'auto_scale_lr.base_batch_size={base!r}, expected the global batch that '
            'optim_wrapper.optimizer.lr was chosen for, e.g. 16'
        )
    if rule not in RULES:
        raise ValueError(f"auto_scale_lr.rule={rule!r}, expected 'linear' or 'sqrt'")
    size = samples_per_step(config, world_size)
    factor = RULES[rule](size / base)
    return factor, (
        f'learning rates x {factor:g}: {rule} in the global batch of {size} '
        f'({_product(config, world_size)}), chosen for {base}'
    )
