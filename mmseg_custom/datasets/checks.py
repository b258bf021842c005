"""Which picture belongs to which mask, with one clear line for everything that does not fit.

mmseg's ``BaseSegDataset`` is silent about an empty folder and finds a missing mask only in the
middle of the training; the data sets here look before they start.
"""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmengine.logging import print_log

from mmseg_custom.messages import did_you_mean

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.ppm', '.tif', '.tiff')
NUM_NAMES_SHOWN = 3


def first_names(names: Sequence[str]) -> str:
    """Join the first few names; more are shown as three dots."""
    return ', '.join(names[:NUM_NAMES_SHOWN]) + (', ...' if len(names) > NUM_NAMES_SHOWN else '')


def list_files(folder: Path) -> list[str]:
    """List files below ``folder`` as relative POSIX paths, sorted; hidden ones are left out.

    Raises:
        FileNotFoundError: there is no such folder; the message names its nearest neighbour.
    """
    if not folder.is_dir():
        raise FileNotFoundError(_missing_folder(folder))
    files = []
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith('.')]
        below = Path(root).relative_to(folder)
        files += [(below / name).as_posix() for name in names if not name.startswith('.')]
    return sorted(files)


def _missing_folder(folder: Path) -> str:
    parent = folder.parent
    if not parent.is_dir():
        return f'folder {folder} does not exist, nor does {parent}'
    folders = sorted(path.name for path in parent.iterdir() if path.is_dir())
    num_files = sum(path.is_file() for path in parent.iterdir())
    found = f'folders {first_names(folders)}' if folders else 'no folders'
    if num_files:
        found += f' and {num_files} files'
    hint = did_you_mean(folder.name, folders) or f'make {folder.name} and put the files there'
    return f'folder {folder} does not exist; {parent} has {found}; {hint}'


def _stem(name: str, suffixes: Sequence[str]) -> str | None:
    """Cut the longest suffix that fits, in whatever case; None when none does."""
    fitting = [suffix for suffix in suffixes if name.lower().endswith(suffix.lower())]
    return name[: -len(max(fitting, key=len))] if fitting else None


def _count_suffixes(files: Sequence[str]) -> str:
    if not files:
        return 'the folder is empty'
    counts = Counter(Path(name).suffix or 'without suffix' for name in files).most_common(3)
    return f'{" and ".join(f"{count} {suffix}" for suffix, count in counts)} there'


def find_by_stem(folder: Path, suffixes: Sequence[str], kind: str = 'images') -> dict[str, str]:
    """Map stem to relative path for the files of a folder that end in one of ``suffixes``.

    Args:
        folder: searched with its sub-folders.
        suffixes: endings such as ``'.jpg'`` or ``'_labels.png'``, compared without case.
        kind: what the files are, for messages.

    Raises:
        FileNotFoundError: no such folder, or no such file in it.
        ValueError: two files have the same stem.
    """
    files = list_files(folder)
    found: dict[str, str] = {}
    for name in files:
        stem = _stem(name, suffixes)
        if stem is None:
            continue
        if stem in found:
            raise ValueError(
                f"two {kind} have the stem '{stem}' in {folder}: {found[stem]} and {name}; "
                'expected one per stem, remove or rename one'
            )
        found[stem] = name
    if not found:
        raise FileNotFoundError(
            f'0 {kind} in {folder}; expected suffixes {" ".join(suffixes)}; '
            f'{_count_suffixes(files)}'
        )
    return found


def pair_images_and_masks(
    images: dict[str, str],
    image_dir: Path,
    mask_dir: Path,
    mask_suffix: str = '.png',
    all_images: bool = True,
) -> tuple[list[tuple[str, str]], list[str]]:
    """Find the mask of every image by its stem (its path below the folder without the suffix).

    Args:
        images: stem to path below ``image_dir``, as :func:`find_by_stem` gives them.
        image_dir: folder of the images.
        mask_dir: folder of the masks, with the same sub-folders.
        mask_suffix: ending of a mask's name after the image's stem.
        all_images: these are all of the folder, so a mask of none of them is worth a warning.

    Returns:
        ``(image path, mask path)`` pairs sorted by stem, and the masks of no image that were warned
        of, below ``mask_dir``.

    Raises:
        FileNotFoundError: the folder of masks is missing or holds none, or images have no mask.
        ValueError: two masks share a stem.
    """
    masks = find_by_stem(mask_dir, (mask_suffix,), kind='masks')
    missing = [stem for stem in images if stem not in masks]
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} of {len(images)} images in {image_dir} have no mask in {mask_dir}: '
            f'{first_names([images[stem] for stem in missing])}; '
            f'expected {missing[0]}{mask_suffix}{_other_ending(missing[0], masks, mask_suffix)}'
        )
    spare = [masks[stem] for stem in masks if stem not in images] if all_images else []
    if spare:
        print_log(
            f'{len(spare)} masks in {mask_dir} have no image in {image_dir} and are not used: '
            f'{first_names(spare)}',
            logger='current',
            level=logging.WARNING,
        )
    pairs = [
        (str(image_dir / images[stem]), str(mask_dir / masks[stem])) for stem in sorted(images)
    ]
    return pairs, spare


def _other_ending(stem: str, masks: dict[str, str], mask_suffix: str) -> str:
    """Offer the longer ending that the masks seem to have, such as ``_labels.png``."""
    longer = next((mask for mask in masks if mask.startswith(stem)), None)
    if longer is None:
        return ', add the masks or remove the images'
    return (
        f", but found {masks[longer]}; set seg_map_suffix='{longer[len(stem) :]}{mask_suffix}' "
        'if that is the mask'
    )
