"""What a field of a template takes: its check, its JSON schema and its words in one place.

A field is declared as ``Annotated[int, Number(...)] = default``; pydantic calls the checks and asks
for the schema, and messages, YAML comments and pages read the same facts.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from mmseg_custom.messages import did_you_mean

DEVICE = re.compile(r'auto|cpu|cuda(:\d+)?')


@dataclass(frozen=True, kw_only=True)
class FieldFacts:
    """A field, whatever it takes.

    Args:
        help: what it is, for people, one sentence.
        unit: such as ``pixels``; empty where it has none.
        minimum: smallest value; None for none.
        maximum: largest value; None for none.
        step: distance of values from ``minimum`` on; None for any.
        choices: all values, where they can be listed.
    """

    help: str
    unit: str = ''
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> Any:
        """Return the value.

        Raises:
            ValueError: it does not fit; the message says what may be meant, and may be empty.
        """
        return value

    def allowed(self) -> str:
        """What the field takes, in words that follow ``expected``."""
        raise NotImplementedError

    def nearest(self, value: Any) -> Any:
        """A value to offer in place of a wrong one; None for the default."""
        return None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler):
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler):
        written = dict(handler(schema), description=self.help)
        facts = dict(
            minimum=self.minimum,
            maximum=self.maximum,
            step=self.step,
            unit=self.unit or None,
            enum=[*self.choices] or None,
        )
        return written | {key: value for key, value in facts.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Number(FieldFacts):
    """A number with bounds and step.

    Args:
        whole: whether it is a whole number, for words.
    """

    whole: bool = True

    def check(self, value: float) -> float:
        """Return the value; see :meth:`FieldFacts.check`."""
        low, high = self.minimum, self.maximum
        if not math.isfinite(value) or (low is not None and value < low):
            raise ValueError
        if high is not None and value > high:
            raise ValueError
        if self.step is not None:
            steps = (value - (low or 0)) / self.step
            if not math.isclose(steps, round(steps), abs_tol=1e-6):
                raise ValueError
        return value

    def allowed(self) -> str:
        """What the field takes; see :meth:`FieldFacts.allowed`."""
        kind = 'a whole number' if self.whole else 'a number'
        bounds = f'from {self.minimum:g}' if self.minimum is not None else ''
        bounds += ' on' if self.maximum is None else f' to {self.maximum:.10g}'
        # The step of whole numbers is said by their kind.
        step = f'in steps of {self.step:g}' if self.step not in (None, int(self.whole)) else ''
        unit = f'({self.unit})' if self.unit else ''
        return ' '.join(part for part in (kind, bounds, step, unit) if part)

    def nearest(self, value: Any) -> float | None:
        """The bound or step next to a wrong number."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            return None
        value = max(value, self.minimum if self.minimum is not None else value)
        value = min(value, self.maximum if self.maximum is not None else value)
        if self.step is not None:
            low = self.minimum or 0
            value = low + math.floor((value - low) / self.step + 1e-6) * self.step
        return int(value) if self.whole else value


@dataclass(frozen=True, kw_only=True)
class Choice(FieldFacts):
    """One of some names."""

    def check(self, value: str) -> str:
        """Return the value; see :meth:`FieldFacts.check`."""
        if value not in self.choices:
            raise ValueError(did_you_mean(value, self.choices))
        return value

    def allowed(self) -> str:
        """What the field takes; see :meth:`FieldFacts.allowed`."""
        return f'one of {", ".join(self.choices)}'


@dataclass(frozen=True, kw_only=True)
class Text(FieldFacts):
    """Text of a form.

    Args:
        form: the form in words.
        fits: whether a text has it.
    """

    form: str
    fits: Callable[[str], bool] = bool

    def check(self, value: str | None) -> str | None:
        """Return the value; see :meth:`FieldFacts.check`."""
        if value is not None and not self.fits(value):
            raise ValueError
        return value

    def allowed(self) -> str:
        """What the field takes; see :meth:`FieldFacts.allowed`."""
        return self.form


@dataclass(frozen=True, kw_only=True)
class ImageSize(FieldFacts):
    """One value, the image's smaller side, or two, its width and height."""

    def check(self, value: list[int]) -> list[int]:
        """Return the value; see :meth:`FieldFacts.check`."""
        side = Number(help='', minimum=self.minimum, maximum=self.maximum, step=self.step)
        if len(value) not in (1, 2):
            raise ValueError
        return [side.check(one) for one in value]

    def allowed(self) -> str:
        """What the field takes; see :meth:`FieldFacts.allowed`."""
        return (
            f'[smaller side] or [width, height], whole numbers from {self.minimum:g} to '
            f'{self.maximum:g} ({self.unit})'
        )

    def nearest(self, value: Any) -> list[int] | None:
        """A number without its brackets."""
        return [value] if isinstance(value, int) and not isinstance(value, bool) else None

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler):
        written = dict(handler(schema), description=self.help, unit=self.unit)
        bounds = dict(minimum=self.minimum, maximum=self.maximum, step=self.step)
        return written | dict(minItems=1, maxItems=2, items={**written.get('items', {}), **bounds})


def is_device(text: str) -> bool:
    """Whether a text names a device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    return DEVICE.fullmatch(text) is not None
