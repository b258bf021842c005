"""What decides a validation's numbers beside the weights, kept in checkpoints and compared."""

import hashlib

from mmengine.config import Config

from mmseg_custom.engine.config_difference import config_difference
from mmseg_custom.engine.config_text import format_config
from mmseg_custom.wrapped import inner_configs

RECORD_KEY = 'validation'


def validation_record(config: Config, loader: str) -> dict[str, str] | None:
    """Describe how pictures reach the network and leave it.

    Args:
        config: of the run.
        loader: ``val_dataloader`` or ``test_dataloader``.

    Returns:
        ``text``, the transforms by name, the preprocessor and ``test_cfg`` as Python, and
        ``sha256`` of it; ``None`` where the config has no such loader or no list of transforms.
    """
    dataset = next(inner_configs((config.get(loader) or {}).get('dataset') or {}))
    if 'pipeline' not in dataset:
        return None
    pipeline: dict[str, dict] = {}
    for transform in dataset['pipeline']:
        kind = transform['type']
        kind = kind if isinstance(kind, str) else f'{kind.__module__}.{kind.__qualname__}'
        name = kind.rsplit('.', 1)[-1]
        same = sum(known.partition('__')[0] == name for known in pipeline)
        arguments = sorted({**transform, 'type': kind}.items())
        pipeline[f'{name}__{same + 1}' if same else name] = dict(arguments)
    preprocessor = dict(config.model.get('data_preprocessor') or {})
    # The size of training batches.
    preprocessor.pop('size', None)
    parts = dict(
        pipeline=pipeline,
        data_preprocessor=dict(sorted(preprocessor.items())),
        test_cfg=dict(sorted((config.model.get('test_cfg') or {}).items())),
    )
    text = format_config(Config(parts).to_dict())
    return dict(text=text, sha256=hashlib.sha256(text.encode()).hexdigest())


def validation_differences(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Name the transforms and arguments that differ.

    Args:
        before: record of a checkpoint's training.
        now: of this test.

    Returns:
        ``pipeline.Resize.scale: old -> new``; nothing where both are the same.
    """
    if before['sha256'] == now['sha256']:
        return []
    found = config_difference(before['text'], now['text'])
    return found or ['the order of the transforms']
