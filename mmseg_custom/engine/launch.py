"""Training and testing from a config: what ``tools/train.py`` and ``tools/test.py`` call."""

import os
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmseg_custom.engine.automatic_weights import drop_automatic_weights
from mmseg_custom.engine.band_count import fit_bands
from mmseg_custom.engine.checkpoint_files import saved_checkpoints
from mmseg_custom.engine.class_count import LOADERS, fit_class_count
from mmseg_custom.engine.config import drop_pretrained
from mmseg_custom.engine.data_check import check_data
from mmseg_custom.engine.device import use_device
from mmseg_custom.engine.failures import explained
from mmseg_custom.engine.run_log import SUMMARY
from mmseg_custom.engine.switches import add_hook, apply_switches
from mmseg_custom.engine.task import fit_task
from mmseg_custom.host_memory import keep_freed_memory
from mmseg_custom.registry import RUNNERS, SCOPE, register_all
from mmseg_custom.writing import check_writable

# What a test must not build: it would ask for the training pictures.
TRAINING_KEYS = (
    *('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler', 'auto_scale_lr'),
    *('val_dataloader', 'val_cfg', 'val_evaluator', 'resume'),
)


def prepare(config: Config, work_dir: str | None, launcher: str, loader: str) -> None:
    """Fill in what a run needs beside the config: work folder, launcher, task, classes, bands.

    Args:
        config: changed in place.
        work_dir: folder of the run; default ``work_dirs/<name of the config>``.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        loader: the loader whose data set names the classes, e.g. ``train_dataloader``.

    Raises:
        PermissionError: the work folder cannot be written to.
        ValueError: the heads' number of classes, or the bands, are not the data set's, or the
            config contradicts its task.
    """
    keep_freed_memory()
    register_all()
    init_default_scope(config.get('default_scope', SCOPE))
    config.launcher = launcher
    config.work_dir = work_dir or default_work_dir(config)
    check_writable(Path(config.work_dir), '--work-dir')
    fit_task(config, loader)
    fit_class_count(config, loader)
    fit_bands(config, loader)
    for name in LOADERS:
        if config.get(name) and config[name].get('num_workers') == 0:
            config[name].persistent_workers = False


def default_work_dir(config: Config) -> str:
    """The folder that the config names, else ``work_dirs/<name of the config>``."""
    name = Path(config.filename or 'config').stem
    return config.get('work_dir') or os.path.join('work_dirs', name)


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
    deterministic: bool = False,
    seed: int | None = None,
):
    """Train from a loaded config.

    Args:
        config: see :func:`mmseg_custom.engine.config.load_config`.
        work_dir: folder for logs and checkpoints; default ``work_dirs/<name of the config>``.
        resume: True for the newest whole checkpoint of the work folder, or the path of one. A run
            that torchrun started again always continues from the newest.
        amp: automatic mixed precision.
        launcher: as in MMSegmentation.
        from_scratch: leave out every pretrained weight.
        overwrite: start anew in a work folder that already holds checkpoints, which are removed.
        tensorboard: also write TensorBoard event files.
        compile: compile backbone and decode head with ``torch.compile``.
        deterministic: only operations whose results do not change from run to run.
        seed: instead of the config's ``randomness.seed``.

    Returns:
        The runner after training.

    Raises:
        FileExistsError: the work folder holds a run and neither ``resume`` nor ``overwrite``
            was given.
    """
    if launcher == 'none':
        use_device(config.get('device'))
    prepare(config, work_dir, launcher, 'train_dataloader')
    if from_scratch:
        drop_pretrained(config)
    _set_resume(config, resume or config.get('resume', False))
    if not (config.resume or overwrite):
        _protect_checkpoints(Path(config.work_dir))
    if amp:
        _enable_amp(config)
    if tensorboard:
        others = config.get('loggers') or []
        config.loggers = ['tensorboard', *([others] if isinstance(others, str) else others)]
    if seed is not None:
        config.randomness = {**config.get('randomness', {}), 'seed': seed}
    if deterministic:
        config.randomness = {**config.get('randomness', {}), 'deterministic': True}
    if config.get('randomness', {}).get('deterministic'):
        # Without it cuBLAS takes other sums in another run; it is read when the GPU is first used.
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
        config.env_cfg = {**config.get('env_cfg', {}), 'cudnn_benchmark': False}
    apply_switches(config)
    config.compile = compile or config.get('compile', False)
    if launcher != 'none':
        add_hook(config, 'SyncBuffersHook')
    runner = build_runner(config)
    runner.overwrite = overwrite and not config.resume
    with explained(runner):
        check_data(runner)
        runner.train()
    return runner


