"""Predict whatever a command line names, on this machine or many, and report."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mmseg_custom.inference import ray_engine
from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.prediction_files import (
    Tiling,
    plan_jobs,
    predict_files,
    predict_large_files,
)
from mmseg_custom.inference.prediction_report import report_results
from mmseg_custom.writing import check_writable


def predict_source(
    source: str | os.PathLike,
    out_dir: str | os.PathLike,
    kinds: Sequence[str] | None,
    options: dict,
    *,
    opacity: float = 0.5,
    overwrite: bool = False,
    tiling: Tiling | None = None,
    num_ray_workers: int | None = None,
) -> int:
    """Predict a picture, folder, pattern or video and print what became of it.

    Args:
        source: see :func:`~mmseg_custom.inference.prediction_files.plan_jobs`.
        out_dir: where the files go.
        kinds: what to write of each picture; see there.
        options: arguments of :class:`~mmseg_custom.inference.inferencer.Inferencer`.
        opacity: weight of the class colours in overlays, 0..1.
        overwrite: whether files that exist may be replaced.
        tiling: how TIFF files larger than the memory are cut; None for pictures as they are.
        num_ray_workers: actors on a Ray cluster; None predicts in this process.

    Returns:
        How many pictures and videos failed.

    Raises:
        FileNotFoundError, FileExistsError, ValueError: as the functions that this calls.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f'--opacity {opacity}: expected 0 (picture) to 1 (classes only)')
    if num_ray_workers is not None and num_ray_workers < 1:
        raise ValueError(f'--workers {num_ray_workers}: expected at least 1')
    if tiling and num_ray_workers:
        raise ValueError('--engine ray does not cut pictures into tiles; leave out --tile')
    resumes = num_ray_workers and Path(out_dir, ray_engine.MANIFEST).is_file()
    jobs = plan_jobs(source, out_dir, kinds, overwrite or resumes, tiling is not None)
    if resumes and not overwrite:
        num_planned, jobs = len(jobs), ray_engine.remaining_jobs(jobs, out_dir, options)
        print(f'{num_planned - len(jobs)} of {num_planned} files are done already')
        if not jobs:
            return 0
    report = []
    # With Ray it finds mistakes before the cluster is asked, and takes no GPU from a worker.
    here = {**options, 'device': 'cpu'} if num_ray_workers else options
    inferencer = Inferencer(**here, show=report.append)
    check_writable(out_dir, '--out-dir')
    print(*report, file=sys.stderr)
    if num_ray_workers:
        results = ray_engine.predict_on_ray(
            options, jobs, out_dir, num_ray_workers, opacity, overwrite
        )
    elif tiling:
        results = predict_large_files(inferencer, jobs, tiling)
    else:
        results = predict_files(inferencer, jobs, out_dir, opacity)
    return report_results(results, len(jobs), inferencer, out_dir)
