"""A config as the text that a run prints and saves: short, in its own order, Python again.

mmengine sorts the keys, gives each number of a list a line of its own, and puts the whole through a
code formatter: a quarter of a second for each of the many times that a run writes its config.
"""

import keyword
from typing import Any

from mmengine.config import Config

WIDTH = 100
INDENT = '    '


class ReadableConfig(Config):
    """``mmengine.Config`` whose ``pretty_text`` is :func:`format_config`."""

    @classmethod
    def of(cls, config: Config) -> 'ReadableConfig':
        """The same config, of this class."""
        return cls(config._cfg_dict, config.text, config.filename, config.env_variables)

    @property
    def pretty_text(self) -> str:
        """The resolved config as Python."""
        return format_config(self.to_dict())


def format_config(values: dict) -> str:
    """Python that gives ``values``: a line or more for each key, in their order.

    Args:
        values: nested dicts, lists and tuples of what ``repr`` can write.
    """
    return ''.join(f'{key} = {_text(value, "", len(key) + 3)}\n' for key, value in values.items())


def _text(value: Any, indent: str, used: int) -> str:
    """One value; on one line where it fits behind the ``used`` characters before it."""
    if not isinstance(value, dict | list | tuple):
        return repr(value)
    line = _bracketed(value, [_entry(*item, '', 0) for item in _items(value)])
    if len(indent) + used + len(line) < WIDTH or not value:
        return line
    inner = indent + INDENT
    entries = [f'\n{inner}{_entry(*item, inner, 1)},' for item in _items(value)]
    return _bracketed(value, entries, f'\n{indent}')


def _items(value: dict | list | tuple) -> list[tuple[Any, Any]]:
    """The entries with what is written before each: ``key=``, ``'key': ``, or nothing."""
    if not isinstance(value, dict):
        return [('', entry) for entry in value]
    written = '{}=' if _is_call(value) else '{!r}: '
    return [(written.format(key), entry) for key, entry in value.items()]


def _entry(before: str, value: Any, indent: str, after: int) -> str:
    return before + _text(value, indent, len(before) + after)


def _is_call(value: dict) -> bool:
    """Whether ``dict(key=...)`` can write these keys."""
    return all(isinstance(k, str) and k.isidentifier() and not keyword.iskeyword(k) for k in value)


def _bracketed(value: dict | list | tuple, entries: list[str], end: str = '') -> str:
    if isinstance(value, dict):
        left, right = ('dict(', ')') if _is_call(value) else ('{', '}')
    else:
        left, right = ('[', ']') if isinstance(value, list) else ('(', ')')
    comma = ',' if isinstance(value, tuple) and len(value) == 1 and not end else ''
    return left + ('' if end else ', ').join(entries) + comma + end + right
