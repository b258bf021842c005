"""The list of samples that a training leaves out because their files are bad.

``invalid_samples.jsonl`` of the work folder: first a line with the numbers of each split, then one
line per sample. A resumed run takes the list as it is.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmseg_custom.datasets.checks import first_names
from mmseg_custom.datasets.inspection.findings import is_invalid, percent_for, reason_of
from mmseg_custom.datasets.inspection.totals import Split
from mmseg_custom.writing import write_atomically

LIST_NAME = 'invalid_samples.jsonl'

Invalid = dict[str, set[str]]


def find_invalid(splits: Sequence[Split], percent: float) -> list[dict]:
    """The records of all bad samples.

    Args:
        splits: inspected.
        percent: of a split that may be bad, 0 to 100.

    Raises:
        ValueError: more are bad; or all are.
    """
    records = []
    for split in splits:
        bad = [facts for facts in split.samples if is_invalid(facts)]
        total = len(split.samples)
        if 100 * len(bad) > percent * total or len(bad) == total:
            shown = first_names([reason_of(facts) for facts in bad])
            raise ValueError(
                f'{len(bad)} of {total} samples of {split.name} are bad '
                f'({100 * len(bad) / total:.2f} %), but invalid_data_tolerance_percent={percent:g}'
                f': {shown}; mend them (python tools/analysis_tools/check_dataset.py CONFIG lists '
                'all), or set '
                f'--cfg-options invalid_data_tolerance_percent={percent_for(len(bad), total)}'
            )
        records += [
            {
                'split': split.name,
                'image': facts.image_path,
                'mask': facts.mask_path,
                'reason': reason_of(facts),
            }
            for facts in bad
        ]
    return records


def write_list(folder: Path, splits: Sequence[Split], records: Sequence[dict], percent: float):
    """Write the list of a run."""
    checked = {split.name: len(split.samples) for split in splits}
    head = {'tolerance_percent': percent, 'checked': checked, 'invalid': len(records)}
    content = '\n'.join(json.dumps(line, ensure_ascii=False) for line in (head, *records)) + '\n'
    write_atomically(folder / LIST_NAME, content.encode('utf-8', 'surrogateescape'))


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
