"""Predict pictures one after another and write what was asked for of each."""

import json
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.pictures import find_files, is_video
from mmseg_custom.inference.prediction import Prediction
from mmseg_custom.inference.prediction_tiles import predict_tiled
from mmseg_custom.inference.prediction_videos import draw_color, draw_side_by_side, predict_video
from mmseg_custom.inference.predictor import takes_bands
from mmseg_custom.inference.region_files import (
    CocoRegions,
    area_rows,
    csv_of,
    to_geojson,
    to_hosted,
)
from mmseg_custom.visualization.file_names import name_below
from mmseg_custom.visualization.panels import draw_overlay
from mmseg_custom.visualization.rendering import class_map_image, class_shares, write_image
from mmseg_custom.writing import whole_file

# What `--save` knows, and the ending of its file.
ENDINGS = {
    'mask': '_classes.png',
    'color': '_color.png',
    'overlay': '_overlay.png',
    'side-by-side': '_side_by_side.png',
    'probs': '_probs.npz',
    'regions': '_regions.geojson',
    'hosted': '_regions.json',
}
VIDEO_ENDINGS = {
    'color': '_color.mp4',
    'overlay': '_overlay.mp4',
    'side-by-side': '_side_by_side.mp4',
}
TILED_ENDINGS = {'mask': '_classes.tif'}
DEFAULT_KINDS = ('mask', 'overlay')
COCO_FILE, AREAS_FILE = 'regions_coco.json', 'areas.csv'
NUM_WRITERS = 2


@dataclass(frozen=True)
class Job:
    """A picture and the files to write, by kind (a key of :data:`ENDINGS`)."""

    image: Path
    files: dict[str, Path]


@dataclass(frozen=True)
class Result:
    """What became of a picture: size and class shares, or why it was left out.

    Attributes:
        image: path of the picture.
        files: what was written, by kind.
        size: width x height in pixels, or a video's number of frames; or None.
        shares: share of the pixels per class, (K,); None where nothing was predicted.
        error: None, or one line why the picture, or the end of the video, could not be predicted.
        num_pictures: 1, or a video's number of frames.
    """

    image: Path
    files: dict[str, Path]
    size: str | None = None
    shares: np.ndarray | None = None
    error: str | None = None
    num_pictures: int = 1


def plan_jobs(
    source: str | os.PathLike,
    out_dir: str | os.PathLike,
    kinds: Sequence[str] | None = None,
    overwrite: bool = False,
    tiled: bool = False,
) -> list[Job]:
    """List the pictures and the files to write, without writing any.

    Args:
        source: pictures and videos, as :func:`~mmseg_custom.inference.pictures.find_files` says.
        out_dir: where the files go, named after the pictures, in the same sub-folders.
        kinds: what to write, keys of :data:`ENDINGS`; of a video those of :data:`VIDEO_ENDINGS`.
            None writes of each those of :data:`DEFAULT_KINDS` that it can have.
        overwrite: whether files that exist may be replaced.
        tiled: the class map is a TIFF, and nothing else is written.

    Returns:
        One job per picture, sorted by path.

    Raises:
        FileNotFoundError: there is no such picture or folder, or the folder holds no picture.
        FileExistsError: a file exists and ``overwrite`` is False.
        ValueError: two pictures share a name, ``out_dir`` lies in the folder of the pictures, or a
            kind is unknown.
    """
    images, folder = find_files(source)
    out_dir = Path(out_dir)
    if Path(source).is_dir() and out_dir.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f'--out-dir {out_dir} lies in the folder of the pictures, {source}: the next run '
            'would take its files for pictures; choose a folder outside'
        )
    jobs = [_plan(image, out_dir / name_below(image, folder), kinds, tiled) for image in images]
    planned = [path for job in jobs for path in job.files.values()]
    twice = [path for path, count in Counter(planned).items() if count > 1]
    if twice:
        raise ValueError(f'{twice[0]} would be written of two pictures; predict them one at a time')
    if any('regions' in job.files for job in jobs):
        planned += [out_dir / COCO_FILE, out_dir / AREAS_FILE]
    existing = [path for path in planned if path.exists()]
    if existing and not overwrite:
        raise FileExistsError(
            f'{len(existing)} of {len(planned)} files exist already (first: {existing[0]}); '
            'choose another --out-dir or pass --overwrite'
        )
    return jobs


def _plan(image: Path, name: Path, kinds: Sequence[str] | None, tiled: bool) -> Job:
    """Plan a picture or video whose files begin with ``name``."""
    if is_video(image):
        what, endings = 'a video', VIDEO_ENDINGS
    else:
        what, endings = ('pictures in tiles', TILED_ENDINGS) if tiled else ('pictures', ENDINGS)
    if kinds is None:
        kinds = [kind for kind in DEFAULT_KINDS if kind in endings]
    unknown = [kind for kind in kinds if kind not in endings]
    if unknown or not kinds:
        got = f"'{unknown[0]}'" if unknown else 'nothing'
        raise ValueError(
            f'--save got {got} for {image}; expected of {what} some of {",".join(endings)}'
        )
    return Job(image, {kind: name.with_name(name.name + endings[kind]) for kind in kinds})


def predict_files(
    inferencer: Inferencer,
    jobs: Sequence[Job],
    out_dir: str | os.PathLike | None,
    opacity: float = 0.5,
) -> Iterator[Result]:
    """Predict pictures and videos, write their files in threads, and yield what became of each.

    What cannot be read or predicted is yielded with its ``error`` and does not stop the others.

    Args:
        inferencer: predicts; with ``probs`` where they are to be written.
        jobs: from :func:`plan_jobs`.
        out_dir: for the files of the regions of all pictures; None writes those of each alone.
        opacity: weight of the class colours in the overlay, 0..1.

    Raises:
        OSError: a file cannot be written.
    """
    yield from _predict_pictures(
        inferencer, [job for job in jobs if not is_video(job.image)], out_dir, opacity
    )
    for job in jobs:
        if is_video(job.image):
            yield _predict_video(inferencer, job, opacity)


