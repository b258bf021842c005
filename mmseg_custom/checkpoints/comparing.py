"""Whether a checkpoint belongs to a model, and what to change where it does not."""

import re
from collections.abc import Sequence
from math import isclose

from mmseg_custom.checkpoints.formats.description import HEADS, Description

_EPS_OPTIONS = {
    'norm': 'model.backbone.norm_cfg',
    'patch_norm': 'model.backbone.patch_norm_cfg',
    'sr_norm': 'model.backbone.sr_norm_cfg',
    'head_norm': 'model.decode_head.norm_cfg',
}
_HEAD_OPTIONS = {
    'conv': 'set model.decode_head.type=SegformerHead',
    'mlp': 'set model.decode_head.type=SegformerMLPHead',
    'mask': 'take a config with the mask decoder (segmenter_*_mask_*)',
    'linear': 'take a config with the linear decoder (segmenter_*_fcn_*)',
    'other': 'use the config it was trained with',
}
_LABEL_ZERO = {True: 'is ignored', False: 'is a class'}


def find_misfit(
    file: Description,
    model: Description,
    new_classes: bool,
    new_decoder: bool,
    new_channels: bool = False,
    new_classes_option: str = '--cfg-options new_classes=True',
) -> str | None:
    """Say why a checkpoint's parameters cannot be this model's, with the change that mends it.

    Args:
        file: what the checkpoint is.
        model: what the model is, with what is known of its data set; without a head where it is a
            backbone alone.
        new_classes: a classifier for other classes stays as it is initialised.
        new_decoder: a decoder that the file does not have stays as it is initialised.
        new_channels: the first convolution may be changed.
        new_classes_option: what to add for the first.

    Returns:
        The reason and the fix; None where the descriptions fit.
    """
    return (
        _network_misfit(file, model, new_classes, new_decoder, new_classes_option)
        or (None if new_channels else _channels_misfit(file, model))
        or (None if new_classes or new_decoder else _order_misfit(file, model))
    )


def _network_misfit(
    file: Description, model: Description, new_classes: bool, new_decoder: bool, option: str
) -> str | None:
    classes_misfit = None if new_classes else _classes_misfit(file, model, option)
    if model.family is None and model.head == file.head is not None:
        return classes_misfit
    if file.family is None or model.family is None:
        return None
    misfit = _backbone_misfit(file, model)
    if misfit is None and file.head == model.head == 'classification':
        misfit = classes_misfit
    if misfit or not model.has_decoder:
        return misfit
    if not file.has_decoder:
        if new_decoder:
            return None
        return (
            'the file has no decoder; it can start a training (tools/train.py with '
            "--cfg-options load_from=FILE, or model.backbone.init_cfg.type='Pretrained' and "
            '.checkpoint=FILE), but the whole model needs the file of a segmentor'
        )
    return _head_misfit(file, model) or classes_misfit


def _backbone_misfit(file: Description, model: Description) -> str | None:
    if (file.family, file.depths, file.dims) != (model.family, model.depths, model.dims):
        fix = ', '.join(_size_options(file, model)) or 'take a config with that backbone'
        return f'the file holds {file.size} weights, the model is {model.size}; {fix}'
    if file.family == 'vit' and file.patch_size != model.patch_size:
        return (
            f'the file has patches of {file.patch_size} pixels, the model of {model.patch_size}; '
            f'set model.backbone.patch_size={file.patch_size}'
        )
    if file.heads and model.heads and file.heads != model.heads:
        wanted = list(file.heads) if file.family == 'mit' else file.heads[0]
        return (
            f'the file has {_numbers(file.heads)} attention heads, the model '
            f'{_numbers(model.heads)}; set model.backbone.num_heads={wanted}'
        )
    if file.strides and model.strides and file.strides != model.strides:
        return (
            f'the file has strides {_numbers(file.strides)}, the model {_numbers(model.strides)}; '
            f'set model.backbone.strides={list(file.strides)}'
        )
    return None


def _numbers(values: tuple[int, ...]) -> str:
    return ', '.join(map(str, values))


