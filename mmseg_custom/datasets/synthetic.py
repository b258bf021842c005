"""The quick-start data set: made on first use, the same pictures on every machine.

It is a folder as :class:`~mmseg_custom.datasets.folder.FolderDataset` reads it, so it also shows
what a folder of one's own should look like.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import filelock
import numpy as np
import yaml

from mmseg_custom.datasets.dataset_yaml import YAML_NAME, folder_metainfo
from mmseg_custom.datasets.folder import FolderDataset
from mmseg_custom.datasets.synthetic_scene import SHAPES, paint_scene
from mmseg_custom.registry import DATASETS

# Raise it whenever a change here or in synthetic_scene.py changes a pixel: folders made before are
# then made again.
GENERATOR_VERSION = 3
MARKER_NAME = 'generated_by.json'
GENERATOR = 'mmseg_custom quick start'
DEFAULT_ROOT = 'work_dirs/quickstart_data'
NUM_IMAGES = {'train': 640, 'val': 40, 'test': 40}
MIN_SIZE = 64
JPEG_QUALITY = 95
LOCK_TIMEOUT_S = 300

CLASSES = ('background', *SHAPES)
PALETTE = [
    [30, 34, 42],
    [231, 111, 81],
    [42, 157, 143],
    [233, 196, 106],
    [88, 140, 236],
    [178, 98, 190],
]


def generate_quickstart_dataset(
    root: str | Path = DEFAULT_ROOT,
    num_images: dict[str, int] | None = None,
    size: int = 128,
    seed: int = 0,
) -> Path:
    """Write the quick-start data set as :func:`make_once` does; the same arguments, the same bytes.

    Args:
        root: folder to make.
        num_images: pictures per split; 640 train, 40 val and 40 test where None.
        size: side of the square pictures in pixels, at least 64.
        seed: another seed gives other pictures.

    Returns:
        The folder: ``images/<split>/*.jpg``, ``masks/<split>/*.png``, ``dataset.yaml``.

    Raises:
        ValueError: the folder holds something that was not made here, or an argument is too small.
        TimeoutError: as in :func:`make_once`.
    """
    num_images = dict(NUM_IMAGES if num_images is None else num_images)
    if size < MIN_SIZE or not num_images or min(num_images.values()) < 1:
        raise ValueError(
            f'size={size}, num_images={num_images}; expected a size of at least {MIN_SIZE} and at '
            'least one picture per split'
        )
    return make_once(root, {'seed': seed, 'size': size, 'num_images': num_images}, _write)


def make_once(root: str | Path, recipe: dict, write: Callable[[Path, dict], None]) -> Path:
    """Generate a folder, unless it holds exactly what is asked for already.

    It appears complete or not at all, also when several processes ask at once. A folder made by
    another version or from another recipe is made again.

    Args:
        root: folder to make.
        recipe: all that the content depends on, for a JSON file.
        write: fills a folder after the recipe.

    Returns:
        The folder.

    Raises:
        ValueError: the folder holds something that was not made here.
        TimeoutError: another process has been making the folder for five minutes.
    """
    root = Path(root)
    recipe = {'generator': GENERATOR, 'version': GENERATOR_VERSION, **recipe}
    if _recipe_of(root) == recipe:
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(root.parent / f'.{root.name}.lock', timeout=LOCK_TIMEOUT_S):
        if _recipe_of(root) != recipe:
            _refuse_foreign(root)
            _replace_folder(root, recipe, write)
    return root


def _recipe_of(root: Path) -> dict | None:
    """What the marker of a complete folder says; None without a readable marker of ours."""
    try:
        recipe = json.loads((root / MARKER_NAME).read_text(encoding='utf-8'))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    made_here = isinstance(recipe, dict) and recipe.get('generator') == GENERATOR
    return recipe if made_here else None


def _refuse_foreign(root: Path) -> None:
    is_empty = not root.exists() or (root.is_dir() and not any(root.iterdir()))
    if not is_empty and _recipe_of(root) is None:
        raise ValueError(
            f'{root} exists and was not made by the quick start ({MARKER_NAME} is missing) and '
            'stays as it is. For a folder of your own use FolderDataset (ClassFolderDataset for '
            'classification), else set another data_root'
        )


def _replace_folder(root: Path, recipe: dict, write: Callable[[Path, dict], None]) -> None:
    """Write into a folder beside ``root`` and swap it in; clean up whatever happens."""
    work = Path(tempfile.mkdtemp(prefix=f'.{root.name}.', dir=root.parent))
    try:
        fresh = work / 'fresh'
        write(fresh, recipe)
        (fresh / MARKER_NAME).write_text(json.dumps(recipe, indent=2) + '\n', encoding='utf-8')
        if root.exists():
            os.rename(root, work / 'outdated')
        os.rename(fresh, root)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write(root: Path, recipe: dict) -> None:
    for split_index, (split, count) in enumerate(recipe['num_images'].items()):
        images, masks = root / 'images' / split, root / 'masks' / split
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for index in range(count):
            rng = np.random.default_rng([recipe['seed'], split_index, index])
            picture, mask = paint_scene(rng, recipe['size'], index % len(SHAPES))
            quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
            write_picture(images / f'{split}_{index:03d}.jpg', picture[..., ::-1], quality)
            write_picture(masks / f'{split}_{index:03d}.png', mask, [])
    facts = {
        'name': 'quickstart',
        'classes': list(CLASSES),
        'palette': PALETTE,
        'ignore_index': 255,
    }
    text = yaml.safe_dump(facts, sort_keys=False, default_flow_style=None)
    (root / YAML_NAME).write_text(text, encoding='utf-8')


def write_picture(path: Path, picture: np.ndarray, parameters: list[int]) -> None:
    """Write a BGR picture or a mask, in the format of the path's suffix."""
    # Not cv2.imwrite: it returns False on a full disk or a forbidden folder instead of raising.
    path.write_bytes(cv2.imencode(path.suffix, picture, parameters)[1].tobytes())


@DATASETS.register_module()
class QuickstartDataset(FolderDataset):
    """The quick-start data set, generated into ``data_root`` when it is first read.

    Args:
        data_root: folder to make, or made before.
        split: ``'train'``, ``'val'`` or ``'test'``.
        kwargs: other arguments of :class:`~mmseg_custom.datasets.folder.FolderDataset`.

    Raises:
        ValueError: ``data_root`` holds something else.
    """

    METAINFO = {'classes': CLASSES, 'palette': PALETTE}

    def __init__(self, data_root: str = DEFAULT_ROOT, split: str = 'train', **kwargs) -> None:
        super().__init__(data_root, split, **kwargs)

    @classmethod
    def metainfo_from_config(cls, dataset) -> dict:
        """Return classes, palette and ignore value; they are known before the folder is there."""
        return folder_metainfo(None, {**cls.METAINFO, **(dataset.get('metainfo') or {})})

    def load_data_list(self) -> list[dict]:
        """Generate the folder if need be, then list the samples of the split."""
        generate_quickstart_dataset(self.data_root)
        return super().load_data_list()
