"""Predict the pictures of a folder and write a class map and an overlay of each."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mmseg_custom.datasets.checks import IMAGE_SUFFIXES, find_by_stem
from mmseg_custom.inference.predictor import picture_of, predict_image, read_image
from mmseg_custom.visualization.file_names import name_below
from mmseg_custom.visualization.panels import draw_overlay
from mmseg_custom.visualization.rendering import class_map_image, class_shares, write_image


@dataclass(frozen=True)
class Job:
    """A picture and the two files to write: class map (palette PNG) and overlay with legend."""

    image: Path
    class_map: Path
    overlay: Path


@dataclass(frozen=True)
class Result:
    """What became of a job: size, class shares and time, or why the picture was left out.

    Attributes:
        job: the picture and its files.
        size: (width, height) in pixels, or None.
        shares: share of the pixels per class, (K,), or None.
        latency_ms: time of preparing and predicting, without reading and writing, or None.
        error: None, or one line why the picture could not be predicted.
    """

    job: Job
    size: tuple[int, int] | None = None
    shares: np.ndarray | None = None
    latency_ms: float | None = None
    error: str | None = None


def plan_jobs(
    source: str | os.PathLike,
    out_dir: str | os.PathLike,
    overwrite: bool = False,
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
) -> list[Job]:
    """List the pictures and the files to write, without writing any.

    Args:
        source: a picture, or a folder, which is searched with its sub-folders.
        out_dir: where the files go, ``<name>_classes.png`` and ``<name>_overlay.png``, in the same
            sub-folders.
        overwrite: whether files that exist may be replaced.
        suffixes: endings of the pictures of a folder.

    Returns:
        One job per picture, sorted by path.

    Raises:
        FileNotFoundError: there is no such picture or folder, or the folder holds no picture.
        FileExistsError: a file exists and ``overwrite`` is False.
        ValueError: two pictures share a name, or ``out_dir`` lies in the folder of the pictures.
    """
    source, out_dir = Path(source), Path(out_dir)
    if source.is_dir():
        if out_dir.resolve().is_relative_to(source.resolve()):
            raise ValueError(
                f'--out-dir {out_dir} lies in the folder of the pictures, {source}: the next run '
                'would take its files for pictures; choose a folder outside'
            )
        images = [source / name for name in find_by_stem(source, suffixes).values()]
    elif source.exists():
        images, source = [source], source.parent
    else:
        raise FileNotFoundError(f'picture or folder {source} does not exist')
    named = sorted((name_below(image, source), image) for image in images)
    jobs = [
        Job(image, out_dir / f'{name}_classes.png', out_dir / f'{name}_overlay.png')
        for name, image in named
    ]
    existing = [path for job in jobs for path in (job.class_map, job.overlay) if path.exists()]
    if existing and not overwrite:
        raise FileExistsError(
            f'{len(existing)} of {2 * len(jobs)} files exist already (first: {existing[0]}); '
            'choose another --out-dir or pass --overwrite'
        )
    return jobs


def predict_files(
    model: torch.nn.Module, jobs: Sequence[Job], opacity: float = 0.5
) -> Iterator[Result]:
    """Predict each picture, write its two files, and yield what became of it.

    A picture that cannot be read or predicted is yielded with its ``error`` and does not stop the
    others.

    Args:
        model: from :func:`~mmseg_custom.inference.predictor.load_model`.
        jobs: from :func:`plan_jobs`.
        opacity: weight of the class colours in the overlay, 0..1.

    Raises:
        OSError: a file cannot be written.
    """
    classes, palette = model.dataset_meta['classes'], model.dataset_meta['palette']
    for job in jobs:
        try:
            image = read_image(model, job.image)
            start = time.perf_counter()
            class_map = predict_image(model, image)
        except (ValueError, FileNotFoundError) as error:
            yield Result(job, error=' '.join(str(error).split()))
            continue
        latency_ms = 1000 * (time.perf_counter() - start)
        picture = picture_of(model, image)
        overlay = draw_overlay(picture, class_map, classes, palette, opacity, ignore_index=None)
        write_image(job.class_map, class_map_image(class_map, palette, ignore_index=None))
        write_image(job.overlay, overlay)
        shares = class_shares(class_map, len(classes), ignore_index=None)
        yield Result(job, (image.shape[1], image.shape[0]), shares, latency_ms)


def describe(result: Result, classes: tuple[str, ...], count: int = 3) -> str:
    """One line: picture, size, time, the most frequent classes, where the overlay lies."""
    frequent = sorted(zip(result.shares, classes), key=lambda pair: -pair[0])[:count]
    shares = ', '.join(f'{name} {100 * share:.1f} %' for share, name in frequent if share > 0)
    width, height = result.size
    return (
        f'{result.job.image}  {width}x{height}  {result.latency_ms:.0f} ms  {shares}  -> '
        f'{result.job.overlay}'
    )
