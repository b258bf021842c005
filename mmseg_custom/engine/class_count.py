"""One number of classes: the data set names them, every head follows."""

from collections.abc import Iterator

from mmengine.config import Config

from mmseg_custom.registry import DATASETS

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def dataset_metainfo(dataset: dict) -> dict:
    """Classes and palette of a data set from its config, without reading a picture.

    Args:
        dataset: the config of a data set, possibly inside wrappers that hold it as ``dataset`` or
            several as ``datasets``, of which the first counts unless the wrapper has ``classes``.

    Returns:
        A dict with ``classes`` and ``palette`` where they are known, else an empty one.
    """
    while 'dataset' in dataset or (dataset.get('datasets') and not dataset.get('classes')):
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    cls = DATASETS.get(dataset['type']) if isinstance(dataset['type'], str) else dataset['type']
    if cls is None:
        return {}
    if hasattr(cls, 'metainfo_from_config'):
        return cls.metainfo_from_config(dataset)
    return {**getattr(cls, 'METAINFO', {}), **(dataset.get('metainfo') or {})}


def heads(model: dict) -> Iterator[tuple[str, dict]]:
    """Yield the dotted name and the config of each head: decode, auxiliary and class heads."""
    for name in ('decode_head', 'auxiliary_head', 'head'):
        heads = model.get(name) or []
        if isinstance(heads, dict):
            yield name, heads
        else:
            yield from ((f'{name}.{i}', head) for i, head in enumerate(heads))


def fit_class_count(config: Config, loader: str = 'train_dataloader') -> None:
    """Set ``num_classes=None`` of each head to the data set's number, and compare the others.

    Raises:
        ValueError: a head has another number of classes than the data set; the message gives the
            line that mends it.
    """
    if not config.get(loader) or 'model' not in config:
        return
    classes = dataset_metainfo(config[loader]['dataset']).get('classes')
    if classes is None:
        return
    for name, head in heads(config.model):
        if head.get('num_classes') is None:
            head['num_classes'] = len(classes)
        elif head['num_classes'] != len(classes):
            raise ValueError(
                f'num_classes={head["num_classes"]} but the data set has {len(classes)} classes; '
                f'set model.{name}.num_classes={len(classes)}'
            )
