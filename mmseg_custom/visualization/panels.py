"""Pictures for people: an overlay with its legend, and image / ground truth / prediction."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from mmseg_custom.labels import IGNORE_INDEX
from mmseg_custom.visualization.legend import (
    BACKGROUND,
    TEXT_COLOUR,
    Legend,
    legend_entries,
    text_font,
    unlabelled_entry,
)
from mmseg_custom.visualization.rendering import (
    Palette,
    blend,
    check_image,
    class_shares,
    labelled_pixels,
    paint,
)

SMALLEST_SIDE = 320  # pictures with a shorter side are shown enlarged by a whole factor,
LARGEST_SIDE = 4096  # which leaves the longer one below this
SMALLEST_FONT, LARGEST_FONT = 13, 64
TITLES = ('image', 'ground truth', 'prediction')

Row = tuple[np.ndarray, np.ndarray | None, np.ndarray]


def draw_overlay(
    image: np.ndarray,
    class_map: np.ndarray,
    classes: Sequence[str],
    palette: Palette,
    opacity: float = 0.5,
    ignore_index: int | None = IGNORE_INDEX,
) -> np.ndarray:
    """Lay the class colours over a picture and draw the legend on its right.

    The legend lists the classes that are present with their share of the labelled pixels, largest
    first. A picture smaller than 320 pixels is enlarged by a whole factor so that it can be read,
    unless it is very long.

    Args:
        image: RGB uint8 (H, W, 3).
        class_map: integers (H, W).
        classes: names, one per class.
        palette: one (red, green, blue) per class.
        opacity: weight of the class colour in 0..1.
        ignore_index: unlabelled pixels, which stay as in the picture.

    Returns:
        RGB uint8 (H', W', 3): the picture at the top left, the legend beside it on white.

    Raises:
        ValueError: see :func:`~mmseg_custom.visualization.rendering.blend`.
    """
    shares = class_shares(class_map, len(classes), ignore_index)
    entries = legend_entries(classes, palette, shares)
    height, width = class_map.shape
    factor = math.ceil(SMALLEST_SIDE / min(height, width))
    factor = max(1, min(factor, LARGEST_SIDE // max(height, width)))
    border = max(1, round(factor * min(height, width) / 700))
    picture = blend(
        _enlarge(image, factor), _enlarge(class_map, factor), palette, opacity, border, ignore_index
    )

    legend = Legend(entries, _font_size(picture.shape[0]))
    margin = legend.row_height // 2
    # As few columns as the picture's height allows, but at most twice the picture's width: beyond
    # that the legend grows downwards.
    columns = min(
        legend.columns_within_height(picture.shape[0] - 2 * margin),
        legend.columns_within_width(2 * picture.shape[1]),
    )
    legend_width, legend_height = legend.size(columns)
    canvas = Image.new(
        'RGB',
        (
            picture.shape[1] + 2 * margin + legend_width,
            max(picture.shape[0], legend_height + 2 * margin),
        ),
        BACKGROUND,
    )
    canvas.paste(Image.fromarray(picture), (0, 0))
    legend.draw(canvas, picture.shape[1] + 2 * margin, margin, columns)
    return np.asarray(canvas)


def side_by_side(
    rows: Sequence[Row],
    classes: Sequence[str],
    palette: Palette,
    titles: Sequence[str] = TITLES,
    tile_width: int = 480,
    ignore_index: int | None = IGNORE_INDEX,
) -> np.ndarray:
    """Draw rows of image, ground truth and prediction under one header, with one legend below.

    Args:
        rows: ``(image, ground_truth, prediction)`` per picture: RGB uint8 (H, W, 3) and two class
            maps (H, W); the ground truth may be None, which leaves its place empty. Pictures of
            different sizes are scaled to ``tile_width``.
        classes: names, one per class.
        palette: one (red, green, blue) per class.
        titles: the header of the three columns.
        tile_width: width of each tile in pixels.
        ignore_index: unlabelled pixels of the ground truth, shown white.

    Returns:
        RGB uint8 (H', W', 3). The legend lists the classes that occur in any ground truth or
        prediction, most frequent first.

    Raises:
        ValueError: there are no rows, sizes differ within a row, or an index has no colour.
    """
    if not rows:
        raise ValueError('side_by_side needs at least one row of (image, ground truth, prediction)')
    font_size = max(SMALLEST_FONT, tile_width // 30)
    gap = max(4, tile_width // 60)
    tiles = [_row_tiles(row, palette, tile_width, ignore_index) for row in rows]
    legend = Legend(_common_entries(rows, classes, palette, ignore_index), font_size)

    header = round(2.2 * font_size)
    width = 3 * tile_width + 4 * gap
    columns = legend.columns_within_width(width - 2 * gap)
    heights = [row[0].height for row in tiles]
    legend_top = header + sum(heights) + gap * len(heights) + gap
    canvas = Image.new('RGB', (width, legend_top + legend.size(columns)[1] + 2 * gap), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for number, title in enumerate(titles):
        middle = gap + number * (tile_width + gap) + tile_width // 2
        draw.text((middle, header // 2), title, TEXT_COLOUR, text_font(font_size), anchor='mm')
    top = header
    for row, height in zip(tiles, heights):
        for number, tile in enumerate(row):
            if tile is not None:
                canvas.paste(tile, (gap + number * (tile_width + gap), top))
        top += height + gap
    legend.draw(canvas, 2 * gap, legend_top, columns)
    return np.asarray(canvas)


def _row_tiles(
    row: Row, palette: Palette, tile_width: int, ignore_index: int | None
) -> list[Image.Image | None]:
    image, *maps = row
    check_image(image)
    for name, class_map in zip(TITLES[1:], maps):
        if class_map is not None and class_map.shape != image.shape[:2]:
            raise ValueError(
                f'the picture is {image.shape[:2]} but the {name} is {class_map.shape} (H, W); '
                'resize the class map to the picture with nearest neighbour first'
            )
    size = (tile_width, max(1, round(image.shape[0] * tile_width / image.shape[1])))
    enlarging = tile_width > image.shape[1]
    photograph = Image.fromarray(image).resize(
        size, Image.Resampling.BICUBIC if enlarging else Image.Resampling.LANCZOS
    )
    painted = [
        None
        if class_map is None
        else Image.fromarray(paint(class_map, palette, ignore_index)).resize(
            size, Image.Resampling.NEAREST
        )
        for class_map in maps
    ]
    return [photograph, *painted]


def _common_entries(
    rows: Sequence[Row], classes: Sequence[str], palette: Palette, ignore_index: int | None
) -> list:
    """Return the legend of all class maps in ``rows`` together."""
    maps = [class_map for row in rows for class_map in row[1:] if class_map is not None]
    shares = sum(class_shares(class_map, len(classes), ignore_index) for class_map in maps)
    entries = legend_entries(classes, palette, shares, with_shares=False)
    if not all(labelled_pixels(class_map, ignore_index).all() for class_map in maps):
        entries.append(unlabelled_entry())
    return entries


def _font_size(height: int) -> int:
    return min(max(SMALLEST_FONT, height // 32), LARGEST_FONT)


def _enlarge(array: np.ndarray, factor: int) -> np.ndarray:
    """Repeat every pixel ``factor`` times in both directions."""
    if factor == 1:
        return array
    return cv2.resize(array, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
