"""Loading weights into a model: converted as needed, reported in one table, or refused."""

import os
import re
from collections.abc import Callable, Mapping
from math import isqrt

from torch import Tensor, nn

from mmseg_custom.checkpoints.adapt import PATCH_BIAS, POSITIONS, adapt, describe_model
from mmseg_custom.checkpoints.comparing import find_differences, find_misfit
from mmseg_custom.checkpoints.formats import convert
from mmseg_custom.checkpoints.formats.description import Description, Weights
from mmseg_custom.checkpoints.load_report import LoadReport, part_of
from mmseg_custom.checkpoints.reading import describe_mismatch, read, shape_of

# Parameters that exist once per class.
_OF_CLASSES = re.compile(
    r'(decode_head|auxiliary_head)\.(\d+\.)?(conv_seg\.\w+|cls_emb|mask_norm\.\w+)|head\.fc\.\w+'
)
_BACKBONE = 'backbone.'
_AUXILIARY = 'auxiliary_head.'
# A ViT of which layers inside are taken has no norm after the last one.
_FINAL_NORM = 'backbone.ln1.'


def open_weights(source: str | os.PathLike) -> Weights:
    """Find, read, recognise and convert a checkpoint.

    Args:
        source: path of a file or folder, link, or name of published weights.

    Returns:
        Its parameters by our names, with a description.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, could run code, is incomplete, or has no counterpart here.
    """
    return convert(read(source))


def load_weights(
    model: nn.Module,
    source: str | os.PathLike | Weights,
    new_classes: bool = False,
    new_decoder: bool = False,
    new_channels: bool = False,
    model_name: str = 'the model',
    show: Callable[[str], None] | None = print,
    prefix: str | None = None,
    new_classes_option: str = '--cfg-options new_classes=True',
    dataset_meta: Mapping | None = None,
) -> LoadReport:
    """Load a checkpoint of any known source into a model, or fail without changing it.

    Every parameter of the model must come from the file. Left as they are initialised are only
    what the two options below name, and auxiliary heads that the file does not have.

    Args:
        model: a segmentor, a classifier, or a backbone alone, which takes ``backbone.*`` only.
        source: path, link or name of a checkpoint, or an opened one.
        new_classes: leave the classifier as it is where its number of classes is another.
        new_decoder: leave the decoder as it is where the file has none.
        new_channels: fit the first convolution to pictures of other channels, which changes what
            the network computes; always done for a backbone alone.
        model_name: how messages call the model.
        show: gets the report as text; None shows nothing.
        prefix: what the names of the model's parameters begin with in the file, by our names, such
            as ``decode_head.``; None finds out whether it is a backbone.
        new_classes_option: how messages say what sets ``new_classes``.
        dataset_meta: ``metainfo`` of the data set at hand, whose ``classes`` and
            ``reduce_zero_label`` are compared with the file's. Its classes in another order are an
            error, unless something may be new: a training learns them.

    Returns:
        What was loaded, is new, unused, or of a wrong shape.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, is of another size, or does not fill the model; the message
            names what to change.
    """
    weights = source if isinstance(source, Weights) else open_weights(source)
    file, own_names = weights.description, model.state_dict()
    prefix = _prefix_in(weights, own_names) if prefix is None else _checked(prefix, weights)
    wanted = {f'{prefix}{name}': value for name, value in own_names.items()}
    described = describe_model(model, prefix, dataset_meta)
    may_be_new = (new_classes, new_decoder, new_channels or bool(prefix))
    misfit = find_misfit(file, described, *may_be_new, new_classes_option)
    if misfit is None:
        given, adapted = adapt(weights, wanted, getattr(model, 'backbone', model))
        report = _sorted(weights, given, wanted, new_classes, new_decoder)
        misfit = _parameter_misfit(report, given, wanted, prefix, described)
    if misfit:
        held = _with_article(file.kind)
        raise ValueError(
            f'checkpoint {weights.name} does not fit {model_name}: it holds {held}; {misfit}'
        )
    loaded = {name.removeprefix(prefix): given[name] for name in report.loaded}
    model.load_state_dict(loaded, strict=False)
    report.adapted = adapted
    report.notes = [*weights.notes, *_what_is_new(report, described)]
    report.notes += find_differences(file, described)
    if show is not None:
        show(str(report))
    return report


def _prefix_in(weights: Weights, own_names: Mapping) -> str:
    """``backbone.`` where the model is the backbone of what the file holds."""
    whole = any(name.startswith(_BACKBONE) for name in own_names)
    has_backbone = any(name.startswith(_BACKBONE) for name in weights.state_dict)
    return _BACKBONE if has_backbone and not whole else ''


def _checked(prefix: str, weights: Weights) -> str:
    prefix = prefix if not prefix or prefix.endswith('.') else f'{prefix}.'
    if not any(name.startswith(prefix) for name in weights.state_dict):
        parts = dict.fromkeys(f'{part_of(name)}.' for name in weights.state_dict)
        raise ValueError(
            f'checkpoint {weights.name} has no parameters under prefix={prefix!r}; expected one of '
            f'{", ".join(list(parts)[:5])}'
        )
    return prefix


