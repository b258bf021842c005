"""Build a trained segmentor, read pictures, and prepare them as its test pipeline does.

Class names and colours come from the checkpoint that was trained with them; they are never guessed
from the number of classes.
"""

import copy
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from mmseg_custom.checkpoints.formats.description import Description
from mmseg_custom.checkpoints.loading import load_weights, open_weights
from mmseg_custom.datasets.palette import distinct_palette
from mmseg_custom.engine.automatic_weights import drop_automatic_weights
from mmseg_custom.engine.band_count import LOADER as BAND_LOADER
from mmseg_custom.engine.band_count import fill_bands
from mmseg_custom.engine.class_count import dataset_metainfo, heads
from mmseg_custom.engine.config import drop_pretrained, load_config
from mmseg_custom.engine.task import fit_heads
from mmseg_custom.registry import MODELS, SCOPE, register_all
from mmseg_custom.visualization.rendering import check_image, colour_table
from mmseg_custom.wrapped import inner_configs

# mmengine's scope belongs to the whole process, and readers build loaders in threads.
_SCOPE_LOCK = threading.RLock()


def load_model(
    config: str | os.PathLike | Config,
    checkpoint: str | os.PathLike,
    device: str | torch.device | None = None,
    show: Callable[[str], None] | None = None,
) -> torch.nn.Module:
    """Build the segmentor of a config with the weights of a checkpoint, ready to predict.

    Args:
        config: path of a config, or a loaded one, which is left as it is.
        checkpoint: weights of any known source: path, link or name; every parameter must fit.
        device: such as ``cpu`` or ``cuda:1``; default: the first GPU if there is one.
        show: gets the report on the weights as text; None shows nothing.

    Returns:
        The model in evaluation mode. ``model.cfg`` is its config and ``model.dataset_meta`` holds
        ``classes``, a tuple of K names, and ``palette``, K tuples (red, green, blue) in 0..255.

    Raises:
        FileNotFoundError: there is no such config or checkpoint.
        ValueError: the checkpoint belongs to another model, names no classes, or there is no such
            device.
    """
    config = copy.deepcopy(config) if isinstance(config, Config) else load_config(str(config))
    config_name = str(config.filename or 'given as an object')
    device = choose_device(device)
    if 'model' not in config:
        raise ValueError(f"config {config_name} has no 'model'; expected the config of a segmentor")
    weights = open_weights(checkpoint)
    register_all()
    dataset_meta = _dataset_meta(weights.description, config, str(checkpoint))
    fill_bands(config, (weights.content.get('meta') or {}).get('dataset_meta') or {})
    # One output for two classes: the training's task, which its data set may have named.
    if weights.description.num_classes == 1 and len(dataset_meta['classes']) == 2:
        others = {head.get('num_classes') for _, head in heads(config.model)} - {None, 2}
        if others:
            raise ValueError(
                f'config {config_name} has num_classes={others.pop()}, but checkpoint {checkpoint} '
                'has one output channel for 2 classes; use the config it was trained with'
            )
        config.setdefault('task', 'binary')
    model = _build(config, len(dataset_meta['classes']))
    load_weights(model, weights, model_name=f'config {config_name}', show=show)

    num_classes = getattr(model, 'num_classes', None)
    if num_classes not in (None, len(dataset_meta['classes'])):
        raise ValueError(
            f'num_classes={num_classes} but checkpoint {checkpoint} names '
            f'{len(dataset_meta["classes"])} classes; use the config it was trained with'
        )
    model.cfg = config
    model.dataset_meta = dataset_meta
    return model.to(device).eval()


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device of that name, by default the first GPU, or the CPU where there is none.

    Raises:
        ValueError: PyTorch does not know the name or does not see the GPU.
    """
    if device is None:
        return torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device='{device}' is unknown; expected cpu, cuda or cuda:N") from error
    count = torch.cuda.device_count()
    if chosen.type == 'cuda' and (chosen.index or 0) >= count:
        raise ValueError(f"device='{device}', but PyTorch sees {count} GPUs; use cpu or cuda:N")
    return chosen


def read_image(model: torch.nn.Module, path: str | os.PathLike) -> np.ndarray:
    """Read a picture as the model's test pipeline does.

    Returns:
        RGB uint8 (H, W, 3), rotated as the camera noted in the file; where the pipeline begins
        with ``LoadBandsFromFile`` the bands that it takes, (H, W, C).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a picture that can be read.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'picture {path} does not exist')
    loader = pipeline_steps(model.cfg)[0]
    if takes_bands(model.cfg):
        return _built_loader(model.cfg)({'img_path': path})['img']
    try:
        image = _built_loader(model.cfg)({'img_path': path})['img']
    except (AssertionError, OSError, ValueError, cv2.error) as error:
        raise ValueError(
            f'{path} ({os.path.getsize(path)} bytes) is not a readable picture; expected a JPEG, '
            'PNG, BMP, WebP or TIFF file that is complete'
        ) from error
    if loader.get('to_float32'):
        image = image.astype(np.uint8)
    check_image(image)
    return np.ascontiguousarray(image[..., ::-1])


