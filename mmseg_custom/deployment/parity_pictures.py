"""The pictures that an exported file is tried on."""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset

from mmseg_custom.datasets.dataset_yaml import YAML_NAME
from mmseg_custom.engine.class_count import fit_class_count
from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.pictures import list_pictures
from mmseg_custom.inference.predictor import in_scope, read_image
from mmseg_custom.registry import DATASETS


@dataclass(frozen=True)
class ParityPictures:
    """Pictures by their paths, perhaps with ground truth; iterating reads them one by one.

    Attributes:
        inferencer: reads them as its model's test pipeline does.
        where: where they come from, in words.
        paths: of the pictures.
        dataset: that has the ground truth; None without.
        indices: of the pictures in it.
    """

    inferencer: Inferencer
    where: str
    paths: Sequence[str]
    dataset: BaseDataset | None = None
    indices: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[np.ndarray | tuple[np.ndarray, np.ndarray]]:
        """Yield pictures, or pairs with the ground truth, as ``parity.compare`` takes them."""
        pictures = (read_image(self.inferencer.model, path) for path in self.paths)
        if self.dataset is None:
            yield from pictures
            return
        for picture, index in zip(pictures, self.indices):
            sample = self.dataset[index]['data_samples']
            yield picture, sample.gt_sem_seg.data[0].numpy()


@dataclass(frozen=True)
class Source:
    """A model to export, and the pictures that its file is compared on.

    Attributes:
        model: as in :class:`~mmseg_custom.inference.inferencer.Inferencer`.
        weights: as there.
        data: folder of pictures; see :func:`find_pictures`.
        num_pictures: how many of them; 0 takes all.
        cfg_options: overrides of the config.
    """

    model: str | os.PathLike
    weights: str | os.PathLike | None = None
    data: str | os.PathLike | None = None
    num_pictures: int = 20
    cfg_options: list[str] | None = None

    @classmethod
    def of(cls, args: argparse.Namespace) -> 'Source':
        """What the options of ``cli.add_export_arguments`` name."""
        return cls(args.model, args.weights, args.data, args.num_pictures, args.cfg_options)

    def load(self, show: Callable[[str], None]) -> tuple[Inferencer, ParityPictures]:
        """Load the model, with probabilities, and find the pictures.

        Args:
            show: gets the report on the weights as text.

        Raises:
            FileNotFoundError, ValueError: as ``Inferencer`` and :func:`find_pictures`.
        """
        inferencer = Inferencer(
            self.model, self.weights, 'cpu', probs=True, cfg_options=self.cfg_options, show=show
        )
        return inferencer, find_pictures(inferencer, self.data, self.num_pictures)


def find_pictures(
    inferencer: Inferencer, folder: str | os.PathLike | None, limit: int = 0
) -> ParityPictures:
    """Find pictures to try an exported file on.

    Args:
        inferencer: of the model.
        folder: a data set in the layout of the config's validation data, or any pictures; None
            takes the config's own validation data.
        limit: how many, evenly spread; 0 takes all.

    Raises:
        FileNotFoundError: there is no such folder, or no picture.
        ValueError: the config has no validation data and no folder is given.
    """
    if limit < 0:
        raise ValueError(f'--num-pictures {limit}: expected 0 (all) or more')
    if folder is not None and not os.path.isdir(folder):
        raise FileNotFoundError(f'--data {folder} does not exist; expected a folder of pictures')
    dataset, reason = _validation_data(inferencer, folder)
    if dataset is not None:
        chosen = spread(len(dataset), limit)
        paths = [dataset.get_data_info(index)['img_path'] for index in chosen]
        where = f'{len(paths)} of {len(dataset)} labelled pictures of {dataset.data_root}'
        return ParityPictures(inferencer, where, paths, dataset, chosen)
    if folder is None:
        raise FileNotFoundError(f'no picture to try the file on ({reason}); name a folder: --data')
    paths = [name for name, _ in list_pictures(folder)]
    chosen = [paths[index] for index in spread(len(paths), limit)]
    where = f'{len(chosen)} of {len(paths)} pictures of {folder}; no mIoU ({reason})'
    return ParityPictures(inferencer, where, chosen)


def spread(count: int, limit: int) -> list[int]:
    """At most ``limit`` indices below ``count``, evenly spread; 0 takes all."""
    if not limit or limit >= count:
        return list(range(count))
    return [index * count // limit for index in range(limit)]


def _validation_data(inferencer: Inferencer, folder) -> tuple[BaseDataset | None, str]:
    """The config's validation data, in ``folder`` if one is given; or why there is none."""
    config = inferencer.model.cfg.copy()
    if not config.get('val_dataloader'):
        return None, 'the config has no val_dataloader'
    dataset = config.val_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    if folder is not None:
        dataset.data_root = str(folder)
        if not Path(folder, YAML_NAME).is_file():
            names = {'classes': inferencer.classes}
            dataset.metainfo = {**names, **(dataset.get('metainfo') or {})}
    try:
        fit_class_count(config, 'val_dataloader')
        with in_scope(config):
            built = DATASETS.build(dataset)
    except FileNotFoundError as error:
        return None, ' '.join(str(error).split())
    if not len(built) or not built.get_data_info(0).get('seg_map_path'):
        return None, f'{dataset.get("data_root")} has no labelled pictures'
    return built, ''
