"""Samples of a data set before and after its pipeline, as a training with a seed sees them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from mmseg_custom.engine.class_count import dataset_metainfo
from mmseg_custom.engine.generators import kept_generators, seed_generators
from mmseg_custom.engine.samplers import SampleStream, SeededDataset
from mmseg_custom.engine.switches import SAMPLING, apply_switches
from mmseg_custom.registry import MODELS, SCOPE, register_all
from mmseg_custom.visualization.browsing import BrowsedSample

# What data are shown with where the config has no model.
PREPROCESSOR = dict(type='SegDataPreProcessor', bgr_to_rgb=True)
SPLITS = ('train', 'val', 'test')


def browse(
    config: Config, split: str = 'train', num: int = 16, seed: int = 0
) -> tuple[list[BrowsedSample], dict]:
    """Load the first samples of a training, or samples of a validation or test set.

    Args:
        config: with the loader of the split; the data preprocessor of its model is applied. Keys
            that say how samples are drawn are put into effect in it.
        split: ``'train'``, ``'val'`` or ``'test'``.
        num: how many, at most one pass.
        seed: of the training; of the choice of pictures in the other splits.

    Returns:
        The samples; and ``classes``, ``palette``, ``name`` and ``size`` (samples of a pass).

    Raises:
        ValueError: the config has no such loader, or ``num`` is below 1.
    """
    if num < 1 or split not in SPLITS or not config.get(f'{split}_dataloader'):
        raise ValueError(
            f'num={num}, split={split!r}; expected a number from 1 on, and one of '
            f'{", ".join(name for name in SPLITS if config.get(f"{name}_dataloader"))}'
        )
    register_all()
    if split == 'train':
        apply_switches(config, SAMPLING)
    description = config[f'{split}_dataloader'].dataset
    with DefaultScope.overwrite_default_scope(config.get('default_scope') or SCOPE):
        dataset = SeededDataset({'_scope_': SCOPE, **description})
        load = Compose(_loading(description))
        preprocessor = MODELS.build(_preprocessor(config))
    samples = []
    for index in SampleStream(dataset, seed).order(0)[:num]:
        key = (seed, 0, index)
        # A wrapper draws before the transforms do: the same seed gives the same picture.
        with kept_generators():
            seed_generators(*key)
            plain = load(dataset.get_data_info(index))
        packed = dataset[key]
        image, labels = prepared(preprocessor, packed, split == 'train')
        samples.append(
            BrowsedSample(
                Path(plain['img_path']).stem,
                displayable(plain['img'], reverse=True),
                plain.get('gt_seg_map'),
                image,
                labels,
            )
        )
    facts = dict(dataset_metainfo(description)) | dict(dataset.metainfo)
    name = f'{_described(description)} {split}'
    return samples, {**facts, 'name': name, 'size': len(dataset)}


def prepared(
    preprocessor: torch.nn.Module, packed: dict, training: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """What the network gets, as a picture: its input with the normalisation taken back.

    Args:
        preprocessor: a ``SegDataPreProcessor``.
        packed: a sample as ``PackSegInputs`` returns it, ``inputs`` (C, H, W), BGR.
        training: whether to pad as a training does.

    Returns:
        RGB uint8 (H, W, 3), and the label map (H, W) or None.
    """
    batch = {'inputs': [packed['inputs']], 'data_samples': [packed['data_samples']]}
    with torch.no_grad():
        batch = preprocessor(batch, training)
    tensor, sample = batch['inputs'][0], batch['data_samples'][0]
    if getattr(preprocessor, '_enable_normalize', False):
        tensor = tensor * preprocessor.std + preprocessor.mean
    converted = getattr(preprocessor, 'channel_conversion', False)
    image = displayable(tensor.permute(1, 2, 0).numpy(), reverse=not converted)
    labels = sample.gt_sem_seg.data[0].numpy() if 'gt_sem_seg' in sample else None
    return image, labels


def displayable(image: np.ndarray, reverse: bool) -> np.ndarray:
    """Turn a picture of any channels and range into RGB uint8.

    Args:
        image: (H, W) or (H, W, C). Of more than three channels the first three are shown, of two
            the first; values above 255 are scaled to the picture's own range.
        reverse: whether three channels are BGR.

    Returns:
        (H, W, 3).
    """
    image = image if image.ndim == 3 else image[..., None]
    if image.shape[2] == 3:
        image = image[..., ::-1] if reverse else image
    else:
        image = image[..., :3] if image.shape[2] > 3 else image[..., :1].repeat(3, 2)
    image = np.nan_to_num(image.astype(np.float32))
    if image.max(initial=0) > 256:
        low, high = image.min(), image.max()
        image = (image - low) * (255 / (high - low))
    return np.ascontiguousarray(image.round().clip(0, 255).astype(np.uint8))


def _loading(dataset: Mapping) -> list[dict]:
    """The transforms that load, of the first data set inside wrappers."""
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    loading = [t for t in dataset['pipeline'] if _type_name(t).startswith('Load')]
    if dataset.get('with_masks') is False:
        return [t for t in loading if not _type_name(t).endswith('Annotations')]
    return loading


def _preprocessor(config: Config) -> dict:
    model = config.get('model') or {}
    found = model.get('data_preprocessor') or config.get('data_preprocessor')
    if found is None:
        found = {**PREPROCESSOR, 'size': config.get('crop_size')}
    return {'_scope_': SCOPE, **found}


def _described(dataset: Mapping) -> str:
    """Names of a data set and of those inside it."""
    inner = dataset.get('datasets') or [dataset[key] for key in ('dataset',) if key in dataset]
    names = ', '.join(dict.fromkeys(map(_described, inner)))
    return f'{_type_name(dataset)} of {names}' if names else _type_name(dataset)


def _type_name(config: Mapping) -> str:
    kind = config['type']
    return kind.rsplit('.', 1)[-1] if isinstance(kind, str) else kind.__name__
