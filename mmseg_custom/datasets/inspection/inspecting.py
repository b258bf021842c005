"""The doctor of data sets: inspect every sample of some splits."""

from collections.abc import Mapping, Sequence

from mmseg_custom.datasets.inspection.findings import ERROR, Finding
from mmseg_custom.datasets.inspection.patterns import find_all
from mmseg_custom.datasets.inspection.scanning import scan
from mmseg_custom.datasets.inspection.sources import open_splits
from mmseg_custom.datasets.inspection.totals import Split
from mmseg_custom.parallel import progress_bar


def inspect(
    datasets: Mapping[str, Mapping], workers: int | None = None
) -> tuple[list[Split], list[Finding]]:
    """Look at every image and mask.

    Args:
        datasets: the config of a data set for each split, e.g. ``{'train': ..., 'val': ...}``.
        workers: processes; None takes one per core, 0 works in this process.

    Returns:
        The splits with what is known of their samples, and what is wrong, errors first.
    """
    splits = open_splits(datasets)
    fill(splits, workers)
    return splits, find_all(splits)


def fill(splits: Sequence[Split], workers: int | None = None) -> None:
    """Inspect all samples of splits that could be opened, in place."""
    opened = [split for split in splits if split.dataset is not None]
    with progress_bar(sum(len(split.dataset) for split in opened), 'checking data') as advance:
        for split in opened:
            split.samples = scan(split.dataset, split.rules, workers, advance)


def has_errors(findings: Sequence[Finding]) -> bool:
    """Whether one of the findings is an error."""
    return any(finding.level == ERROR for finding in findings)
