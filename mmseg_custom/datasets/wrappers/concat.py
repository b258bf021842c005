"""Several data sets as one, with one list of classes."""

import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from mmcv.transforms import LoadAnnotations as BaseLoadAnnotations
from mmengine.dataset import ConcatDataset as BaseConcatDataset
from mmengine.logging import print_log

from mmseg_custom.datasets.palette import distinct_palette
from mmseg_custom.datasets.transforms.load_annotations import LoadAnnotations
from mmseg_custom.datasets.wrappers.remapping import (
    BACKGROUND,
    MAX_CLASSES,
    OTHERS,
    RemapClasses,
    class_targets,
)
from mmseg_custom.datasets.wrappers.repeats import Repeats
from mmseg_custom.labels import IGNORE_INDEX
from mmseg_custom.messages import did_you_mean
from mmseg_custom.registry import DATASETS

NUM_NAMES_SHOWN = 12


@DATASETS.register_module()
class ConcatDataset(BaseConcatDataset):
    """mmengine's ``ConcatDataset``, also of data sets whose classes differ.

    With ``classes`` the classes of each member are mapped to these by name: its label maps are read
    as the member means them, with its own ignore value, ``reduce_zero_label``, ``label_map`` or
    ``mask_reader``, and then get the new indices. A table in the log shows which class goes where.

    Without ``classes`` all members must have the same, and the first one's palette counts.

    Args:
        datasets: data sets or their configs, each with its own pipeline.
        classes: names of the classes to train, in index order.
        palette: ``[R, G, B]`` per class; distinct colours where None.
        aliases: ``{'automobile': 'car'}`` for members' classes that have another name here;
            ``{'static': None}`` ignores one.
        other: what becomes of the other classes: ``'error'``, ``'ignore'``, or ``'background'``
            for the class of that name.
        repeats: of each member, how often a pass shows each of its samples, e.g. ``[1, 2.5]``.
        lazy_init: do not list the samples before the first one is asked for.
        ignore_keys: ``'classes'`` lets them differ without a mapping, as in mmengine.

    Raises:
        ValueError: a class has no partner, or the arguments do not fit together.
    """

    def __init__(
        self,
        datasets: Sequence,
        classes: Sequence[str] | None = None,
        palette: Sequence[Sequence[int]] | None = None,
        aliases: Mapping[str, str | None] | None = None,
        other: str = 'error',
        repeats: Sequence[float] | None = None,
        lazy_init: bool = False,
        ignore_keys: str | Sequence[str] = (),
    ) -> None:
        self._remaps: list[RemapClasses] = []
        self._slots: Repeats | None = None
        self._repeats = _checked_repeats(repeats, len(datasets))
        if classes is None:
            if aliases or palette:
                raise ValueError('aliases and palette need classes=(...), the names to train')
            members = [_built(one) for one in datasets]
            if 'classes' not in ([ignore_keys] if isinstance(ignore_keys, str) else ignore_keys):
                _check_equal_classes(members)
            self._take(members, members[0].metainfo)
        else:
            facts = self.metainfo_from_config(dict(classes=classes, palette=palette))
            members = [_built(one) for one in datasets]
            self._remaps = _remaps(members, facts['classes'], dict(aliases or {}), other)
            self._take(members, facts)
        if not lazy_init:
            self.full_init()

    @classmethod
    def metainfo_from_config(cls, dataset: Mapping) -> dict:
        """Classes and palette of a config with ``classes``, without building it.

        Raises:
            ValueError: they do not fit together.
        """
        classes, palette = dataset['classes'], dataset.get('palette')
        if isinstance(classes, str) or len({*classes}) < len(classes) or not classes:
            raise ValueError(f'classes={classes!r}; expected names that differ, in index order')
        if len(classes) > MAX_CLASSES:
            raise ValueError(f'{len(classes)} classes; expected at most {MAX_CLASSES} in 8 bits')
        palette = palette or distinct_palette(tuple(classes))
        if len(palette) != len(classes):
            raise ValueError(
                f'palette has {len(palette)} colours for {len(classes)} classes; give one each'
            )
        return {'classes': tuple(classes), 'palette': [list(colour) for colour in palette]}

    def full_init(self) -> None:
        """List the samples of every member."""
        if not self._fully_initialized:
            super().full_init()
            if self._repeats is not None:
                sizes = [len(member) for member in self.datasets]
                self._slots = Repeats(np.repeat(self._repeats, sizes))
            if self._remaps:
                _announce(_table(self))

    def __len__(self) -> int:
        return len(self._slots) if self._slots is not None else super().__len__()

    def get_data_info(self, idx: int) -> dict:
        """Return a sample as its member does, with the ``mask_reader`` for the classes here."""
        member, index = self._get_ori_dataset_idx(idx)
        info = self.datasets[member].get_data_info(index)
        return self._remaps[member](info) if self._remaps else info

    def _get_ori_dataset_idx(self, idx: int) -> tuple[int, int]:
        if self._slots is not None:
            idx = self._slots.sample_of(idx % len(self))
        return super()._get_ori_dataset_idx(idx)

    def _take(self, members: list, metainfo: dict) -> None:
        # mmengine's constructor refuses members whose metainfo differs in anything.
        self.datasets = members
        self._metainfo = metainfo
        self._fully_initialized = False


