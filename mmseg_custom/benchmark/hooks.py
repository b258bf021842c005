"""What the hooks of a training cost: iterations of the real runner with ours and without.

Both sides take the same batch again and again with the same model and optimizer, so that neither a
loader nor its noise hides what is measured. With ours: every hook and log that a training has by
default. Without: mmengine's own hooks alone. No checkpoint is saved.
"""

import tempfile
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader

from mmseg_custom.benchmark.named_models import model_config
from mmseg_custom.benchmark.run import Comparison, Measurement, Options, Result
from mmseg_custom.benchmark.tasks import make_batch
from mmseg_custom.benchmark.timing import interleave, synchronizer
from mmseg_custom.engine.config import load_config
from mmseg_custom.engine.run_log import RunLogBackend
from mmseg_custom.engine.runner import Runner
from mmseg_custom.registry import register_all

SIZE = (128, 128)
BATCH = 2
# Iterations of one measurement; a log line, for which the schedules wait 50, is among them.
ITERATIONS = 10
SCHEDULE = '_base_/schedules/adamw_160k.py'
WITHOUT = 'without hooks'


class SteppedLoop(IterBasedTrainLoop):
    """A training that begins when it is run, and trains when it is told to."""

    def run(self):
        """Call the hooks of a beginning training."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        return self.runner.model

    def step(self) -> None:
        """Train :data:`ITERATIONS` iterations on the loader's only batch."""
        for _ in range(ITERATIONS):
            self.run_iter(self.dataloader.dataset[0])


def run_hooks(options: Options, report) -> list[Result]:
    """Measure an iteration of each model with all hooks and with mmengine's alone.

    Args:
        options: what to measure; small pictures show the cost of hooks at its largest.
        report: called with lines that tell how far it is.

    Returns:
        One result for each model, in seconds per iteration; on a CPU those of the process.

    Raises:
        ValueError: a dtype or a compiled model is asked for.
    """
    if options.dtype != 'fp32' or options.compile != 'none':
        raise ValueError('--task hooks trains in fp32, uncompiled; leave out --dtype and --compile')
    register_all()
    return [_run_model(options, name, report) for name in options.models]


def _run_model(options: Options, name: str, report) -> Result:
    size, batch_size = options.size or SIZE, options.batch or BATCH
    with tempfile.TemporaryDirectory() as folder:
        runners = {
            side: started_runner(name, Path(folder, side), size, batch_size, side == 'ours')
            for side in ('ours', WITHOUT)
        }
        hooks = {side: {type(h).__name__ for h in runner.hooks} for side, runner in runners.items()}
        report(f'{name}: {", ".join(sorted(hooks["ours"] - hooks[WITHOUT]))} on and off')
        # The one that a training takes by itself.
        device = next(runners['ours'].model.parameters()).device
        timing = interleave(
            {side: runner.train_loop.step for side, runner in runners.items()},
            options.rounds,
            min_seconds=options.min_seconds,
            # Two per cent are less than what other processes take from a CPU.
            clock=time.process_time if device.type == 'cpu' else time.perf_counter,
            synchronize=synchronizer(device),
        )
    measurements = [
        Measurement(
            side,
            [value / ITERATIONS for value in seconds],
            timing.median(side) / ITERATIONS,
            peak_bytes=0,
            parameters=sum(p.numel() for p in runners[side].model.parameters()),
        )
        for side, seconds in timing.seconds.items()
    ]
    ratio = timing.ratio(WITHOUT)
    report(f'{name}: the hooks take {100 * (1 / ratio.median - 1):+.2f} % of an iteration')
    comparison = Comparison(WITHOUT, ratio.median, ratio.minimum, ratio.maximum, None, True)
    return Result('hooks', name, size, batch_size, measurements, [comparison])


def started_runner(
    name: str, folder: Path, size: tuple[int, int], batch_size: int, with_hooks: bool
) -> Runner:
    """Build the runner of one side and let its training begin.

    Args:
        name: of the model, see :mod:`mmseg_custom.benchmark.named_models`.
        folder: the work folder.
        size: height and width of the pictures.
        batch_size: number of pictures.
        with_hooks: all that a training has by default, else mmengine's alone.

    Returns:
        A runner whose ``train_loop`` is a :class:`SteppedLoop`.
    """
    runtime, schedule = load_config('_base_/default_runtime.py'), load_config(SCHEDULE)
    made = make_batch(batch_size, size, torch.device('cpu'))
    batch = dict(inputs=list(made.pictures), data_samples=made.samples)
    hooks = schedule.default_hooks
    hooks.logger.interval = ITERATIONS
    hooks.pop('report')
    config = Config(
        dict(
            model=model_config(name, size),
            optim_wrapper=schedule.optim_wrapper,
            custom_imports=runtime.custom_imports,
        )
    )
    runner_type = Runner if with_hooks else _PlainRunner
    torch.manual_seed(0)
    runner = runner_type(
        model=config.model,
        work_dir=str(folder),
        train_dataloader=DataLoader([batch] * batch_size, batch_size, collate_fn=_first),
        train_cfg=dict(type=SteppedLoop, max_iters=schedule.max_iters),
        optim_wrapper=config.optim_wrapper,
        param_scheduler=schedule.param_scheduler,
        default_hooks=hooks,
        env_cfg=runtime.env_cfg,
        log_processor=runtime.log_processor,
        visualizer=runtime.visualizer,
        default_scope=runtime.default_scope,
        log_level='WARNING',
        randomness=dict(seed=0),
        cfg=config,
    )
    runner.train()
    return runner


def _first(batches: list[dict]) -> dict:
    return batches[0]


class _PlainRunner(Runner):
    """Our runner with mmengine's hooks and logs alone."""

    def register_hooks(self, default_hooks=None, custom_hooks=None) -> None:
        super().register_hooks(default_hooks, custom_hooks)
        self._hooks = [hook for hook in self.hooks if type(hook).__module__.startswith('mmengine')]

    def with_run_log(self, visualizer: dict) -> dict:
        backends = super().with_run_log(visualizer)['vis_backends']
        kept = [backend for backend in backends if backend['type'] is not RunLogBackend]
        return {**visualizer, 'vis_backends': kept}
