"""Small random pictures in each data set's original layout."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

# Label values of the classes start here (0 elsewhere) and this value is ignored (255 elsewhere).
FIRST = {'ADE20KDataset': 1, 'PascalContextDataset59': 1}
IGNORED = {'ADE20KDataset': 0, 'PascalContextDataset59': 0, 'CamVidDataset': 11}
# Suffixes of pictures and label maps, where they are not .jpg and .png.
SUFFIXES = {
    'CityscapesDataset': ('_leftImg8bit.png', '_gtFine_labelTrainIds.png'),
    'COCOStuffDataset': ('.jpg', '_labelTrainIds.png'),
}


def members(dataset: dict) -> list[dict]:
    """The data sets in a config: itself, or those of a ``ConcatDataset``."""
    return list(dataset.get('datasets', [dataset]))


def folders(dataset: dict) -> tuple[str, str]:
    """The folders of pictures and label maps below the data root."""
    prefix = dataset.get('data_prefix')
    if prefix is not None:
        return prefix['img_path'], prefix['seg_map_path']
    masks = 'annotations' if dataset['type'] == 'CamVidDataset' else 'masks'
    return f'images/{dataset["split"]}', f'{masks}/{dataset["split"]}'


def random_blocks(generator: np.random.Generator, values: np.ndarray, size: tuple[int, int]):
    """A picture of noise and a label map of blocks of 16 pixels, so that a crop holds several."""
    blocks = generator.choice(values, (size[0] // 16, size[1] // 16))
    label = np.kron(blocks, np.ones((16, 16), np.uint8))
    return generator.integers(0, 256, (*size, 3), np.uint8), label


def write_dataset(
    dataset: dict,
    root: Path,
    num_classes: int,
    count: int = 3,
    size=(96, 128),
    draw=random_blocks,
    seed: int = 0,
):
    """Write ``count`` pictures and label maps where a data set's config looks for them.

    Args:
        dataset: config of the data set, with ``data_prefix`` or ``split``; for Pascal's data sets
            the lists of names (``ann_file``) are written, too.
        root: becomes its ``data_root``.
        num_classes: labels are drawn from its classes, plus the value that is ignored.
        count: number of pictures.
        size: (height, width).
        draw: given a generator, the values of the classes and last the ignored one, and the size,
            returns a picture (BGR) and its label map.
        seed: another one gives other pictures.
    """
    generator = np.random.default_rng(seed)
    for member in members(dataset):
        first = FIRST.get(member['type'], 0)
        ignored = IGNORED.get(member['type'], 255)
        values = np.array([*range(first, first + num_classes), ignored], np.uint8)
        stems = [_stem(member, index) for index in range(count)]
        for stem in stems:
            write_sample(member, root, stem, *draw(generator, values, size))
        if 'ann_file' in member:
            names = root / member['ann_file']
            names.parent.mkdir(parents=True, exist_ok=True)
            names.write_text('\n'.join(stems) + '\n')


def write_sample(dataset: dict, root: Path, stem: str, image: np.ndarray, label: np.ndarray):
    """Write one picture (BGR) and its label map, both as the data set's own files are."""
    suffixes = SUFFIXES.get(dataset['type'], ('.jpg', '.png'))
    paths = [
        root / folder / f'{stem}{suffix}' for folder, suffix in zip(folders(dataset), suffixes)
    ]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(paths[0]), image)
    mask = Image.fromarray(label)
    if dataset['type'].startswith('Pascal'):
        # Pascal's label maps have a palette; their values are indices into it.
        mask.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    mask.save(paths[1])


def _stem(dataset: dict, index: int) -> str:
    if dataset['type'] == 'CityscapesDataset':
        return f'aachen/aachen_{index:06}_000019'
    if dataset['type'].startswith('Pascal'):
        # The split is part of the name: Pascal keeps all splits in one folder.
        return f'2008_{Path(dataset["ann_file"]).stem}_{index}'
    return f'picture_{index}'
