"""Predict a long list of pictures on the machines of a Ray cluster, and go on after a crash.

Ray Data hands blocks of jobs to actors, each of which holds the model, and starts another one where
one dies. The pictures of blocks whose workers die again and again are predicted one at a time, so
that one picture cannot hold up the others. A manifest, one JSON line for each picture that is done,
lies in the output folder.
"""

import dataclasses
import json
import os
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.prediction_files import Job, Result, predict_files
from mmseg_custom.messages import import_extra

MANIFEST = 'manifest.jsonl'
# Pictures that a worker is given at once: what is done again when it dies.
BLOCK = 16
# How often a block is given to another worker before its pictures are left out.
RETRIES = 2


def read_manifest(out_dir: str | os.PathLike) -> dict[str, dict]:
    """What is done, by the path of the picture; a line that a crash cut off is left out."""
    path, done = Path(out_dir, MANIFEST), {}
    for line in path.read_text(encoding='utf-8').splitlines() if path.is_file() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        done[entry['image']] = entry
    return done


def remaining_jobs(jobs: Sequence[Job], out_dir: str | os.PathLike, options: dict) -> list[Job]:
    """The jobs that are not in the manifest, or whose files or picture are not those of then.

    Args:
        jobs: all of them.
        out_dir: where the manifest lies.
        options: as in :func:`predict_on_ray`.

    Raises:
        ValueError: the manifest is of another model.
    """
    done, model = read_manifest(out_dir), _model(options)
    models = (entry.get('model', model) for entry in done.values())
    other = next((one for one in models if one != model), None)
    if other is not None:
        raise ValueError(
            f'{Path(out_dir, MANIFEST)} is of the model {" ".join(other)}, not of '
            f'{" ".join(model)}; choose another --out-dir, or begin anew with --overwrite'
        )

    def is_done(job: Job) -> bool:
        entry = done.get(str(job.image))
        return entry is not None and entry['state'] == _state(job)

    return [job for job in jobs if not is_done(job)]


def _model(options: dict) -> list[str]:
    return [str(options[key]) for key in ('model', 'weights') if options.get(key) is not None]


def _state(job: Job) -> list | None:
    """Size and time of change of the picture; None where a file of the job is missing."""
    if not all(path.is_file() for path in job.files.values()):
        return None
    found = job.image.stat()
    return [found.st_size, found.st_mtime_ns, sorted(job.files)]


def predict_on_ray(
    options: dict,
    jobs: Sequence[Job],
    out_dir: str | os.PathLike,
    num_workers: int,
    opacity: float = 0.5,
    overwrite: bool = False,
) -> Iterator[Result]:
    """Predict on a Ray cluster: the one of ``RAY_ADDRESS``, else one of this machine.

    Args:
        options: arguments of :class:`~mmseg_custom.inference.inferencer.Inferencer`; paths have to
            be the same on all machines.
        jobs: from :func:`remaining_jobs`.
        out_dir: where the manifest lies.
        num_workers: actors with a model each; one GPU each where the cluster has some and the
            device is not ``cpu``.
        opacity: weight of the class colours, 0..1.
        overwrite: begin a new manifest instead of going on with the one that is there.

    Yields:
        Results as they come, each noted in the manifest first.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        RuntimeError: a worker met an error that no other would mend, such as a full disk.
    """
    ray = import_extra('ray', 'ray')
    data = import_extra('ray.data', 'ray')
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    context = data.DataContext.get_current()
    context.enable_progress_bars, context.max_errored_blocks = False, -1
    on_cpu = str(options.get('device')) == 'cpu'
    actors = dict(
        fn_constructor_kwargs=dict(options=options, opacity=opacity),
        concurrency=num_workers,
        num_gpus=0 if on_cpu or not ray.cluster_resources().get('GPU') else 1,
        max_restarts=-1,
        max_task_retries=RETRIES,
    )
    waiting = {str(job.image): job for job in jobs}
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    with open(Path(out_dir, MANIFEST), 'w' if overwrite else 'a', encoding='utf-8') as manifest:
        if manifest.tell():
            manifest.write('\n')  # ends a line that a crash cut off
        for block in (BLOCK, 1):
            for row in _predict_blocks(data, [*waiting.values()], block, actors):
                if not row['image']:
                    raise RuntimeError(f'a worker failed:\n{row["result"]}')
                result, job = _from_row(row), waiting.pop(row['image'])
                if result.error is None:
                    entry = {'image': row['image'], 'model': _model(options), 'state': _state(job)}
                    manifest.write(json.dumps(entry) + '\n')
                    manifest.flush()
                yield result
    for job in waiting.values():
        yield Result(
            job.image,
            {},
            error=f'{job.image}: {RETRIES + 1} workers that had it alone died; it may take more '
            'memory than a worker has',
        )


def _predict_blocks(data, jobs: Sequence[Job], block: int, actors: dict) -> Iterator[dict]:
    """Rows as :func:`_to_row` makes them; none of a block of which every worker died."""
    if not jobs:
        return
    rows = [{'image': str(job.image), 'files': json.dumps(job.files, default=str)} for job in jobs]
    blocks = data.from_items(rows, override_num_blocks=-(-len(rows) // block))
    yield from blocks.map_batches(Worker, batch_size=block, **actors).iter_rows()


class Worker:
    """A model that predicts blocks of jobs; what Ray's actors run."""

    def __init__(self, options: dict, opacity: float) -> None:
        self.inferencer, self.opacity = Inferencer(**options), opacity

    def __call__(self, block: dict[str, np.ndarray]) -> dict[str, list]:
        """Predict the pictures of a block; an error that is none of a picture is a row as well."""
        jobs = [
            Job(Path(image), {kind: Path(path) for kind, path in json.loads(files).items()})
            for image, files in zip(block['image'], block['files'])
        ]
        try:
            results = [*predict_files(self.inferencer, jobs, None, self.opacity)]
        except Exception:
            # Ray would leave the block out; the driver raises it.
            return {'image': [''], 'result': [traceback.format_exc()]}
        rows = [_to_row(one) for one in results]
        return {key: [row[key] for row in rows] for key in rows[0]}


def _to_row(result: Result) -> dict:
    row = dataclasses.asdict(result)
    shares = None if result.shares is None else result.shares.tolist()
    return {
        'image': str(result.image),
        'result': json.dumps({**row, 'shares': shares}, default=str),
    }


def _from_row(row: dict) -> Result:
    found = json.loads(row['result'])
    found['shares'] = None if found['shares'] is None else np.array(found['shares'])
    found['image'] = Path(found['image'])
    found['files'] = {kind: Path(path) for kind, path in found['files'].items()}
    return Result(**found)
