"""A data set of 4-band TIFFs of 16 bits in which only the fourth band tells the class."""

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

NAMES = ('blue', 'green', 'red', 'nir')
CLASSES = ('soil', 'water', 'plants')


def write_bands(root: Path, counts: dict[str, int] | None = None, side: int = 64) -> Path:
    """Write pictures, masks and ``dataset.yaml`` without statistics; return ``root``.

    Args:
        root: folder of the data set.
        counts: pictures of each split.
        side: of a picture, in pixels.
    """
    generator = np.random.default_rng(0)
    for split, count in (counts or {'train': 12, 'val': 4}).items():
        for name in ('images', 'masks'):
            (root / name / split).mkdir(parents=True)
        for index in range(count):
            image, mask = draw_bands(generator, side)
            options = dict(photometric='minisblack', planarconfig='contig', compression='zlib')
            tifffile.imwrite(root / f'images/{split}/{index}.tif', image, **options)
            Image.fromarray(mask).save(root / f'masks/{split}/{index}.png')
    lines = f'classes: [{", ".join(CLASSES)}]\nbands: [{", ".join(NAMES)}]\n'
    (root / 'dataset.yaml').write_text(lines)
    return root


def draw_bands(generator: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Colours of noise and a fourth band that follows the class: (side, side, 4) uint16, mask."""
    blocks = generator.integers(0, len(CLASSES), (side // 32, side // 32)).astype(np.uint8)
    mask = np.kron(blocks, np.ones((32, 32), np.uint8))
    image = generator.integers(500, 12000, (side, side, 4)).astype(np.float64)
    image[..., 3] = 2000 + 4000.0 * mask + generator.normal(0, 300, mask.shape)
    return image.astype(np.uint16), mask
