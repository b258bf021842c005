"""The data sets that the task ``data`` measures: where their pictures lie, and generated ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmseg_custom.benchmark.photographs import paint_label, paint_photograph, write_photograph
from mmseg_custom.engine.config import load_config

PIPELINE_CONFIG = '_base_/datasets/pipelines.py'


@dataclass(frozen=True)
class Case:
    """A data set's kind of picture and the training that is usual for it.

    Attributes:
        size: height and width of generated pictures.
        dataset_type: the class in our scope and in mmseg's.
        data_prefix: of pictures and labels.
        folders: below a folder of real data where the data set may lie; the first that exists.
        suffixes: of pictures and labels.
        scale: of ``RandomResize``.
        crop_size: height and width.
        num_values: of generated labels.
        roughness: of generated pictures, for files of a photograph's size.
        num_pictures: that are read in a round.
        batch: pictures of one iteration of the loader.
    """

    size: tuple[int, int]
    dataset_type: str
    data_prefix: dict[str, str]
    folders: tuple[str, ...]
    suffixes: tuple[str, str]
    scale: tuple[int, int]
    crop_size: tuple[int, int]
    num_values: int
    roughness: float
    num_pictures: int
    batch: int

    def pipeline(self) -> list[dict]:
        """The configs' training pipeline with this scale and crop."""
        pipeline = load_config(PIPELINE_CONFIG).train_pipeline
        pipeline[2].scale, pipeline[3].crop_size = self.scale, self.crop_size
        return pipeline

    def find(self, root: Path) -> Path | None:
        """The data set's folder below ``root``, or None."""
        folders = (root / folder for folder in self.folders)
        return next((f for f in folders if (f / self.data_prefix['img_path']).is_dir()), None)

    def generate(self, root: Path) -> None:
        """Write ``num_pictures`` pictures and labels, the same ones each time."""
        for index in range(self.num_pictures):
            generator = np.random.default_rng(index)
            painted = (
                paint_photograph(generator, self.size, self.roughness),
                paint_label(generator, self.size, self.num_values),
            )
            for folder, suffix, picture in zip(self.data_prefix.values(), self.suffixes, painted):
                write_photograph(root / folder / f'{index:04d}{suffix}', picture)

    def mean_bytes(self, root: Path) -> int:
        """Mean size of the pictures' files below ``root``."""
        files = (root / self.data_prefix['img_path']).rglob(f'*{self.suffixes[0]}')
        sizes = [file.stat().st_size for file in files]
        return sum(sizes) // len(sizes)


JPEG = dict(suffixes=('.jpg', '.png'), roughness=0.1, num_pictures=24, batch=4)
CASES = {
    'ade20k': Case(
        size=(512, 683),
        dataset_type='ADE20KDataset',
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        folders=('.', 'ADEChallengeData2016'),
        scale=(2048, 512),
        crop_size=(512, 512),
        num_values=151,
        **JPEG,
    ),
    'camvid': Case(
        size=(360, 480),
        # Whatever the labels mean, reading them is the same.
        dataset_type='ADE20KDataset',
        data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
        folders=('.', 'camvid'),
        scale=(480, 360),
        crop_size=(360, 480),
        num_values=12,
        **JPEG,
    ),
    'cityscapes': Case(
        size=(1024, 2048),
        dataset_type='CityscapesDataset',
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        folders=('.', 'cityscapes'),
        suffixes=('_leftImg8bit.png', '_gtFine_labelTrainIds.png'),
        scale=(2048, 1024),
        crop_size=(1024, 1024),
        num_values=19,
        roughness=0.2,
        num_pictures=4,
        batch=2,
    ),
}


def chosen_cases(names: Sequence[str]) -> dict[str, Case]:
    """The cases of these names.

    Raises:
        ValueError: one is unknown.
    """
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise ValueError(f'--models {unknown[0]}: --task data knows {", ".join(CASES)}')
    return {name: CASES[name] for name in names}
