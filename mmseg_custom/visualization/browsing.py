"""Samples before and after augmentation: one picture with all, or one page."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from mmseg_custom.labels import IGNORE_INDEX
from mmseg_custom.visualization.legend import (
    BACKGROUND,
    SHARE_COLOUR,
    TEXT_COLOUR,
    Legend,
    LegendEntry,
    format_share,
    legend_entries,
    text_font,
    unlabelled_entry,
)
from mmseg_custom.visualization.rendering import (
    Palette,
    class_shares,
    data_address,
    labelled_pixels,
    paint,
)

TITLES = ('picture', 'labels', 'augmented', 'labels')
LEGEND_TITLE = 'classes, with their share of the labelled pixels after augmentation'
CARD = (243, 244, 246)
OUTLINE = (190, 194, 200)
FONT_SIZE = 15
TILE_HEIGHT = 180
GAP = 8
MARGIN = 24
# Pictures lie between these ratios of width to height; others get bars.
SMALLEST_RATIO, LARGEST_RATIO = 0.7, 2.0


@dataclass(frozen=True)
class BrowsedSample:
    """A picture and its labels before and after augmentation.

    Attributes:
        name: of the file.
        image: RGB uint8 (H, W, 3).
        labels: integers (H, W), or None where there are none.
        augmented: RGB uint8 (h, w, 3), as the network gets it.
        augmented_labels: integers (h, w), or None.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray | None
    augmented: np.ndarray
    augmented_labels: np.ndarray | None

    def tiles(self, palette: Palette) -> list[np.ndarray | None]:
        """Return the four pictures, RGB uint8, in the order of :data:`TITLES`."""
        maps = [
            None if one is None else paint(one, palette)
            for one in (self.labels, self.augmented_labels)
        ]
        return [self.image, maps[0], self.augmented, maps[1]]

    @property
    def sizes(self) -> str:
        """Both sizes as width x height."""
        before, after = ('{1}x{0}'.format(*i.shape) for i in (self.image, self.augmented))
        return before if before == after else f'{before} → {after}'


def common_entries(
    samples: Sequence[BrowsedSample], classes: Sequence[str], palette: Palette
) -> list[LegendEntry]:
    """The legend of the augmented labels of all samples, with their shares of the pixels.

    Classes that only the unaugmented labels hold come last, without a share.
    """
    after = [one.augmented_labels for one in samples if one.augmented_labels is not None]
    before = [one.labels for one in samples if one.labels is not None]
    counts = sum((_counts(labels, len(classes)) for labels in after), np.zeros(len(classes)))
    entries = legend_entries(classes, palette, counts / max(counts.sum(), 1))
    only_before = sum((_counts(labels, len(classes)) for labels in before), np.zeros(len(classes)))
    only_before[counts > 0] = 0
    entries += legend_entries(classes, palette, only_before, with_shares=False)
    if not all(labelled_pixels(labels, IGNORE_INDEX).all() for labels in [*after, *before]):
        entries.append(unlabelled_entry())
    return entries


def draw_grid(
    samples: Sequence[BrowsedSample],
    classes: Sequence[str],
    palette: Palette,
    title: str,
    columns: int | None = None,
) -> np.ndarray:
    """Draw a card for each sample and one legend below.

    Args:
        samples: at least one.
        classes: names, one per class.
        palette: one (red, green, blue) per class.
        title: the line above.
        columns: cards side by side; None: two for more than three samples.

    Returns:
        RGB uint8 (H, W, 3).

    Raises:
        ValueError: there are no samples, or a label has no colour.
    """
    if not samples:
        raise ValueError('draw_grid needs at least one sample')
    columns = columns or (2 if len(samples) > 3 else 1)
    ratios = [w / h for one in samples for h, w in (one.image.shape[:2], one.augmented.shape[:2])]
    ratio = min(max(float(np.median(ratios)), SMALLEST_RATIO), LARGEST_RATIO)
    tile = round(TILE_HEIGHT * ratio), TILE_HEIGHT
    line = round(1.7 * FONT_SIZE)
    card = _tile_left(len(TITLES), tile[0]), tile[1] + 2 * GAP + line
    rows = -(-len(samples) // columns)
    width = columns * (card[0] + GAP) - GAP + 2 * MARGIN
    legend = Legend(common_entries(samples, classes, palette), FONT_SIZE)
    legend_columns = legend.columns_within_width(width - 2 * MARGIN)
    top = MARGIN + 3 * line
    legend_top = top + rows * (card[1] + GAP) + GAP + line
    height = legend_top + legend.size(legend_columns)[1] + MARGIN
    canvas = Image.new('RGB', (width, height), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN), title, TEXT_COLOUR, text_font(round(1.4 * FONT_SIZE)))
    for column in range(columns):
        for number, heading in enumerate(TITLES):
            left = MARGIN + column * (card[0] + GAP) + _tile_left(number, tile[0])
            place = left + tile[0] // 2, top - line // 2
            draw.text(place, heading, SHARE_COLOUR, text_font(FONT_SIZE), anchor='mm')
    for number, sample in enumerate(samples):
        row, column = divmod(number, columns)
        corner = MARGIN + column * (card[0] + GAP), top + row * (card[1] + GAP)
        _draw_card(canvas, draw, corner, card, sample, palette, tile)
    draw.text((MARGIN, legend_top - line), LEGEND_TITLE, SHARE_COLOUR, text_font(FONT_SIZE))
    legend.draw(canvas, MARGIN, legend_top, legend_columns)
    return np.asarray(canvas)


