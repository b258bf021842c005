"""The full ADE20K (3688 names, at full size) as the scene parsing benchmark of 150 classes.

As the benchmark was made: labels are resized by taking the nearest pixel until the short side has
512 pixels, then mapped; pictures are resized with bicubic interpolation.
"""

import io
import json
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_custom.datasets.checks import find_by_stem
from mmseg_custom.datasets.converting import (
    Conversion,
    Job,
    convert_files,
    encode_png,
    read_picture,
)
from mmseg_custom.datasets.stock import ADE20KDataset

SHORT_SIDE = 512
JPEG_QUALITY = 95
SUFFIX = '_seg.png'
SPLITS = ('training', 'validation')
# A name is a list of synonyms, and a class has the first one of its name. These first words begin
# several names, of which one is the class; the benchmark's name may be another synonym, too.
FULL_NAMES = {
    'bag': ('bag',),
    'basket': ('basket, handbasket',),
    'crt screen': ('screen, crt screen', 'crt screen'),
    'pier': ('pier, wharf, wharfage, dock',),
    'pot': ('pot, flowerpot',),
    'screen': ('screen, silver screen, projection screen',),
}
# Two names that the benchmark joins to a class.
JOINED = {'double door': 'door', 'closet': 'wardrobe'}


def convert_ade20k(
    root: str | Path,
    out_dir: str | Path,
    table_file: str | Path | None = None,
    short_side: int = SHORT_SIDE,
    **options,
) -> Conversion:
    """Write ``images/<split>/*.jpg`` and ``annotations/<split>/*.png``.

    Args:
        root: folder of the full ADE20K, ``ADE20K_2021_17_01`` with ``images/ADE``.
        out_dir: new folder, in the layout of ``ADEChallengeData2016``.
        table_file: ``mapFromADE.txt`` of the benchmark's tools, lines ``class name-index``; by
            default names are mapped, as the JSON file beside each picture gives them.
        short_side: longest short side of a result in pixels; 0 leaves the size.
        options: of :func:`mmseg_custom.datasets.converting.convert_files`.

    Raises:
        FileNotFoundError: there are no label maps.
        ValueError: the table does not fit.
    """
    pictures, out_dir = Path(root) / 'images/ADE', Path(out_dir)
    table = None if table_file is None else read_table(Path(table_file))
    jobs = []
    for split in SPLITS:
        folder = pictures / split
        if split != SPLITS[0] and not folder.is_dir():
            continue
        for stem, name in find_by_stem(folder, (SUFFIX,), kind='label maps').items():
            image = (folder / stem).with_suffix('.jpg')
            names = () if table else ((folder / stem).with_suffix('.json'),)
            targets = (
                out_dir / f'annotations/{split}/{image.stem}.png',
                out_dir / f'images/{split}/{image.name}',
            )
            jobs.append(Job(targets, (folder / name, image, *names)))
    function = partial(to_150, table=table, short_side=short_side)
    return convert_files(jobs, function, out_dir, **options)


def read_table(path: Path) -> dict[int, int]:
    """Read index of the full data set -> class 1 to 150.

    Raises:
        ValueError: a line is not two numbers, or the first is no class.
    """
    table = {}
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), start=1):
        words = line.split()
        if len(words) != 2 or not all(word.isdecimal() for word in words):
            raise ValueError(
                f"{path}, line {number}: '{line}'; expected a class and a name's index"
            )
        table[int(words[1])] = int(words[0])
    num_classes = len(ADE20KDataset.METAINFO['classes'])
    if not set(table.values()) <= set(range(1, num_classes + 1)):
        raise ValueError(f'{path}: the first numbers are not classes 1 to {num_classes}')
    return table


def class_of_name(name: str) -> int:
    """Return the class, 1 to 150, of a name of the full data set; 0 when it has none."""
    name = name.strip().lower()
    classes = [c.strip() for c in ADE20KDataset.METAINFO['classes']]
    first = JOINED.get(name) or next(
        (c for c, names in FULL_NAMES.items() if name in names), name.partition(',')[0].strip()
    )
    if first not in classes or name not in (JOINED.keys() | set(FULL_NAMES.get(first, (name,)))):
        return 0
    return classes.index(first) + 1


def to_150(job: Job, table: dict[int, int] | None, short_side: int) -> list[bytes]:
    """Convert a label map and its picture.

    Raises:
        ValueError: the JSON file does not name an index of the label map.
    """
    seg, image = job.sources[:2]
    raw = read_picture(seg, 'RGB').astype(np.int64)
    indices = raw[..., 0] // 10 * 256 + raw[..., 1]
    names = {} if table else read_names(job.sources[2])
    values, counts = np.unique(indices, return_counts=True)
    classes = np.zeros(values.max() + 1, np.uint8)
    for value, count in zip(values.tolist(), counts.tolist()):
        if table is None and value and value not in names:
            raise ValueError(
                f'{seg} has the index {value} ({count} pixels), which {job.sources[2].name} does '
                'not name; get both again'
            )
        classes[value] = table.get(value, 0) if table else class_of_name(names.get(value, ''))
    labels = Image.fromarray(classes[indices])
    size = reduced_size(labels.size, short_side)
    content = image.read_bytes()
    if size != labels.size:
        labels = labels.resize(size, Image.Resampling.NEAREST)
        picture = Image.fromarray(read_picture(image, 'RGB'))
        buffer = io.BytesIO()
        picture.resize(size, Image.Resampling.BICUBIC).save(buffer, 'JPEG', quality=JPEG_QUALITY)
        content = buffer.getvalue()
    return [encode_png(np.array(labels)), content]


def read_names(path: Path) -> dict[int, str]:
    """Read index -> name from the JSON file of a picture, which may be Latin-1.

    Raises:
        ValueError: it is no such file.
    """
    content = path.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode('latin-1')
    try:
        objects = json.loads(text)['annotation']['object']
        return {entry['name_ndx']: str(entry['name']) for entry in objects}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} is no JSON of ADE20K with annotation.object ({error}); get it again'
        ) from error


def reduced_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Width and height with at most ``short_side`` pixels on the short side; 0 changes nothing."""
    factor = short_side / min(size)
    if not 0 < factor < 1:
        return size
    return tuple(short_side if side == min(size) else round(side * factor) for side in size)
