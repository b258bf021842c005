"""One number of bands: the data set names them; loaders, preprocessor and backbone follow."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from mmseg_custom.bands import Selection, select_bands
from mmseg_custom.engine.class_count import dataset_metainfo

LOADER = 'LoadBandsFromFile'
# Steps that compute with colours of 8 bits.
COLOUR_STEPS = ('PhotoMetricDistortion', 'CLAHE', 'AdjustGamma', 'RGB2Gray')
STATISTICS = 'python tools/analysis_tools/band_statistics.py'


def fit_bands(config: Config, loader: str = 'train_dataloader') -> None:
    """Fill in what the data set says of its bands; see :func:`fill_bands`."""
    if config.get(loader) and 'model' in config and any(_loading_steps(config._cfg_dict)):
        dataset = config[loader]['dataset']
        fill_bands(config, dataset_metainfo(dataset), dataset.get('data_root', 'CONFIG'))


def fill_bands(config: Config, facts: Mapping, source: str = 'CONFIG') -> None:
    """Set what is None in the loaders of bands, the preprocessor and the backbone, and compare.

    Args:
        config: changed in place; one without ``LoadBandsFromFile`` stays as it is.
        facts: what is known of the bands; see :func:`mmseg_custom.bands.select_bands`.
        source: the data set's folder, for messages.

    Raises:
        ValueError: pipelines take other bands than each other, a step needs 8-bit colours, the
            statistics are missing, or preprocessor or backbone are made for other channels.
    """
    steps = list(_loading_steps(config._cfg_dict))
    if not steps:
        return
    _refuse_colour_steps(config._cfg_dict)
    selections = [_fill_step(step, facts) for step in steps]
    selection = selections[0]
    if any(other.bands != selection.bands for other in selections):
        taken = ' and '.join(dict.fromkeys(str(step.get('bands')) for step in steps))
        raise ValueError(f'the pipelines take other bands: {taken}; set "bands=[...]" for all')
    for node in (config.get('data_preprocessor'), config.model.get('data_preprocessor')):
        if node:
            _fill_preprocessor(node, selection, source)
    backbone = config.model.get('backbone') or {}
    mean = (config.model.get('data_preprocessor') or {}).get('mean')
    count = len(selection.bands if selection.bands is not None else mean or ())
    if not count:
        return
    if backbone.get('in_channels', 3) is None:
        backbone['in_channels'] = count
    elif backbone.get('in_channels', 3) != count:
        raise ValueError(
            f'in_channels={backbone.get("in_channels", 3)} but the pipeline loads {count} bands; '
            f'set model.backbone.in_channels={count}'
        )
    if backbone.get('rgb_channels', ()) is None:
        backbone['rgb_channels'] = selection.rgb_channels


def _dicts(node: Any) -> Iterator[dict]:
    """All dicts in nested dicts and lists."""
    if isinstance(node, dict):
        yield node
    if isinstance(node, dict | list | tuple):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _dicts(child)


def _name(step: Any) -> str:
    kind = step.get('type') if isinstance(step, dict) else None
    return str(getattr(kind, '__name__', kind)).split('.')[-1]


def _loading_steps(node: Any) -> Iterator[dict]:
    return (one for one in _dicts(node) if _name(one) == LOADER)


def _refuse_colour_steps(node: Any) -> None:
    """Raise ``ValueError`` where a pipeline that loads bands goes on with 8-bit colours."""
    children = node.values() if isinstance(node, dict) else node
    names = [_name(child) for child in children]
    wrong = [name for name in names if name in COLOUR_STEPS]
    if LOADER in names and wrong:
        raise ValueError(
            f'{wrong[0]} works on pictures of 8-bit blue, green and red, not on what {LOADER} '
            'loads; take it out of the pipeline'
        )
    for child in children:
        if isinstance(child, dict | list | tuple):
            _refuse_colour_steps(child)


def _fill_step(step: dict, facts: Mapping) -> Selection:
    stated = {key: step[key] for key in ('rgb_bands', 'nodata') if step.get(key) is not None}
    selection = select_bands({**facts, **stated}, step.get('bands'))
    step['bands'] = None if selection.bands is None else list(selection.bands)
    step['rgb_bands'] = None if selection.rgb_bands is None else list(selection.rgb_bands)
    step['nodata'] = selection.nodata
    if step.get('num_bands') is None:
        step['num_bands'] = selection.num_bands
    return selection


def _fill_preprocessor(node: dict, selection: Selection, source: str) -> None:
    if node.get('mean', ()) is None:
        if selection.mean is None:
            raise ValueError(
                'the data set does not say mean and std of its bands; measure them with '
                f'{STATISTICS} {source} --write'
            )
        node['mean'], node['std'] = list(selection.mean), list(selection.std)
    count = None if selection.bands is None else len(selection.bands)
    if count is not None and len(node.get('mean') or ()) not in (0, count):
        raise ValueError(
            f'data_preprocessor.mean has {len(node["mean"])} values but the pipeline loads {count} '
            'bands; give one per band, or None to take those of the data set'
        )
