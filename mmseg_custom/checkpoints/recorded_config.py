"""What the config that a run keeps as text in its checkpoints says of pictures and labels.

The text is Python, of which only literals and ``dict(...)`` are read; nothing of it runs.
"""

import ast
from collections.abc import Iterator


def read_config(text: str) -> dict:
    """Read the top-level names and values of a config; what is no literal is None.

    Args:
        text: the resolved config, as mmengine and mmcv write it.
    """
    try:
        assignments = [node for node in ast.parse(text).body if isinstance(node, ast.Assign)]
        return {
            node.targets[0].id: _value(node.value)
            for node in assignments
            if isinstance(node.targets[0], ast.Name)
        }
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}


def read_preprocessing(text: str) -> dict:
    """Read normalisation, picture size and labels from a config of MMSegmentation 0.x or 1.x.

    Args:
        text: the resolved config, as mmengine and mmcv write it.

    Returns:
        ``mean``, ``std``, ``channel_order``, ``image_size`` and ``reduce_labels`` as in
        :class:`~mmseg_custom.checkpoints.formats.description.Description`, as far as it says them.
    """
    config = read_config(text)
    dicts = list(_dicts(config))
    model = config.get('model') if isinstance(config.get('model'), dict) else {}
    preprocessor = model.get('data_preprocessor') or config.get('data_preprocessor')
    is_step = not isinstance(preprocessor, dict)
    if is_step:
        # MMSegmentation 0.x normalises in the pipeline, by default in RGB.
        preprocessor = next((step for step in dicts if step.get('type') == 'Normalize'), {})
    mean, std = _numbers(preprocessor.get('mean')), _numbers(preprocessor.get('std'))
    found = {'image_size': _image_size(config, model, preprocessor)}
    if mean and std:
        in_rgb = preprocessor.get('bgr_to_rgb', preprocessor.get('to_rgb', is_step))
        found |= {'mean': mean, 'std': std, 'channel_order': 'rgb' if in_rgb else 'bgr'}
    said = {one['reduce_zero_label'] for one in dicts if type(one.get('reduce_zero_label')) is bool}
    if len(said) == 1:
        (found['reduce_labels'],) = said
    elif not said and isinstance(config.get('data'), dict):
        # MMSegmentation 0.x keeps label 0 unless the pipeline says otherwise.
        found['reduce_labels'] = False
    return {key: value for key, value in found.items() if value is not None}


def _image_size(config: dict, model: dict, preprocessor: dict) -> tuple[int, int] | None:
    """Height and width that a ViT's positions are made for, else those of a training's crops."""
    backbone = model.get('backbone') if isinstance(model.get('backbone'), dict) else {}
    if str(backbone.get('type')).split('.')[-1] == 'VisionTransformer':
        sizes = [backbone.get('img_size')]
    else:
        crops = [one for one in _dicts(config) if str(one.get('type')).endswith('Crop')]
        sizes = [one.get('crop_size') for one in (*crops, config)]
        sizes.insert(0, preprocessor.get('size'))
    for size in sizes:
        sides = (size, size) if isinstance(size, int) else _numbers(size)
        if sides and len(sides) == 2:
            return int(sides[0]), int(sides[1])
    return None


def _numbers(values) -> tuple[float, ...] | None:
    if not isinstance(values, list | tuple) or not values:
        return None
    return tuple(values) if all(isinstance(value, int | float) for value in values) else None


def _value(node: ast.expr | None):
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        return {one.arg: _value(one.value) for one in node.keywords if one.arg}
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {k.value: _value(v) for k, v in pairs if isinstance(k, ast.Constant)}
    if isinstance(node, ast.List | ast.Tuple):
        values = [_value(one) for one in node.elts]
        return tuple(values) if isinstance(node, ast.Tuple) else values
    try:
        return ast.literal_eval(node)
    except (TypeError, ValueError):
        return None


def _dicts(value) -> Iterator[dict]:
    """Every dict in nested dicts and lists."""
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value:
        if isinstance(one, dict | list | tuple):
            yield from _dicts(one)
