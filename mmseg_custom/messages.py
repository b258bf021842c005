"""Words that error messages of several parts share."""

import difflib
from collections.abc import Iterable, Mapping


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
