"""How the names of masks end, found from the names of the pictures."""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from mmseg_custom.datasets.checks import IMAGE_SUFFIXES, first_names, list_files

MASK_SUFFIXES = (*IMAGE_SUFFIXES, '.gif')
DEFAULT_SUFFIX = '.png'


def find_suffixes(images: dict[str, str], mask_dir: Path) -> tuple[dict[str, str], str]:
    """Find how masks are named after pictures, where only one way pairs all pictures.

    A mask named exactly as its picture (``a.png`` of ``a.jpg``) comes before any other ending
    (``a_labels.png``). Where no ending fits, the pictures may share one of their own, which is cut:
    ``a_sat.jpg`` and ``a_mask.png``.

    Args:
        images: stem to relative path, as
            :func:`~mmseg_custom.datasets.checks.find_by_stem` gives them.
        mask_dir: folder of the masks.

    Returns:
        ``images`` with the stems that masks have, and the ending of a mask's name after the stem:
        where none pairs all, the one that pairs most.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: several endings pair all pictures.
    """
    masks = [name for name in list_files(mask_dir) if name.lower().endswith(MASK_SUFFIXES)]
    paired = _endings(images, masks)
    suffix = _only_choice(paired, len(images), mask_dir)
    if suffix is None and (shorter := _without_common_ending(images)):
        of_shorter = _endings(shorter, masks)
        suffix = _only_choice(of_shorter, len(images), mask_dir)
        if suffix is not None:
            return shorter, suffix
    if suffix is None:
        suffix = max(paired, key=lambda ending: len(paired[ending]), default=DEFAULT_SUFFIX)
    return images, suffix


def _endings(stems: Iterable[str], masks: Iterable[str]) -> dict[str, set[str]]:
    """Map each ending, in lower case, to the stems of which there is a mask with it.

    A name belongs to the longest stem that it begins with: ``a_1.png`` to ``a_1`` and not to ``a``.
    """
    stems = set(stems)
    endings: dict[str, set[str]] = defaultdict(set)
    for name in masks:
        end = next((end for end in range(len(name), 0, -1) if name[:end] in stems), None)
        if end is not None:
            endings[name[end:].lower()].add(name[:end])
    return endings


def _only_choice(endings: dict[str, set[str]], count: int, mask_dir: Path) -> str | None:
    complete = sorted(ending for ending, stems in endings.items() if len(stems) == count)
    choices = [ending for ending in complete if ending in MASK_SUFFIXES] or complete
    if len(choices) > 1:
        raise ValueError(
            f'the masks in {mask_dir} have {len(choices)} endings that each pair all {count} '
            f'images: {first_names(choices)}; say which, e.g. seg_map_suffix: {choices[0]} in '
            'dataset.yaml'
        )
    return choices[0] if choices else None


def _without_common_ending(images: dict[str, str]) -> dict[str, str] | None:
    """Cut what all stems end in, from its first ``_``, ``-`` or ``.``; None where there is none."""
    names = sorted(stem[::-1] for stem in images)
    pairs = enumerate(zip(names[0], names[-1]))
    same = next((at for at, (one, other) in pairs if one != other), len(names[0]))
    common = names[0][:same][::-1].rsplit('/', 1)[-1]
    start = re.search(r'[_.-]', common)
    if start is None:
        return None
    length = len(common) - start.start()
    shorter = {stem[:-length]: name for stem, name in images.items()}
    return shorter if len(shorter) == len(images) and all(shorter) else None
