"""Params files: the YAML of hosted platforms, read with every fault named, with comments."""

import os
import re
import reprlib
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, SerializeAsAny, ValidationError

from mmseg_custom.messages import did_you_mean
from mmseg_custom.templates.fields import FieldFacts
from mmseg_custom.templates.models import NO_WEIGHTS, TEMPLATES, TemplateFields

TRAIN_PARAMS = 'train_params'
WIDTH = 100
# YAML 1.2's numbers: PyYAML takes 1e-4 for text.
FLOAT = re.compile(r'[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)$')
TOP_LEVEL = {
    'dataset_id': 'name of a data set, or its folder',
    'dataset_version_id': 'one of its versions; empty makes one of its present files',
    'concepts': "the classes to learn; [] takes all of the data set's",
}
# What a hosted file may have beside these and is of no use here.
HOSTED_KEYS = ('inference_params',)


class Params(BaseModel):
    """What a training is asked for.

    Args:
        dataset_id: name of a data set, or a folder; empty where it is not chosen yet.
        dataset_version_id: a version of it; None for its present files.
        concepts: the classes to learn; None for all.
        train_params: the fields of a template.
    """

    model_config = ConfigDict(extra='forbid', strict=True, frozen=True)

    dataset_id: str = ''
    dataset_version_id: str | None = None
    concepts: list[str] | None = None
    train_params: SerializeAsAny[TemplateFields]

    @property
    def template(self) -> str:
        """Name of the template."""
        return self.train_params.template

    def content(self) -> dict:
        """The params as the plain values of a file."""
        fields = {'template': self.template, **self.train_params.model_dump()}
        return {**self.model_dump(exclude={TRAIN_PARAMS}), TRAIN_PARAMS: fields}

    def updated(self, **changes) -> 'Params':
        """The same with other values; fields of ``train_params`` are given by their names.

        Raises:
            ValueError: as :func:`load_params`.
        """
        content = self.content()
        for name, value in changes.items():
            part = content if name in Params.model_fields else content[TRAIN_PARAMS]
            part[name] = value
        return parse_params(content, 'the update')


def default_params(template: str, **top_level) -> Params:
    """The defaults of a template.

    Args:
        template: its name.
        **top_level: fields of :class:`Params`.

    Raises:
        ValueError: there is no such template.
    """
    return Params(train_params=_fields_class(template, 'template')(), **top_level)


def load_params(source: str | os.PathLike, template: str | None = None) -> Params:
    """Read a params file.

    Args:
        source: its path, or its text (which has more than one line).
        template: the template that it must be for; None for any.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no YAML of plain values, or values do not fit: a line for each fault with
            field, value and what the field takes.
    """
    is_text = isinstance(source, str) and '\n' in source
    where = 'the params' if is_text else str(source)
    if not is_text and not Path(source).is_file():
        raise FileNotFoundError(
            f'no params file {source}; write one with: tools/segmenter.py params '
            f'{template or next(iter(TEMPLATES))} > {source}'
        )
    try:
        text = source if is_text else Path(source).read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f'{where} is not UTF-8 text ({error.reason}); save it as UTF-8') from error
    return parse_params(_read_yaml(text, where), where, template)


def parse_params(content: Any, where: str, template: str | None = None) -> Params:
    """Check the values of a params file.

    Args:
        content: its plain values.
        where: where they are written, for messages.
        template: as in :func:`load_params`.

    Raises:
        ValueError: as :func:`load_params`.
    """
    fields = _train_params(content, where)
    cls = _fields_class(fields.pop('template', None), f'{where}: {TRAIN_PARAMS}.template')
    if template is not None and cls.template != template:
        raise ValueError(
            f'{where}: {TRAIN_PARAMS}.template is {cls.template}, but {template} was asked for; '
            f'take a params file of {template}, or that template'
        )
    # The hosted form leaves empty what is not chosen.
    top = {str(key): value for key, value in content.items() if value not in ('', [], None)}
    for key in (TRAIN_PARAMS, *HOSTED_KEYS):
        top.pop(key, None)
    faults, train_params = [], cls()
    try:
        train_params = cls(**{str(key): value for key, value in fields.items()})
    except ValidationError as error:
        faults += _faults(error, cls, f'{where}: {TRAIN_PARAMS}.')
    try:
        params = Params(train_params=train_params, **top)
    except ValidationError as error:
        faults += _faults(error, cls, f'{where}: ')
    if faults:
        raise ValueError('\n'.join(faults))
    return params


def dump_params(params: Params) -> str:
    """Write a params file with a comment for each field: what it is, its range, its unit."""
    fields = params.train_params
    lines = [f'# {fields.template}: {fields.summary}']
    written = params.content()
    for name, words in TOP_LEVEL.items():
        empty = [] if name == 'concepts' else ''
        lines += [f'# {words}', f'{name}: {_yaml(written[name] or empty)}']
    lines += [f'{TRAIN_PARAMS}:', f'  template: {fields.template}']
    for name, facts in fields.facts().items():
        comment = f'{facts.help}: {facts.allowed()}'
        lines += textwrap.wrap(comment, WIDTH, initial_indent='  # ', subsequent_indent='  # ')
        lines.append(f'  {name}: {_yaml(written[TRAIN_PARAMS][name])}')
    return '\n'.join(lines) + '\n'


def _yaml(value: Any) -> str:
    """A value on one line, as :class:`_Loader` reads it."""
    if value is None:
        return NO_WEIGHTS
    text = yaml.dump(value, None, _Dumper, default_flow_style=True, allow_unicode=True, width=1e9)
    return text.removesuffix('...\n').strip()


