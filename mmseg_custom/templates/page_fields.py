"""The fields of a template as parts of a page, from the template's JSON schema alone."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmseg_custom.web.pages import import_gradio

if TYPE_CHECKING:
    import gradio

# A slider of more steps cannot be set with a finger.
MOST_SLIDER_STEPS = 1000


def form_of(schema: dict) -> dict[str, 'gradio.components.Component']:
    """Build a part for each field, in the schema's order, by the fields' names.

    Args:
        schema: JSON schema of a template, with ``default``, ``minimum``, ``maximum``, ``step``,
            ``unit`` and ``enum`` where they apply.
    """
    return {name: _part(name, field) for name, field in schema['properties'].items()}


def values_of(schema: dict, values: Sequence) -> dict[str, Any]:
    """What the parts hold, as the template takes it; what cannot be converted stays as it is.

    Args:
        schema: as in :func:`form_of`.
        values: of the parts, in the schema's order.
    """
    fields = schema['properties'].items()
    return {name: _value(field, value) for (name, field), value in zip(fields, values, strict=True)}


def _part(name: str, field: dict) -> 'gradio.components.Component':
    gradio = import_gradio()
    default, kind = field.get('default'), field.get('type')
    shared = dict(label=name, info=_info(field))
    if 'enum' in field:
        return gradio.Dropdown([*field['enum']], value=default, **shared)
    if kind not in ('integer', 'number'):
        return gradio.Textbox(_text(default), max_lines=1, **shared)
    low, high, step = (field.get(key) for key in ('minimum', 'maximum', 'step'))
    if None not in (low, high, step) and (high - low) / step <= MOST_SLIDER_STEPS:
        return gradio.Slider(low, high, value=default, step=step, **shared)
    # The bounds of a typed number are checked with the other fields, which names it.
    return gradio.Number(
        default,
        step=step or abs(default) / 10 or 1,
        precision=0 if kind == 'integer' else None,
        **shared,
    )


def _info(field: dict) -> str:
    """What the field is, its unit and its bounds, where no slider shows them."""
    bounds = field.get('items', field)
    low, high = bounds.get('minimum'), bounds.get('maximum')
    allowed = '' if low is None else f'from {low:g}' + ('' if high is None else f' to {high:.10g}')
    facts = ', '.join(part for part in (field.get('unit', ''), allowed) if part)
    help_text = field.get('description', '')
    return f'{help_text} ({facts})' if facts else help_text


def _text(value: Any) -> str:
    return ', '.join(map(str, value)) if isinstance(value, list) else str(value)


def _value(field: dict, value: Any) -> Any:
    kind = field.get('type')
    if kind == 'array':
        numbers = [part for part in re.split(r'[\s,;x\[\]]+', str(value)) if part]
        whole = all(number.lstrip('-').isdecimal() for number in numbers)
        return [int(number) for number in numbers] if whole else value
    if kind == 'integer' and isinstance(value, float) and value.is_integer():
        return int(value)
    return value
