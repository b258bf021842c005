"""What a page says of a data set: its classes and the doctor's report."""

from html import escape
from pathlib import Path

from mmseg_custom.datasets.inspection import has_errors, inspect
from mmseg_custom.datasets.inspection.html_report import render
from mmseg_custom.datasets.inspection.sources import folder_config
from mmseg_custom.datasets.inspection.summary import verdict
from mmseg_custom.engine.config import load_config
from mmseg_custom.registry import register_all


def doctors_report(name: str, folder: Path) -> tuple[str, bool, str]:
    """Look at every picture and mask of the splits that a training reads.

    Args:
        name: of the data set.
        folder: of the data set.

    Returns:
        The verdict and what was found, a line each, whether there are no errors, and the report as
        a part of a page, which runs no scripts.
    """
    register_all()
    config = load_config(folder_config(folder), [f'data_root={folder}'])
    datasets = {split: config[f'{split}_dataloader'].dataset for split in ('train', 'val')}
    # In this process: a server has threads, which do not survive the fork of a pool.
    splits, findings = inspect(datasets, workers=0)
    report = render(f'Data set {name}', splits, findings)
    frame = (
        f'<iframe class="report" sandbox title="report on {escape(name)}" '
        f'srcdoc="{escape(report)}"></iframe>'
    )
    found = [f'{finding.level}: {finding.split}: {finding.text}' for finding in findings]
    return '\n'.join([verdict(findings), *found]), not has_errors(findings), frame
