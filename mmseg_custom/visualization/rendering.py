"""Class maps as colours: palette PNGs, colours blended over a picture, class borders.

Everywhere in this package a picture is an RGB array, uint8, (H, W, 3), and a class map is an array
of integers (H, W) that holds class indices, or ``ignore_index`` where nothing is labelled
(``None``: every pixel is labelled, as in a prediction). A palette is a sequence of one (red, green,
blue) per class, 0..255.
"""

import base64
import io
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmseg_custom.labels import IGNORE_INDEX
from mmseg_custom.writing import whole_file

UNLABELLED_COLOUR = (255, 255, 255)
MAX_CLASSES = 256

Palette = Sequence[Sequence[int]]


def check_image(image: np.ndarray) -> None:
    """Raise ``ValueError`` unless ``image`` is uint8 with shape (H, W, 3)."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f'expected a picture, uint8 with shape (H, W, 3), but got {image.dtype} with shape '
            f'{image.shape}; convert it to RGB first'
        )


def check_class_map(
    class_map: np.ndarray, num_classes: int, ignore_index: int | None = IGNORE_INDEX
) -> None:
    """Raise ``ValueError`` unless ``class_map`` is (H, W) and holds known class indices only."""
    if class_map.ndim != 2 or class_map.dtype.kind not in 'iub' or class_map.size == 0:
        raise ValueError(
            'expected a class map of integers with shape (H, W), but got '
            f'{class_map.dtype} with shape {class_map.shape}'
        )
    unknown = (class_map < 0) | (class_map >= num_classes)
    unknown &= labelled_pixels(class_map, ignore_index)
    if unknown.any():
        row, column = np.argwhere(unknown)[0]
        raise ValueError(
            f'the class map holds {class_map[row, column]} (first at row {row}, column {column}, '
            f'{unknown.sum()} pixels in all), but there are {num_classes} classes, '
            f'0..{num_classes - 1}; map it to a class or to ignore_index={ignore_index}'
        )


def labelled_pixels(class_map: np.ndarray, ignore_index: int | None) -> np.ndarray:
    """Return where the class map is not ``ignore_index``, bool (H, W)."""
    if ignore_index is None:
        return np.ones(class_map.shape, bool)
    return class_map != ignore_index


def colour_table(palette: Palette) -> np.ndarray:
    """Return the colours as an array, uint8, (K, 3), RGB.

    Raises:
        ValueError: an entry is not three integers in 0..255.
    """
    table = np.asarray([tuple(colour) for colour in palette])
    if table.ndim != 2 or table.shape[1] != 3 or table.dtype.kind not in 'iu':
        raise ValueError(f'a palette holds one (red, green, blue) per class, but got {palette!r}')
    if table.min() < 0 or table.max() > 255:
        raise ValueError(f'palette colours lie in 0..255, but got {table.min()}..{table.max()}')
    return table.astype(np.uint8)


def class_map_image(
    class_map: np.ndarray, palette: Palette, ignore_index: int | None = IGNORE_INDEX
) -> Image.Image:
    """Return the class map as a Pillow picture in mode ``P``: indices that look coloured.

    Its pixels are the class indices themselves (``np.asarray`` gives them back), shown in the
    palette's colours; unlabelled pixels are shown white. OpenCV expands such a file to colours, so
    read it with Pillow (mmcv: ``imdecode_backend='pillow'``).

    Raises:
        ValueError: an index has no colour, or there are more classes than one byte can name.
    """
    table = colour_table(palette)
    if len(table) > MAX_CLASSES:
        raise ValueError(f'a palette PNG holds {MAX_CLASSES} classes, but there are {len(table)}')
    check_class_map(class_map, len(table), ignore_index)
    # Always 256 entries: from a shorter palette Pillow derives fewer bits per pixel.
    entries = np.full((MAX_CLASSES, 3), UNLABELLED_COLOUR, np.uint8)
    entries[: len(table)] = table
    picture = Image.fromarray(np.ascontiguousarray(class_map, dtype=np.uint8), 'L')
    picture.putpalette(entries.tobytes())
    return picture


def paint(
    class_map: np.ndarray, palette: Palette, ignore_index: int | None = IGNORE_INDEX
) -> np.ndarray:
    """Return the class map in the palette's colours, RGB uint8 (H, W, 3); unlabelled is white."""
    table = colour_table(palette)
    check_class_map(class_map, len(table), ignore_index)
    labelled = labelled_pixels(class_map, ignore_index)
    colours = table[np.where(labelled, class_map, 0)]
    colours[~labelled] = UNLABELLED_COLOUR
    return colours


