"""Tables of names: what a parameter is called elsewhere, and what it is called here.

One table serves both directions. A name is a pattern with placeholders: ``{stage}`` (from 0),
``{number}`` (the same from 1), ``{layer}``, ``{kind}`` (weight or bias) and ``{norm}`` (a batch
norm's parameters and statistics).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

_PLACEHOLDERS = {
    'stage': r'\d+',
    'number': r'\d+',
    'layer': r'\d+',
    'kind': 'weight|bias',
    'norm': 'weight|bias|running_mean|running_var|num_batches_tracked',
}


@dataclass(frozen=True)
class Entry:
    """One kind of parameter.

    Attributes:
        ours: pattern of its name here.
        theirs: pattern of its name there; several where it is stored in parts, which are
            concatenated along the first axis in this order.
        layout: ``same``; ``linear``, a matrix there and a 1x1 convolution here; ``transposed``, a
            matrix there that is multiplied from the other side.
    """

    ours: str
    theirs: str | tuple[str, ...]
    layout: str = 'same'

    @property
    def parts(self) -> tuple[str, ...]:
        """Patterns of the names there."""
        return (self.theirs,) if isinstance(self.theirs, str) else self.theirs


def to_ours(
    tensors: Mapping[str, Tensor], entries: Sequence[Entry]
) -> tuple[dict[str, Tensor], list[str]]:
    """Rename parameters and bring them into our layout.

    Args:
        tensors: parameters by their names there.
        entries: the table.

    Returns:
        The parameters by our names, and the names that the table does not have.

    Raises:
        ValueError: a part of a parameter that is stored in parts is missing.
    """
    renamed: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    counts: dict[str, int] = {}
    unknown = []
    for name, value in tensors.items():
        found = _find(name, entries)
        if found is None:
            unknown.append(name)
            continue
        entry, part, ours = found
        value = _to_our_layout(value, entry.layout, name)
        if len(entry.parts) == 1:
            renamed[ours] = value
        else:
            parts.setdefault(ours, {})[part] = value
            counts[ours] = len(entry.parts)
    for name, values in parts.items():
        if len(values) != counts[name]:
            raise ValueError(
                f'{name} is stored in {counts[name]} parts, of which {len(values)} are there; the '
                'file is incomplete: copy or download it again'
            )
        renamed[name] = torch.cat([values[part] for part in sorted(values)])
    return renamed, unknown


def from_ours(
    tensors: Mapping[str, Tensor], entries: Sequence[Entry]
) -> tuple[dict[str, Tensor], list[str]]:
    """Rename our parameters to theirs; what is stored in parts there is split evenly.

    Returns:
        The parameters by their names, and our names that the table does not have.
    """
    renamed: dict[str, Tensor] = {}
    unknown = []
    for name, value in tensors.items():
        for entry in entries:
            match = _regex(entry.ours).fullmatch(name)
            if match is not None:
                values = value.chunk(len(entry.parts)) if len(entry.parts) > 1 else (value,)
                for pattern, part in zip(entry.parts, values, strict=True):
                    renamed[_fill(pattern, match)] = _to_their_layout(part, entry.layout)
                break
        else:
            unknown.append(name)
    return renamed, unknown


def _find(name: str, entries: Sequence[Entry]) -> tuple[Entry, int, str] | None:
    for entry in entries:
        for part, pattern in enumerate(entry.parts):
            match = _regex(pattern).fullmatch(name)
            if match is not None:
                return entry, part, _fill(entry.ours, match)
    return None


@cache
def _regex(pattern: str) -> re.Pattern:
    pieces = re.split(r'\{(\w+)\}', pattern)
    return re.compile(
        ''.join(
            f'(?P<{piece}>{_PLACEHOLDERS[piece]})' if index % 2 else re.escape(piece)
            for index, piece in enumerate(pieces)
        )
    )


def _fill(pattern: str, match: re.Match) -> str:
    values = match.groupdict()
    if 'number' in values:
        values['stage'] = str(int(values['number']) - 1)
    elif 'stage' in values:
        values['number'] = str(int(values['stage']) + 1)
    return pattern.format(**values)


def _to_our_layout(value: Tensor, layout: str, name: str) -> Tensor:
    if layout == 'transposed':
        return value.T.contiguous()
    if layout == 'linear' and name.endswith('weight') and value.ndim == 2:
        return value[:, :, None, None]
    return value


def _to_their_layout(value: Tensor, layout: str) -> Tensor:
    if layout == 'transposed':
        return value.T.contiguous()
    return value.flatten(1) if layout == 'linear' and value.ndim == 4 else value
