"""Masks whose colours stand for classes, as masks of indices."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from mmseg_custom.datasets.checks import find_by_stem
from mmseg_custom.datasets.converting import (
    Conversion,
    Job,
    convert_files,
    encode_png,
    read_picture,
)
from mmseg_custom.datasets.label_map import MAX_CLASSES, UNKNOWN, LabelMap, describe_counts
from mmseg_custom.labels import IGNORE_INDEX

SUFFIXES = ('.png', '.bmp', '.tif', '.tiff', '.gif', '.ppm')
IGNORE = 'ignore'
CODES = np.array([1 << 16, 1 << 8, 1])


def convert_colours(
    mask_dir: str | Path, out_dir: str | Path, colour_file: str | Path, **options
) -> Conversion:
    """Write a mask of indices for each coloured mask.

    Args:
        mask_dir: folder of the coloured masks, with sub-folders.
        out_dir: folder of the results, ``<stem>.png``.
        colour_file: see :func:`read_colours`.
        options: of :func:`mmseg_custom.datasets.converting.convert_files`.

    Raises:
        FileNotFoundError: there are no masks.
        ValueError: the colours do not fit.
    """
    mask_dir, out_dir = Path(mask_dir), Path(out_dir)
    table = read_colours(Path(colour_file))
    found = find_by_stem(mask_dir, SUFFIXES, kind='masks')
    jobs = [Job((out_dir / f'{stem}.png',), (mask_dir / name,)) for stem, name in found.items()]
    return convert_files(jobs, partial(to_indices, table=table), out_dir, **options)


def read_colours(path: Path) -> dict[int, int]:
    """Read which colour is which index.

    Args:
        path: YAML or JSON: colours in the order of the indices, or ``name: colour`` in that order,
            or a ``dataset.yaml`` with ``palette``. A colour is ``'#804080'`` or ``[128, 64, 128]``;
            a name may have a list of them; the name ``ignore`` gives 255.

    Returns:
        Colour as a number, ``R * 65536 + G * 256 + B``, to index.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an entry is no colour, or a colour occurs twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no file {path}; expected lines such as "road: \'#804080\'"')
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        raise ValueError(f'{path} is not valid YAML: {" ".join(str(error).split())}') from error
    if isinstance(content, dict) and 'palette' in content:
        content = content['palette']
    if isinstance(content, list):
        content = {str(index): colour for index, colour in enumerate(content)}
    if not isinstance(content, dict) or not content:
        raise ValueError(
            f'{path}: expected lines such as "road: \'#804080\'", or a list of colours'
        )
    table, index = {}, 0
    for name, value in content.items():
        target = IGNORE_INDEX if name == IGNORE else index
        index += name != IGNORE
        for colour in _colours(value):
            code = _code(colour, f'{path}, {name}')
            if table.get(code, target) != target:
                raise ValueError(
                    f'{path}: the colour #{code:06x} stands for two classes; expected one'
                )
            table[code] = target
    if index > MAX_CLASSES:
        raise ValueError(f'{path} has {index} classes; expected at most {MAX_CLASSES}')
    return table


def _colours(value: object) -> list:
    """A list of colours from one or several."""
    several = isinstance(value, list) and not all(isinstance(channel, int) for channel in value)
    return value if several else [value]


def _code(colour: object, where: str) -> int:
    if isinstance(colour, str) and re.fullmatch('#[0-9a-fA-F]{6}', colour):
        return int(colour[1:], 16)
    if isinstance(colour, list) and len(colour) == 3 and all(c in range(256) for c in colour):
        return int(CODES @ np.array(colour))
    raise ValueError(f"{where}: {colour!r} is no colour; expected '#804080' or [128, 64, 128]")


def to_indices(job: Job, table: dict[int, int]) -> list[bytes]:
    """Convert one mask.

    Raises:
        ValueError: it has a colour that is not in ``table``.
    """
    label_map = LabelMap((), (), tuple(table.items()))
    rgb = read_picture(job.sources[0], 'RGB')
    indices = label_map.lookup(rgb)
    if (indices == UNKNOWN).any():
        raise ValueError(
            f'{job.sources[0]} holds {describe_counts(label_map.unknown(rgb))}; add them to the '
            'colours, under ignore if they are no class'
        )
    return [encode_png(indices)]