def class_borders(class_map: np.ndarray, thickness: int = 1) -> np.ndarray:
    """Return where one class meets another, bool (H, W), as lines ``thickness`` pixels wide."""
    borders = np.zeros(class_map.shape, bool)
    borders[:, :-1] |= class_map[:, :-1] != class_map[:, 1:]
    borders[:-1] |= class_map[:-1] != class_map[1:]
    if thickness > 1:
        kernel = np.ones((thickness, thickness), np.uint8)
        borders = cv2.dilate(borders.astype(np.uint8), kernel).astype(bool)
    return borders


def blend(
    image: np.ndarray,
    class_map: np.ndarray,
    palette: Palette,
    opacity: float = 0.5,
    border: int = 1,
    ignore_index: int | None = IGNORE_INDEX,
) -> np.ndarray:
    """Lay the class colours over a picture.

    Args:
        image: RGB uint8 (H, W, 3).
        class_map: integers (H, W).
        palette: one (red, green, blue) per class.
        opacity: weight of the class colour in 0..1; 0 leaves the picture as it is between borders.
        border: width in pixels of the white lines between classes; 0 draws none.
        ignore_index: unlabelled pixels, which stay as in the picture.

    Returns:
        RGB uint8 (H, W, 3): ``(1 - opacity) * image + opacity * colour``, rounded to nearest.

    Raises:
        ValueError: sizes differ, an index has no colour, or the opacity is outside 0..1.
    """
    check_image(image)
    if image.shape[:2] != class_map.shape:
        raise ValueError(
            f'the picture is {image.shape[:2]} but the class map is {class_map.shape} (H, W); '
            'resize the class map to the picture with nearest neighbour first'
        )
    if not 0 <= opacity <= 1:
        raise ValueError(f'opacity={opacity}, expected 0 (picture only) to 1 (classes only)')
    colours = paint(class_map, palette, ignore_index)
    blended = cv2.addWeighted(image, 1 - opacity, colours, opacity, 0)
    if border:
        blended[class_borders(class_map, border)] = UNLABELLED_COLOUR
    unlabelled = ~labelled_pixels(class_map, ignore_index)
    blended[unlabelled] = image[unlabelled]
    return blended


def class_shares(
    class_map: np.ndarray, num_classes: int, ignore_index: int | None = IGNORE_INDEX
) -> np.ndarray:
    """Return each class's share of the labelled pixels, float64 (K,); zeros if none is labelled."""
    check_class_map(class_map, num_classes, ignore_index)
    labelled = class_map[labelled_pixels(class_map, ignore_index)].astype(np.int64)
    counts = np.bincount(labelled, minlength=num_classes)
    return counts / max(counts.sum(), 1)


def data_address(picture: np.ndarray, kind: str = 'JPEG') -> str:
    """Return a picture as a ``data:`` address, which a page holds without another file.

    Args:
        picture: RGB uint8 (H, W, 3).
        kind: ``'JPEG'`` for a photograph, which loses a little; ``'PNG'`` for a label map.
    """
    content = io.BytesIO()
    options = dict(quality=90, subsampling=0) if kind == 'JPEG' else dict(optimize=True)
    Image.fromarray(picture).save(content, kind, **options)
    encoded = base64.b64encode(content.getvalue()).decode('ascii')
    return f'data:image/{kind.lower()};base64,{encoded}'


def write_image(path: str | os.PathLike, picture: np.ndarray | Image.Image) -> Path:
    """Write a PNG, whole or not at all.

    Args:
        path: where to write; missing folders are made.
        picture: RGB uint8 (H, W, 3), or a Pillow picture of any mode.

    Returns:
        The path written.
    """
    path = Path(path)
    if isinstance(picture, np.ndarray):
        check_image(picture)
        picture = Image.fromarray(picture, 'RGB')
    with whole_file(path) as partial:
        picture.save(partial, 'PNG')
    return path
