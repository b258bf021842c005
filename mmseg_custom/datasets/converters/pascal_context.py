"""Pascal Context (Mottaghi et al., CVPR 2014): 59 of its 459 labels, and background."""

from pathlib import Path

from mmseg_custom.datasets.checks import find_by_stem
from mmseg_custom.datasets.converting import (
    Conversion,
    Job,
    convert_files,
    encode_png,
    look_up,
    read_list,
    read_matlab,
    write_list,
)

NUM_LABELS = 459
# Ids of the 59 classes among the 459 labels. Both are in alphabetical order, so that the n-th is
# the n-th class of mmseg's PascalContextDataset after background.
# fmt: off
CLASS_IDS = (
    2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113,
    115, 144, 158, 159, 162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326,
    347, 349, 354, 355, 360, 366, 368, 397, 415, 416, 420, 424, 427, 440, 445, 454, 458,
)
# fmt: on
INDICES = {
    **dict.fromkeys(range(NUM_LABELS + 1), 0),
    **{label: index for index, label in enumerate(CLASS_IDS, start=1)},
}


def convert_pascal_context(
    devkit: str | Path, labels: str | Path, out_dir: str | Path | None = None, **options
) -> Conversion:
    """Write ``SegmentationClassContext`` and the lists of ``ImageSets/SegmentationContext``.

    The lists are VOC 2010's ``ImageSets/Main/{train,val}.txt``, as far as there are label maps.

    Args:
        devkit: ``VOCdevkit``, with ``VOC2010``.
        labels: folder ``trainval`` with a ``.mat`` file per picture.
        out_dir: in place of ``VOC2010/SegmentationClassContext``.
        options: of :func:`mmseg_custom.datasets.converting.convert_files`.

    Raises:
        FileNotFoundError: a folder or a list is missing.
        ValueError: ``labels`` is a file.
    """
    voc, labels = Path(devkit) / 'VOC2010', Path(labels)
    if labels.is_file():
        raise ValueError(
            f'{labels} is a file; expected the folder trainval with a .mat file per picture, which '
            'the data set\'s page offers as "trainval annotations"'
        )
    out_dir = Path(out_dir or voc / 'SegmentationClassContext')
    splits = {name: read_list(voc / f'ImageSets/Main/{name}.txt') for name in ('train', 'val')}
    found = find_by_stem(labels, ('.mat',), kind='label maps')
    jobs = [Job((out_dir / f'{stem}.png',), (labels / name,)) for stem, name in found.items()]
    result = convert_files(jobs, to_classes, out_dir, **options)
    for split, names in splits.items():
        there = sorted(name for name in names if name in found)
        write_list(voc / f'ImageSets/SegmentationContext/{split}.txt', there)
    return result


def to_classes(job: Job) -> list[bytes]:
    """Convert one label map: 0 is background, 1 to 59 are the classes."""
    path = job.sources[0]
    raw = read_matlab(path, 'LabelMap')
    return [encode_png(look_up(raw, INDICES, path, f'labels 0 to {NUM_LABELS}'))]
