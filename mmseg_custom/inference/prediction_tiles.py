"""Predict TIFF files too large for the memory, from tiled file to tiled file."""

import time
from pathlib import Path

import numpy as np

from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.tiled_tiff import TiffRows, write_class_map
from mmseg_custom.inference.tiles import estimate_memory, predict_bands

GIB = 2**30


def predict_tiled(
    inferencer: Inferencer,
    source: Path,
    class_map: Path,
    tile: int,
    overlap: int,
    max_memory_gib: float = 2.0,
) -> tuple[str, np.ndarray]:
    """Predict a TIFF at native scale, without the resizing of the test pipeline.

    Args:
        inferencer: predicts ``batch_size`` windows at once.
        source: TIFF, 8-bit grey, RGB or RGBA; tiled files are read fastest.
        class_map: palette TIFF to write, with the source's georeference.
        tile: side of the windows that go through the network, in pixels.
        overlap: pixels that neighbouring windows share.
        max_memory_gib: of what is held besides the model and its batch.

    Returns:
        Width x height, and the share of the pixels per class, (K,).

    Raises:
        ValueError: the file does not fit, or it would take more memory.
    """
    num_classes = len(inferencer.classes)
    if num_classes > 256:
        raise ValueError(f'{num_classes} classes do not fit into an 8-bit class map; expected 256')
    pixels, start = np.zeros(num_classes, dtype=np.int64), time.perf_counter()
    with TiffRows(source) as rows:
        size, window = (rows.height, rows.width), (tile, tile)
        needed = estimate_memory(size, window, overlap, num_classes) / GIB
        if needed > max_memory_gib:
            raise ValueError(
                f'{source} takes about {needed:.1f} GiB with --tile {tile}, but --max-memory is '
                f'{max_memory_gib:g}; take a smaller --tile or --overlap, or allow more'
            )

        def labels():
            done = 0
            for band in predict_bands(
                inferencer.model, rows.read, size, window, overlap, inferencer.batch_size
            ):
                pixels[:] += np.bincount(band.ravel(), minlength=num_classes)
                done += len(band)
                inferencer.doing = f'{100 * done // size[0]} % of {source.name}'
                yield band

        palette = inferencer.model.dataset_meta['palette']
        write_class_map(class_map, labels(), size, palette, rows.geo_tags)
    inferencer.seconds['predict'] += time.perf_counter() - start
    return f'{size[1]}x{size[0]}', pixels / pixels.sum()
