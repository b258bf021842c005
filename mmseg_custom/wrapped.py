"""Data sets inside wrappers, by their configs or as they are built."""

from collections.abc import Iterator, Mapping
from typing import Any


def inner_configs(dataset: Mapping) -> Iterator[dict]:
    """Yield the configs of the data sets that wrappers hold, or of the data set itself.

    Args:
        dataset: the config of a data set, or of a wrapper with ``dataset`` or ``datasets``.
    """
    inner = dataset.get('datasets') or [dataset.get('dataset')]
    if 'pipeline' in dataset or inner == [None]:
        yield dataset
        return
    for member in inner:
        yield from inner_configs(member)


def inner_datasets(dataset: Any) -> Iterator[Any]:
    """Yield the outermost data sets with a pipeline of transforms, among one and those it wraps.

    Args:
        dataset: a built data set, or a wrapper with ``dataset`` or ``datasets``.
    """
    if hasattr(getattr(dataset, 'pipeline', None), 'transforms'):
        yield dataset
        return
    for inner in (getattr(dataset, 'dataset', None), *(getattr(dataset, 'datasets', None) or ())):
        if inner is not None:
            yield from inner_datasets(inner)
