"""Data sets inside wrappers, by their configs."""

from collections.abc import Iterator, Mapping


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
