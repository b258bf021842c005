"""Predictions as a page shows them, and what it asks about them afterwards."""

import base64
import io
import json
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmseg_custom.inference.prediction import Prediction
from mmseg_custom.inference.region_files import to_geojson
from mmseg_custom.inference.regions import Region, region_at
from mmseg_custom.visualization.legend import format_share, legend_entries
from mmseg_custom.visualization.rendering import class_map_image, class_shares, paint

# A page gains nothing from more pixels; a click is still answered from the whole prediction.
LONGEST_SHOWN_SIDE = 1600
# 5 bytes each.
MOST_KEPT_PIXELS = 48_000_000
JPEG_QUALITY = 95
# What a file of regions may cost, and the outline under a click, whatever the picture shows.
MOST_REGIONS, MOST_CORNERS, MOST_SECONDS = 5000, 500_000, 10.0
MOST_OUTLINE_CORNERS = 50_000
GONE = 'this result is no longer kept; predict the picture again'


class Results:
    """The newest predictions, by tokens that cannot be guessed, in bounded memory.

    Args:
        most_pixels: of all kept predictions together; the newest is always kept.
    """

    def __init__(self, most_pixels: int = MOST_KEPT_PIXELS) -> None:
        self._kept: OrderedDict[str, Prediction] = OrderedDict()
        self._most_pixels, self._lock = most_pixels, threading.Lock()
        # Regions take some 30 bytes a pixel: for one request at a time.
        self._working = threading.Lock()

    def show(self, prediction: Prediction, title: str, note: str = '') -> dict:
        """Keep a prediction and say how it looks.

        Args:
            prediction: with its ``image``.
            title: above the picture.
            note: beside the title.

        Returns:
            What ``view.js`` draws: ``title``, ``note``, ``legend``, ``token``, the pictures
            ``picture`` and ``classes`` as data URLs, and their ``width`` and ``height``.
        """
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[token] = replace(prediction, image=None)
            while len(self._kept) > 1 and self._pixels() > self._most_pixels:
                self._kept.popitem(last=False)
        shares = class_shares(prediction.labels, len(prediction.classes), ignore_index=None)
        return dict(
            shown_classes(prediction.classes, prediction.palette, shares, title, note),
            token=token,
            **_pictures(prediction),
        )

    def region_at(self, request: dict) -> dict:
        """The connected component under a point.

        Args:
            request: ``token``, and the point as ``x`` and ``y``, shares of width and height, 0..1.

        Returns:
            ``name``, ``colour``, ``facts`` (confidence and size, in words) and ``outline``, an SVG
            path in pixels of the shown picture, empty where it would be too long; or ``error``.
        """
        prediction = self._find(request)
        if prediction is None:
            return dict(error=GONE)
        height, width = prediction.labels.shape
        try:
            x, y = (float(np.clip(float(request[axis]), 0, 1)) for axis in 'xy')
            column, row = min(int(x * width), width - 1), min(int(y * height), height - 1)
        except (KeyError, TypeError, ValueError):
            return dict(error='expected x and y, shares of width and height from 0 to 1')
        shown = min(1.0, LONGEST_SHOWN_SIDE / max(width, height))
        with self._working:
            region = region_at(
                prediction.labels, prediction.confidence, prediction.classes, row, column
            )
            outline = _svg_path(region, shown)
        return dict(
            name=region.name,
            colour=_hex(prediction.palette[region.class_index]),
            facts=_facts(region) + ('' if outline else ', too fine an outline to draw'),
            outline=outline,
        )

    def file_of(self, request: dict) -> dict:
        """A file to download.

        Args:
            request: ``token`` and ``kind``: ``mask``, the class map as a palette PNG, or
                ``regions``, GeoJSON.

        Returns:
            ``name``, ``type``, ``base64`` and ``note``, what there is to say of it; or ``error``.
        """
        prediction = self._find(request)
        if prediction is None:
            return dict(error=GONE)
        stem = Path(prediction.name).stem or 'picture'
        if request.get('kind') == 'regions':
            with self._working:
                content, note = _geojson(prediction)
            return _file(f'{stem}_regions.geojson', 'application/geo+json', content, note)
        try:
            mask = class_map_image(prediction.labels, prediction.palette, ignore_index=None)
        except ValueError as error:
            return dict(error=str(error))
        return _file(f'{stem}_classes.png', 'image/png', _encoded(mask, 'PNG'))

    def _find(self, request: dict) -> Prediction | None:
        token = request.get('token') if isinstance(request, dict) else None
        with self._lock:
            return self._kept.get(token) if isinstance(token, str) else None

    def _pixels(self) -> int:
        return sum(prediction.labels.size for prediction in self._kept.values())


