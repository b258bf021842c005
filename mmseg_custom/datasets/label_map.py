"""From what the pixels of a mask file hold, values or colours, to indices of classes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from mmseg_custom.labels import IGNORE_INDEX
from mmseg_custom.messages import did_you_mean

IGNORE_NAME = 'ignore'
UNKNOWN = 254  # what a raw value that nothing names becomes
MAX_CLASSES = 254  # the indices 0-253; 254 and 255 have a meaning
GREY = 0x010101  # times v: the colour (v, v, v)
_COLOUR = re.compile(r'#[0-9a-fA-F]{6}')

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class LabelMap:
    """Which class each raw value or colour of the mask files is.

    A grey pixel of value v and the colour (v, v, v) are the same thing, so one map serves
    single-channel masks and RGB ones. In a mask with a palette a value is the index, and a colour
    is that of the palette; where a map names both, the index counts.

    Args:
        classes: names in index order.
        values: raw value, 0-65535, and the index it becomes: of a class, or 255.
        colours: ``0xRRGGBB`` and the index it becomes.
    """

    classes: tuple[str, ...]
    values: Pairs
    colours: Pairs = ()

    @classmethod
    def parse(
        cls, labels: Mapping, classes: Sequence[str] | None = None, where: str = 'labels'
    ) -> 'LabelMap':
        """Check and take over the key ``labels`` of a ``dataset.yaml``.

        Args:
            labels: name to a raw value (int, 0-65535), a colour (``'#rrggbb'``) or a list of them;
                the name ``ignore`` holds what is left out of loss and metrics.
            classes: names in index order; None takes those of ``labels`` in their order.
            where: where the labels are written, for messages.

        Raises:
            ValueError: a name, a value or a colour does not fit or occurs twice.
        """
        if not isinstance(labels, Mapping) or not labels:
            raise ValueError(
                f'{where} is {type(labels).__name__} {labels!r}; expected names with their raw '
                "values, e.g. {ignore: 255, road: 1, car: [2, 3]}; a list of names is 'classes'"
            )
        if classes is None:
            classes = [name for name in labels if name != IGNORE_NAME]
        names = {name: index for index, name in enumerate(classes)}
        if IGNORE_NAME in names:
            raise ValueError(f"{where}: '{IGNORE_NAME}' is not the name of a class; rename it")
        names[IGNORE_NAME] = IGNORE_INDEX
        owners: dict[int | str, str] = {}
        for name, raw in labels.items():
            if name not in names or not isinstance(name, str):
                raise ValueError(f'{where}: {_no_such_name(name, raw, classes)}')
            for one in raw if isinstance(raw, (list, tuple)) else [raw]:
                one = _checked_raw(one, name, where)
                if one in owners:
                    raise ValueError(
                        f'{where}: {one} is named by {owners[one]} and by {name}; expected each '
                        'value once, remove one (the colour r, g, b is written "#rrggbb")'
                    )
                owners[one] = name
        return cls(
            tuple(classes),
            tuple((raw, names[name]) for raw, name in owners.items() if isinstance(raw, int)),
            tuple(
                (int(raw[1:], 16), names[name])
                for raw, name in owners.items()
                if isinstance(raw, str)
            ),
        )

    @classmethod
    def of_indices(
        cls,
        classes: Sequence[str],
        renamed: Mapping[int, int] | None = None,
        reduce_zero_label: bool = False,
        num_indices: int | None = None,
    ) -> 'LabelMap':
        """Take masks that hold class indices and 255, as mmseg's data sets do.

        Args:
            classes: names in index order.
            renamed: mmseg's ``label_map``: index in the files to index of the class, or 255.
            reduce_zero_label: the files count from 1, and 0 is ignored.
            num_indices: how many there are in the files; None takes the number of classes.
        """
        indices = range(len(classes) if num_indices is None else num_indices)
        known = {**{index: index for index in indices}, IGNORE_INDEX: IGNORE_INDEX}
        known.update(renamed or {})
        if reduce_zero_label:
            ignored = known.pop(IGNORE_INDEX)
            known = {raw + 1: index for raw, index in known.items()}
            known.update({0: ignored, IGNORE_INDEX: ignored})
        return cls(tuple(classes), tuple(known.items()))

    def __call__(self, raw: np.ndarray, palette: np.ndarray | None = None) -> np.ndarray:
        """Return the class of each pixel.

        Args:
            raw: (H, W) uint8 or uint16, or (H, W, 3) uint8 in RGB order.
            palette: (N, 3) uint8, RGB: the colours of an (H, W) mask with a palette.

        Returns:
            (H, W) uint8: class indices, or 255.

        Raises:
            ValueError: there are values that the map does not name.
        """
        mapped = self.lookup(raw, palette)
        if (mapped == UNKNOWN).any():
            found = describe_counts(self.unknown(raw, palette))
            raise ValueError(f'found {found}, expected {", ".join(self.raw_names())}; name them')
        return mapped

    def lookup(self, raw: np.ndarray, palette: np.ndarray | None = None) -> np.ndarray:
        """Do what a call does, with 254 (``UNKNOWN``) in place of an error; may return ``raw``."""
        if raw.ndim == 3:
            known = tuple((v * GREY, index) for v, index in self.values if v < 256)
            table = _table(1 << 24, known + self.colours)
            mapped = np.take(table, _packed(raw))
        elif raw.dtype == np.uint8:
            pairs = self._single_channel_pairs(palette)
            # A quarter of the time of a look-up: most files hold class indices and 255 already.
            kept = _num_kept(pairs)
            if kept and ((raw < kept) | (raw == IGNORE_INDEX)).all():
                return raw
            mapped = cv2.LUT(raw, _table(256, pairs))
        else:
            mapped = np.take(_table(1 << 16, self._single_channel_pairs(palette)), raw)
        return np.bitwise_xor(mapped, UNKNOWN, out=mapped)

    def unknown(self, raw: np.ndarray, palette: np.ndarray | None = None) -> dict[int | str, int]:
        """Count the pixels that the map does not name.

        Returns:
            Value, or colour as ``'#rrggbb'``, to number of pixels, most frequent first.
        """
        bad = self.lookup(raw, palette) == UNKNOWN
        raw = _packed(raw) if raw.ndim == 3 else raw
        is_colour = raw.dtype == np.uint32
        counts: dict[int | str, int] = {}
        for value, count in zip(*(x.tolist() for x in np.unique(raw[bad], return_counts=True))):
            if is_colour:
                grey = not self.colours and value % GREY == 0
                name = value // GREY if grey else f'#{value:06x}'
            elif self.colours and palette is not None and value < len(palette):
                name = '#{:02x}{:02x}{:02x}'.format(*palette[value])
            else:
                name = value
            counts[name] = counts.get(name, 0) + count
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def raw_names(self, index: int | None = None) -> list[str]:
        """Return the values and colours of a class, or of all, as one writes them in YAML."""
        values = [str(raw) for raw, i in self.values if index in (None, i)]
        return values + [f'"#{raw:06x}"' for raw, i in self.colours if index in (None, i)]

    def palette(self) -> list[list[int]] | None:
        """Return ``[R, G, B]`` of each class, its first colour; None where a class has none."""
        first = {index: colour for colour, index in reversed(self.colours)}
        if any(index not in first for index in range(len(self.classes))):
            return None
        return [list(first[index].to_bytes(3, 'big')) for index in range(len(self.classes))]

    def _single_channel_pairs(self, palette: np.ndarray | None) -> Pairs:
        if palette is None:
            greys = tuple((c // GREY, index) for c, index in self.colours if c % GREY == 0)
            return greys + self.values
        if not self.colours:
            return self.values
        classes = dict(self.colours)
        colours = _packed(palette[None])[0].tolist()
        return tuple((i, classes[c]) for i, c in enumerate(colours) if c in classes) + self.values


def describe_counts(counts: Mapping[int | str, int], most: int = 3) -> str:
    """Write values with their numbers of pixels: ``7 in 120 pixels, #dcdc00 in 3 pixels``."""
    shown = [f'{name} in {count} pixels' for name, count in list(counts.items())[:most]]
    more = [f'and {len(counts) - most} more values'] if len(counts) > most else []
    return ', '.join(shown + more)


