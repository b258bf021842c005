"""From a config file and ``--cfg-options`` to a checked ``mmengine.Config``."""

import argparse
import ast
import inspect
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from mmseg_custom.engine.config_text import ReadableConfig
from mmseg_custom.engine.data_check import DEPTH_KEY, TOLERANCE_KEY
from mmseg_custom.engine.switches import SWITCHES
from mmseg_custom.engine.task import tell_folders
from mmseg_custom.messages import did_you_mean
from mmseg_custom.registry import SCOPE

PACKAGE = Path(__file__).resolve().parents[1]
CONFIG_FOLDERS = (PACKAGE / 'configs', PACKAGE.parent / 'configs')

# Setting the top-level key on the command line also sets every key of these names, anywhere in the
# config, that still holds the same value: mmengine resolves `crop_size=crop_size` while it reads a
# file, so a later override would otherwise reach nothing.
KNOBS = {
    'data_root': {'data_root'},
    'bands': {'bands'},
    'crop_size': {'crop_size', 'size', 'img_size'},
}


def find_config(name: str) -> Path:
    """Return the path of a config: as given, or below the project's own ``configs`` folder.

    Raises:
        FileNotFoundError: no such file; the message offers the nearest names.
    """
    for folder in (Path(), *CONFIG_FOLDERS):
        path = folder / name
        for candidate in (path, path.with_name(f'{path.name}.py')):
            if candidate.is_file():
                return candidate
    shipped = [
        path
        for folder in CONFIG_FOLDERS
        for path in folder.rglob('*.py')
        if '_base_' not in path.parts
    ]
    names = {path.stem: str(path.relative_to(_root_of(path))) for path in shipped}
    hint = did_you_mean(Path(name).stem, names, 3) or 'docs/model_zoo.md lists all'
    raise FileNotFoundError(f'config {name} does not exist; {hint}')


def _root_of(path: Path) -> Path:
    return next(folder for folder in CONFIG_FOLDERS if folder in path.parents)


def load_config(name: str, cfg_options: list[str] | None = None) -> Config:
    """Read a config and apply ``KEY=VALUE`` overrides.

    Args:
        name: path of a config, or its path below the project's ``configs`` folder.
        cfg_options: overrides as on the command line. A key must exist in the config or be an
            argument of the class that is configured there; ``+key=value`` adds any key.

    Raises:
        FileNotFoundError: no such config.
        ValueError: an override is not ``KEY=VALUE`` or its key is unknown, a module of
            ``custom_imports`` cannot be imported, or two bases have one key.
    """
    path = find_config(name)
    try:
        config = ReadableConfig.of(Config.fromfile(path))
    except ImportError as error:
        raise ValueError(_failed_import(error, name)) from error
    except KeyError as error:
        if 'Duplicate key' not in str(error):
            raise
        raise ValueError(
            f'config {name}: {error.args[0]}; let one of the bases be the base of the other'
        ) from error
    if 'default_scope' in config and config.default_scope is None:
        config.default_scope = SCOPE
    apply_options(config, cfg_options or [])
    tell_folders(config)
    return config


def _failed_import(error: ImportError, name: str) -> str:
    """Name what could not be imported, from the innermost of a chain of errors."""
    while isinstance(error.__context__, ImportError):
        error = error.__context__
    return (
        f'config {name}: custom_imports cannot be imported ({error}); start with '
        'PYTHONPATH=FOLDER, the folder in which these files lie'
    )


def apply_options(config: Config, options: list[str]) -> None:
    """Apply ``KEY=VALUE`` strings to ``config`` in place; see :func:`load_config`."""
    keys = [option.partition('=')[0] for option in options]
    if {'max_iters', 'max_epochs'} <= set(keys):
        raise ValueError('max_iters and max_epochs both give the length of a run; leave one out')
    # What sets other keys comes first: further options may set those again.
    first = {*LENGTHS, *KNOBS}
    for option in sorted(options, key=lambda option: option.partition('=')[0] not in first):
        key, separator, _ = option.partition('=')
        if not separator or not key.strip('+'):
            raise ValueError(f"--cfg-options takes KEY=VALUE, but got '{option}'")
        value = _parse_value(option)
        if key in LENGTHS:
            _check_length(key, value)
            LENGTHS[key](config, value)
            continue
        if key.startswith('+'):
            key = key[1:]
        else:
            check_key(config, key)
        if key == 'crop_size' and key in config:
            _fit_to_crop(config, value)
        if key in KNOBS and key in config:
            _replace(config._cfg_dict, KNOBS[key], config[key], value)
        config.merge_from_dict({key: value})


