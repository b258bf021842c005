"""What is predicted: ``task='binary'`` sets head, losses, threshold and metric of two classes."""

import inspect

from mmengine.config import Config

from mmseg_custom.engine.class_count import LOADERS, dataset_metainfo, heads
from mmseg_custom.registry import METRICS, MODELS, SCOPE
from mmseg_custom.wrapped import inner_configs

TASKS = ('semantic', 'binary')
EVALUATORS = ('val_evaluator', 'test_evaluator')
THRESHOLD = 0.5
FOREGROUND_PRIOR = 0.03
# The score that a run is saved, stopped and compared by.
SCORE = 'fgIoU'
# Arguments of a softmax cross entropy that say nothing beyond what every config of ours has.
PLAIN_ARGUMENTS = {'type', '_scope_', 'use_sigmoid', 'loss_weight', 'loss_name', 'avg_non_ignore'}


def fit_task(config: Config, loader: str = 'train_dataloader') -> None:
    """Apply ``task``, a key of the config or of the data set's ``metainfo``; in place.

    ``binary`` gives each head ``num_classes=2``, ``out_channels=1``, a threshold of 0.5, a
    foreground prior, and cross entropy and Dice loss in place of a plain softmax loss; metrics
    score the foreground. What the config sets to another value that fits stays.

    Args:
        config: with ``model``; changed in place.
        loader: the loader whose data set may name the task.

    Raises:
        ValueError: the task is unknown, or something in the config contradicts it; the message
            gives the line that mends it.
    """
    task = config.get('task')
    if task is not None and task not in TASKS:
        raise ValueError(f"task is {task!r}; expected 'semantic' or 'binary'")
    tell_folders(config)
    found = (config.get(loader) or {}).get('dataset')
    metainfo = dataset_metainfo(found) if found else {}
    if metainfo.get('task', task) != 'binary':
        return
    if task == 'semantic':
        raise ValueError('task=semantic but the data set is binary; leave one of them out')
    classes = metainfo.get('classes')
    if classes is not None and len(classes) != 2:
        raise ValueError(
            f'task=binary has two classes, background and foreground, but the data set has '
            f'{len(classes)} ({", ".join(classes)}); leave task out, or give it two'
        )
    scope = config.get('default_scope', SCOPE)
    if scope != SCOPE:
        raise ValueError(
            f'task=binary needs default_scope={SCOPE}, but it is {scope}; set '
            f'--cfg-options default_scope={SCOPE}'
        )
    config.task = 'binary'
    fit_heads(config.model)
    _score_foreground(config)


def tell_folders(config: Config) -> None:
    """Let each folder know that ``task`` is ``binary``: it may name the foreground only.

    Not those of a mixture with ``classes``, which says what becomes of theirs.
    """
    if config.get('task') != 'binary':
        return
    for name in LOADERS:
        loader = config.get(name)
        is_plain = loader and not loader['dataset'].get('classes')
        for dataset in inner_configs(loader['dataset']) if is_plain else ():
            if dataset['type'] in ('FolderDataset', f'{SCOPE}.FolderDataset'):
                dataset['metainfo'] = {**(dataset.get('metainfo') or {}), 'task': 'binary'}


def fit_heads(model: dict) -> None:
    """Give each head of a segmentor's config one output channel for two classes; in place.

    Raises:
        ValueError: it is no segmentor, or an argument of a head contradicts ``task=binary``.
    """
    if 'decode_head' not in model:
        raise ValueError('task=binary needs a segmentor, but the model has no decode_head')
    for name, head in heads(model):
        _set(head, f'model.{name}', num_classes=2, out_channels=1)
        threshold = head.setdefault('threshold', THRESHOLD)
        if not (isinstance(threshold, int | float) and 0 < threshold < 1):
            raise ValueError(
                f'threshold takes a number between 0 and 1, got {threshold!r}; set '
                f'model.{name}.threshold={THRESHOLD} or leave it out'
            )
        if 'foreground_prior' in _arguments(head):
            head.setdefault('foreground_prior', FOREGROUND_PRIOR)
        losses = head.get('loss_decode') or dict(type='CrossEntropyLoss')
        losses = losses if isinstance(losses, list | tuple) else [losses]
        head['loss_decode'] = [
            loss for given in losses for loss in _binary_losses(given, f'model.{name}.loss_decode')
        ]


def _set(head: dict, place: str, **values) -> None:
    for key, value in values.items():
        if head.get(key, value) not in (None, value):
            raise ValueError(
                f'task=binary has {key}={value}, but {place}.{key}={head[key]}; leave it out'
            )
        head[key] = value


def _arguments(head: dict) -> set[str]:
    """Arguments of a head's class and of its bases."""
    cls = _built_class(head)
    return {
        name
        for base in inspect.getmro(cls)
        if '__init__' in vars(base)
        for name in inspect.signature(base.__init__).parameters
    }


def _built_class(config: dict):
    kind = config['type']
    if not isinstance(kind, str):
        return kind
    cls = MODELS.get(kind)
    if cls is None:
        raise ValueError(f"type='{kind}' is no registered model; check its spelling")
    return cls


def _binary_losses(loss: dict, place: str) -> list[dict]:
    """What a loss becomes: itself, or cross entropy and Dice for a plain softmax loss.

    Raises:
        ValueError: it cannot be computed from one output channel.
    """
    cls = _built_class(loss)
    fix = (
        f'set {place} to BinaryCrossEntropyLoss, BinaryDiceLoss or '
        "dict(type='CrossEntropyLoss', use_sigmoid=True), or leave it out"
    )
    if cls.__name__ == 'CrossEntropyLoss':
        if loss.get('use_sigmoid'):
            return [loss]
        extra = sorted(key for key in set(loss) - PLAIN_ARGUMENTS if loss[key])
        if extra == ['class_weight']:
            fix = f'leave it out, or set {place.removesuffix("loss_decode")}foreground_prior'
        if extra:
            raise ValueError(
                f'task=binary has no softmax, which {place}.{extra[0]}={loss[extra[0]]!r} belongs '
                f'to; {fix}'
            )
        weight = dict(loss_weight=loss.get('loss_weight', 1.0))
        return [
            dict(type='BinaryCrossEntropyLoss', **weight),
            dict(type='BinaryDiceLoss', **weight),
        ]
    fits = cls.__name__ == 'FocalLoss' or loss.get('loss_type') == 'binary'
    if cls.__module__.startswith('mmseg.') and not fits:
        raise ValueError(
            f'task=binary has one output channel, which {loss["type"]} takes for class 0 or for '
            f'a softmax; {fix}'
        )
    return [loss]


def _score_foreground(config: Config) -> None:
    """Let the metrics score the foreground, and the run be saved by its IoU."""
    names = set()
    for key in EVALUATORS:
        evaluators = config.get(key) or []
        for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
            if METRICS.get(evaluator['type']) is METRICS.get(f'{SCOPE}.IoUMetric'):
                evaluator.setdefault('foreground', 1)
                names.add(key)
    hook = (config.get('default_hooks') or {}).get('checkpoint') or {}
    if 'val_evaluator' in names and hook.get('save_best') == 'mIoU':
        hook.update(save_best=SCORE, rule='greater')