@lru_cache(maxsize=32)
def _table(size: int, pairs: Pairs) -> np.ndarray:
    """Index of each raw value, XORed with ``UNKNOWN``.

    So what nothing names is zero, and of the 16 MiB of all colours only the memory pages of the
    named ones are ever used.
    """
    table = np.zeros(size, np.uint8)
    for raw, index in pairs:
        if raw < size:
            table[raw] = index ^ UNKNOWN
    return table


@lru_cache(maxsize=32)
def _num_kept(pairs: Pairs) -> int:
    """K where the values below K and 255, and no others, are named and stay as they are; else 0."""
    named = dict(pairs)
    number = len(named) - 1
    kept = {**{value: value for value in range(number)}, IGNORE_INDEX: IGNORE_INDEX}
    return number if named == kept else 0


def _packed(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 in RGB order to (H, W) uint32 ``0xRRGGBB``."""
    packed = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA).view('<u4')[..., 0]
    packed &= 0xFFFFFF
    return packed


def _no_such_name(name, raw, classes: Sequence[str]) -> str:
    if isinstance(name, str):
        hint = did_you_mean(name, classes) or 'add it there, or leave classes out'
        return f"'{name}' is not among the classes {', '.join(classes)}; {hint}"
    example = f"'{raw}: {name}'" if isinstance(raw, str) else "'road: 1'"
    return (
        f'the name {name!r} is {type(name).__name__}; expected a name before its values, e.g. '
        f"{example}; a name such as 'no' is put in quotes"
    )


def _checked_raw(raw, name: str, where: str) -> int | str:
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < 1 << 16:
        return raw
    if isinstance(raw, str) and _COLOUR.fullmatch(raw):
        return raw.lower()
    if raw is None:
        raise ValueError(
            f'{where}: {name} has no value; expected e.g. 1, [2, 3] or "#dcdc00" (in quotes: '
            'without them # begins a comment)'
        )
    raise ValueError(
        f'{where}: {name} has {type(raw).__name__} {raw!r}; expected whole numbers 0-65535 or '
        'colours "#rrggbb", e.g. 1, [2, 3] or "#dcdc00"'
    )
