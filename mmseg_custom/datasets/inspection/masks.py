"""Masks: which kind they are, and what class each of their values is.

The one place of the inspection that knows how an annotation becomes class indices.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmseg_custom.datasets.inspection.image_files import (
    DamagedFileError,
    check_pixels,
    read_header,
    reason_of,
)
from mmseg_custom.datasets.label_map import UNKNOWN, LabelMap
from mmseg_custom.datasets.mask_files import MaskFile, decode_mask
from mmseg_custom.labels import IGNORE_INDEX

ANNOTATION = 'annotation'  # the kind of what is no mask file: polygons and the like
MOST_VALUES = 64

Value = int | str


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """What a mask holds.

    Attributes:
        size: width and height in pixels.
        kind: ``'index'``, ``'palette'``, ``'rgb'``, ``'16-bit'`` or ``'annotation'``.
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


def has_mask(sample: Mapping) -> bool:
    """Whether a sample comes with labels."""
    return 'seg_map_path' in sample or 'mask_reader' in sample


def inspect_mask(
    sample: Mapping, num_classes: int, image_size: tuple[int, int] | None = None
) -> MaskFacts:
    """Read the mask of a sample and count its values.

    Args:
        sample: of a data set's ``get_data_info``.
        num_classes: K.
        image_size: (width, height), for annotations that have no size of their own.

    Raises:
        DamagedFileError: it cannot be read.
    """
    mask = _read(sample)
    if mask is None:
        indices, unknown = _read_annotation(sample, image_size), {}
        mask = MaskFile(indices, ANNOTATION)
    else:
        indices, unknown = _indices(mask, sample, num_classes)
    counts = np.bincount(indices.ravel(), minlength=IGNORE_INDEX + 1)
    return MaskFacts(
        size=(indices.shape[1], indices.shape[0]),
        kind=mask.kind,
        values=_first(_count(mask.pixels)),
        unknown=_first(unknown),
        pixels=counts[:num_classes].astype(np.int64),
        ignored=int(counts[IGNORE_INDEX]),
    )


def read_class_map(sample: Mapping, num_classes: int, image_size: tuple[int, int]) -> np.ndarray:
    """The class map of a sample as the pipeline gets it, uint8 (H, W); what is unknown is 255.

    Raises:
        DamagedFileError: it cannot be read.
    """
    mask = _read(sample)
    if mask is None:
        return _read_annotation(sample, image_size)
    indices, _ = _indices(mask, sample, num_classes)
    return np.where(indices < num_classes, indices, IGNORE_INDEX).astype(np.uint8)


def _read(sample: Mapping) -> MaskFile | None:
    """The content of the mask's file; None where the labels are no such file."""
    reader = sample.get('mask_reader')
    if 'seg_map_path' not in sample or (reader is not None and not hasattr(reader, 'label_map')):
        return None
    path = sample['seg_map_path']
    try:
        content = Path(path).read_bytes()
        if content.startswith(b'\x89PNG'):
            # OpenCV, which decodes the mask, may fill what is missing with zeros.
            check_pixels(content, read_header(path))
        return decode_mask(content, path)
    except DamagedFileError:
        raise
    except (OSError, ValueError) as error:
        raise DamagedFileError(reason_of(error).replace(f'{path} ', '')) from error


def _read_annotation(sample: Mapping, image_size: tuple[int, int] | None) -> np.ndarray:
    width, height = image_size or (0, 0)
    image = np.broadcast_to(np.uint8(0), (height, width, 3))
    try:
        return sample['mask_reader']({**sample, 'img': image, 'ori_shape': (height, width)})
    except (OSError, ValueError) as error:
        raise DamagedFileError(f'has annotations that do not fit: {error}') from error


def _indices(
    mask: MaskFile, sample: Mapping, num_classes: int
) -> tuple[np.ndarray, dict[Value, int]]:
    """Class indices of a mask, 254 where a value is no class, and the pixels of such values."""
    reader = sample.get('mask_reader')
    if reader is None and mask.kind == 'rgb':
        # LoadAnnotations refuses them unless the data set has a reader.
        return np.full(mask.pixels.shape[:2], UNKNOWN), _count(mask.pixels)
    label_map = reader.label_map if reader else _stock_label_map(sample, num_classes)
    indices = label_map.lookup(mask.pixels, mask.palette)
    unknown = (indices == UNKNOWN).any()
    return indices, label_map.unknown(mask.pixels, mask.palette) if unknown else {}


def _stock_label_map(sample: Mapping, num_classes: int) -> LabelMap:
    """What mmseg's data sets say of their masks."""
    renamed = sample.get('label_map')
    reduces = bool(sample.get('reduce_zero_label'))
    return LabelMap.of_indices([''] * num_classes, renamed, reduces)


def _count(pixels: np.ndarray) -> dict[Value, int]:
    """Values, or colours, that occur, with their pixels; the most frequent first."""
    if pixels.ndim == 2:
        counts = np.bincount(pixels.ravel())
        found = {value: int(counts[value]) for value in np.flatnonzero(counts).tolist()}
    else:
        red, green, blue = (pixels[..., channel].astype(np.int64) for channel in range(3))
        colours, counts = np.unique(red << 16 | green << 8 | blue, return_counts=True)
        found = {f'#{c:06x}': n for c, n in zip(colours.tolist(), counts.tolist())}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _first(counts: dict[Value, int]) -> dict[Value, int]:
    return dict([*counts.items()][:MOST_VALUES])
