"""What a run is good for: predicting, measuring, handing on."""

import os
from collections.abc import Sequence
from pathlib import Path

from mmseg_custom.engine.checkpoint_files import problem_of, saved_checkpoints
from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.pictures import Source
from mmseg_custom.inference.prediction import Prediction
from mmseg_custom.templates.records import Run
from mmseg_custom.writing import check_writable

OVERLAY, REGIONS = 'overlay', 'hosted'
WEIGHT_FORMATS = ('pth', 'safetensors')


def best_checkpoint(run: Run) -> Path:
    """The whole checkpoint of a run with the best score so far; else the newest.

    Raises:
        ValueError: there is none yet.
    """
    found = sorted(
        run.training.glob('best_*.pth'), key=lambda path: path.stat().st_mtime, reverse=True
    )
    for path in (*found, *saved_checkpoints(run.training)):
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
) -> list[Prediction]:
    """Predict pictures, and write overlay and regions (JSON) of each.

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
    predictions, names = [], {}
    for prediction in model.stream(pictures):
        predictions.append(prediction)
        if out_dir is None:
            continue
        stem = Path(prediction.name).stem
        if stem in names:
            raise ValueError(
                f'{names[stem]} and {prediction.name} would both be written to {stem}_*; predict '
                'them into two folders'
            )
        names[stem] = prediction.name
        for kind in (OVERLAY, REGIONS):
            WRITERS[kind](prediction, Path(out_dir, f'{stem}{ENDINGS[kind]}'), 0.5)
    return predictions


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
        format: ``pth`` or ``safetensors``.

    Returns:
        The file; the first digits of its SHA-256 are part of its name.

    Raises:
        ValueError: the run has no checkpoint yet, or the format is unknown.
    """
    from mmseg_custom.checkpoints.publish import publish

    if format not in WEIGHT_FORMATS:
        raise ValueError(f"format is '{format}'; expected one of {', '.join(WEIGHT_FORMATS)}")
    folder = Path(out_dir or run.folder / 'exports')
    check_writable(folder, '--out-dir')
    return publish(best_checkpoint(run), folder / f'{run.model}_{run.id}.{format}')
