"""Small random pictures in each data set's original layout."""

from pathlib import Path

import cv2
import numpy as np


def write_dataset(dataset: dict, root: Path, num_classes: int, count: int = 3, size=(96, 128)):
    """Write ``count`` pictures and label maps where a data set's config looks for them.

    Args:
        dataset: config of the data set, with ``data_prefix`` or ``split``.
        root: becomes its ``data_root``.
        num_classes: labels are drawn from its classes, plus the value that is ignored.
        count: number of pictures.
        size: (height, width).
    """
    generator = np.random.default_rng(0)
    prefix, masks = dataset.get('data_prefix'), 'masks'
    if dataset['type'] == 'CamVidDataset':
        masks = 'annotations'
    if prefix is None:
        prefix = {
            'img_path': f'images/{dataset["split"]}',
            'seg_map_path': f'{masks}/{dataset["split"]}',
        }
    first = 1 if dataset['type'] == 'ADE20KDataset' else 0
    ignored = {'ADE20KDataset': 0, 'CamVidDataset': 11}.get(dataset['type'], 255)
    values = np.array([*range(first, first + num_classes), ignored], np.uint8)
    for index in range(count):
        image_path = root / prefix['img_path'] / f'picture_{index}.jpg'
        label_path = root / prefix['seg_map_path'] / f'picture_{index}.png'
        for path in (image_path, label_path):
            path.parent.mkdir(parents=True, exist_ok=True)
        # Blocks of 16 pixels, so that a crop holds several classes.
        blocks = generator.integers(0, len(values), (size[0] // 16, size[1] // 16))
        label = np.kron(values[blocks], np.ones((16, 16), np.uint8))
        cv2.imwrite(str(image_path), generator.integers(0, 256, (*size, 3), np.uint8))
        cv2.imwrite(str(label_path), label)