def _draw_card(canvas, draw, corner, card, sample: BrowsedSample, palette: Palette, tile) -> None:
    left, top = corner
    draw.rounded_rectangle((left, top, left + card[0] - 1, top + card[1] - 1), 8, CARD)
    for number, picture in enumerate(sample.tiles(palette)):
        if picture is not None:
            place = left + _tile_left(number, tile[0]), top + GAP
            _paste(canvas, draw, picture, place, tile, is_map=number % 2 == 1)
    baseline = top + GAP + tile[1] + (card[1] - GAP - tile[1]) // 2
    font = text_font(FONT_SIZE)
    right = left + card[0] - GAP
    draw.text((right, baseline), sample.sizes, SHARE_COLOUR, font, anchor='rm')
    name, room = sample.name, card[0] - 4 * GAP - font.getlength(sample.sizes)
    while len(name) > 1 and font.getlength(name) > room:
        name = f'{name[:-2]}…'
    draw.text((left + GAP, baseline), name, TEXT_COLOUR, font, anchor='lm')


def _tile_left(number: int, width: int) -> int:
    """Where a tile begins in its card; before and after stand a little apart."""
    return GAP + number * (width + GAP) + (GAP if number >= 2 else 0)


def _paste(canvas, draw, picture: np.ndarray, place, tile, is_map: bool) -> None:
    """Fit a picture into a tile, in its middle."""
    height, width = picture.shape[:2]
    factor = min(tile[0] / width, tile[1] / height)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    kind = Image.Resampling.NEAREST
    if not is_map:
        kind = Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.BICUBIC
    left, top = place[0] + (tile[0] - size[0]) // 2, place[1] + (tile[1] - size[1]) // 2
    draw.rectangle((left - 1, top - 1, left + size[0], top + size[1]), outline=OUTLINE)
    canvas.paste(Image.fromarray(picture).resize(size, kind), (left, top))


def html_page(
    samples: Sequence[BrowsedSample], classes: Sequence[str], palette: Palette, title: str
) -> str:
    """One page that needs no other file: the samples at their own size, each with its classes.

    Args:
        samples: see :func:`draw_grid`, as the other arguments.

    Returns:
        HTML; every name in it is escaped.
    """
    cards = [_card_html(sample, classes, palette) for sample in samples]
    legend = _legend_html(common_entries(samples, classes, palette))
    title = html.escape(title)
    return PAGE.format(title=title, about=LEGEND_TITLE, legend=legend, cards='\n'.join(cards))


def _card_html(sample: BrowsedSample, classes: Sequence[str], palette: Palette) -> str:
    figures = []
    for number, (picture, heading) in enumerate(zip(sample.tiles(palette), TITLES)):
        if picture is not None:
            source = data_address(picture, 'PNG' if number % 2 else 'JPEG')
            figures.append(
                f'<figure><img src="{source}" alt="{heading}"><figcaption>{heading}</figcaption>'
                '</figure>'
            )
    entries = common_entries([sample], classes, palette)
    return (
        f'<section><h2>{html.escape(sample.name)} <small>{sample.sizes}</small></h2>'
        f'<div class="row">{"".join(figures)}</div>{_legend_html(entries)}</section>'
    )


def _legend_html(entries: Sequence[LegendEntry]) -> str:
    items = []
    for entry in entries:
        share = '' if entry.share is None else f' <small>{format_share(entry.share)}</small>'
        colour = 'rgb({},{},{})'.format(*entry.colour)
        swatch = f'<i style="background:{colour}"></i>'
        items.append(f'<li>{swatch}{html.escape(entry.name)}{share}</li>')
    return f'<ul>{"".join(items)}</ul>'


def _counts(labels: np.ndarray, num_classes: int) -> np.ndarray:
    labelled = labelled_pixels(labels, IGNORE_INDEX).sum()
    return class_shares(labels, num_classes) * labelled


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #212121; margin: 24px auto; max-width: 1500px;
  padding: 0 24px; }}
h1 {{ font-size: 22px; font-weight: 600; }}
h2 {{ font-size: 15px; font-weight: 600; margin: 0 0 8px; overflow-wrap: anywhere; }}
small {{ color: #6e6e6e; font-weight: 400; }}
section {{ background: #f3f4f6; border-radius: 8px; padding: 14px; margin: 16px 0; }}
.row {{ display: grid; grid-template-columns: repeat(4, 1fr); gap: 10px; align-items: start; }}
figure {{ margin: 0; }}
img {{ width: 100%; display: block; border: 1px solid #bec2c8; image-rendering: auto;
  box-sizing: border-box; }}
figure:nth-child(even) img {{ image-rendering: pixelated; }}
figcaption {{ color: #6e6e6e; text-align: center; font-size: 13px; }}
ul {{ list-style: none; padding: 0; margin: 8px 0 0; display: flex; flex-wrap: wrap;
  gap: 4px 18px; }}
li i {{ display: inline-block; width: 13px; height: 13px; margin-right: 6px;
  border: 1px solid #787878; vertical-align: -1px; }}
</style>
</head>
<body>
<header><h1>{title}</h1><small>{about}</small>{legend}</header>
{cards}
</body>
</html>
"""