class _Loader(yaml.SafeLoader):
    """Plain values, with ``1e-4`` a number, and no key twice."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' occurs twice, remove one", key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


# A few lines of YAML can stand for billions of values.
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, WIDTH, WIDTH


class _Dumper(yaml.SafeDumper):
    """Puts text in quotes that :class:`_Loader` would take for a number."""


for _one in (_Loader, _Dumper):
    _one.add_implicit_resolver('tag:yaml.org,2002:float', FLOAT, list('-+.0123456789'))


def _read_yaml(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        line = f', line {mark.line + 1}' if mark else ''
        problem = getattr(error, 'problem', None) or str(error).splitlines()[0]
        raise ValueError(
            f'{where}{line} is no YAML of plain values: {problem}; expected lines such as '
            "'batch_size: 2'"
        ) from error


def _train_params(content: Any, where: str) -> dict:
    """The part with the fields of a template."""
    given = content if isinstance(content, Mapping) else {}
    if isinstance(given.get(TRAIN_PARAMS), Mapping):
        return dict(given[TRAIN_PARAMS])
    written = 'as tools/segmenter.py params TEMPLATE writes them'
    if TRAIN_PARAMS in given:
        raise ValueError(
            f'{where}: {TRAIN_PARAMS} is {_shown(given[TRAIN_PARAMS])}; expected template and its '
            f'fields below it, {written}'
        )
    hints = (
        f'; {key} is unknown, {hint}'
        for key in map(str, given)
        if (hint := did_you_mean(key, [TRAIN_PARAMS], cutoff=0.7))
    )
    raise ValueError(
        f'{where} holds no {TRAIN_PARAMS}; expected {", ".join(Params.model_fields)}, {written}'
        f'{next(hints, "")}'
    )


def _fields_class(template: Any, where: str) -> type[TemplateFields]:
    is_text = isinstance(template, str)
    if is_text and template in TEMPLATES:
        return TEMPLATES[template]
    what = f'{_shown(template)}, which is no template here' if template else 'missing'
    hint = did_you_mean(template, [*TEMPLATES], cutoff=0.7) if is_text else ''
    raise ValueError(
        f'{where} is {what}; expected one of {", ".join(TEMPLATES)}{hint and f"; {hint}"}'
    )


def _faults(error: ValidationError, cls: type[TemplateFields], where: str) -> list[str]:
    """A line for each field that is wrong."""
    found: dict[str, str] = {}
    is_top = error.title == Params.__name__
    facts = {} if is_top else cls.facts()
    for one in error.errors(include_url=False):
        name = str(one['loc'][0])
        if name in found:
            continue
        if one['type'] == 'extra_forbidden':
            found[name] = f'{where}{_unknown(name, cls, is_top)}'
        elif is_top:
            found[name] = f'{where}{name} is {_wrong_at_top(name, one)}'
        else:
            found[name] = f'{where}{name} is {_wrong(facts[name], cls, name, one)}'
    return list(found.values())


def _unknown(name: str, cls: type[TemplateFields], is_top: bool) -> str:
    top, below = [*Params.model_fields], ['template', *cls.model_fields]
    own, others, place = (top, below, 'below') if is_top else (below, top, 'beside')
    if is_top and name in cls.model_fields:
        return f'{name} stands beside {TRAIN_PARAMS}; write it below {TRAIN_PARAMS}'
    if not is_top and name in Params.model_fields:
        return f'{name} stands below {TRAIN_PARAMS}; write it beside {TRAIN_PARAMS}'
    owners = [other for other, fields in TEMPLATES.items() if name in fields.model_fields]
    if owners and not is_top:
        return (
            f'{name} is a field of {", ".join(owners)}, but the file is for {cls.template}; remove '
            'it, or change the template'
        )
    known = {other: f'{other} {place} {TRAIN_PARAMS}' for other in others}
    hint = did_you_mean(name, known | dict(zip(own, own))) or f'known: {", ".join(own)}'
    return f'{name} is unknown; {hint}'


def _wrong_at_top(name: str, one: Mapping) -> str:
    """Value, what the key takes, and what to write."""
    value, takes = one['input'], 'a list of names' if name == 'concepts' else 'text'
    if isinstance(value, str):
        hint = f'; write {name}: [{_yaml(value)}]'
    else:
        hint = '' if isinstance(value, list | dict | None) else '; write it in quotes'
    return f'{_shown_part(one)}; expected {takes}, {TOP_LEVEL[name]}{hint}'


def _wrong(facts: FieldFacts, cls: type[TemplateFields], name: str, one: Mapping) -> str:
    """Value, what the field takes, and what to write."""
    value = one['input']
    hint = str(one.get('ctx', {}).get('error', ''))
    owners = [
        other
        for other, fields in TEMPLATES.items()
        if name in fields.model_fields and value in fields.facts()[name].choices
    ]
    if owners:
        hint = f'that is one of {", ".join(owners)}, but the file is for {cls.template}'
    nearest = None if _is_entry(one) else facts.nearest(value)
    offered = _yaml(cls.model_fields[name].default if nearest is None else nearest)
    written = hint or f'write {name}: {offered}'
    return f'{_shown_part(one)}; expected {facts.allowed()}; {written}'


def _is_entry(one: Mapping) -> bool:
    """Whether a fault is of an entry of a list, not of the whole value."""
    return len(one['loc']) > 1


def _shown_part(one: Mapping) -> str:
    return f'a list with {_shown(one["input"])}' if _is_entry(one) else _shown(one['input'])


def _shown(value: Any) -> str:
    text = 'empty' if value is None else _SHORT.repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