def _set_resume(config: Config, resume: str | bool) -> None:
    """Set ``resume`` and ``load_from``: what the run continues or starts from."""
    saved = saved_checkpoints(Path(config.work_dir))
    # torchrun starts every process again, with the same command line, when one of them died.
    restarted = int(os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')) > 0
    if restarted and (saved or not resume):
        resume = True
    if isinstance(resume, str):
        if not os.path.isfile(resume):
            raise FileNotFoundError(f'--resume {resume}: no such checkpoint')
        config.load_from = resume
    elif resume and saved:
        # mmengine would continue from load_from.
        config.load_from = None
    elif config.get('load_from'):
        resume = False
    config.resume = bool(resume)
    if config.get('load_from') or (resume and saved):
        # Its parameters replace those of the backbone, which need not be downloaded.
        drop_pretrained(config, load_from=False)


def _protect_checkpoints(work_dir: Path) -> None:
    # A run that is done may have its checkpoints elsewhere.
    found = [*sorted(work_dir.glob('*.pth')), *work_dir.glob(SUMMARY)]
    # Only the first process may look: the others start while it already trains.
    if found and os.environ.get('RANK', '0') == '0':
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
    amp: bool = False,
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
        amp: run the network in half precision.

    Returns:
        The metrics, in percent.

    Raises:
        ValueError: pictures of class maps are asked for, but the model names one class per picture.
    """
    if (out or show_dir) and 'decode_head' not in config.model:
        raise ValueError('--out and --show-dir write class maps, which a classifier does not have')
    prepare(config, work_dir, launcher, 'test_dataloader')
    drop_pretrained(config)
    drop_automatic_weights(config.model)
    for key in TRAINING_KEYS:
        config.pop(key, None)
    # A checkpoint's `state_dict` is the average already; EMAHook would load another model with it.
    hooks = config.get('custom_hooks') or []
    config.custom_hooks = [hook for hook in hooks if 'EMAHook' not in str(hook)]
    config.load_from = checkpoint
    config.compile = compile or config.get('compile', False)
    if amp:
        half_precision_inference(config)
    evaluator = config.test_evaluator
    if isinstance(evaluator, dict) and evaluator.get('type') == 'IoUMetric':
        evaluator.setdefault('report_dir', os.path.join(config.work_dir, 'report'))
    if out is not None:
        config.test_evaluator.output_dir = out
        add_hook(config, 'ImageFolderHook')
    if show_dir is not None:
        add_hook(config, 'PaintHook', out_dir=show_dir)
    if tta:
        _enable_tta(config)
    runner = build_runner(config)
    with explained(runner):
        return runner.test()


def half_precision_inference(config: Config) -> None:
    """Let the config's model predict in the half precision that suits the device.

    Raises:
        ValueError: it is no segmentor.
    """
    if 'decode_head' not in config.model:
        raise ValueError('--amp predicts with segmentors; leave it out for a classifier')
    config.model.test_cfg = {**(config.model.get('test_cfg') or {}), 'dtype': 'auto'}


def _enable_tta(config: Config) -> None:
    for key in ('tta_pipeline', 'tta_model'):
        if key not in config:
            raise ValueError(
                f'--tta needs {key}, which {config.filename} does not have; copy it from '
                'configs/_base_/datasets/pipelines.py or leave --tta out'
            )
    config.test_dataloader.dataset.pipeline = config.tta_pipeline
    config.tta_model.module = config.model
    config.model = config.tta_model
