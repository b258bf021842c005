"""Where on the Earth the pixels of a GeoTIFF lie."""

import os
from dataclasses import dataclass

from mmseg_custom.messages import import_extra

# OGC GeoTIFF 1.1, http://docs.opengeospatial.org/is/19-008r4/19-008r4.html.
PIXEL_SCALE, TIEPOINT, TRANSFORMATION, KEYS = 33550, 33922, 34264, 34735
DOUBLES, TEXTS = 34736, 34737
GEO_TAGS = (PIXEL_SCALE, TIEPOINT, TRANSFORMATION, KEYS, DOUBLES, TEXTS)
RASTER_TYPE, GEOGRAPHIC, PROJECTED = 1025, 2048, 3072
PIXEL_IS_POINT, USER_DEFINED = 2, 32767


@dataclass(frozen=True)
class Georeference:
    """An affine map from pixels to a coordinate system.

    Attributes:
        affine: (a, b, c, d, e, f); map x = a * x + b * y + c, map y = d * x + e * y + f, where
            (0, 0) is the top left corner of the top left pixel.
        epsg: code of the coordinate system; None where the file names none.
    """

    affine: tuple[float, float, float, float, float, float]
    epsg: int | None = None

    def to_map(self, points: list[tuple[float, float]]) -> list[list[float]]:
        """Turn pixel coordinates (x, y) into those of the map."""
        a, b, c, d, e, f = self.affine
        return [[a * x + b * y + c, d * x + e * y + f] for x, y in points]


def read_georeference(path: str | os.PathLike) -> Georeference | None:
    """Read the georeference of a TIFF; None where it has none.

    Raises:
        ModuleNotFoundError: tifffile is not installed.
    """
    tifffile = import_extra('tifffile', 'data', f'the georeference of {path}')
    try:
        with tifffile.TiffFile(os.fspath(path)) as file:
            tags = file.pages[0].tags if file.pages else {}
            values = {
                code: tags[code].value
                for code in (PIXEL_SCALE, TIEPOINT, TRANSFORMATION, KEYS)
                if code in tags
            }
    except tifffile.TiffFileError:  # another format under a TIFF's name
        return None
    affine = _affine(values)
    if affine is None:
        return None
    keys = _keys(values.get(KEYS, ()))
    if keys.get(RASTER_TYPE) == PIXEL_IS_POINT:
        # The tie point is the centre of a pixel then.
        a, b, c, d, e, f = affine
        affine = (a, b, c - (a + b) / 2, d, e, f - (d + e) / 2)
    code = keys.get(PROJECTED) or keys.get(GEOGRAPHIC)
    return Georeference(affine, code if code and code != USER_DEFINED else None)


def _affine(values: dict[int, tuple]) -> tuple | None:
    if TRANSFORMATION in values:
        a, b, _, c, d, e, _, f = values[TRANSFORMATION][:8]
        return a, b, c, d, e, f
    if PIXEL_SCALE in values and TIEPOINT in values:
        width, height = values[PIXEL_SCALE][:2]
        x, y, _, east, north = values[TIEPOINT][:5]
        return width, 0.0, east - x * width, 0.0, -height, north + y * height
    return None


def _keys(directory: tuple[int, ...]) -> dict[int, int]:
    """Keys whose value is in the directory itself, a short integer."""
    entries = [directory[start : start + 4] for start in range(4, len(directory), 4)]
    return {key: value for key, location, _, value in entries if location == 0}