def _size_options(file: Description, model: Description) -> list[str]:
    """Values of the config that give the model the backbone of the file."""
    if file.family != model.family or not file.heads:
        return []
    mit, other_dims = file.family == 'mit', file.dims != model.dims
    options = {}
    if other_dims:
        options['backbone.embed_dims'] = file.dims[0] // (file.heads[0] if mit else 1)
    if file.depths != model.depths:
        options['backbone.num_layers'] = list(file.depths) if mit else file.depths[0]
    if other_dims and not mit:
        options['backbone.num_heads'] = file.heads[0]
    if other_dims and model.has_decoder:
        options['decode_head.in_channels'] = list(file.dims) if mit else file.dims[0]
        if not mit:
            options['decode_head.channels'] = file.dims[0]
        if model.head == 'mask':
            options['decode_head.embed_dims'] = file.dims[0]
            options['decode_head.num_heads'] = file.decoder_heads or file.heads[0]
    texts = [f'model.{name}={value}'.replace(' ', '') for name, value in options.items()]
    return [f'set {texts[0]}', *texts[1:]] if texts else []


def _head_misfit(file: Description, model: Description) -> str | None:
    if file.head != model.head:
        return (
            f'the file has {HEADS[file.head]}, the model has {HEADS[model.head]}; '
            f'{_HEAD_OPTIONS[file.head]}'
        )
    if file.decoder_heads not in (None, model.decoder_heads):
        return (
            f"the file's decoder has {file.decoder_heads} attention heads, the model's "
            f'{model.decoder_heads}; set model.decode_head.num_heads={file.decoder_heads}'
        )
    if file.width != model.width:
        return (
            f"the file's decoder is {file.width} wide, the model's {model.width}; set "
            f'model.decode_head.channels={file.width}'
        )
    return None


def _classes_misfit(file: Description, model: Description, option: str) -> str | None:
    # Without a number the classifier is missing, which is said of the parameters.
    if file.num_classes not in (None, model.num_classes):
        if file.num_classes == 1 and model.num_classes == 2:
            return 'the file has one output channel for two classes; add --cfg-options task=binary'
        return (
            f'the file has {file.num_classes} classes, the model {model.num_classes}; to train '
            f'other classes from these weights add {option}, else use the config it was trained '
            'with'
        )
    return None


def _channels_misfit(file: Description, model: Description) -> str | None:
    """Say that a first convolution would have to be changed; None where it fits."""
    if None in (file.in_channels, model.in_channels) or file.in_channels == model.in_channels:
        return None
    return (
        f'the file takes pictures of {file.in_channels} channels, the model of '
        f'{model.in_channels}; set model.backbone.in_channels={file.in_channels}'
    )


def find_differences(file: Description, model: Description) -> list[str]:
    """Say what no tensor shows: other epsilons, pictures and labels, each with its option.

    Args:
        file: what the checkpoint is, with what is known of its source.
        model: what the model is, with what is known of its data set.

    Returns:
        One line for each difference.
    """
    comparisons = (_eps_difference, _picture_difference, _label_difference, _name_difference)
    lines = (compare(file, model) for compare in comparisons)
    return [line for line in lines if line]


def _eps_difference(file: Description, model: Description) -> str | None:
    differing = {
        kind: eps
        for kind, eps in file.eps.items()
        if kind in model.eps and not isclose(eps, model.eps[kind], rel_tol=1e-6)
    }
    if not differing:
        return None
    was = ', '.join(f'{kind} {eps:g}' for kind, eps in differing.items())
    now = ', '.join(f'{model.eps[kind]:g}' for kind in differing)
    return (
        f'eps of layer norms: {was} in the file, {now} in the model, so outputs differ a little; '
        f'for the same numbers --cfg-options {" ".join(eps_options(differing))}'
    )


def _picture_difference(file: Description, model: Description) -> str | None:
    if not (file.mean and model.mean) or _same_normalisation(file, model):
        return None
    if file.in_channels == model.in_channels:
        fix = f'--cfg-options {" ".join(normalisation_options(file))}'
    else:
        fix = 'pictures have other channels, so check model.data_preprocessor.mean and .std'
    return (
        f'normalisation: {_normalisation(file)} in the file, {_normalisation(model)} in the model; '
        f'{fix}'
    )


