"""Pascal VOC 2012 with the additional label maps of SBD (Hariharan et al., ICCV 2011)."""

from pathlib import Path

from mmseg_custom.datasets.checks import find_by_stem, first_names
from mmseg_custom.datasets.converting import (
    Conversion,
    Job,
    convert_files,
    encode_png,
    look_up,
    read_list,
    read_matlab,
    read_picture,
    write_list,
)
from mmseg_custom.labels import IGNORE_INDEX

NUM_VALUES = 21
VALUES = {value: value for value in (*range(NUM_VALUES), IGNORE_INDEX)}


def convert_voc_aug(
    devkit: str | Path, sbd: str | Path, out_dir: str | Path | None = None, **options
) -> Conversion:
    """Write ``SegmentationClassAug`` and the lists ``aug.txt`` and ``trainaug.txt``.

    A picture that VOC itself has a label map for gets that one, so that the folder alone serves
    for ``trainaug`` and ``val``.

    Args:
        devkit: ``VOCdevkit``, with ``VOC2012``.
        sbd: ``benchmark_RELEASE``, with ``dataset/cls``, ``dataset/train.txt`` and ``val.txt``.
        out_dir: in place of ``VOC2012/SegmentationClassAug``.
        options: of :func:`mmseg_custom.datasets.converting.convert_files`.

    Raises:
        FileNotFoundError: a folder, a list, or a label map that a list names is missing.
    """
    voc, sbd = Path(devkit) / 'VOC2012', Path(sbd)
    sbd = sbd / 'dataset' if (sbd / 'dataset').is_dir() else sbd
    out_dir = Path(out_dir or voc / 'SegmentationClassAug')
    lists = voc / 'ImageSets/Segmentation'
    train, val = (read_list(lists / f'{split}.txt') for split in ('train', 'val'))
    matlab = find_by_stem(sbd / 'cls', ('.mat',), kind='label maps')
    additional = {*read_list(sbd / 'train.txt'), *read_list(sbd / 'val.txt')}
    sources = {name: sbd / 'cls' / file for name, file in matlab.items()}
    sources.update({name: voc / 'SegmentationClass' / f'{name}.png' for name in (*train, *val)})
    missing = sorted(additional - sources.keys())
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} label maps that {sbd}/train.txt and val.txt name are missing in '
            f'{sbd / "cls"}: {first_names(missing)}; unpack SBD again'
        )
    jobs = [Job((out_dir / f'{name}.png',), (path,)) for name, path in sorted(sources.items())]
    result = convert_files(jobs, to_indices, out_dir, **options)
    write_list(lists / 'aug.txt', sorted(additional - {*train, *val}))
    write_list(lists / 'trainaug.txt', sorted({*train, *additional} - {*val}))
    return result


def to_indices(job: Job) -> list[bytes]:
    """Convert one label map, SBD's or VOC's."""
    path = job.sources[0]
    if path.suffix == '.mat':
        raw = read_matlab(path, 'GTcls', 'Segmentation')
    else:
        raw = read_picture(path, 'P')
    return [encode_png(look_up(raw, VALUES, path, f'0 to {NUM_VALUES - 1}, or 255'))]
