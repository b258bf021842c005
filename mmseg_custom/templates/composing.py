"""From the params of a template to the Python config that trains with them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmseg_custom.engine.class_count import dataset_metainfo, heads
from mmseg_custom.engine.config import CONFIG_FOLDERS, find_config
from mmseg_custom.engine.config_text import format_config
from mmseg_custom.registry import register_all
from mmseg_custom.templates.choices import HEADS, Selection, select_concepts, weights_of
from mmseg_custom.templates.models import GeneralFields, SegFormerFields, TemplateFields
from mmseg_custom.templates.params_file import Params

# A longer side that no image reaches: the shorter one decides.
ANY_LENGTH = 1000000
NUM_WORKERS = 2
# Validations of a run, and the most iterations between two lines of its log.
NUM_VALIDATIONS, LOG_INTERVAL = 10, 50
# Of a config that trains.
NEEDED = ('train_dataloader', 'val_dataloader', 'optim_wrapper')


class Reference(str):
    """Text that stands in a config as it is, such as the name of a variable."""

    def __repr__(self) -> str:
        return str(self)


def compose(params: Params, data_root: str | Path, num_train: int) -> str:
    """Write the config of a training: bases of ``configs/`` and what the params set.

    Args:
        params: of any template.
        data_root: folder of the data, as ``FolderDataset`` takes it.
        num_train: number of images to train on.

    Returns:
        Python for ``tools/train.py``.

    Raises:
        ValueError: the params do not fit the data or the config that they name.
        FileNotFoundError: there is no such config, or the folder has no classes.
    """
    register_all()
    fields, root = params.train_params, Path(data_root).resolve()
    if fields.batch_size > num_train:
        raise ValueError(
            f'batch_size is {fields.batch_size}, but {root} has {num_train} training images; set '
            f'batch_size: {num_train} or less'
        )
    facts = dataset_metainfo(folder_dataset(str(root)))
    chosen = select_concepts(
        facts['classes'], facts['palette'], params.concepts, fields.other_concepts
    )
    bases = _bases(fields, has_bands='bands' in facts)
    base = _base_config(fields, bases)
    num_iters = math.ceil(num_train / fields.batch_size)
    parts = (
        f'"""{params.template} on {root}.\n\nCommand:   python tools/train.py CONFIG\n"""\n\n',
        bases,
        _data_lines(fields, base, root, chosen),
        _model_lines(fields, base),
        _schedule_lines(fields, base, num_iters),
        _run_lines(fields, chosen),
    )
    return ''.join(parts)


def folder_dataset(root: str, split: str = 'train', **arguments) -> dict:
    """The config of a split of a folder."""
    return dict(type='FolderDataset', data_root=root, split=split, **arguments)


def _bases(fields: TemplateFields, has_bands: bool) -> str:
    """The line that names the files that the config is built on."""
    if isinstance(fields, GeneralFields):
        return format_config({'_base_': str(find_config(fields.config).resolve())})
    folder = next(one for one in CONFIG_FOLDERS if one.is_dir()) / '_base_'
    weights = weights_of(fields)
    if isinstance(fields, SegFormerFields):
        model, schedule = f'segformer_{fields.backbone}', 'scratch_4k'
    else:
        model = f'segmenter_{fields.backbone}16_{HEADS[fields.decoder]}'
        schedule = 'scratch_4k_vit'
        if fields.decoder == 'mask' and not (weights or '').startswith('segmenter'):
            model += '_scratch'
    names = (
        f'models/{model}',
        f'datasets/folder_{"bands_" * has_bands}512x512',
        f'schedules/{"adamw_160k" if weights else schedule}',
        'epoch_runtime',
    )
    return format_config({'_base_': [str(folder / f'{name}.py') for name in names]})


def _base_config(fields: TemplateFields, bases: str) -> Config:
    """What the config is built on.

    Raises:
        ValueError: a config of the user's cannot be read, or does not train a segmentor.
    """
    try:
        base = Config.fromstring(bases, '.py')
    except Exception as error:  # a config may do anything that Python does
        if not isinstance(fields, GeneralFields):
            raise
        words = ' '.join(str(error).split())
        raise ValueError(
            f'config {fields.config} cannot be read ({type(error).__name__}: {words}); mend it, or '
            'choose one of docs/model_zoo.md'
        ) from error
    if 'decode_head' not in (base.get('model') or {}):
        raise ValueError(f'config {fields.config} is no segmentor; expected a decode_head')
    missing = [key for key in NEEDED if key not in base]
    if missing:
        raise ValueError(
            f'config {fields.config} has no {", ".join(missing)}; expected one that tools/train.py '
            'trains'
        )
    return base


def _crop(fields: TemplateFields) -> tuple[int, int]:
    """(height, width) of training crops; the params give the width first."""
    return fields.image_size[-1], fields.image_size[0]


def _data_lines(fields: TemplateFields, base: Config, root: Path, chosen: Selection) -> str:
    """Pipelines at the size, and the loaders of the folder."""
    height, width = crop_size = _crop(fields)
    exact = len(fields.image_size) == 2
    size = dict(scale=(width, height) if exact else (ANY_LENGTH, width), keep_ratio=not exact)
    lines = ['\n# Data\n', format_config(dict(data_root=str(root), crop_size=crop_size))]
    loaders: dict[str, Any] = {}
    for name in ('train', 'val'):
        place, pipeline = _pipeline_of(base, f'{name}_dataloader')
        lines.append(f'{name}_pipeline = {place}\n')
        lines += _sized(f'{name}_pipeline', pipeline, size, is_training=name == 'train')
        loaders[f'{name}_dataloader'] = dict(
            num_workers=NUM_WORKERS,
            dataset=dict(_delete_=True, **_dataset(fields, base, chosen, name)),
        )
    loaders['train_dataloader'].update(
        batch_size=fields.batch_size, sampler=dict(type='DefaultSampler')
    )
    loaders['test_dataloader'] = Reference('val_dataloader')
    tolerance = dict(invalid_data_tolerance_percent=fields.invalid_data_tolerance_percent)
    return ''.join(lines) + format_config({**loaders, **tolerance})


def _dataset(fields: TemplateFields, base: Config, chosen: Selection, split: str) -> dict:
    """A split of the folder, with the classes that are chosen."""
    more = {'img_suffix': Reference('_base_.img_suffix')} if 'img_suffix' in base else {}
    folder = folder_dataset(
        Reference('data_root'), split, **more, pipeline=Reference(f'{split}_pipeline')
    )
    if chosen.is_whole:
        return folder
    return dict(
        type='ConcatDataset',
        classes=chosen.classes,
        palette=chosen.palette,
        other=fields.other_concepts,
        datasets=[folder],
    )


def _pipeline_of(base: Config, loader: str) -> tuple[str, list[dict]]:
    """Where the base has the pipeline of a loader, and the pipeline."""
    place, dataset = f'_base_.{loader}.dataset', base[loader].dataset
    while 'pipeline' not in dataset:
        key = 'dataset' if 'dataset' in dataset else 'datasets'
        place += f'.{key}' if key == 'dataset' else f'.{key}[0]'
        dataset = dataset[key] if key == 'dataset' else dataset[key][0]
    return f'{place}.pipeline', dataset['pipeline']


def _sized(name: str, pipeline: Sequence[dict], size: dict, is_training: bool) -> list[str]:
    """Lines that let the steps of a pipeline give images of a size."""
    lines, kinds = [], [step['type'] for step in pipeline]
    for index, kind in enumerate(kinds):
        if kind in ('RandomResize', 'Resize'):
            lines.append(f'{name}[{index}].update({_arguments(size)})\n')
        elif kind == 'RandomCrop':
            lines.append(f'{name}[{index}].crop_size = crop_size\n')
    added = [] if any('Resize' in kind for kind in kinds) else [dict(type='Resize', **size)]
    if is_training and 'RandomCrop' not in kinds:
        added.append(dict(type='RandomCrop', crop_size=Reference('crop_size')))
    if added:
        # A test compares at the size of the labels, which are loaded after the resizing.
        loads = [index for index, kind in enumerate(kinds) if kind.startswith('Load')]
        place = (loads[-1] if is_training else loads[0]) + 1
        entries = ', '.join(f'dict({_arguments(step)})' for step in added)
        lines.append(f'{name}[{place}:{place}] = [{entries}]\n')
    return lines


def _arguments(values: dict) -> str:
    return ', '.join(f'{key}={value!r}' for key, value in values.items())


def _model_lines(fields: TemplateFields, base: Config) -> str:
    """The network at the size, for the classes and bands of the data, and where it starts."""
    crop, weights = Reference('crop_size'), weights_of(fields)
    preprocessor: dict[str, Any] = dict(size=crop)
    if takes_bands := 'bands' in base and not isinstance(fields, GeneralFields):
        preprocessor.update(mean=None, std=None, bgr_to_rgb=False)
    model: dict[str, Any] = dict(data_preprocessor=Reference('data_preprocessor'))
    if backbone := _backbone(base.model.backbone, _crop(fields), weights, takes_bands):
        model['backbone'] = backbone
    test_cfg = base.model.get('test_cfg') or {}
    if test_cfg.get('mode') == 'slide':
        strides = zip(test_cfg['stride'], test_cfg['crop_size'], _crop(fields))
        stride = tuple(max(1, round(side * step / window)) for step, window, side in strides)
        model['test_cfg'] = dict(crop_size=crop, stride=stride)
    lines = ['\n# Model\n', format_config(dict(data_preprocessor=preprocessor))]
    for name, _ in heads(base.model):
        key, _, index = name.partition('.')
        if index:
            lines.append(f'_base_.model.{key}[{index}].num_classes = None\n')
        else:
            model[key] = dict(num_classes=None)
    start = dict(load_from=weights, new_classes=True) if weights else dict(load_from=None)
    return ''.join(lines) + format_config({'model': model, **start})


def _backbone(backbone: dict, crop: tuple[int, int], weights: str | None, bands: bool) -> dict:
    """What changes in the encoder."""
    changed: dict[str, Any] = {}
    if backbone['type'] == 'VisionTransformer':
        patch = backbone['patch_size']
        changed['img_size'] = tuple(-(-side // patch) * patch for side in crop)
    if bands:
        changed.update(in_channels=None, rgb_channels=None)
    if weights is None and backbone.get('init_cfg'):
        changed['init_cfg'] = None
    return changed


def _schedule_lines(fields: TemplateFields, base: Config, num_iters: int) -> str:
    """Length, learning rate and validations; the base's schedule lasts until the end."""
    interval = math.ceil(fields.num_epochs / NUM_VALIDATIONS)
    rate: dict[str, Any] = {}
    if fields.per_item_lrate:
        rate['per_item_lr'] = fields.per_item_lrate
    optim_wrapper: dict[str, Any] = dict(optimizer=dict(lr=None if rate else 0.0))
    if fields.precision != 'float32':
        optim_wrapper = dict(type='AmpOptimWrapper', dtype=fields.precision, **optim_wrapper)
    schedulers = base.get('param_scheduler') or []
    lines = ['\n# Schedule\n', format_config(dict(max_epochs=fields.num_epochs))]
    if 'max_iters' in base:
        lines.append('max_iters = None\n')
    lines.append(format_config({**rate, 'optim_wrapper': optim_wrapper}))
    ends = [scheduler.get('end') for scheduler in schedulers]
    if ends and None not in ends:
        lines.append('param_scheduler = _base_.param_scheduler\n')
        lines += [
            f'del param_scheduler[{index}].end\n'
            for index, end in enumerate(ends)
            if end == max(ends)
        ]
    hooks = dict(
        logger=dict(interval=min(LOG_INTERVAL, max(1, num_iters // 4))),
        checkpoint=dict(by_epoch=True, interval=interval),
    )
    rest = dict(
        train_cfg=dict(
            _delete_=True,
            type='EpochBasedTrainLoop',
            max_epochs=fields.num_epochs,
            val_interval=interval,
        ),
        default_hooks=hooks,
    )
    if isinstance(fields, GeneralFields):
        rest['log_processor'] = dict(by_epoch=True)
    return ''.join(lines) + format_config(rest)


def _run_lines(fields: TemplateFields, chosen: Selection) -> str:
    values: dict[str, Any] = dict(
        randomness=dict(seed=fields.seed, deterministic=True), device=fields.device
    )
    if chosen.became_binary:
        values['task'] = 'binary'
    return '\n# Run\n' + format_config(values)
