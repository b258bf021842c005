"""The checks before a training: a quick look, or all samples where bad ones may be left out."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mmseg_custom.datasets.inspection.findings import ERROR, Finding
from mmseg_custom.datasets.inspection.inspecting import fill
from mmseg_custom.datasets.inspection.invalid_samples import (
    LIST_NAME,
    count_samples,
    find_invalid,
    images_of,
    read_list,
    write_list,
)
from mmseg_custom.datasets.inspection.patterns import shared_images, split_findings
from mmseg_custom.datasets.inspection.samples import SampleFacts, inspect_sample
from mmseg_custom.datasets.inspection.sources import is_inspectable, open_split
from mmseg_custom.datasets.inspection.totals import Split
from mmseg_custom.registry import TASK_UTILS
from mmseg_custom.wrapped import inner_configs
from mmseg_custom.writing import write_atomically

MOST_HEADERS = 4000
MASKS_READ = 24
SECONDS = 3.0

Kept = dict[str, list[list[int] | None]]


@TASK_UTILS.register_module()
class TrainingDataCheck:
    """Look at the data of a training before it begins.

    Args:
        datasets: config of the data set by split, ``train`` and perhaps ``val``.
        work_dir: folder of the run, for the list of bad samples.
        depth: False for none, True for a quick look (headers of up to 4000 samples, pixels of 24,
            3 seconds for each data set), ``'full'`` for everything.
        tolerance_percent: how much of a split may be bad, 0 to 100. From more than 0 on every
            sample is looked at.
        earlier: folders in which an earlier part of the run may have left its list of bad samples,
            which is then taken as it is.
        show: takes lines for the log.
        warn: takes warnings.
    """

    def __init__(
        self,
        datasets: Mapping[str, Mapping],
        work_dir: str | Path,
        depth: bool | str = True,
        tolerance_percent: float = 0,
        earlier: Sequence[str | Path] = (),
        show: Callable[[str], None] = print,
        warn: Callable[[str], None] = print,
    ) -> None:
        self.datasets = datasets
        self.work_dir = Path(work_dir)
        self.depth = depth
        self.tolerance_percent = tolerance_percent
        lists = [Path(folder, LIST_NAME) for folder in earlier]
        self.recorded = next((path for path in lists if path.is_file()), None)
        self.show, self.warn = show, warn

    def run(self) -> Kept:
        """Check.

        Returns:
            For each split and each data set within its wrappers the indices of the samples to keep,
            or None for all.

        Raises:
            ValueError: something is wrong with the data, or more is than may be.
            OSError: a data set cannot be opened.
        """
        if not (self.depth or self.tolerance_percent or self.recorded):
            self._record([], [])
            return {}
        opened = [
            (name, leaf, open_split(name, leaf, keep_error=False))
            for name, dataset in self.datasets.items()
            for leaf in inner_configs(dataset)
            if is_inspectable(leaf)
        ]
        splits = [split for _, _, split in opened]
        records = self._invalid(splits)
        if self.depth:
            self._judge(splits, records)
        self._record(splits, records)
        kept: Kept = {name: [] for name in self.datasets}
        for name, leaf, split in opened:
            kept[name].append(_kept(leaf, split, images_of(records, name)))
        return kept

    def apply(self, kept: Kept) -> None:
        """Set ``indices`` of every data set that loses samples; changes the configs in place."""
        for name, dataset in self.datasets.items():
            for leaf, indices in zip(
                filter(is_inspectable, inner_configs(dataset)), kept.get(name, [])
            ):
                if indices is not None:
                    leaf['indices'] = indices

    def _invalid(self, splits: list[Split]) -> list[dict]:
        """Records of the samples that are left out; inspects everything if there may be any."""
        if self.recorded is not None:
            records = read_list(self.recorded)
            self.show(f'{len(records)} bad samples are left out, as {self.recorded} says')
            return records
        if self.depth == 'full' or self.tolerance_percent:
            fill(splits)
        if not self.tolerance_percent:
            return []
        records = find_invalid(splits, self.tolerance_percent)
        counts = ', '.join(
            f'{sum(record["split"] == name for record in records)} of {total} in {name}'
            for name, total in count_samples(splits).items()
        )
        where = self.work_dir / LIST_NAME
        self.show(f'bad samples that are left out: {counts}; {where} lists them')
        return records

    def _record(self, splits: list[Split], records: list[dict]) -> None:
        """Leave the list that a resumed run takes, or none; not before all is well."""
        path = self.work_dir / LIST_NAME
        if self.recorded is not None:
            write_atomically(path, self.recorded.read_bytes())
        elif self.tolerance_percent:
            write_list(path, splits, records, self.tolerance_percent)
        else:
            path.unlink(missing_ok=True)

    def _judge(self, splits: list[Split], records: list[dict]) -> None:
        """Raise the errors that are left, and log the warnings."""
        found: list[Finding] = []
        looked_at = []
        for split in splits:
            whole = bool(split.samples)
            bad = images_of(records, split.name)
            samples = split.samples if whole else self._quick_look(split, bad)
            good = replace(split, samples=[f for f in samples if f.image_path not in bad])
            looked_at.append(good)
            found += split_findings(good, whole)
        errors = [finding for finding in found if finding.level == ERROR]
        # One can train on doubled images; it is for the user to say what the scores are for.
        for finding in (*found, *shared_images(looked_at)):
            if finding not in errors:
                self.warn(str(finding))
        if errors:
            more = f' ({len(errors) - 1} more)' if len(errors) > 1 else ''
            raise ValueError(
                f'{errors[0]}{more}; all of it: python tools/analysis_tools/check_dataset.py '
                'CONFIG; check_data=False trains without looking'
            )

    def _quick_look(self, split: Split, bad: set[str]) -> Iterator[SampleFacts]:
        """Headers of samples spread over the data set, pixels of a few, within some seconds."""
        total = len(split.dataset)
        ends = time.monotonic() + SECONDS
        few = set(_spread(total, MASKS_READ))
        # The few first, so that their pixels are read however slow the disk is.
        for number, index in enumerate([*few, *_spread(total, MOST_HEADERS)]):
            if time.monotonic() > ends:
                self.warn(
                    f'{split.name}: the quick look stopped after {SECONDS:g} s and {number} of '
                    f"{total} samples; check_data='full' looks at all"
                )
                return
            if number >= len(few) and index in few:
                continue
            sample = split.dataset.get_data_info(index)
            if sample['img_path'] not in bad:
                yield inspect_sample(sample, split.rules, pixels=number < len(few))
        if total > MOST_HEADERS:
            self.show(
                f'{split.name}: looked at the headers of {MOST_HEADERS} of {total} samples; '
                "check_data='full' looks at all"
            )


def _spread(total: int, most: int) -> list[int]:
    """At most so many indices, evenly spaced."""
    count = min(total, most)
    return [number * total // count for number in range(count)]


def _kept(leaf: Mapping, split: Split, bad: set[str]) -> list[int] | None:
    """Indices of the good samples, as the data set's argument ``indices`` takes them."""
    paths = [split.dataset.get_data_info(i)['img_path'] for i in range(len(split.dataset))]
    positions = [position for position, path in enumerate(paths) if path not in bad]
    if len(positions) == len(paths):
        return None
    given = leaf.get('indices')
    if given is None or isinstance(given, int):
        # A negative number takes the last ones, which are counted from the end.
        first = 0 if given is None or given >= 0 else -len(paths)
        return [first + position for position in positions]
    return [given[position] for position in positions]