def _parse_value(option: str) -> Any:
    """Parse the value: a Python literal, ``true`` and ``false``, lists as ``a,b``, else text."""
    text = option.partition('=')[2]
    if text.lower() in ('true', 'false'):
        return text.lower() == 'true'
    is_bare_list = ',' in text and text[0] not in '[({"\''
    if not is_bare_list:
        try:
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            if not text.startswith(('[', '(')):
                return text
    # Lists of unquoted text: [a,b], (a,b) and a,b as mmengine reads them.
    namespace = argparse.Namespace()
    DictAction(['--cfg-options'], 'cfg_options')(None, namespace, [option])
    return next(iter(namespace.cfg_options.values()))


def _replace(node: Any, names: set[str], old: Any, new: Any) -> None:
    """Set every key of ``names`` that equals ``old`` to ``new``, in nested dicts and lists."""
    if isinstance(node, list | tuple):
        for item in node:
            _replace(item, names, old, new)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in names and value == old:
                node[key] = new
            else:
                _replace(value, names, old, new)


def _fit_to_crop(config: Config, new: Any) -> None:
    """Change what is computed from the crop size: the stride of windows, and position embeddings.

    A stride keeps its ratio to the windows. Position embeddings keep the size of the crop rounded
    up to whole patches. Both stay as they are where they did not belong to the old crop size.

    Raises:
        ValueError: the new size is no pair of positive numbers.
    """
    if not (
        isinstance(new, list | tuple)
        and len(new) == 2
        and all(isinstance(side, int) and side > 0 for side in new)
    ):
        side = new if isinstance(new, int) and new > 0 else 256
        raise ValueError(
            f'crop_size takes (height,width) in pixels, but got {new!r}; set '
            f'"crop_size=({side},{side})"'
        )
    old = tuple(config.crop_size)
    model = config.get('model') or {}
    test_cfg, backbone = model.get('test_cfg') or {}, model.get('backbone') or {}
    if tuple(test_cfg.get('crop_size', ())) == old and 'stride' in test_cfg:
        test_cfg['stride'] = tuple(
            max(1, round(side * stride / window))
            for side, stride, window in zip(new, test_cfg['stride'], old)
        )
    patch, size = backbone.get('patch_size'), backbone.get('img_size')
    if isinstance(patch, int) and size and tuple(size) == _whole_patches(old, patch):
        backbone['img_size'] = _whole_patches(new, patch)


