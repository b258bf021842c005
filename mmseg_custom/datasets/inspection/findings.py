"""From facts to findings: what is wrong with a data set, where, and the lines that mend it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mmseg_custom.datasets.checks import first_names
from mmseg_custom.datasets.inspection.samples import SampleFacts
from mmseg_custom.datasets.inspection.totals import Split
from mmseg_custom.datasets.label_map import IGNORE_NAME
from mmseg_custom.datasets.mask_reader import labels_line
from mmseg_custom.labels import IGNORE_INDEX

ERROR, WARNING = 'error', 'warning'
IGNORE_EXIF = (
    '--cfg-options train_dataloader.dataset.pipeline.0.color_type=color_ignore_orientation '
    'val_dataloader.dataset.pipeline.0.color_type=color_ignore_orientation'
)


class Problem(NamedTuple):
    """What a code of a sample's problems means; an error makes the sample unfit for training.

    The fix of wrong values depends on them and is empty here.
    """

    level: str
    what: str
    fix: str


PROBLEMS = {
    'damaged': Problem(
        ERROR,
        'files cannot be read',
        'copy them again or remove them with their partners; to train without them: '
        '--cfg-options invalid_data_tolerance_percent={percent}',
    ),
    'not finite': Problem(
        ERROR,
        'images have values that are NaN or infinite',
        'write the files anew with numpy.nan_to_num, set nodata: nan in dataset.yaml for bands '
        '(docs/bands.md), or train without them: '
        '--cfg-options invalid_data_tolerance_percent={percent}',
    ),
    'not 8-bit': Problem(
        ERROR,
        'images are not 8-bit colours, which LoadImageFromFile of the pipeline reads',
        'convert them, or name their bands in dataset.yaml (bands: [red, green, blue, nir]) and '
        'train with segformer/segformer_mit-b0_folder_bands.py: docs/bands.md',
    ),
    'size': Problem(
        ERROR,
        'masks are of another size than their image (width x height)',
        'export them at the size of the image (scale labels with nearest neighbour only)',
    ),
    'turned by EXIF': Problem(
        ERROR,
        'images are rotated by EXIF while their mask is not',
        f'read them as they are stored: {IGNORE_EXIF}',
    ),
    'values': Problem(
        ERROR,
        'masks hold values that are no class ({classes} classes, 0 to {last})',
        '',
    ),
    'colours': Problem(
        ERROR,
        'masks hold colours that are no class',
        '',
    ),
    'all ignored': Problem(
        WARNING,
        'masks have no labelled pixel',
        'remove these samples, or check that the value which is ignored is not a class',
    ),
    'EXIF': Problem(
        WARNING,
        'images are turned by EXIF, and whether their mask is turned, too, cannot be told',
        f'look at one of them; if the mask is not turned: {IGNORE_EXIF}',
    ),
    'alpha': Problem(
        WARNING,
        'images have an alpha channel, which is dropped',
        'nothing, unless transparent pixels should look different: flatten the images then',
    ),
    'CMYK': Problem(
        WARNING,
        'images are CMYK and are converted to RGB without a colour profile',
        'nothing, unless colours matter: convert them to RGB with their profile',
    ),
    '16-bit': Problem(
        WARNING,
        'images have 16 bits, of which the upper 8 are used',
        'nothing if they use the whole range 0-65535; else scale them to 8 bits',
    ),
}


@dataclass(frozen=True)
class Finding:
    """One line of the verdict.

    Attributes:
        level: ``'error'`` or ``'warning'``.
        split: where, e.g. ``'train'``.
        text: what, with counts and the first files.
        fix: what to do, to copy and paste where that is possible; empty where the text says it.
    """

    level: str
    split: str
    text: str
    fix: str = ''

    def __str__(self) -> str:
        return f'{self.split}: {self.text}' + (f'; {self.fix}' if self.fix else '')


def is_invalid(facts: SampleFacts) -> bool:
    """Whether a sample cannot be trained on."""
    return any(PROBLEMS[code].level == ERROR for code in facts.problems)


def reason_of(facts: SampleFacts) -> str:
    """Why a sample cannot be trained on, in one line."""
    return '; '.join(text for code, text in facts.problems.items() if PROBLEMS[code].level == ERROR)


def sample_findings(split: Split, fix: str = '') -> list[Finding]:
    """One finding per kind of problem that samples have, errors first.

    Args:
        split: with its samples.
        fix: for wrong values, where their pattern says what happened.
    """
    found: dict[str, list[SampleFacts]] = defaultdict(list)
    for facts in split.samples:
        for code in facts.problems:
            found[code].append(facts)
    return [_finding(split, code, found[code], fix) for code in PROBLEMS if code in found]


def _finding(split: Split, code: str, hit: list[SampleFacts], fix: str) -> Finding:
    problem, total = PROBLEMS[code], len(split.samples)
    what = problem.what.format(classes=len(split.classes), last=len(split.classes) - 1)
    texts = first_names([facts.problems[code] for facts in hit])
    if code not in ('values', 'colours'):
        fix = problem.fix.format(percent=percent_for(len(hit), total))
    return Finding(
        problem.level,
        split.name,
        f'{len(hit)} of {total}: {what}: {texts}',
        fix or _labels_fix(split, hit),
    )


def percent_for(bad: int, total: int) -> int:
    """The smallest whole number of percent that so many samples are within."""
    return -(-100 * bad // total)


def labels_of(
    classes: Sequence[str], values: Iterable, ignore: Sequence[int] = (IGNORE_INDEX,)
) -> str:
    """The line of a ``dataset.yaml`` that says which value is which class."""
    ignored = {IGNORE_NAME: [*ignore]} if ignore else {}
    return labels_line({**ignored, **dict(zip(classes, values))})


def _labels_fix(split: Split, hit: Iterable[SampleFacts]) -> str:
    """What to write where masks hold values that nothing names: those are offered as ignored."""
    reader = split.mask_reader
    if reader is None or reader.where is None:
        return 'convert the label files to its values, or read them with FolderDataset and labels'
    unknown: dict = {}
    colours: set[str] = set()
    for facts in hit:
        if facts.mask is not None:
            unknown.update(facts.mask.unknown)
            colours.update(value for value in facts.mask.values if isinstance(value, str))
    if colours and not reader.declared:
        line = labels_of(split.classes, sorted(colours), ignore=())
        return f'say in {reader.where} which colour is which class, such as {line}'
    labels = {name: [] for name in (IGNORE_NAME, *split.classes)}
    names = {**dict(enumerate(reader.label_map.classes)), IGNORE_INDEX: IGNORE_NAME}
    for value, index in reader.label_map.values:
        labels[names[index]].append(value)
    for colour, index in reader.label_map.colours:
        labels[names[index]].append(f'#{colour:06x}')
    labels[IGNORE_NAME] += sorted(unknown, key=lambda value: (isinstance(value, str), value))
    short = {name: raw[0] if len(raw) == 1 else raw for name, raw in labels.items() if raw}
    return f'say in {reader.where} what each value is, such as {labels_line(short)}'
