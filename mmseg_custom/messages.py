"""Words that error messages of several parts share."""

import difflib
import importlib
from collections.abc import Iterable, Mapping
from types import ModuleType


def did_you_mean(
    name: str, known: Iterable[str] | Mapping[str, str], count: int = 1, cutoff: float = 0.5
) -> str:
    """Offer the known names that are spelled like ``name``.

    Args:
        name: what was given.
        known: the names that there are; a mapping shows its values in their place.
        count: how many to offer at most.
        cutoff: how like they must be, 0 to 1.

    Returns:
        ``'did you mean A or B?'``, or an empty string where no name is near.
    """
    near = difflib.get_close_matches(name, [*known], count, cutoff)
    if isinstance(known, Mapping):
        near = [known[key] for key in near]
    return f'did you mean {" or ".join(near)}?' if near else ''


def import_extra(module: str, extra: str, needed_by: object = None) -> ModuleType:
    """Import a module of an optional dependency.

    Args:
        module: dotted name.
        extra: of this package, that brings it.
        needed_by: what cannot be done without it, such as a file, for the message.

    Raises:
        ModuleNotFoundError: it cannot be imported; the message has the line that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition('.')[0]
        missing = isinstance(error, ModuleNotFoundError)
        what = 'is not installed' if missing else f'cannot be imported ({error})'
        needs = package if needed_by is None else f'{needed_by} needs {package}, which'
        raise ModuleNotFoundError(
            f'{needs} {what}; run: pip install "mmseg_custom[{extra}]"', name=package
        ) from error
