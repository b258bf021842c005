"""Generated pictures that cost a decoder what photographs of the same size cost.

Noise of every wavelength, stronger the longer it is as in photographs, gives a file of a
photograph's size: for Cityscapes' sizes 2.1 MB as PNG (the real ones 2.1 to 2.3 MB), for ADE20K's
and CamVid's 60 and 31 kB as JPEG (52 and 43 kB).
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

JPEG_QUALITY = 88
COARSEST_CELLS = 4
LABEL_CELLS = 5


def paint_photograph(
    generator: np.random.Generator, size: tuple[int, int], roughness: float
) -> np.ndarray:
    """Paint a picture.

    Args:
        generator: source of all that is random.
        size: height and width.
        roughness: 0 to 1: how strong short wavelengths are beside long ones.

    Returns:
        uint8 (height, width, 3).
    """
    height, width = size
    picture = np.full((height, width, 3), 120, np.float32)
    cells = COARSEST_CELLS
    while cells < width:
        coarse = _noise(generator, max(2, cells * height // width), cells)
        fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        picture += 250 * fine / cells ** (1 - roughness)
        cells *= 2
    picture += 250 * _noise(generator, height, width) / width ** (1 - roughness)
    return picture.clip(0, 255).astype(np.uint8)


def _noise(generator: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Float32 (rows, columns, 3) around 0; the channels of a pixel are alike."""
    grey = generator.normal(0, 1, (rows, columns, 1))
    return (grey + generator.normal(0, 0.5, (rows, columns, 3))).astype(np.float32)


def paint_label(
    generator: np.random.Generator, size: tuple[int, int], num_values: int
) -> np.ndarray:
    """Paint regions with round outlines: uint8 (height, width), 0 to ``num_values - 1``."""
    height, width = size
    coarse = generator.normal(0, 1, (LABEL_CELLS, LABEL_CELLS * width // height))
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return ((smooth - smooth.min()) / np.ptp(smooth) * (num_values - 1)).round().astype(np.uint8)


def write_photograph(path: Path, picture: np.ndarray) -> None:
    """Write a picture or label, RGB, as JPEG or PNG; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not cv2: its PNG rows have a simpler filter than photographs' and are read in half the time.
    Image.fromarray(picture).save(path, quality=JPEG_QUALITY)
