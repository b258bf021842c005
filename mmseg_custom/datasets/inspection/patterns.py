"""Findings that take a whole split, or several: what values mean, what is missing or doubled."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mmseg_custom.datasets.checks import first_names
from mmseg_custom.datasets.inspection.findings import (
    ERROR,
    WARNING,
    Finding,
    labels_of,
    sample_findings,
)
from mmseg_custom.datasets.inspection.totals import Split, Totals
from mmseg_custom.labels import IGNORE_INDEX

MOST_IGNORED = 0.5


def find_all(splits: Sequence[Split]) -> list[Finding]:
    """All findings of inspected splits, errors first."""
    found = [finding for split in splits for finding in split_findings(split)]
    found += shared_images(splits)
    return sorted(dict.fromkeys(found), key=lambda finding: finding.level != ERROR)


def split_findings(split: Split, whole: bool = True) -> list[Finding]:
    """What is wrong within a split.

    Args:
        split: with its samples.
        whole: False where only some masks were read, so that nothing is said of what is missing.
    """
    if split.error:
        return [Finding(ERROR, split.name, split.error)]
    totals = Totals.of(split.samples, len(split.classes))
    meaning = value_pattern(totals, split)
    found = sample_findings(split, meaning) + _unused(split)
    if not any(facts.mask is not None for facts in split.samples):
        return found
    found += _nothing_labelled(split, totals)
    if whole:
        found += _absent(split, totals) + _mostly_ignored(split, totals)
    if len(totals.mask_kinds) > 1 and 'rgb' in totals.mask_kinds:
        kinds = ', '.join(f'{count} {kind}' for kind, count in totals.mask_kinds.most_common())
        fix = 'export all masks in one way'
        found.append(Finding(WARNING, split.name, f'masks are of several kinds: {kinds}', fix))
    return found


def _unused(split: Split) -> list[Finding]:
    masks = getattr(split.dataset, 'unused_masks', ())
    if not masks:
        return []
    text = f'{len(masks)} masks have no image: {first_names(masks)}'
    return [Finding(WARNING, split.name, text, 'add their images, or remove the masks')]


def reduces_zero(split: Split) -> bool:
    """Whether 0 is ignored and classes count from 1."""
    return bool(getattr(split.dataset, 'reduce_zero_label', False))


def value_pattern(totals: Totals, split: Split) -> str:
    """What to do where the values look like a common mistake; empty where they do not."""
    values = {value for value in totals.values if isinstance(value, int)}
    classes, last = split.classes, len(split.classes)
    others, reader = values - {IGNORE_INDEX}, split.mask_reader
    if not others or max(others) != last or reader is None or reader.declared:
        return ''
    if reduces_zero(split):
        return ''
    if reader.where is None:
        shifted = 0 not in others
        text = f'labels look shifted by one (values 1 to {last}): set reduce_zero_label=True'
        return text if shifted else ''
    if 0 not in others:
        return (
            f'labels look shifted by one (values 1 to {last}, none is 0): write in {reader.where} '
            f'{labels_of(classes, range(1, last + 1))}'
        )
    return (
        f'if {last} means unlabelled, write in {reader.where} '
        f'{labels_of(classes, range(last), ignore=(last, IGNORE_INDEX))}; if 0 does and the '
        f'classes count from 1, '
        f'{labels_of(classes, range(1, last + 1), ignore=(0, IGNORE_INDEX))}'
    )


def _nothing_labelled(split: Split, totals: Totals) -> list[Finding]:
    """An error where no mask holds a single pixel of a class."""
    unread = any('values' in f.problems or 'colours' in f.problems for f in split.samples)
    if totals.pixels.any() or unread:
        return []
    text = 'all pixels of all masks that were read are ignored'
    fix = 'check which value means unlabelled (ignore_index, reduce_zero_label, labels)'
    return [Finding(ERROR, split.name, text, fix)]


def _absent(split: Split, totals: Totals) -> list[Finding]:
    """Classes that never occur, with the likely reason."""
    absent = [name for name, count in zip(split.classes, totals.pixels) if not count]
    if not absent or not totals.pixels.any():
        return []
    fix = 'label some, or take them out of the classes; their IoU is not defined'
    if reduces_zero(split) and totals.pixels[:-1].all() and totals.values[0]:
        fix = (
            f'if the masks count from 0 (0 is {split.classes[0]}), the labels are shifted by one: '
            'set reduce_zero_label=False'
        )
    elif not totals.pixels[0] and totals.pixels[1:].all() and _counts_from_zero(split):
        fix = (
            f'if the masks count from 1 (1 is {split.classes[0]}), the labels are shifted by one: '
            f'{labels_of(split.classes, range(1, len(split.classes) + 1))} in dataset.yaml'
        )
    text = f'{len(absent)} of {len(split.classes)} classes never occur: {first_names(absent)}'
    return [Finding(WARNING, split.name, text, fix)]


def _counts_from_zero(split: Split) -> bool:
    """Whether the masks hold indices, as nobody said otherwise."""
    reader = split.mask_reader
    return reader is not None and reader.where is not None and not reader.declared


def _mostly_ignored(split: Split, totals: Totals) -> list[Finding]:
    if totals.ignored_share <= MOST_IGNORED or not totals.pixels.any():
        return []
    text = f'{totals.ignored_share:.0%} of the pixels are ignored'
    fix = 'check that the value which is ignored is not a class (ignore_index, reduce_zero_label)'
    return [Finding(WARNING, split.name, text, fix)]


def shared_images(splits: Sequence[Split]) -> list[Finding]:
    """Image files with the same bytes: an error between training and evaluation, else a warning."""
    places: dict[bytes, list[tuple[str, str]]] = defaultdict(list)
    for split in splits:
        for facts in split.samples:
            if facts.digest:
                places[facts.digest].append((split.name, facts.image_path))
    doubled: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for same in places.values():
        if len(same) > 1 and not _same_evaluation_file(same):
            names = tuple(sorted({name for name, _ in same}))
            doubled[names].append(' = '.join(path for _, path in same))
    found = []
    for names, paths in doubled.items():
        leak = len(names) > 1 and any(name.startswith('train') for name in names)
        text = f'{len(paths)} images occur more than once (same bytes): {first_names(paths)}'
        why = 'keep each in one split only: scores on a seen image say nothing'
        fix = why if leak else 'remove the copies'
        found.append(Finding(ERROR if leak else WARNING, ' and '.join(names), text, fix))
    return found


def _same_evaluation_file(places: Sequence[tuple[str, str]]) -> bool:
    """Whether validation and test read one and the same file."""
    files = {str(Path(path).resolve()) for _, path in places}
    names = {name for name, _ in places}
    return len(files) == 1 and len(names) > 1 and not any(n.startswith('train') for n in names)
