"""Cityscapes: from the 34 label ids of the files to the 19 train ids of the benchmark."""

from pathlib import Path

from mmseg_custom.datasets.checks import find_by_stem
from mmseg_custom.datasets.converting import (
    Conversion,
    Job,
    convert_files,
    encode_png,
    look_up,
    read_picture,
)
from mmseg_custom.labels import IGNORE_INDEX

SUFFIX, TARGET_SUFFIX = '_gtFine_labelIds.png', '_gtFine_labelTrainIds.png'
NUM_LABEL_IDS = 34
# In the order of the train ids: the label id of road, sidewalk, ... bicycle.
LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
TRAIN_IDS = {
    # -1, licence plates, is 255 in a file of 8 bits.
    **dict.fromkeys((*range(NUM_LABEL_IDS), IGNORE_INDEX), IGNORE_INDEX),
    **{label: train for train, label in enumerate(LABEL_IDS)},
}


def convert_cityscapes(
    root: str | Path, out_dir: str | Path | None = None, **options
) -> Conversion:
    """Write ``*_gtFine_labelTrainIds.png`` for each ``*_gtFine_labelIds.png``.

    Args:
        root: folder of Cityscapes with ``gtFine``.
        out_dir: in place of ``root/gtFine``.
        options: of :func:`mmseg_custom.datasets.converting.convert_files`.

    Raises:
        FileNotFoundError: there are no label ids.
    """
    folder = Path(root) / 'gtFine'
    out_dir = Path(out_dir or folder)
    found = find_by_stem(folder, (SUFFIX,), kind='label maps')
    jobs = [
        Job((out_dir / f'{stem}{TARGET_SUFFIX}',), (folder / name,)) for stem, name in found.items()
    ]
    return convert_files(jobs, to_train_ids, out_dir, **options)


def to_train_ids(job: Job) -> list[bytes]:
    """Convert one label map."""
    path = job.sources[0]
    raw = read_picture(path, 'L')
    return [encode_png(look_up(raw, TRAIN_IDS, path, f'label ids 0 to {NUM_LABEL_IDS - 1}'))]
