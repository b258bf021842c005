"""Predict pictures one after another and write what was asked for of each."""

import glob
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmseg_custom.datasets.checks import IMAGE_SUFFIXES, find_by_stem
from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.prediction import Prediction
from mmseg_custom.inference.prediction_tiles import predict_tiled
from mmseg_custom.inference.prediction_videos import draw_color, draw_side_by_side, predict_video
from mmseg_custom.inference.region_files import (
    CocoRegions,
    area_rows,
    csv_of,
    to_geojson,
    to_hosted,
)
from mmseg_custom.inference.video import VIDEO_SUFFIXES
from mmseg_custom.visualization.file_names import name_below
from mmseg_custom.visualization.panels import draw_overlay
from mmseg_custom.visualization.rendering import class_map_image, class_shares, write_image

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
DEFAULT_KINDS = ('mask', 'overlay')
VIDEO_ENDINGS = {
    'color': '_color.mp4',
    'overlay': '_overlay.mp4',
    'side-by-side': '_side_by_side.mp4',
}
TILED_ENDING = '_classes.tif'
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
        shares: share of the pixels per class, (K,), or None.
        error: None, or one line why the picture could not be predicted.
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
    kinds: Sequence[str] = DEFAULT_KINDS,
    overwrite: bool = False,
    tiled: bool = False,
) -> list[Job]:
    """List the pictures and the files to write, without writing any.

    Args:
        source: a picture, a pattern such as ``'shots/*.jpg'``, a video, or a folder, which is
            searched for pictures with its sub-folders.
        out_dir: where the files go, named after the pictures, in the same sub-folders.
        kinds: what to write, keys of :data:`ENDINGS`; of a video those of :data:`VIDEO_ENDINGS`.
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
    is_video = Path(source).suffix.lower() in VIDEO_SUFFIXES
    endings = VIDEO_ENDINGS if is_video else {'mask': TILED_ENDING} if tiled else ENDINGS
    unknown = [kind for kind in kinds if kind not in endings]
    if unknown or not kinds:
        got = f"'{unknown[0]}'" if unknown else 'nothing'
        what = 'a video' if is_video else 'pictures in tiles' if tiled else 'pictures'
        raise ValueError(f'--save got {got}; expected of {what} some of {",".join(endings)}')
    images, folder = _list_pictures(Path(source), Path(out_dir))
    named = sorted((name_below(image, folder), image) for image in images)
    out_dir = Path(out_dir)
    jobs = [
        Job(image, {kind: out_dir / f'{name}{endings[kind]}' for kind in kinds})
        for name, image in named
    ]
    planned = [path for job in jobs for path in job.files.values()]
    if 'regions' in kinds:
        planned += [out_dir / COCO_FILE, out_dir / AREAS_FILE]
    existing = [path for path in planned if path.exists()]
    if existing and not overwrite:
        raise FileExistsError(
            f'{len(existing)} of {len(planned)} files exist already (first: {existing[0]}); '
            'choose another --out-dir or pass --overwrite'
        )
    return jobs


def _list_pictures(source: Path, out_dir: Path) -> tuple[list[Path], Path]:
    """List pictures and the folder that their names are relative to."""
    if source.is_dir():
        if out_dir.resolve().is_relative_to(source.resolve()):
            raise ValueError(
                f'--out-dir {out_dir} lies in the folder of the pictures, {source}: the next run '
                'would take its files for pictures; choose a folder outside'
            )
        return [source / name for name in find_by_stem(source, IMAGE_SUFFIXES).values()], source
    if source.exists():
        return [source], source.parent
    found = [Path(name) for name in glob.glob(str(source), recursive=True)]
    if not found:
        raise FileNotFoundError(f'picture or folder {source} does not exist')
    return found, Path(os.path.commonpath([path.parent for path in found]))


def predict_files(
    inferencer: Inferencer,
    jobs: Sequence[Job],
    out_dir: str | os.PathLike | None,
    opacity: float = 0.5,
) -> Iterator[Result]:
    """Predict the pictures, write their files in threads, and yield what became of each.

    A picture that cannot be read or predicted is yielded with its ``error`` and does not stop the
    others. ``inferencer.seconds['write']`` counts the time of all writers together.

    Args:
        inferencer: predicts; with ``probs`` where they are to be written.
        jobs: from :func:`plan_jobs`.
        out_dir: for the files of the regions of all pictures; None writes those of each alone.
        opacity: weight of the class colours in the overlay, 0..1.

    Raises:
        OSError: a file cannot be written.
    """
    if jobs[0].image.suffix.lower() in VIDEO_SUFFIXES:
        yield _predict_video(inferencer, jobs[0], opacity)
        return
    by_image = {str(job.image): job for job in jobs}
    failed: deque[Result] = deque()
    summed = out_dir is not None and any('regions' in job.files for job in jobs)
    regions = RegionSummary(Path(out_dir)) if summed else None
    lock = threading.Lock()
    inferencer.seconds['write'] = 0.0

    def write(prediction: Prediction) -> Result:
        start = time.perf_counter()
        job = by_image[prediction.name]
        for kind, path in job.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
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
        num_frames, shares = predict_video(inferencer, job.image, job.files, opacity)
    except ValueError as error:
        return Result(job.image, {}, error=' '.join(str(error).split()))
    return Result(job.image, job.files, f'{num_frames} frames', shares, None, num_frames)


@dataclass(frozen=True)
class Tiling:
    """How large pictures are cut; see ``prediction_tiles.predict_tiled``."""

    tile: int
    overlap: int
    max_memory_gib: float = 2.0


def predict_large_files(
    inferencer: Inferencer, jobs: Sequence[Job], tiling: Tiling
) -> Iterator[Result]:
    """Predict TIFF files in tiles; jobs are planned with ``tiled``."""
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
        self.out_dir.mkdir(parents=True, exist_ok=True)
        (self.out_dir / COCO_FILE).write_text(json.dumps(self._coco.content))
        (self.out_dir / AREAS_FILE).write_text(csv_of(sorted(self._rows)), encoding='utf-8')


def _write_mask(prediction: Prediction, path: Path, opacity: float) -> None:
    write_image(path, class_map_image(prediction.labels, prediction.palette, ignore_index=None))


def _write_overlay(prediction: Prediction, path: Path, opacity: float) -> None:
    of = prediction
    write_image(path, draw_overlay(of.image, of.labels, of.classes, of.palette, opacity, None))


def _write_probs(prediction: Prediction, path: Path, opacity: float) -> None:
    np.savez_compressed(
        path, probs=prediction.probs.astype(np.float16), classes=np.array(prediction.classes)
    )


def _write_json(content: dict, path: Path) -> None:
    path.write_text(json.dumps(content), encoding='utf-8')


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
