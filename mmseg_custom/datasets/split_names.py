"""Which pictures of a folder belong to a split: by a list file, or a share by their names."""

import hashlib
from pathlib import Path

from mmseg_custom.datasets.checks import first_names


def listed_images(
    images: dict[str, str], list_file: Path, image_dir: Path, root: Path
) -> dict[str, str]:
    """Pick the images that a list file names.

    A line is a stem, a path below the image folder, or a path below the data set's folder, with or
    without the suffix. Empty lines and what follows a ``#`` at the start of a line or after a blank
    are left out; line ends may be those of Windows.

    Args:
        images: stem to path below ``image_dir``, as
            :func:`~mmseg_custom.datasets.checks.find_by_stem` gives them.
        list_file: UTF-8 text.
        image_dir: folder of the images.
        root: the data set's folder.

    Returns:
        The listed part of ``images``.

    Raises:
        FileNotFoundError: there is no such file, or no image of a line.
        ValueError: the file lists nothing, an image twice, or is not UTF-8.
    """
    if not list_file.is_file():
        near = sorted(path.name for path in root.glob('*.txt'))
        found = f'{root} has {first_names(near)}' if near else f'{root} has no list files'
        raise FileNotFoundError(f'list file {list_file} does not exist; {found}; see splits')
    lines = _lines(list_file)
    by_path = {path: stem for stem, path in images.items()}
    below = f'{image_dir.relative_to(root).as_posix()}/' if image_dir.is_relative_to(root) else '/'
    chosen: dict[str, str] = {}
    missing = []
    for line in lines:
        names = (line, line.removeprefix(below))
        stem = next((by_path.get(n, n) for n in names if n in images or n in by_path), None)
        if stem is None:
            missing.append(line)
        elif stem in chosen:
            raise ValueError(f'{list_file} lists {line} twice; expected each image once')
        else:
            chosen[stem] = images[stem]
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} of {len(lines)} lines of {list_file} name no image in {image_dir}: '
            f'{first_names(missing)}; expected a stem or path a line, such as {next(iter(images))}'
        )
    return chosen


def _lines(list_file: Path) -> list[str]:
    try:
        text = list_file.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{list_file} is not UTF-8 text ({error.reason}); save it as UTF-8'
        ) from error
    lines = [(' ' + line).split(' #')[0].strip() for line in text.splitlines()]
    lines = [line.replace('\\', '/').removeprefix('./') for line in lines if line]
    if not lines:
        raise ValueError(f'{list_file} lists nothing; expected one stem or path a line')
    return lines


def val_share(images: dict[str, str], share: float, val: bool) -> dict[str, str]:
    """Set a share of the images aside for validation, the same in every run.

    Those whose stems have the lowest hashes are taken, so that few change their part when images
    are added.

    Args:
        images: stem to path, two or more.
        share: this part is set aside, 0 to 1, rounded to whole images; each part has one or more.
        val: return that part; else the rest.

    Raises:
        ValueError: there is only one image.
    """
    if len(images) < 2:
        raise ValueError(
            f'val_share={share} of {len(images)} image; expected two or more images to divide'
        )
    count = min(max(round(share * len(images)), 1), len(images) - 1)
    aside = set(sorted(images, key=lambda stem: hashlib.sha256(stem.encode()).digest())[:count])
    return {stem: path for stem, path in images.items() if (stem in aside) == val}