def shown_classes(classes, palette, shares: np.ndarray, title: str, note: str = '') -> dict:
    """A legend without a picture: ``title``, ``note``, and ``legend``, the largest share first."""
    legend = [
        dict(name=entry.name, colour=_hex(entry.colour), share=format_share(entry.share))
        for entry in legend_entries(classes, palette, shares)
    ]
    return dict(title=title, note=note, legend=legend)


def problem_with(path: str, error: Exception) -> dict:
    """What a view shows in place of a prediction: the reason, with the upload by its name."""
    return dict(empty=str(error).replace(path, Path(path).name), problem=True)


def shrunk(
    picture: np.ndarray, longest_side: int, interpolation: int = cv2.INTER_AREA
) -> np.ndarray:
    """A picture, RGB uint8 (H, W, 3), no longer than that; never enlarged."""
    height, width = picture.shape[:2]
    factor = min(1.0, longest_side / max(width, height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(picture, size, interpolation=interpolation)


def data_url(picture: np.ndarray, kind: str, **options) -> str:
    """A picture, RGB uint8 (H, W, 3), as the address of an ``img``.

    Args:
        picture: to encode.
        kind: ``'JPEG'`` or ``'PNG'``.
        options: of Pillow's encoder.
    """
    content = base64.b64encode(_encoded(Image.fromarray(picture), kind, **options)).decode()
    return f'data:image/{kind.lower()};base64,{content}'


def _pictures(prediction: Prediction) -> dict:
    colours = paint(prediction.labels, prediction.palette, ignore_index=None)
    picture = shrunk(prediction.image, LONGEST_SHOWN_SIDE)
    classes = shrunk(colours, LONGEST_SHOWN_SIDE, cv2.INTER_NEAREST)
    return dict(
        width=picture.shape[1],
        height=picture.shape[0],
        picture=data_url(picture, 'JPEG', quality=JPEG_QUALITY, subsampling=0),
        classes=data_url(classes, 'PNG', compress_level=3),
    )


def _facts(region: Region) -> str:
    height, width = region.picture_size
    share = format_share(region.area / (height * width))
    return f'confidence {100 * region.value:.1f} %, {region.area:,} pixels, {share} of the picture'


def _geojson(prediction: Prediction) -> tuple[bytes, str]:
    """The file of regions, and a note where it does not hold all."""
    found = prediction.find_regions(most=MOST_REGIONS)
    content = to_geojson(prediction, _affordable(found.regions))
    left_out = found.count - len(content['features'])
    if not left_out:
        return json.dumps(content).encode(), ''
    note = f'{left_out:,} of {found.count:,} regions are left out of the file: small or very fine'
    return json.dumps(dict(content, left_out=left_out)).encode(), note


def _affordable(regions: Iterable[Region]) -> Iterator[Region]:
    """Those with few enough corners together, as long as there is time."""
    corners, deadline = MOST_CORNERS, time.monotonic() + MOST_SECONDS
    for region in regions:
        if time.monotonic() > deadline:
            return
        if region.num_corners <= corners:
            corners -= region.num_corners
            yield region


def _svg_path(region: Region, factor: float) -> str:
    """Empty where it would be too long."""
    if region.num_corners > MOST_OUTLINE_CORNERS:
        return ''
    rings = [ring for shell, holes in region.polygons for ring in (shell, *holes)]
    return ''.join(
        'M' + 'L'.join(f'{x * factor:g} {y * factor:g}' for x, y in ring) + 'Z' for ring in rings
    )


def _hex(colour) -> str:
    return '#{:02x}{:02x}{:02x}'.format(*colour)


def _encoded(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _file(name: str, kind: str, content: bytes, note: str = '') -> dict:
    encoded = base64.b64encode(content).decode('ascii')
    return dict(name=name, type=kind, base64=encoded, note=note)
