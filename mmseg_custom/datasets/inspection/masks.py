"""Raw masks: which kind they are, and what class each of their values is.

The one place of the inspection that knows how a mask becomes class indices.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mmseg_custom.datasets.inspection.image_files import DamagedFileError, reason_of

IGNORE_INDEX = 255
KINDS = {'P': 'palette', 'L': 'index', '1': 'index'}
MOST_VALUES = 64

Value = int | str


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """What a mask holds.

    Attributes:
        size: width and height in pixels.
        kind: ``'index'``, ``'palette'``, ``'RGB'`` or ``'16-bit'``.
        values: raw value (a colour is ``'#rrggbb'``) to number of pixels; the 64 most frequent.
        unknown: those that are neither a class nor ignored.
        pixels: of each class, (K,) int64.
        ignored: pixels that are left out of loss and metrics.
    """

    size: tuple[int, int]
    kind: str
    values: dict[Value, int]
    unknown: dict[Value, int]
    pixels: np.ndarray
    ignored: int


def inspect_mask(sample: Mapping, num_classes: int) -> MaskFacts:
    """Read the mask of a sample and count its values.

    Args:
        sample: of a data set's ``get_data_info``.
        num_classes: K.

    Raises:
        DamagedFileError: the file cannot be read.
    """
    raw, kind = _read(sample['seg_map_path'])
    values, counts = _count(raw)
    classes = _classes_of(values, sample) if raw.ndim == 2 else np.full(len(values), -1)
    pixels = np.zeros(num_classes, np.int64)
    known = (classes >= 0) & (classes < num_classes)
    np.add.at(pixels, classes[known], counts[known])
    ignored = classes == IGNORE_INDEX
    named = [_name(value, raw.ndim) for value in values.tolist()]
    order = np.argsort(-counts)
    unknown = [i for i in order if not (known[i] or ignored[i])]
    return MaskFacts(
        size=(raw.shape[1], raw.shape[0]),
        kind=kind,
        values={named[i]: int(counts[i]) for i in order[:MOST_VALUES]},
        unknown={named[i]: int(counts[i]) for i in unknown[:MOST_VALUES]},
        pixels=pixels,
        ignored=int(counts[ignored].sum()),
    )


def read_class_map(sample: Mapping) -> np.ndarray:
    """The class map of a sample as the pipeline gets it, uint8 (H, W): indices, or 255."""
    raw, _ = _read(sample['seg_map_path'])
    table = _classes_of(np.arange(256), sample)
    return table.astype(np.uint8)[raw]


def _read(path: str) -> tuple[np.ndarray, str]:
    """Raw values, (H, W) or (H, W, 3) for colours, and the kind of the mask."""
    try:
        with Image.open(path) as image:
            if image.mode in KINDS:
                return np.asarray(image).astype(np.uint8, copy=False), KINDS[image.mode]
            if image.mode.startswith('I'):
                return np.asarray(image).astype(np.int64), '16-bit'
            return np.asarray(image.convert('RGB')), 'RGB'
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DamagedFileError(reason_of(error)) from error


def _count(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values that occur, and their pixels; a colour is one number, 0xrrggbb."""
    if raw.ndim == 2:
        counts = np.bincount(raw.ravel())
        values = np.flatnonzero(counts)
        return values, counts[values]
    red, green, blue = (raw[..., i].astype(np.int64) for i in range(3))
    return np.unique(red << 16 | green << 8 | blue, return_counts=True)


def _name(value: int, ndim: int) -> Value:
    return value if ndim == 2 else f'#{value:06x}'


def _classes_of(values: np.ndarray, sample: Mapping) -> np.ndarray:
    """The class of each raw value as ``LoadAnnotations`` maps it; 255 is ignored."""
    classes = values.astype(np.int64)
    if sample.get('reduce_zero_label'):
        classes = np.where(classes == 0, IGNORE_INDEX, classes - 1)
        classes[classes == IGNORE_INDEX - 1] = IGNORE_INDEX
    mapped = classes.copy()
    for old, new in (sample.get('label_map') or {}).items():
        mapped[classes == old] = new
    return mapped
