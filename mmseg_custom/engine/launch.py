"""Training and testing from a config: what ``tools/train.py`` and ``tools/test.py`` call."""

import os
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmseg_custom.engine.class_count import fit_class_count
from mmseg_custom.engine.config import drop_pretrained
from mmseg_custom.registry import RUNNERS, register_all


def prepare(config: Config, work_dir: str | None, launcher: str, loader: str) -> None:
    """Fill in what a run needs beside the config: work folder, launcher, number of classes.

    Args:
        config: changed in place.
        work_dir: folder of the run; default ``work_dirs/<name of the config>``.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        loader: the loader whose data set names the classes, e.g. ``train_dataloader``.

    Raises:
        PermissionError: the work folder cannot be written to.
        ValueError: the heads' number of classes is not the data set's.
    """
    register_all()
    init_default_scope(config.get('default_scope', 'mmseg_custom'))
    config.launcher = launcher
    name = Path(config.filename or 'config').stem
    config.work_dir = work_dir or config.get('work_dir') or os.path.join('work_dirs', name)
    _check_writable(Path(config.work_dir))
    fit_class_count(config, loader)


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f'.write_test_{os.getpid()}'
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise PermissionError(
            f'cannot write to the work folder {folder} ({error.strerror}); '
            'choose another one with --work-dir'
        ) from error


def build_runner(config: Config):
    """Build the runner that ``runner_type`` names, ours by default."""
    runner_type = RUNNERS.get(config.get('runner_type', 'mmseg_custom.Runner'))
    if runner_type is None:
        raise ValueError(f"unknown runner_type='{config.runner_type}'; leave it out to use ours")
    return runner_type.from_cfg(config)


def train(
    config: Config,
    work_dir: str | None = None,
    resume: str | bool = False,
    amp: bool = False,
    launcher: str = 'none',
    from_scratch: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    compile: bool = False,
):
    """Train from a loaded config.

    Args:
        config: see :func:`mmseg_custom.engine.config.load_config`.
        work_dir: folder for logs and checkpoints; default ``work_dirs/<name of the config>``.
        resume: True for the newest checkpoint of the work folder, or the path of one.
        amp: automatic mixed precision.
        launcher: as in MMSegmentation.
        from_scratch: leave out every pretrained weight.
        overwrite: start anew in a work folder that already holds checkpoints.
        tensorboard: also write TensorBoard event files.
        compile: compile backbone and decode head with ``torch.compile``.

    Returns:
        The runner after training.

    Raises:
        FileExistsError: the work folder holds checkpoints and neither ``resume`` nor ``overwrite``
            was given.
    """
    prepare(config, work_dir, launcher, 'train_dataloader')
    _protect_checkpoints(Path(config.work_dir), bool(resume) or overwrite)
    if from_scratch:
        drop_pretrained(config)
    if amp:
        _enable_amp(config)
    if tensorboard:
        config.visualizer.vis_backends = [
            *config.visualizer.vis_backends,
            dict(type='TensorboardVisBackend'),
        ]
    config.compile = compile or config.get('compile', False)
    config.resume = bool(resume)
    if isinstance(resume, str):
        if not os.path.isfile(resume):
            raise FileNotFoundError(f'--resume {resume}: no such checkpoint')
        config.load_from = resume
    runner = build_runner(config)
    runner.train()
    return runner


def _protect_checkpoints(work_dir: Path, allowed: bool) -> None:
    found = sorted(work_dir.glob('*.pth'))
    # Only the first process may look: the others start while it already trains.
    if found and not allowed and os.environ.get('RANK', '0') == '0':
        raise FileExistsError(
            f'{work_dir} already holds {found[0].name}: continue it with --resume, choose another '
            'folder with --work-dir, or start anew in it with --overwrite'
        )


def _enable_amp(config: Config) -> None:
    kind = config.optim_wrapper.type
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(f'--amp works with optim_wrapper.type=OptimWrapper, but it is {kind}')
    config.optim_wrapper.type = 'AmpOptimWrapper'


def test(
    config: Config,
    checkpoint: str,
    work_dir: str | None = None,
    out: str | None = None,
    show_dir: str | None = None,
    tta: bool = False,
    launcher: str = 'none',
    compile: bool = False,
) -> dict[str, float]:
    """Test a checkpoint on the config's test set.

    Args:
        config: see :func:`mmseg_custom.engine.config.load_config`.
        checkpoint: path of the weights.
        work_dir: folder for logs; default ``work_dirs/<name of the config>``.
        out: folder for the predicted label maps as PNG.
        show_dir: folder for painted predictions.
        tta: test-time augmentation as ``tta_model`` and ``tta_pipeline`` of the config say.
        launcher: as in MMSegmentation.
        compile: compile backbone and decode head with ``torch.compile``.

    Returns:
        The metrics, in percent.
    """
    prepare(config, work_dir, launcher, 'test_dataloader')
    drop_pretrained(config)
    config.load_from = checkpoint
    config.compile = compile or config.get('compile', False)
    if out is not None:
        config.test_evaluator.output_dir = out
    if show_dir is not None:
        paint = dict(type='mmseg_custom.PaintHook', out_dir=show_dir)
        config.custom_hooks = [*config.get('custom_hooks', []), paint]
    if tta:
        _enable_tta(config)
    return build_runner(config).test()


def _enable_tta(config: Config) -> None:
    for key in ('tta_pipeline', 'tta_model'):
        if key not in config:
            raise ValueError(f'--tta needs {key} in {config.filename}, which does not have it')
    config.test_dataloader.dataset.pipeline = config.tta_pipeline
    config.tta_model.module = config.model
    config.model = config.tta_model