def _what_is_new(report: LoadReport, model: Description) -> list[str]:
    lines = []
    if model.has_decoder and not report.description.has_decoder and report.new:
        lines.append('the decoder is new: the file has none')
    if report.wrong_shape:
        lines.append(
            f'the classifier is new: the file has {report.description.num_classes} classes, the '
            f'model {model.num_classes}'
        )
    return lines


def _with_article(kind: str) -> str:
    if kind.startswith('weights'):
        return kind
    return f'{"an" if kind[0] in "AEIOUaeiou" else "a"} {kind}'


def _is_zero(value: Tensor | None) -> bool:
    return value is None or not value.any()


def _patch_bias_misfit(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    if POSITIONS not in wanted or PATCH_BIAS in wanted or _is_zero(given.get(PATCH_BIAS)):
        return None
    return (
        'the patch embedding has a bias in the file and none in the model, as is the default of '
        'mmseg 1.2; set model.backbone.patch_bias=True'
    )


def _positions_misfit(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    if POSITIONS not in given or POSITIONS not in wanted:
        return None
    counts = given[POSITIONS].shape[1] - 1, wanted[POSITIONS].shape[1] - 1
    if counts[0] == counts[1] or isqrt(counts[0]) ** 2 == counts[0]:
        return None
    return (
        f'the file has positions for {counts[0]} patches, which fill no square, and does not say '
        f'how many rows, the model for {counts[1]}; set model.backbone.img_size to the height and '
        'width in pixels that the file was trained with'
    )


def _final_norm_misfit(report: LoadReport) -> str | None:
    has_decoder = any(name.startswith(('decode_head.', 'head.')) for name in report.loaded)
    if not has_decoder or not any(name.startswith(_FINAL_NORM) for name in report.unused):
        return None
    return (
        "the file's decoder was trained on tokens after the backbone's final norm, which the model "
        'has not; set model.backbone.final_norm=True'
    )


def _sorted(
    weights: Weights,
    given: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    new_classes: bool,
    new_decoder: bool,
) -> LoadReport:
    """Say of each parameter of model and file what becomes of it."""
    report = LoadReport(weights.name, weights.description)
    has_auxiliary = any(name.startswith(_AUXILIARY) for name in given)
    has_decoder = any(name.startswith('decode_head.') for name in given)
    for name, value in wanted.items():
        other_shape = name in given and shape_of(given[name]) != shape_of(value)
        if other_shape and new_classes and _OF_CLASSES.fullmatch(name):
            report.wrong_shape.append(name)
            report.new.append(name)
        elif name in given:
            report.loaded.append(name)
        elif (
            (name.startswith(_AUXILIARY) and not has_auxiliary)
            or (name.startswith('decode_head.') and not has_decoder and new_decoder)
            or (name.startswith('head.') and new_decoder and 'head.fc.weight' not in given)
        ):
            report.new.append(name)
    unused = [name for name in given if name not in wanted]
    report.unused = [*unused, *weights.ignored]
    return report


def _parameter_misfit(
    report: LoadReport, given: Mapping, wanted: Mapping, prefix: str, model: Description
) -> str | None:
    """Say why parameters that should load do not, with the fix; None where all is well."""
    misfit = (
        _patch_bias_misfit(given, wanted)
        or _positions_misfit(given, wanted)
        or _final_norm_misfit(report)
    )
    if misfit:
        return misfit
    other_network = not (prefix or model.family)
    problems = _problems(report, given, wanted, prefix, other_network)
    return f'{problems}; {_fix(report, given, wanted, prefix)}' if problems else None


def _problems(
    report: LoadReport, given: Mapping, wanted: Mapping, prefix: str, other_network: bool
) -> str:
    """Describe what should load and does not; empty where all is well."""
    left_out = {*report.new, *report.wrong_shape}
    unneeded = {
        name
        for name in report.unused
        if name.startswith((_AUXILIARY, 'head.', _FINAL_NORM))
        or (name == PATCH_BIAS and _is_zero(given[name]))
        # What other networks leave out, such as a classifier, has any name.
        or other_network
        or not name.startswith(prefix)
    }
    return describe_mismatch(
        {k: shape_of(v) for k, v in given.items() if k not in left_out | unneeded},
        {
            k: shape_of(v)
            for k, v in wanted.items()
            if k not in left_out and not (k.endswith('num_batches_tracked') and k not in given)
        },
    )


def _fix(report: LoadReport, given: Mapping, wanted: Mapping, prefix: str) -> str:
    own_names = [name.removeprefix(prefix) for name in wanted]
    for part in ('decode_head.', 'head.'):
        if own_names and all(f'{part}{name}' in given for name in own_names):
            return f"add prefix='{part}' to its init_cfg"
    missing = [name for name in own_names if not any(n.endswith(name) for n in given)]
    if report.description.family and missing:
        return 'the file is incomplete, or use the config it was trained with'
    return 'use the config it was trained with'