def pipeline_input(model: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    """Return what :func:`read_image` read in the order that pipeline and model are fed with.

    Raises:
        ValueError: it is no RGB uint8 (H, W, 3) where the model takes colours.
    """
    if takes_bands(model.cfg):
        return image
    check_image(image)
    # As OpenCV reads: BGR.
    return np.ascontiguousarray(image[..., ::-1])


def picture_of(model: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    """Return what :func:`read_image` read as a picture to look at, RGB uint8 (H, W, 3)."""
    return _built_loader(model.cfg).to_rgb(image) if takes_bands(model.cfg) else image


def array_pipeline(config: Config, tta: bool = False) -> Compose:
    """Build the test pipeline for pictures in memory, ``{'img': BGR uint8 (H, W, 3)}``.

    It and the models that follow it are fed BGR, as OpenCV reads.

    Args:
        config: of a segmentor.
        tta: take its ``tta_pipeline``, which makes several forms of each picture.

    Raises:
        ValueError: the config has no such pipeline.
    """
    loader, *rest = _tta_pipeline(config) if tta else pipeline_steps(config)
    from_array = {'type': 'LoadImageFromNDArray', 'to_float32': loader.get('to_float32', False)}
    with in_scope(config):
        return Compose([from_array, *rest])


@contextmanager
def in_scope(config: Config) -> Iterator[None]:
    """Look classes up as the config wants while the block runs, in one thread at a time."""
    scope = config.get('default_scope') or SCOPE
    with _SCOPE_LOCK, DefaultScope.overwrite_default_scope(scope):
        yield


def takes_bands(config: Config) -> bool:
    """Whether a model is fed with other bands than 8-bit colours."""
    return _type_name(pipeline_steps(config)[0]) == BAND_LOADER


def _built_loader(config: Config):
    """Build the first step of the test pipeline."""
    with in_scope(config):
        return Compose(pipeline_steps(config)[:1]).transforms[0]


def _build(config: Config, num_classes: int) -> torch.nn.Module:
    """Build the config's model; heads that leave ``num_classes`` open get the checkpoint's."""
    drop_pretrained(config)
    drop_automatic_weights(config.model)
    if config.get('data_preprocessor'):
        config.model.setdefault('data_preprocessor', config.data_preprocessor)
    if config.get('task') == 'binary':
        fit_heads(config.model)
    for _, head in heads(config.model):
        if head.get('num_classes') is None:
            head['num_classes'] = num_classes
    with in_scope(config):
        return MODELS.build(config.model)


def _test_dataset(config: Config) -> dict:
    return (config.get('test_dataloader') or {}).get('dataset') or {}


def pipeline_steps(config: Config) -> list[dict]:
    """Return the test pipeline without the steps that load labels."""
    dataset = next(inner_configs(_test_dataset(config)))
    pipeline = dataset.get('pipeline') or config.get('test_pipeline')
    if not pipeline:
        raise ValueError(
            f'config {config.filename} has no test pipeline; set test_dataloader.dataset.pipeline'
        )
    return [step for step in pipeline if not _type_name(step).endswith('LoadAnnotations')]


def _tta_pipeline(config: Config) -> list[dict]:
    """Return ``tta_pipeline`` without the steps that load labels."""
    if not config.get('tta_pipeline'):
        raise ValueError(f'config {config.filename} has no tta_pipeline; leave --tta out')
    pipeline = copy.deepcopy(config.tta_pipeline)
    for step in pipeline:
        if step.get('transforms'):
            kept = [
                [one for one in choice if not _type_name(one).endswith('LoadAnnotations')]
                for choice in step['transforms']
            ]
            step['transforms'] = [choice for choice in kept if choice]
    return pipeline


def _type_name(step: dict) -> str:
    name = step['type'] if isinstance(step['type'], str) else step['type'].__name__
    return name.split('.')[-1]


def _dataset_meta(weights: Description, config: Config, checkpoint: str) -> dict:
    """Return class names and colours from the checkpoint, else from the config's data set."""
    found = {'classes': weights.classes, 'palette': weights.palette}
    if not found['classes'] and _test_dataset(config):
        found = dataset_metainfo(_test_dataset(config))
    if not found.get('classes'):
        raise ValueError(
            f'checkpoint {checkpoint} names no classes (meta.dataset_meta.classes), nor does the '
            "config's test data set; set test_dataloader.dataset.metainfo.classes in the config"
        )
    classes = tuple(str(name) for name in found['classes'])
    palette = found.get('palette')
    table = colour_table(distinct_palette(classes) if palette is None else palette)
    if len(table) != len(classes):
        raise ValueError(
            f'checkpoint {checkpoint} names {len(classes)} classes but {len(table)} colours; '
            'expected one colour per class'
        )
    return {'classes': classes, 'palette': [tuple(colour) for colour in table.tolist()]}
