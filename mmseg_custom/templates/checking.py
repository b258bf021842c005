"""What must be right before a training is queued: data, classes, weights, device."""

from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config

from mmseg_custom.checkpoints.loading import load_weights
from mmseg_custom.checkpoints.published import PUBLISHED
from mmseg_custom.checkpoints.sources import resolve
from mmseg_custom.engine.automatic_weights import drop_automatic_weights
from mmseg_custom.engine.band_count import fit_bands
from mmseg_custom.engine.class_count import fit_class_count
from mmseg_custom.engine.config import drop_pretrained
from mmseg_custom.engine.device import check_device
from mmseg_custom.engine.task import fit_task
from mmseg_custom.inference.predictor import in_scope
from mmseg_custom.registry import DATASETS, MODELS, SCOPE, register_all
from mmseg_custom.templates.choices import weights_of
from mmseg_custom.templates.composing import compose, folder_dataset
from mmseg_custom.templates.models import NO_WEIGHTS, TemplateFields
from mmseg_custom.templates.params_file import Params


@dataclass(frozen=True)
class DataFacts:
    """A folder of data.

    Attributes:
        classes: names in index order.
        palette: ``[R, G, B]`` of each.
        num_train: images to train on.
        num_val: images to validate on.
    """

    classes: tuple[str, ...]
    palette: list[list[int]]
    num_train: int
    num_val: int


def look_at_data(root: str | Path) -> DataFacts:
    """List the images and masks of a folder, and read its classes.

    Args:
        root: as ``FolderDataset`` takes it, with the splits ``train`` and ``val``.

    Raises:
        FileNotFoundError: the folder, a split, a mask or the classes are missing.
        ValueError: what is there does not fit.
    """
    register_all()
    train, val = (
        DATASETS.build(dict(_scope_=SCOPE, **folder_dataset(str(root), split), pipeline=[]))
        for split in ('train', 'val')
    )
    meta = train.metainfo
    return DataFacts(tuple(meta['classes']), list(meta['palette']), len(train), len(val))


def check_before_queueing(params: Params, data_root: str | Path) -> DataFacts:
    """Find everything that a training needs, or say what is missing.

    Published weights that are not on this machine are downloaded.

    Args:
        params: of any template.
        data_root: folder of the data set's version, or of the data set.

    Returns:
        The facts of the data; ``num_train`` is what ``compose`` asks for.

    Raises:
        FileNotFoundError: data, weights or the config are missing; the message says which file to
            put where.
        ValueError: concepts are no classes of the data, the batch is larger than the data set,
            there is no such device, or the network does not fit the data or the weights.
    """
    facts = look_at_data(data_root)
    fields = params.train_params
    check_device(fields.device, fields.precision)
    config = Config.fromstring(compose(params, data_root, facts.num_train), '.py')
    for fit in (fit_task, fit_class_count, fit_bands):
        fit(config)
    weights = find_weights(fields)
    if weights is not None:
        check_that_weights_fit(weights, config, fields.pretrained_weights)
    return facts


def find_weights(fields: TemplateFields) -> Path | None:
    """Find the weights to start from, downloaded if need be.

    Returns:
        Their file or folder; None where the training starts from random ones.

    Raises:
        FileNotFoundError: they cannot be had; the message says which file to put where.
        ValueError: there are none of this name.
    """
    source = weights_of(fields)
    if source is None:
        return None
    key = 'pretrained_weights'
    try:
        return resolve(source, otherwise=f'set {key}: {NO_WEIGHTS}')
    except FileNotFoundError as error:
        what = f' of {fields.pretrained_weights}' if source in PUBLISHED else ''
        raise FileNotFoundError(f'{key}{what}: {error}') from error


def check_that_weights_fit(weights: Path, config: Config, given: str | None) -> None:
    """Load weights into the network as the training will.

    Args:
        weights: file or folder.
        config: with the classes and bands of the data; changed.
        given: how the params call the weights.

    Raises:
        ValueError: the file cannot be read, or holds another network.
    """
    drop_pretrained(config)
    drop_automatic_weights(config.model)
    try:
        # Who calls this keeps the random numbers.
        with torch.random.fork_rng(devices=[]), in_scope(config):
            model = MODELS.build(config.model)
        anew = dict(new_classes=True, new_decoder=True, new_channels=True)
        load_weights(model, weights, **anew, model_name='the network of the params', show=None)
    except ValueError as error:
        raise ValueError(f"pretrained_weights is '{given}': {error}") from error
