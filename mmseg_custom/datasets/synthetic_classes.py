"""Generated pictures of one object each, for a first classification."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from mmseg_custom.datasets.class_folder import ClassFolderDataset
from mmseg_custom.datasets.synthetic import JPEG_QUALITY, make_once, write_picture
from mmseg_custom.datasets.synthetic_scene import SHAPES, paint_scene
from mmseg_custom.registry import DATASETS

NUM_IMAGES = {'train': 160, 'val': 20}
SIZE = 64
DEFAULT_ROOT = 'work_dirs/quickstart_classes'


def generate_quickstart_classes(root: str | Path = DEFAULT_ROOT, seed: int = 0) -> Path:
    """Write ``<split>/<shape>/*.jpg``, 64x64, 160 (train) and 20 (val) of each of five shapes.

    Args:
        root: folder to make; see :func:`mmseg_custom.datasets.synthetic.make_once`.
        seed: another seed gives other pictures.

    Returns:
        The folder.

    Raises:
        ValueError: the folder holds something that was not made here.
    """
    return make_once(root, {'task': 'classification', 'seed': seed, 'size': SIZE}, _write)


def _write(root: Path, recipe: dict) -> None:
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    for split_index, (split, count) in enumerate(NUM_IMAGES.items()):
        for shape_index, shape in enumerate(SHAPES):
            folder = root / split / shape
            folder.mkdir(parents=True)
            for index in range(count):
                rng = np.random.default_rng([recipe['seed'], split_index, shape_index, index])
                picture, _ = paint_scene(rng, recipe['size'], shape_index, num_objects=(1, 1))
                write_picture(folder / f'{shape}_{index:03d}.jpg', picture[..., ::-1], quality)


@DATASETS.register_module()
class QuickstartClassesDataset(ClassFolderDataset):
    """The generated pictures, written into ``data_root`` when they are first read.

    Args:
        data_root: folder to make, or made before.
        split: ``'train'`` or ``'val'``.
        kwargs: other arguments of :class:`~mmseg_custom.datasets.class_folder.ClassFolderDataset`.

    Raises:
        ValueError: ``data_root`` holds something else.
    """

    METAINFO: Mapping = {'classes': SHAPES}

    def __init__(self, data_root: str = DEFAULT_ROOT, split: str = 'train', **kwargs) -> None:
        super().__init__(data_root, split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Generate the folder if need be, then list the pictures of the split."""
        generate_quickstart_classes(self.data_root)
        return super().load_data_list()