def leaves(dataset) -> Iterator:
    """Yield the data sets inside wrappers: those that have a pipeline."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if inner == [None]:
        yield dataset
        return
    for one in inner:
        yield from leaves(one)


def _built(dataset):
    return DATASETS.build(dataset) if isinstance(dataset, dict) else dataset


def _checked_repeats(repeats: Sequence[float] | None, count: int) -> Sequence[float] | None:
    if repeats is not None and (len(repeats) != count or min(repeats, default=-1) < 0):
        raise ValueError(
            f'repeats={list(repeats)} for {count} data sets; give each a number from 0 on'
        )
    return repeats


def _name(index: int, member) -> str:
    kinds = [type(leaf).__name__ for leaf in leaves(member)]
    return f'datasets[{index}] ({", ".join(dict.fromkeys(kinds))})'


def _check_equal_classes(members: list) -> None:
    first = members[0].metainfo.get('classes')
    for index, member in enumerate(members[1:], 1):
        if member.metainfo.get('classes') != first:
            raise ValueError(
                f'{_name(0, members[0])} has the classes {first} but {_name(index, member)} has '
                f'{member.metainfo.get("classes")}; set classes=(...) of ConcatDataset, to which '
                'they are mapped by name'
            )


def _remaps(
    members: list, classes: tuple[str, ...], aliases: dict[str, str | None], other: str
) -> list[RemapClasses]:
    """One for each member, also added to the pipelines inside it."""
    if other not in OTHERS:
        raise ValueError(f'other={other!r}; expected one of {", ".join(map(repr, OTHERS))}')
    if other == BACKGROUND and BACKGROUND not in classes:
        raise ValueError(f"other='{BACKGROUND}' needs a class of that name in classes={classes}")
    known = {name.strip() for member in members for name in member.metainfo['classes']}
    for name, target in aliases.items():
        if name not in known:
            hint = did_you_mean(name, known) or f'they have {", ".join(sorted(known))}'
            raise ValueError(f"aliases: no data set has the class '{name}'; {hint}")
        if target not in (None, *classes):
            hint = did_you_mean(str(target), classes) or f'expected one of {list(classes)} or None'
            raise ValueError(f"aliases: '{target}' is not among the classes; {hint}")
    found = []
    for index, member in enumerate(members):
        where = _name(index, member)
        targets = class_targets(member.metainfo['classes'], classes, aliases, other, where)
        found.append(RemapClasses(targets, where))
        for leaf in leaves(member):
            _insert(found[-1], leaf.pipeline.transforms, where)
    return found


def _insert(remap: RemapClasses, transforms: list, where: str) -> None:
    for transform in transforms:
        if isinstance(transform, BaseLoadAnnotations) and not isinstance(
            transform, LoadAnnotations
        ):
            raise ValueError(
                f'the pipeline of {where} loads labels with {type(transform).__module__}.'
                f"{type(transform).__name__}, which maps no classes; use type='LoadAnnotations'"
            )
    # After those of a mixture inside this one, whose classes are the ones to be mapped.
    inner = sum(isinstance(transform, RemapClasses) for transform in transforms)
    transforms.insert(inner, remap)


def _table(dataset: ConcatDataset) -> str:
    """Which class of which member goes where, and how many pictures each member gives."""
    from prettytable import PrettyTable

    table = PrettyTable(['class', *(_name(i, one) for i, one in enumerate(dataset.datasets))])
    table.align, table.max_width = 'l', 40
    members = [*zip(dataset.datasets, dataset._remaps)]
    rows = [*enumerate(dataset._metainfo['classes']), (IGNORE_INDEX, '(ignored)')]
    for target, label in rows:
        cells = [
            _listed([n for n, t in zip(member.metainfo['classes'], remap.targets) if t == target])
            for member, remap in members
        ]
        if target != IGNORE_INDEX or any(cells):
            table.add_row([label, *(cell or '-' for cell in cells)])
    repeats = dataset._repeats or [1] * len(members)
    counts = [f'{len(one)} x {r:g}' for (one, _), r in zip(members, repeats)]
    table.add_row(['pictures', *counts])
    return table.get_string()


def _listed(names: list[str]) -> str:
    more = len(names) - NUM_NAMES_SHOWN
    return ', '.join(names[:NUM_NAMES_SHOWN]) + (f' and {more} more' if more > 0 else '')


@functools.cache
def _announce(table: str) -> None:
    # Once: labels are counted with a second instance.
    print_log(f'classes of the mixed data set\n{table}', 'current')