def _whole_patches(size: tuple[int, ...], patch: int) -> tuple[int, ...]:
    return tuple(-(-side // patch) * patch for side in size)


def shorten_warmup(schedulers: list[dict], max_iters: int) -> list[dict]:
    """Let the warm-up take at most a tenth of the iterations; leave it out where that is below two.

    Args:
        schedulers: configs that count iterations; the first is a warm-up if the second begins
            where it ends. Changed in place.
        max_iters: length of the run.

    Returns:
        Those that are left.
    """
    # In one iteration mmengine's LinearLR does not get past its start factor.
    longest = max_iters // 10 if max_iters >= 20 else 0
    if not isinstance(schedulers, list) or len(schedulers) < 2:
        return schedulers
    warmup = schedulers[0].get('end')
    if warmup is None or warmup <= longest or schedulers[1].get('begin') != warmup:
        return schedulers
    schedulers[0]['end'] = longest
    for scheduler in schedulers[1:]:
        if scheduler.get('begin') == warmup:
            scheduler['begin'] = longest
    return schedulers if longest else schedulers[1:]


def _check_length(key: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f'{key} takes a whole number from 1 on, but got {value!r}')


def _count_iterations(config: Config, max_iters: int) -> None:
    """Give the training another length; its schedules, its warm-up and its validations follow.

    Raises:
        ValueError: the config counts epochs.
    """
    train_cfg = config.get('train_cfg') or {}
    if 'max_iters' not in train_cfg:
        raise ValueError(
            f'max_iters={max_iters}, but the training of {config.filename} counts epochs; set '
            'max_epochs instead'
        )
    _replace(config._cfg_dict, {'max_iters', 'end'}, train_cfg['max_iters'], max_iters)
    config.max_iters = max_iters
    # Where it is not given the loop has 1000.
    train_cfg['val_interval'] = min(train_cfg.get('val_interval', 1000), max_iters)
    config.param_scheduler = shorten_warmup(config.get('param_scheduler', []), max_iters)


def _count_epochs(config: Config, max_epochs: int) -> None:
    """Turn the training into one of ``max_epochs`` epochs, validated and saved after each.

    Warm-up stays in iterations. The schedule that lasts until the end loses its ``end``: how many
    iterations an epoch has is known when the data set is, and the runner fills it in.
    """
    config.pop('max_iters', None)
    config.max_epochs = max_epochs
    config.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
    schedulers = config.get('param_scheduler', [])
    if all('end' in scheduler for scheduler in schedulers):
        last = max((scheduler['end'] for scheduler in schedulers), default=None)
        for scheduler in schedulers:
            if scheduler['end'] == last:
                del scheduler['end']
    if config.train_dataloader.sampler.type == 'InfiniteSampler':
        config.train_dataloader.sampler.type = 'DefaultSampler'
    config.merge_from_dict(
        {
            'log_processor.by_epoch': True,
            'default_hooks.checkpoint.by_epoch': True,
            'default_hooks.checkpoint.interval': 1,
        }
    )


# The ways to give the length of a run.
LENGTHS = {'max_iters': _count_iterations, 'max_epochs': _count_epochs}


def check_key(config: Config, dotted_key: str) -> None:
    """Raise ``ValueError`` with the nearest names when no part of the config takes this key."""
    node: Any = config._cfg_dict
    walked: list[str] = []
    for part in dotted_key.split('.'):
        if isinstance(node, list | tuple) and part.lstrip('-').isdigit():
            if not -len(node) <= int(part) < len(node):
                raise ValueError(f"'{'.'.join(walked)}' has {len(node)} entries, no [{part}]")
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, dict):
            accepted = _accepted_keys(config, node, walked)
            if accepted is None or part in accepted:
                return
            where = f"'{'.'.join(walked)}'" if walked else 'the config'
            hint = did_you_mean(part, {*node, *accepted}, 2)
            raise ValueError(
                f"unknown key '{dotted_key}': {where} has no '{part}'; {hint}{' ' * bool(hint)}"
                f'(+{dotted_key}=... adds a new key)'
            )
        else:
            where = '.'.join(walked)
            kind = 'a list: write its number' if isinstance(node, list | tuple) else repr(node)
            raise ValueError(f"unknown key '{dotted_key}': '{where}' is {kind}, it has no '{part}'")
        walked.append(part)


def _accepted_keys(config: Config, node: dict, walked: list[str]) -> set[str] | None:
    """Keys that a part of the config may have; ``None`` when they cannot be known."""
    from mmengine.runner import Runner

    place = '.'.join(walked)
    if not walked:
        return _runner_arguments()
    if place == 'randomness':
        return {*inspect.signature(Runner.set_randomness).parameters} - {'self'}
    if place == 'model.test_cfg':
        return {*getattr(_configured_class(config.model), 'TEST_CFG_KEYS', ())}
    if place == 'auto_scale_lr':
        return {'enable', 'base_batch_size', 'rule'}
    if place == 'model_wrapper_cfg':
        node = {'type': 'DataParallel', **node}
    accepted = _accepted_arguments(node)
    if place == 'optim_wrapper' and accepted is not None:
        # --amp changes the type after the options are read.
        accepted |= _accepted_arguments({'type': 'AmpOptimWrapper'})
    return accepted


def _runner_arguments() -> set[str]:
    from mmengine.runner import Runner

    extra = {
        DEPTH_KEY,
        TOLERANCE_KEY,
        'compile',
        'device',
        'fuse_pipeline',
        'max_epochs',
        'new_classes',
        'model_wrapper_cfg',
        'per_item_lr',
        'sharding',
        'sync_bn',
        'find_unused_parameters',
        'freeze',
        'task',
        'tta_model',
        'tta_pipeline',
    }
    return {*inspect.signature(Runner.__init__).parameters, *extra, *SWITCHES}


def _configured_class(node: dict) -> Any:
    """What ``node['type']`` names, in our registries first; None where nothing is found."""
    from mmseg_custom.registry import ALL

    if not isinstance(node.get('type'), str):
        return node.get('type')
    return next((found for r in ALL if (found := r.get(node['type'])) is not None), None)


def _accepted_arguments(node: dict) -> set[str] | None:
    """Arguments of the class that ``node['type']`` names; None when they cannot be known."""
    if 'type' not in node:
        return set()
    cls = _configured_class(node)
    if cls is None:
        return None
    accepted: set[str] = set()
    for base in inspect.getmro(cls) if inspect.isclass(cls) else (cls,):
        function = base.__dict__.get('__init__') if inspect.isclass(base) else base
        if function is None:
            continue
        parameters = inspect.signature(function).parameters.values()
        accepted.update(p.name for p in parameters)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return accepted
    return accepted


def drop_pretrained(config: Config, load_from: bool = True) -> None:
    """Forget every pretrained weight that the model section names.

    Args:
        config: changed in place.
        load_from: forget the checkpoint to start from, too.
    """

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if (
                isinstance(node.get('init_cfg'), dict)
                and node['init_cfg'].get('type') == 'Pretrained'
            ):
                node['init_cfg'] = None
            if 'pretrained' in node:
                node['pretrained'] = None
            for value in node.values():
                walk(value)

    walk(config.model)
    if load_from:
        config.load_from = None
