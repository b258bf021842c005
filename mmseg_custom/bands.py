"""What is known of the bands of a data set's pictures: names, statistics, which three are shown.

A data set says it in ``dataset.yaml`` or ``metainfo``; the config's loaders, preprocessor and
backbone follow. Bands are counted from 0 in the order of the file; nothing here swaps any.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

COLOURS = ('red', 'green', 'blue')


@dataclass(frozen=True)
class Selection:
    """The bands that a network gets.

    Attributes:
        bands: their indices in the file, or None where all are taken and it is not known how many.
        num_bands: how many the file has; None where it is not said.
        rgb_bands: indices in the file of the bands shown as red, green and blue; None where none
            are named.
        mean: of each selected band, in the file's units; None where it is not said.
        std: likewise.
        nodata: value of pixels without data, or 'nan'; None where there are none.
    """

    bands: tuple[int, ...] | None
    num_bands: int | None
    rgb_bands: tuple[int, ...] | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    nodata: float | str | None

    @property
    def rgb_channels(self) -> tuple[int, ...] | None:
        """Positions of red, green and blue among the selected bands; None if one is left out."""
        return positions(self.rgb_bands, self.bands)


def positions(wanted: Sequence[int] | None, bands: Sequence[int] | None) -> tuple[int, ...] | None:
    """Where the bands ``wanted`` stand among the selected ``bands``; None if not all are there."""
    if wanted is None or bands is None:
        return None if wanted is None else tuple(wanted)
    return tuple(map(bands.index, wanted)) if set(wanted) <= set(bands) else None


def select_bands(facts: Mapping, chosen: Sequence[int | str] | None = None) -> Selection:
    """Pick bands by index or name, with their statistics.

    Args:
        facts: ``bands`` (names), ``mean``, ``std``, ``rgb_bands``, ``nodata`` as far as they are
            known; see :data:`CHECKS`.
        chosen: indices or names; None takes all.

    Raises:
        ValueError: the facts differ in length, or a band is not there.
    """
    facts = {key: facts[key] for key in CHECKS if facts.get(key) is not None}
    counts = {key: len(facts[key]) for key in ('bands', 'mean', 'std') if key in facts}
    if len(set(counts.values())) > 1:
        said = ', '.join(f'{count} in {key}' for key, count in counts.items())
        raise ValueError(f'expected one entry per band of the file, got {said}; make them agree')
    if ('mean' in facts) != ('std' in facts):
        raise ValueError('mean and std of the bands belong together, but one is missing; add it')
    names, count = facts.get('bands'), next(iter(counts.values()), None)
    if chosen is None:
        indices = None if count is None else tuple(range(count))
    else:
        indices = band_indices(chosen, names, count, 'bands')
    rgb = facts.get('rgb_bands')
    if rgb is None and names is not None and set(COLOURS) <= {name.lower() for name in names}:
        rgb = [next(name for name in names if name.lower() == colour) for colour in COLOURS]
    statistics = {
        key: tuple(facts[key][i] for i in indices) if key in facts else None
        for key in ('mean', 'std')
    }
    return Selection(
        bands=indices,
        num_bands=count,
        rgb_bands=None if rgb is None else band_indices(rgb, names, count, 'rgb_bands'),
        nodata=facts.get('nodata'),
        **statistics,
    )


def band_indices(
    chosen: Sequence[int | str], names: Sequence[str] | None, count: int | None, key: str
) -> tuple[int, ...]:
    """Turn names and indices of bands into indices.

    Raises:
        ValueError: one is not there, or occurs twice where each is taken once.
    """
    if isinstance(chosen, str | int) or not chosen:
        raise ValueError(f'{key}={chosen!r}; expected a list of band indices or names')
    found = tuple(_band_index(band, names, count, key) for band in chosen)
    if key == 'bands' and len(set(found)) < len(found):
        raise ValueError(f'{key}={list(chosen)} takes a band twice; name each once')
    return found


def _band_index(band: int | str, names: Sequence[str] | None, count: int | None, key: str) -> int:
    if isinstance(band, str):
        if names is None:
            raise ValueError(
                f"{key}: '{band}' is a name, but the data set names no bands; add "
                "'bands: [...]' to dataset.yaml, or give indices from 0"
            )
        if band not in names:
            raise ValueError(
                f"{key}: the data set has no band '{band}'; expected some of {', '.join(names)}"
            )
        return list(names).index(band)
    if isinstance(band, bool) or not isinstance(band, int) or band < 0:
        raise ValueError(f'{key}: expected a name or an index from 0, got {band!r}')
    if count is not None and band >= count:
        raise ValueError(f'{key}: index {band}, but there are {count} bands, 0 to {count - 1}')
    return band


def _listed(value, where: str, key: str, fits, expected: str) -> tuple:
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise ValueError(f'{where}: {key} is {value!r}; expected a list of {expected}')
    for index, entry in enumerate(value):
        if not fits(entry):
            raise ValueError(f'{where}: {key}[{index}] is {entry!r}; expected {expected}')
    return tuple(value)


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names(value, where: str) -> tuple[str, ...]:
    names = _listed(
        value, where, 'bands', lambda name: isinstance(name, str) and name.strip(), 'names'
    )
    if len(set(names)) < len(names):
        raise ValueError(f'{where}: bands {list(names)} has a name twice; names must differ')
    return names


def _mean(value, where: str) -> tuple[float, ...]:
    return _listed(
        value, where, 'mean', lambda x: _is_number(x) and math.isfinite(x), 'numbers, one per band'
    )


def _std(value, where: str) -> tuple[float, ...]:
    return _listed(
        value,
        where,
        'std',
        lambda x: _is_number(x) and 0 < x < math.inf,
        'numbers above 0, one per band',
    )


def _rgb_bands(value, where: str) -> tuple[int | str, ...]:
    bands = _listed(
        value, where, 'rgb_bands', lambda x: isinstance(x, int | str), 'band indices or names'
    )
    if len(bands) != 3:
        raise ValueError(
            f'{where}: rgb_bands has {len(bands)} entries; expected 3, shown as red, green, blue'
        )
    return bands


def _nodata(value, where: str) -> float | str:
    # As text: a config that holds the number cannot be read again. YAML writes it as .nan.
    if str(value).lower() == 'nan':
        return 'nan'
    if not _is_number(value):
        raise ValueError(f'{where}: nodata is {value!r}; expected a number or nan')
    return value


# What a data set may say of its bands, and how each value is checked: ``check(value, where)``.
CHECKS = {
    'bands': _names,
    'mean': _mean,
    'std': _std,
    'rgb_bands': _rgb_bands,
    'nodata': _nodata,
}
