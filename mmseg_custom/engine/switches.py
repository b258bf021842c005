"""Top-level keys of a config that each switch on one thing, by setting what mmengine reads.

``apply_switches`` takes the keys out, so what the runner gets and saves is a plain config.
"""

import importlib.util
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmseg_custom.messages import did_you_mean

# Shared by all runs of a folder; ignored by git as they are.
CACHE_FOLDER = 'work_dirs/cache'
LOGGERS = ('tensorboard', 'wandb', 'mlflow')


def apply_switches(config: Config, keys: Iterable[str] | None = None) -> None:
    """Apply keys of :data:`SWITCHES`; ``None`` and ``False`` switch nothing on.

    Args:
        config: with ``work_dir``; changed in place.
        keys: which; all where None. :data:`SAMPLING` says what is drawn from the data.

    Raises:
        ValueError: the value of a key is wrong.
        ModuleNotFoundError: a logger's package is not installed.
    """
    for key in SWITCHES if keys is None else keys:
        value = config.pop(key, None)
        if value is not None and value is not False:
            SWITCHES[key](config, value)


def add_hook(config: Config, name: str, **arguments) -> None:
    """Add one of our hooks to the config."""
    hook = dict(type=f'mmseg_custom.{name}', **arguments)
    config.custom_hooks = [*(config.get('custom_hooks') or []), hook]


def _arguments(key: str, value: Any, main: str, kind) -> dict:
    """Arguments from ``True``, from a number for the main one, or from a dict."""
    if value is True:
        return {}
    if isinstance(value, kind):
        return {main: value}
    if isinstance(value, dict):
        return {**value}
    raise ValueError(f'{key}={value!r}; expected True, a number for {main}, or a dict of arguments')


def _average_weights(config: Config, value: Any) -> None:
    arguments = _arguments('ema', value, 'momentum', int | float)
    if 'ema_type' not in arguments:
        # Over the last tenth of the run so far, later over 1 / momentum iterations.
        arguments = dict(ema_type='MomentumAnnealingEMA', gamma=10) | arguments
    # Running statistics of norms belong to the weights and are averaged with them.
    hook = dict(type='EMAHook', momentum=2e-4, update_buffers=True) | arguments
    config.custom_hooks = [*(config.get('custom_hooks') or []), hook]


def _stop_early(config: Config, value: Any) -> None:
    arguments = _arguments('early_stopping', value, 'patience', int)
    checkpoint = (config.get('default_hooks') or {}).get('checkpoint', {})
    best = checkpoint.get('save_best')
    if isinstance(best, str) and best != 'auto':
        arguments.setdefault('monitor', best)
        if 'rule' in checkpoint and arguments['monitor'] == best:
            arguments.setdefault('rule', checkpoint['rule'])
    add_hook(config, 'EarlyStoppingHook', **arguments)


def _decay_layers(config: Config, value: Any) -> None:
    wrapper = config.optim_wrapper
    if wrapper.get('constructor', 'DefaultOptimWrapperConstructor').split('.')[-1] != (
        'DefaultOptimWrapperConstructor'
    ):
        raise ValueError(
            f'layer_decay sets optim_wrapper.constructor, which is {wrapper.constructor}; leave '
            'one of them out'
        )
    wrapper.constructor = 'mmseg_custom.LayerDecayOptimWrapperConstructor'
    wrapper.paramwise_cfg = {**(wrapper.get('paramwise_cfg') or {}), 'layer_decay': value}


def _draw_rare_classes(config: Config, value: Any) -> None:
    arguments = _arguments('rare_class_sampling', value, 'temperature', float)
    _wrap_dataset(config, 'RareClassDataset', arguments)


def _balance_classes(config: Config, value: Any) -> None:
    arguments = _arguments('class_balanced_sampling', value, 'oversample_thr', float)
    _wrap_dataset(config, 'ClassBalancedDataset', dict(oversample_thr=0.1) | arguments)


def _wrap_dataset(config: Config, kind: str, arguments: dict) -> None:
    loader = config.train_dataloader
    loader.dataset = dict(type=f'mmseg_custom.{kind}', dataset=loader.dataset, **arguments)


def _log_to(config: Config, value: Any) -> None:
    for name in dict.fromkeys([value] if isinstance(value, str) else value):
        if name not in LOGGERS:
            hint = did_you_mean(str(name), LOGGERS) or f'expected some of {", ".join(LOGGERS)}'
            raise ValueError(f"loggers: '{name}' is unknown; {hint}")
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(
                f'loggers={name} needs {name}, which is not installed; run: pip install {name}'
            )
        backends = config.visualizer.get('vis_backends') or []
        config.visualizer.vis_backends = [*backends, _backend(name, config)]
    add_hook(config, 'SamplePredictionsHook')


def _backend(name: str, config: Config) -> dict:
    project, run = Path(config.filename or 'config').stem, Path(config.work_dir).name
    if name == 'wandb':
        return dict(type='WandbVisBackend', init_kwargs=dict(project=project, name=run))
    if name == 'mlflow':
        # It asks for this where a run is kept in files, not by a server.
        os.environ.setdefault('MLFLOW_ALLOW_FILE_STORE', 'true')
        server = os.environ.get('MLFLOW_TRACKING_URI')
        # Its parameters may be some hundred characters long; the config is kept as a file.
        options = dict(exp_name=project, run_name=run, tracked_config_keys=[], tracking_uri=server)
        return dict(type='MLflowVisBackend', **options)
    return dict(type='TensorboardVisBackend')


def _cache_images(config: Config, value: Any) -> None:
    if value is not True and not isinstance(value, str | os.PathLike):
        raise ValueError(f'cache_images={value!r}; expected True or a folder')
    folder = CACHE_FOLDER if value is True else str(value)
    loader = config.train_dataloader
    loader.dataset = dict(type='mmseg_custom.CachedDataset', dataset=loader.dataset, folder=folder)


# What each key does; `freeze` and `compile` are read by the runner.
SWITCHES: dict[str, Callable[[Config, Any], None]] = {
    'class_balanced_sampling': _balance_classes,
    'cache_images': _cache_images,
    'ema': _average_weights,
    'early_stopping': _stop_early,
    'layer_decay': _decay_layers,
    'loggers': _log_to,
    'rare_class_sampling': _draw_rare_classes,
}
SAMPLING = ('class_balanced_sampling', 'rare_class_sampling')
