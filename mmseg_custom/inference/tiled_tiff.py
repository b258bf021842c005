"""Rows of TIFF files too large for the memory: read and written in tiles."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmseg_custom.inference.georeference import GEO_TAGS
from mmseg_custom.messages import import_extra
from mmseg_custom.writing import whole_file

TILE = 512


class TiffRows:
    """A TIFF of which any rows can be read, a context manager.

    Attributes:
        height: of the picture in pixels.
        width: of the picture in pixels.
        num_bands: 1, 3, or more.

    Raises:
        ModuleNotFoundError: tifffile is not installed.
        ValueError: the file is no TIFF, or its pixels are not 8-bit.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        tifffile = import_extra('tifffile', 'data')
        self.path = Path(path)
        try:
            self._file = tifffile.TiffFile(os.fspath(path))
        except tifffile.TiffFileError as error:
            raise ValueError(
                f'{path} is not a readable TIFF ({error}); convert it, or leave out --tile'
            ) from error
        if not self._file.pages:
            self._file.close()
            raise ValueError(f'{path} holds no picture; convert it, or leave out --tile')
        self._page = page = self._file.pages[0]
        self.height, self.width = page.imagelength, page.imagewidth
        self.num_bands = page.samplesperpixel
        if page.dtype != np.uint8 or page.planarconfig != 1 or self.num_bands not in (1, 3, 4):
            self._file.close()
            order = 'interleaved' if page.planarconfig == 1 else 'one plane after another'
            raise ValueError(
                f'{path} holds {self.num_bands} bands of {page.dtype}, {order}; '
                'expected 8-bit grey, RGB or RGBA, interleaved: convert it, for example with '
                'gdal_translate -ot Byte -co INTERLEAVE=PIXEL -co TILED=YES'
            )

    def __enter__(self) -> 'TiffRows':
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    @property
    def geo_tags(self) -> list[tuple]:
        """The georeference, as tifffile writes it."""
        tags = self._page.tags
        return [
            (code, tags[code].dtype, tags[code].count, tags[code].value, True)
            for code in GEO_TAGS
            if code in tags
        ]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Read rows ``start`` to ``stop``: RGB uint8 (stop - start, W, 3).

        Raises:
            ValueError: a tile cannot be decoded.
        """
        page = self._page
        rows = np.empty((stop - start, self.width, self.num_bands), dtype=np.uint8)
        tile_height = page.tilelength if page.is_tiled else page.rowsperstrip
        across = -(-self.width // page.tilewidth) if page.is_tiled else 1
        first, last = start // tile_height, (stop - 1) // tile_height
        numbers = list(range(first * across, (last + 1) * across))
        if numbers[-1] >= min(len(page.dataoffsets), len(page.databytecounts)):
            raise ValueError(
                f'{self.path} is cut off: it does not say where tile {numbers[-1]} lies; copy or '
                'export the file anew'
            )
        segments = self._file.filehandle.read_segments(
            [page.dataoffsets[number] for number in numbers],
            [page.databytecounts[number] for number in numbers],
            indices=numbers,
        )
        for data, number in segments:
            try:
                decoded = page.decode(data, number, jpegtables=page.jpegtables)
            except (RuntimeError, ValueError) as error:  # those of imagecodecs and zlib
                raise ValueError(
                    f'{self.path}: tile {number} cannot be decoded ({error}); copy or export the '
                    'file anew'
                ) from error
            tile, (_, _, top, left, _), _ = decoded
            if tile is None:  # a sparse file leaves empty tiles out
                tile = np.zeros((1, tile_height, self.width - left, self.num_bands), np.uint8)
            tile = tile[0, max(start - top, 0) : stop - top, : self.width - left]
            begin = max(top - start, 0)
            rows[begin : begin + len(tile), left : left + tile.shape[1]] = tile
        if self.num_bands == 1:
            return rows.repeat(3, axis=2)
        return rows[..., :3]


def write_class_map(
    path: str | os.PathLike,
    bands: Iterator[np.ndarray],
    size: tuple[int, int],
    palette: list,
    geo_tags: list[tuple] = (),
) -> None:
    """Write a class map as a tiled, compressed palette TIFF while it comes.

    Args:
        path: to write.
        bands: class indices, uint8 (any height, W), from the top to the bottom.
        size: (height, width) of the whole.
        palette: (red, green, blue) in 0..255 of each class.
        geo_tags: of :class:`TiffRows`.
    """
    tifffile = import_extra('tifffile', 'data')
    colours = np.zeros((3, 256), dtype=np.uint16)
    colours[:, : len(palette)] = 257 * np.asarray(palette, dtype=np.uint16).T
    with whole_file(path) as partial:
        tifffile.imwrite(
            partial,
            _tiles(bands, size[1]),
            shape=size,
            dtype=np.uint8,
            tile=(TILE, TILE),
            photometric='palette',
            colormap=colours,
            compression='zlib',
            bigtiff=size[0] * size[1] > 2**31,
            extratags=geo_tags,
        )


def _tiles(bands: Iterator[np.ndarray], width: int) -> Iterator[np.ndarray]:
    """Cut bands of any height into tiles, row by row of tiles; the last ones are filled with 0."""
    waiting = np.empty((0, width), dtype=np.uint8)
    for band in bands:
        waiting = np.concatenate([waiting, band])
        while len(waiting) >= TILE:
            yield from _tiles_of_row(waiting[:TILE])
            waiting = waiting[TILE:]
    if len(waiting):
        yield from _tiles_of_row(waiting)


def _tiles_of_row(rows: np.ndarray) -> Iterator[np.ndarray]:
    for left in range(0, rows.shape[1], TILE):
        tile = np.zeros((TILE, TILE), dtype=np.uint8)
        part = rows[:, left : left + TILE]
        tile[: part.shape[0], : part.shape[1]] = part
        yield tile
