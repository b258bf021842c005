"""Small folders of pictures and masks, as users have them."""

from pathlib import Path

import cv2
import numpy as np
import yaml
from PIL import Image

PIXELS = np.arange(48, dtype=np.uint8).reshape(6, 8)


def write_image(path: Path, value: int = 120) -> None:
    """A grey picture of 8x6 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, np.full((6, 8, 3), value, np.uint8))[1].tobytes())


def write_mask(path: Path, values) -> None:
    """A mask of 8x6 pixels that repeats values, or colours ``(r, g, b)``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.asarray(values)
    dtype = np.uint16 if values.max() > 255 else np.uint8
    Image.fromarray(np.resize(values.astype(dtype), (6, 8, *values.shape[1:]))).save(path)


def write_pair(root: Path, image: str, mask: str, values=(0, 1)) -> None:
    """A picture and its mask below a folder."""
    write_image(root / image)
    write_mask(root / mask, values)


def write_yaml(root: Path, **keys) -> None:
    """The folder's ``dataset.yaml``."""
    root.mkdir(parents=True, exist_ok=True)
    (root / 'dataset.yaml').write_text(yaml.safe_dump(keys, sort_keys=False), encoding='utf-8')
