"""One sample, image and mask together: what it is, and what is wrong with it."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmseg_custom.datasets.inspection.image_files import (
    FIRST_TRANSPOSED,
    DamagedFileError,
    ImageFacts,
    check_pixels,
    read_header,
)
from mmseg_custom.datasets.inspection.masks import MaskFacts, has_mask, inspect_mask

VALUES_SHOWN = 4
IMAGE_KINDS_TOLD = ('alpha', 'CMYK', '16-bit')


@dataclass(frozen=True, slots=True)
class Rules:
    """What the data set and its pipeline expect of a sample; small, for other processes.

    Attributes:
        num_classes: K.
        ignore_orientation: whether images are read without turning them as EXIF says.
        eight_bit: whether images are read as 8-bit colours.
        has_nodata: whether values that are not finite may mark pixels without data.
    """

    num_classes: int
    ignore_orientation: bool = False
    eight_bit: bool = True
    has_nodata: bool = False


@dataclass(slots=True)
class SampleFacts:
    """What is known of a sample.

    Attributes:
        image_path: of the image.
        mask_path: of the mask; None without one.
        image, mask: None where they were not read, or cannot be.
        problems: code of :data:`~mmseg_custom.datasets.inspection.findings.PROBLEMS` to the words
            that say, with file, value and pixels, what is wrong.
        digest: of the image file's bytes; empty where only the header was read.
    """

    image_path: str
    mask_path: str | None
    image: ImageFacts | None = None
    mask: MaskFacts | None = None
    problems: dict[str, str] = field(default_factory=dict)
    digest: bytes = b''


def inspect_sample(sample: Mapping, rules: Rules, pixels: bool = True) -> SampleFacts:
    """Look at the files of a sample.

    Args:
        sample: of a data set's ``get_data_info``.
        rules: of its data set.
        pixels: False looks at headers only.
    """
    facts = SampleFacts(sample['img_path'], sample.get('seg_map_path'))
    _inspect_image(facts, rules, pixels)
    if has_mask(sample):
        _inspect_mask(facts, sample, rules, pixels)
    return facts


def _inspect_image(facts: SampleFacts, rules: Rules, pixels: bool) -> None:
    path = facts.image_path
    try:
        _check_not_empty(path)
        facts.image = read_header(path)
        if pixels:
            content = Path(path).read_bytes()
            facts.digest = hashlib.blake2b(content, digest_size=16).digest()
            check_pixels(content, facts.image)
    except DamagedFileError as error:
        not_finite = 'NaN' in str(error)
        if not (not_finite and rules.has_nodata):
            facts.problems['not finite' if not_finite else 'damaged'] = f'{path} {error}'
            return
    kind = facts.image.kind
    if rules.eight_bit and (kind == 'float' or kind.endswith('bands')):
        facts.problems['not 8-bit'] = f'{path} is a TIFF of kind {kind}'
    elif rules.eight_bit and kind in IMAGE_KINDS_TOLD:
        facts.problems[kind] = path


def _inspect_mask(facts: SampleFacts, sample: Mapping, rules: Rules, pixels: bool) -> None:
    path = facts.mask_path
    if path is None and facts.image is None:
        return
    image_size = facts.image and facts.image.size(rules.ignore_orientation)
    try:
        if path is not None:
            _check_not_empty(path)
        if pixels:
            facts.mask = inspect_mask(sample, rules.num_classes, image_size)
            size = facts.mask.size
        elif path is not None:
            size = read_header(path).size(ignore_orientation=True)
        else:
            return
    except DamagedFileError as error:
        facts.problems.setdefault('damaged', f'{path or facts.image_path} {error}')
        return
    if facts.image is not None:
        _compare_sizes(facts, size, rules)
    if facts.mask is None:
        return
    if facts.mask.unknown:
        code = 'colours' if facts.mask.kind == 'rgb' else 'values'
        facts.problems[code] = f'{path} holds {counted(facts.mask.unknown)}'
    elif not facts.mask.pixels.any():
        facts.problems['all ignored'] = f'{path or facts.image_path} ({counted(facts.mask.values)})'


def counted(values: Mapping) -> str:
    """Values with their pixels, the first few: ``12 (345 pixels), 13 (6 pixels), ...``."""
    shown = [f'{value} ({count} pixels)' for value, count in [*values.items()][:VALUES_SHOWN]]
    return ', '.join(shown) + (', ...' if len(values) > VALUES_SHOWN else '')


def _check_not_empty(path: str) -> None:
    try:
        if os.stat(path).st_size == 0:
            raise DamagedFileError('is empty (0 bytes)')
    except OSError as error:
        raise DamagedFileError(f'cannot be read ({error.strerror})') from error


def _compare_sizes(facts: SampleFacts, size: tuple[int, int], rules: Rules) -> None:
    """Note where image and mask do not cover each other, or EXIF makes that doubtful."""
    image = facts.image
    seen = image.size(rules.ignore_orientation)
    turned = image.orientation > 1 and not rules.ignore_orientation
    if seen == size:
        # A mask as large as the turned image was drawn on it, unless both are square.
        told_apart = image.orientation >= FIRST_TRANSPOSED and size[0] != size[1]
        if turned and not told_apart:
            facts.problems['EXIF'] = f'{facts.image_path} (orientation {image.orientation})'
        return
    what = f'{facts.image_path} is {_times(seen)}'
    if turned and image.size(ignore_orientation=True) == size:
        facts.problems['turned by EXIF'] = (
            f'{what} after EXIF orientation {image.orientation} has turned it, its mask '
            f'{facts.mask_path} is {_times(size)}'
        )
    else:
        facts.problems['size'] = f'{what}, its mask {facts.mask_path} is {_times(size)}'


def _times(size: tuple[int, int]) -> str:
    return f'{size[0]}x{size[1]}'
