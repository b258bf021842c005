"""Legends: colour swatches with class names and shares, in as many columns as there is room for."""

import functools
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmseg_custom.visualization.rendering import UNLABELLED_COLOUR, Palette, colour_table

BACKGROUND = (255, 255, 255)
TEXT_COLOUR = (33, 33, 33)
SHARE_COLOUR = (110, 110, 110)
SWATCH_OUTLINE = (120, 120, 120)
LONGEST_NAME = 24  # in font sizes; longer names end in an ellipsis


@functools.lru_cache
def text_font(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which matplotlib brings: Latin, Greek, Cyrillic, Arabic, symbols."""
    # Found, not imported: that takes half a second, at every start of every tool.
    package = importlib.util.find_spec('matplotlib').submodule_search_locations[0]
    path = Path(package, 'mpl-data/fonts/ttf/DejaVuSans.ttf')
    return ImageFont.truetype(str(path), size)


def format_share(share: float) -> str:
    """Return a share of 0..1 as percent with one decimal; what rounds to nothing as ``<0.1 %``."""
    return f'{100 * share:.1f} %' if share >= 0.0005 else '<0.1 %'


@dataclass(frozen=True)
class LegendEntry:
    """One line of a legend: a name, its colour (RGB 0..255), and a share of the pixels or none."""

    name: str
    colour: tuple[int, int, int]
    share: float | None = None


def legend_entries(
    classes: Sequence[str], palette: Palette, shares: np.ndarray, with_shares: bool = True
) -> list[LegendEntry]:
    """Return the entries of the classes that are present, the largest share first.

    Args:
        classes: K class names.
        palette: K colours.
        shares: (K,), 0..1; a class with a share of 0 gets no entry.
        with_shares: whether the entries show the shares.

    Raises:
        ValueError: the numbers of classes, colours and shares differ.
    """
    table = colour_table(palette)
    if not len(classes) == len(table) == len(shares):
        raise ValueError(
            f'{len(classes)} class names, {len(table)} colours and {len(shares)} shares; expected '
            'one of each per class'
        )
    order = np.argsort(-np.asarray(shares), kind='stable')
    return [
        LegendEntry(
            str(classes[i]),
            tuple(int(channel) for channel in table[i]),
            float(shares[i]) if with_shares else None,
        )
        for i in order
        if shares[i] > 0
    ]


def unlabelled_entry() -> LegendEntry:
    """Return the entry that explains the colour of unlabelled pixels."""
    return LegendEntry('not labelled', UNLABELLED_COLOUR)


class Legend:
    """A legend of which the size is known before it is drawn.

    Args:
        entries: the lines, in order.
        font_size: height of the text in pixels.
    """

    def __init__(self, entries: Sequence[LegendEntry], font_size: int) -> None:
        self.font = text_font(font_size)
        self.font_size = font_size
        self.row_height = round(1.6 * font_size)
        self.gap = round(0.6 * font_size)
        self.lines = [
            (
                entry,
                self._shorten(entry.name),
                '' if entry.share is None else format_share(entry.share),
            )
            for entry in entries
        ]
        self._name_width = max((self._width(name) for _, name, _ in self.lines), default=0)
        self._share_width = max((self._width(share) for _, _, share in self.lines), default=0)
        self.cell_width = self.font_size + self.gap + self._name_width + 2 * self.gap
        if self._share_width:
            self.cell_width += self.gap + self._share_width

    def size(self, columns: int) -> tuple[int, int]:
        """Return (width, height) in pixels when drawn in so many columns."""
        rows = math.ceil(len(self.lines) / columns)
        return columns * self.cell_width, rows * self.row_height

    def columns_within_height(self, height: int) -> int:
        """Return the smallest number of columns that is at most ``height`` pixels high."""
        rows = max(1, height // self.row_height)
        return max(1, math.ceil(len(self.lines) / rows))

    def columns_within_width(self, width: int) -> int:
        """Return the largest number of columns, at least 1, that fits into ``width`` pixels."""
        return min(max(1, width // self.cell_width), max(1, len(self.lines)))

    def draw(self, canvas: Image.Image, left: int, top: int, columns: int) -> None:
        """Draw the legend on an RGB canvas, filling column after column."""
        draw = ImageDraw.Draw(canvas)
        rows = math.ceil(len(self.lines) / columns)
        for number, (entry, name, share) in enumerate(self.lines):
            column, row = divmod(number, rows)
            x = left + column * self.cell_width
            middle = top + row * self.row_height + self.row_height // 2
            half = self.font_size // 2
            draw.rectangle(
                (x, middle - half, x + 2 * half, middle + half), entry.colour, SWATCH_OUTLINE
            )
            x += self.font_size + self.gap
            draw.text((x, middle), name, TEXT_COLOUR, self.font, anchor='lm')
            if share:
                x += self._name_width + self.gap + self._share_width
                draw.text((x, middle), share, SHARE_COLOUR, self.font, anchor='rm')

    def _width(self, text: str) -> int:
        return math.ceil(self.font.getlength(text))

    def _shorten(self, name: str) -> str:
        name = ' '.join(name.split())
        if self._width(name) <= LONGEST_NAME * self.font_size:
            return name
        while self._width(f'{name}…') > LONGEST_NAME * self.font_size:
            name = name[:-1]
        return f'{name}…'
