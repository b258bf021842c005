"""The list of samples that a training leaves out because their files are bad.

``invalid_samples.jsonl`` of the work folder: first a line with the numbers of each split, then one
line per sample. A resumed run takes the list as it is.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmseg_custom.datasets.checks import first_names
from mmseg_custom.datasets.inspection.findings import is_invalid, percent_for, reason_of
from mmseg_custom.datasets.inspection.samples import SampleFacts
from mmseg_custom.datasets.inspection.totals import Split
from mmseg_custom.writing import write_atomically

LIST_NAME = 'invalid_samples.jsonl'


def find_invalid(splits: Sequence[Split], percent: float) -> list[dict]:
    """The records of all bad samples.

    Args:
        splits: inspected.
        percent: of a split that may be bad, 0 to 100.

    Raises:
        ValueError: more are bad; or all are.
    """
    bad = [(split, [f for f in split.samples if is_invalid(f)]) for split in splits]
    needed = max(percent_for(len(found), len(split.samples)) for split, found in bad)
    for split, found in bad:
        _check_share(split, found, percent, needed)
    return [
        {'split': split.name, 'image': f.image_path, 'mask': f.mask_path, 'reason': reason_of(f)}
        for split, found in bad
        for f in found
    ]


def _check_share(split: Split, bad: Sequence[SampleFacts], percent: float, needed: int) -> None:
    total = len(split.samples)
    if 100 * len(bad) <= percent * total and len(bad) < total:
        return
    raise ValueError(
        f'{len(bad)} of {total} samples of {split.name} are bad ({100 * len(bad) / total:.2f} %), '
        f'but invalid_data_tolerance_percent={percent:g}: '
        f'{first_names([reason_of(facts) for facts in bad])}; mend them '
        '(python tools/analysis_tools/check_dataset.py CONFIG lists all), or set '
        f'--cfg-options invalid_data_tolerance_percent={needed}'
    )


def count_samples(splits: Sequence[Split]) -> Counter:
    """Samples of each name of a split; the members of a mixture have one name."""
    checked: Counter = Counter()
    for split in splits:
        checked[split.name] += len(split.samples)
    return checked


def write_list(
    path: Path, splits: Sequence[Split], records: Sequence[dict], percent: float
) -> None:
    """Write the list of a run."""
    checked = count_samples(splits)
    head = {'tolerance_percent': percent, 'checked': checked, 'invalid': len(records)}
    content = '\n'.join(json.dumps(line, ensure_ascii=False) for line in (head, *records)) + '\n'
    write_atomically(path, content.encode('utf-8', 'surrogateescape'))


def read_list(path: Path) -> list[dict]:
    """The records of a list.

    Raises:
        ValueError: it is not such a list.
    """
    try:
        text = path.read_bytes().decode('utf-8', 'surrogateescape')
        _, *records = [json.loads(line) for line in text.splitlines()]
        if all({'split', 'image'} <= record.keys() for record in records):
            return records
    except (ValueError, AttributeError, TypeError):
        records = []
    raise ValueError(f'{path} is not a list of invalid samples; remove it to check the data again')


def images_of(records: Sequence[Mapping], split: str) -> set[str]:
    """Paths of the bad images of a split."""
    return {record['image'] for record in records if record['split'] == split}
