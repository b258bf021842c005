"""What differs between two configs that are given as text, without running either."""

import ast
from typing import Any

# They say where and how a run is started, not what it computes.
IGNORED = ('work_dir', 'load_from', 'resume', 'launcher', 'compile', 'custom_imports')
LONGEST = 60


def config_difference(before: str, now: str, most: int = 12) -> list[str]:
    """List the keys whose values differ.

    Args:
        before: ``Config.pretty_text`` of the one.
        now: of the other.
        most: longer lists end with their number.

    Returns:
        ``a.b.c: old -> new`` in the order of names; nothing where the first text is no config.
    """
    old, new = flat_config(before), flat_config(now)
    if not old:
        return []
    lines = [
        f'{key}: {_short(old, key)} -> {_short(new, key)}'
        for key in sorted({*old, *new})
        if old.get(key, ...) != new.get(key, ...) and key.split('.')[0] not in IGNORED
    ]
    more = [f'and {len(lines) - most} more'] if len(lines) > most else []
    return [*lines[:most], *more]


def _short(values: dict[str, Any], key: str) -> str:
    if key not in values:
        return 'absent'
    text = repr(values[key])
    return text if len(text) <= LONGEST else f'{text[: LONGEST - 3]}...'


def flat_config(text: str) -> dict[str, Any]:
    """Dotted names and values of the assignments of a config; nothing where it is no Python."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return {}
    values: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            _flatten(node.targets[0].id, _value(node.value), values)
    return values


def _flatten(name: str, value: Any, values: dict[str, Any]) -> None:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            _flatten(f'{name}.{key}', item, values)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            _flatten(f'{name}.{index}', item, values)
    else:
        values[name] = value


def _value(node: ast.expr) -> Any:
    """A literal, where ``dict(...)`` counts as one; the source of anything else."""
    if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'dict' and not node.args:
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        return {ast.unparse(key): _value(item) for key, item in zip(node.keys, node.values)}
    if isinstance(node, ast.List | ast.Tuple):
        items = [_value(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
