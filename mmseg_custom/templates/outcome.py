"""What a run is good for: predicting, measuring, handing on."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmseg_custom.engine.checkpoint_files import problem_of, saved_checkpoints
from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.pictures import Source
from mmseg_custom.inference.prediction import Prediction
from mmseg_custom.templates.params_file import load_params
from mmseg_custom.templates.records import Run
from mmseg_custom.templates.tool_commands import tool_command
from mmseg_custom.writing import check_writable

OVERLAY, REGIONS = 'overlay', 'hosted'
OPACITY = 0.5
WEIGHT_FORMATS = ('pth', 'safetensors')
EXPORTED = {'onnx': '.onnx', 'pt2': '.pt2', 'litert': '.tflite'}


def best_checkpoints(run: Run) -> list[Path]:
    """The files of a run that were saved for their score, the newest first."""
    found = run.training.glob('best_*.pth')
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def best_checkpoint(run: Run) -> Path:
    """The whole checkpoint of a run with the best score so far; else the newest.

    Raises:
        ValueError: there is none yet.
    """
    for path in (*best_checkpoints(run), *saved_checkpoints(run.training)):
        if problem_of(path) is None:
            return path
    raise ValueError(f'{run.id} ({run.status}) has no checkpoint yet; wait until it has saved one')


def open_model(run: Run, device: str | None = None) -> Inferencer:
    """The run's best checkpoint, ready to predict.

    Args:
        run: of the registry.
        device: such as ``cpu``; None takes the first GPU if there is one.

    Raises:
        ValueError: the run has no checkpoint yet.
    """
    return Inferencer(best_checkpoint(run), device=device)


def predict(
    run: Run,
    pictures: Source | Sequence[Source],
    out_dir: str | os.PathLike | None = None,
    device: str | None = None,
) -> Iterator[Prediction]:
    """Predict pictures one after another, and write overlay and regions (JSON) of each.

    Args:
        run: of the registry.
        pictures: one or several, as :class:`~mmseg_custom.inference.inferencer.Inferencer` takes
            them.
        out_dir: for ``NAME_overlay.png`` and ``NAME_regions.json``, named after the pictures, which
            replace files of the same names; None writes nothing.
        device: as in :func:`open_model`.

    Raises:
        FileNotFoundError: there is no such picture.
        ValueError: the run has no checkpoint yet, a picture cannot be read, or two have one name.
    """
    from mmseg_custom.inference.prediction_files import ENDINGS, WRITERS

    if out_dir is not None:
        check_writable(out_dir, '--out-dir')
    model = open_model(run, device)
    names: dict[str, str] = {}
    for prediction in model.stream(pictures):
        if out_dir is not None:
            stem = Path(prediction.name).stem
            if stem in names:
                raise ValueError(
                    f'{names[stem]} and {prediction.name} would both be written to {stem}_*; '
                    'predict them into two folders'
                )
            names[stem] = prediction.name
            for kind in (OVERLAY, REGIONS):
                WRITERS[kind](prediction, Path(out_dir, f'{stem}{ENDINGS[kind]}'), OPACITY)
        yield prediction


def evaluate(run: Run, split: str = 'val') -> dict[str, float]:
    """Test the run's best checkpoint on the version of the data set that it was trained on.

    Args:
        run: of the registry.
        split: ``val``, or another split of the data set.

    Returns:
        The metrics, in percent; the report lies in the run's folder, in ``evaluation``.

    Raises:
        ValueError: the run has no checkpoint yet.
        FileNotFoundError: there is no such split.
    """
    from mmseg_custom.engine.config import load_config
    from mmseg_custom.engine.launch import test
    from mmseg_custom.wrapped import inner_configs

    checkpoint = best_checkpoint(run)
    config = load_config(str(run.config))
    for dataset in inner_configs(config.test_dataloader.dataset):
        dataset['split'] = split
    return test(config, str(checkpoint), work_dir=str(run.folder / 'evaluation'))


def export(run: Run, out_dir: str | os.PathLike | None = None, format: str = 'pth') -> Path:
    """Write the run's best checkpoint as a file to hand on, without the state of the run.

    Args:
        run: of the registry.
        out_dir: default: ``exports`` in the run's folder.
        format: ``pth`` or ``safetensors``, with the first digits of the SHA-256 in the name; or
            ``onnx``, ``pt2`` or ``litert``, which a tool of ``tools/deployment`` writes in place of
            an older one and compares with the model.

    Returns:
        The file.

    Raises:
        ValueError: the run has no checkpoint yet, the format is unknown, or the exported file does
            not predict what the model does.
    """
    from mmseg_custom.checkpoints.publish import publish

    if format not in (*WEIGHT_FORMATS, *EXPORTED):
        known = ', '.join((*WEIGHT_FORMATS, *EXPORTED))
        raise ValueError(f"format is '{format}'; expected one of {known}")
    folder = Path(out_dir or run.folder / 'exports').resolve()
    check_writable(folder, '--out-dir')
    checkpoint, name = best_checkpoint(run), f'{run.model}_{run.id}'
    if format in WEIGHT_FORMATS:
        return publish(checkpoint, folder / f'{name}.{format}')
    path = folder / f'{name}{EXPORTED[format]}'
    words = [*tool_command(f'deployment/export_{format}'), str(checkpoint), str(path)]
    if format == 'litert':
        width, *height = load_params(run.params_file).train_params.image_size
        words += ['--size', str(height[0] if height else width), str(width)]
    done = subprocess.run([*words, '--overwrite'], capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ['it ended without a word']
        raise ValueError(f'export to {format}: {said[-1].removeprefix("error: ")}')
    return path