def _label_difference(file: Description, model: Description) -> str | None:
    other_classes = not file.has_decoder or file.num_classes != model.num_classes
    if other_classes or None in (file.reduce_labels, model.reduce_labels):
        return None
    if file.reduce_labels == model.reduce_labels:
        return None
    was, now = (_LABEL_ZERO[one.reduce_labels] for one in (file, model))
    return (
        f'labels: 0 {was} in the file, {now} in the data set; where the masks are numbered as in '
        f'the training of the file, set reduce_zero_label={file.reduce_labels} of the data set'
    )


def _name_difference(file: Description, model: Description) -> str | None:
    index = _first_other_class(file, model)
    if index is None:
        return None
    return (
        f"class names: class {index} is '{file.classes[index]}' in the file, "
        f"'{model.classes[index]}' in the data set"
    )


def _order_misfit(file: Description, model: Description) -> str | None:
    """Say that the file has the data set's classes in another order; None where it has not.

    Other names alone may be other words for the same classes, and one of them may be a word that
    the data set has for another class; an order differs in two places at least.
    """
    difference = _name_difference(file, model)
    if difference is None:
        return None
    theirs, ours = _spelled_alike(file.classes), _spelled_alike(model.classes)
    moved = [name for name, own in zip(theirs, ours, strict=True) if name != own and name in ours]
    if len(moved) < 2:
        return None
    return (
        f'{difference}, which has the classes in another order, so scores would be of the wrong '
        "class; give the data set the file's order (test_dataloader.dataset.metainfo.classes; a "
        'folder: masks numbered so), or use the config it was trained with'
    )


def _first_other_class(file: Description, model: Description) -> int | None:
    """Index of the first class with another name; None where they agree or are not comparable."""
    if not (file.classes and model.classes) or file.head is None or file.head != model.head:
        return None
    theirs, ours = _spelled_alike(file.classes), _spelled_alike(model.classes)
    if len(theirs) != len(ours):
        return None
    return next((i for i, name in enumerate(theirs) if name != ours[i]), None)


def _spelled_alike(names: Sequence[str]) -> list[str]:
    """Without case, separators and, where a name lists several words, all but the first."""
    first = (re.split('[,;]', name)[0] for name in names)
    return [' '.join(name.replace('_', ' ').casefold().split()) for name in first]


def eps_options(eps: dict[str, float]) -> list[str]:
    """Options that give a model these epsilons."""
    return [
        f"\"{_EPS_OPTIONS[kind]}={{'type':'LN','eps':{value:g}}}\"" for kind, value in eps.items()
    ]


def normalisation_options(file: Description) -> list[str]:
    """Options that give a model the normalisation of the file."""
    options = [
        f'model.data_preprocessor.{key}={_rounded(getattr(file, key))}' for key in ('mean', 'std')
    ]
    if file.in_channels == 3:
        options.append(f'model.data_preprocessor.bgr_to_rgb={_order(file) == "rgb"}')
    return options


def _order(described: Description) -> str:
    return described.channel_order or 'rgb'


def _normalisation(described: Description) -> str:
    order = f' of {_order(described).upper()}' if described.in_channels == 3 else ''
    return f'mean {_rounded(described.mean)}, std {_rounded(described.std)}{order}'


def _same_normalisation(file: Description, model: Description) -> bool:
    if file.in_channels == model.in_channels == 3 and _order(file) != _order(model):
        return False
    theirs, ours = (*file.mean, *file.std), (*model.mean, *model.std)
    pairs = zip(theirs, ours, strict=False)
    return len(theirs) == len(ours) and all(isclose(a, b, rel_tol=1e-4) for a, b in pairs)


def _rounded(values: tuple[float, ...]) -> str:
    return '[' + ','.join(f'{value:.6g}' for value in values) + ']'


def options_of(file: Description) -> list[str]:
    """Options of a config that give a model of that size the numbers of the file."""
    options = eps_options(file.eps)
    if file.mean and file.std:
        options += normalisation_options(file)
    types = {'mlp': 'SegformerMLPHead', 'conv': 'SegformerHead'}
    if file.head in types:
        options += [f'model.decode_head.type={types[file.head]}']
        options += [f'model.decode_head.channels={file.width}']
    return options