def _predict_pictures(
    inferencer: Inferencer,
    jobs: Sequence[Job],
    out_dir: str | os.PathLike | None,
    opacity: float,
) -> Iterator[Result]:
    by_image = {str(job.image): job for job in jobs}
    failed: deque[Result] = deque()
    summed = out_dir is not None and any('regions' in job.files for job in jobs)
    regions = RegionSummary(Path(out_dir)) if summed else None
    lock = threading.Lock()

    def write(prediction: Prediction) -> Result:
        start = time.perf_counter()
        job = by_image[prediction.name]
        for kind, path in job.files.items():
            WRITERS[kind](prediction, path, opacity)
        height, width = prediction.labels.shape
        shares = class_shares(prediction.labels, len(prediction.classes), ignore_index=None)
        with lock:
            if regions is not None:
                regions.add(prediction)
            inferencer.seconds['write'] += time.perf_counter() - start
        return Result(job.image, job.files, f'{width}x{height}', shares)

    def left_out(name: str, reason: str) -> None:
        failed.append(Result(Path(name), {}, error=reason))

    pending: deque[Future] = deque()
    with ThreadPoolExecutor(NUM_WRITERS) as writers:
        for prediction in inferencer.stream([job.image for job in jobs], failed=left_out):
            pending.append(writers.submit(write, prediction))
            while pending and (len(pending) > 2 * NUM_WRITERS or pending[0].done()):
                yield pending.popleft().result()
            yield from _drain(failed)
        for future in pending:
            yield future.result()
        yield from _drain(failed)
    if regions is not None:
        regions.write()


def _predict_video(inferencer: Inferencer, job: Job, opacity: float) -> Result:
    try:
        num_frames, shares, error = predict_video(inferencer, job.image, job.files, opacity)
    except ValueError as error:
        return Result(job.image, {}, error=' '.join(str(error).split()))
    return Result(job.image, job.files, f'{num_frames} frames', shares, error, num_frames)


@dataclass(frozen=True)
class Tiling:
    """How large pictures are cut; see ``prediction_tiles.predict_tiled``."""

    tile: int
    overlap: int
    max_memory_gib: float = 2.0

    def __post_init__(self) -> None:
        """Refuse tiles without pixels of their own."""
        if self.tile < 1:
            raise ValueError(f'--tile {self.tile}: expected the side of a tile in pixels')
        if not 0 <= self.overlap < self.tile:
            raise ValueError(
                f'--overlap {self.overlap}: expected 0 to less than --tile {self.tile}'
            )


def predict_large_files(
    inferencer: Inferencer, jobs: Sequence[Job], tiling: Tiling
) -> Iterator[Result]:
    """Predict TIFF files in tiles; jobs are planned with ``tiled``.

    Raises:
        ValueError: the model takes other bands than colours.
    """
    if takes_bands(inferencer.model.cfg):
        raise ValueError(
            '--tile reads 8-bit colours, but the model takes other bands; leave out --tile'
        )
    for job in jobs:
        try:
            size, shares = predict_tiled(
                inferencer,
                job.image,
                job.files['mask'],
                tiling.tile,
                tiling.overlap,
                tiling.max_memory_gib,
            )
        except ValueError as error:
            yield Result(job.image, {}, error=' '.join(str(error).split()))
            continue
        yield Result(job.image, job.files, size, shares)


def _drain(results: deque) -> Iterator[Result]:
    while results:
        yield results.popleft()


class RegionSummary:
    """The regions of all pictures in one COCO file and one table of areas."""

    def __init__(self, out_dir: Path) -> None:
        self.out_dir, self._coco, self._rows = out_dir, CocoRegions(), []

    def add(self, prediction: Prediction) -> None:
        """Add a picture."""
        self._coco.add(prediction)
        self._rows += area_rows(prediction)

    def write(self) -> None:
        """Write both files."""
        _write_json(self._coco.content, self.out_dir / COCO_FILE)
        with whole_file(self.out_dir / AREAS_FILE) as partial:
            partial.write_text(csv_of(sorted(self._rows)), encoding='utf-8')


def _write_mask(prediction: Prediction, path: Path, opacity: float) -> None:
    write_image(path, class_map_image(prediction.labels, prediction.palette, ignore_index=None))


def _write_overlay(prediction: Prediction, path: Path, opacity: float) -> None:
    of = prediction
    write_image(path, draw_overlay(of.image, of.labels, of.classes, of.palette, opacity, None))


def _write_probs(prediction: Prediction, path: Path, opacity: float) -> None:
    probs, classes = prediction.probs.astype(np.float16), np.array(prediction.classes)
    with whole_file(path) as partial:
        np.savez_compressed(partial, probs=probs, classes=classes)


def _write_json(content: dict, path: Path) -> None:
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content), encoding='utf-8')


WRITERS: dict[str, Callable[[Prediction, Path, float], None]] = {
    'mask': _write_mask,
    'color': lambda prediction, path, _: write_image(path, draw_color(prediction)),
    'overlay': _write_overlay,
    'side-by-side': lambda prediction, path, opacity: write_image(
        path, draw_side_by_side(prediction, opacity)
    ),
    'probs': _write_probs,
    'regions': lambda prediction, path, _: _write_json(to_geojson(prediction), path),
    'hosted': lambda prediction, path, _: _write_json(to_hosted(prediction), path),
}
