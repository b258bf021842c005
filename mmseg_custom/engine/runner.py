"""mmengine's runner with a quiet console and checkpoints that must fit."""

import copy
import itertools
import logging
import warnings
from pathlib import Path

from mmengine.logging import MMLogger
from mmengine.model import BaseTTAModel
from mmengine.runner import EpochBasedTrainLoop
from mmengine.runner.base_loop import BaseLoop
from torch import nn

from mmseg_custom.checkpoints.adapt import describe_model
from mmseg_custom.checkpoints.formats.openmmlab import DESCRIPTION_KEY
from mmseg_custom.checkpoints.loading import load_weights, open_weights
from mmseg_custom.checkpoints.reading import check_state_dict, state_dict_of
from mmseg_custom.compat import UPSTREAM_LOG_ENDS, UPSTREAM_LOG_LINES
from mmseg_custom.engine.automatic_weights import fill_automatic_weights
from mmseg_custom.engine.compiling import compile_parts
from mmseg_custom.engine.config import shorten_warmup
from mmseg_custom.engine.distributed_runner import DistributedRunner
from mmseg_custom.engine.freezing import freeze
from mmseg_custom.engine.run_state import check_resumable
from mmseg_custom.engine.unwrapping import unwrap
from mmseg_custom.engine.validation_record import (
    RECORD_KEY,
    validation_differences,
    validation_record,
)
from mmseg_custom.registry import RUNNERS

_RUNS = itertools.count()


@RUNNERS.register_module()
class Runner(DistributedRunner):
    """``mmengine.runner.Runner`` with a quiet console and checkpoints that must fit.

    The environment, the resolved config and the hook order go to the log file, not to the console;
    a checkpoint whose parameters do not fit the model is an error instead of a warning; a resumed
    run continues exactly where it was stopped and follows the schedule of its config; a run that
    counts epochs can have a warm-up that counts iterations.
    """

    _frozen = ''
    _weights = ''

    def __init__(self, *args, **kwargs) -> None:
        self._console = _Console()
        number = next(_RUNS)
        if number and kwargs.get('experiment_name') is None:
            # mmengine names a run by the second it starts in: a second one of this process could
            # share its log, its curves and its message hub with the first.
            name = Path(getattr(kwargs.get('cfg'), 'filename', None) or 'run').stem
            kwargs['experiment_name'] = f'{name}_{number}'
        super().__init__(*args, **kwargs)
        self._console.quiet = False
        for line in (self._weights, self._frozen):
            if line:
                self.logger.info(line)

    def build_model(self, model) -> nn.Module:
        """Build the model; in a training, weigh classes and freeze parts as the config says."""
        if isinstance(model, dict):
            self._weights = self._weigh_classes(model)
        built = super().build_model(model)
        patterns = self.cfg.get('freeze')
        if patterns and self._train_dataloader is not None:
            self._frozen = freeze(built, patterns)
        return built

    def _weigh_classes(self, model: dict) -> str:
        """Fill in ``class_weight='auto'`` of a training, and say so."""
        if self._train_dataloader is None or 'model' not in self.cfg:
            return ''
        # The config that is saved is a copy.
        return fill_automatic_weights(self.cfg, [model, self.cfg.model], self._resume)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap the model; norms of another kind that it gets by that are frozen again."""
        wrapped = super().wrap_model(model_wrapper_cfg, model)
        if self._frozen:
            freeze(unwrap(wrapped), self.cfg.get('freeze'))
        return wrapped

    def build_logger(self, *args, **kwargs) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.addFilter(self._console)
                handler.setFormatter(_ConsoleFormatter(datefmt='%H:%M:%S'))
        return logger

    def build_visualizer(self, visualizer=None):
        """Build the visualizer under this run's name.

        mmengine keeps one instance per name, so a second run in a process would write its curves
        into the first one's folder.
        """
        if isinstance(visualizer, dict):
            visualizer = self.with_run_log({**visualizer, 'name': self.experiment_name})
        return super().build_visualizer(visualizer)

    def build_train_loop(self, loop):
        """Build the loop as mmengine does, unless an epoch of it would be empty.

        Raises:
            ValueError: ``drop_last`` leaves no batch, or the run ends before its first validation.
        """
        built = super().build_train_loop(loop)
        if self._val_loop is not None:
            _check_validation(built)
        if len(built.dataloader) == 0:
            size, number = built.dataloader.batch_size, len(built.dataloader.dataset)
            raise ValueError(
                f'train_dataloader.batch_size={size} with drop_last=True, but the data set has '
                f'{number} pictures; set train_dataloader.batch_size={number} or less'
            )
        return built

    def build_param_scheduler(self, scheduler):
        """Build the schedules as mmengine does.

        Where the last one has no ``end`` (a run of ``max_epochs``) it ends with the run, whose
        number of iterations is known only now, and the warm-up takes at most a tenth of them.
        """
        # Resuming passes the schedules that are built already.
        if isinstance(scheduler, list) and all(isinstance(config, dict) for config in scheduler):
            open_end = any('end' not in config for config in scheduler)
            if open_end and not any(config.get('by_epoch', True) for config in scheduler):
                scheduler = shorten_warmup(copy.deepcopy(scheduler), self.max_iters)
        return super().build_param_scheduler(scheduler)

    def dump_config(self) -> None:
        """Write the resolved config: a training's into the work folder, a test's beside its log.

        A test in the work folder of a training must not replace the config it was trained with, nor
        must a training that fails before it begins.
        """
        if self._train_dataloader is not None:
            # mmengine calls this in the constructor, RunStateHook when the training begins.
            if isinstance(self._train_loop, BaseLoop):
                super().dump_config()
        elif self.rank == 0:
            name = Path(self.cfg.filename or 'config.py').name
            self.cfg.dump(Path(self.log_dir, name))

    def _maybe_compile(self, target: str) -> None:
        """Compile backbone and heads when the config's ``compile`` says so.

        Args:
            target: the step that is about to run; not needed, the parts serve all steps.
        """
        options = self.cfg.get('compile')
        if options:
            compile_parts(unwrap(self.model), **({} if options is True else options))
            self.logger.info('backbone and heads will be compiled: the first steps are slow')

    def load_checkpoint(
        self, filename, map_location='cpu', strict=True, revise_keys=((r'^module\.', ''),)
    ) -> dict:
        """Load weights of any known source, after checking that they belong to this model.

        A training may start with ``new_classes=True`` in the config from weights for other classes,
        and from a backbone alone, which leaves the decoder new.

        Raises:
            ValueError: the file holds no checkpoint, or not all that a resume needs; parameters
                are missing, unexpected, or have another shape.
        """
        weights = open_weights(filename)
        checkpoint = {**weights.content, 'state_dict': weights.state_dict}
        if self._resume:
            check_resumable(checkpoint, filename, self.hooks)
            # mmengine runs this text as Python. Its own checkpoints call it `cfg`.
            checkpoint['meta'].pop('config', None)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)  # may replace the parameters
        weights.state_dict = dict(state_dict_of(checkpoint, str(filename)))
        model, name = unwrap(self.model), f'config {self.cfg.filename or "given as an object"}'
        if self._resume:
            check_state_dict(model, weights.state_dict, str(filename), name)
            model.load_state_dict(weights.state_dict)
        else:
            training = self._train_loop is not None
            load_weights(
                model,
                weights,
                new_classes=training and self.cfg.get('new_classes', False),
                new_decoder=training,
                new_channels=training,
                model_name=name,
                show=self.logger.info,
                dataset_meta=self._dataset_meta(),
            )
            if not training:
                self._compare_validation(checkpoint.get('meta') or {})
        self._has_loaded = True
        return checkpoint

    def _dataset_meta(self) -> dict:
        """What is known of the data set that is about to be trained or tested on."""
        loops = (self._train_loop, self._val_loop, self._test_loop)
        loaders = (getattr(loop, 'dataloader', None) for loop in loops)
        dataset = next((loader.dataset for loader in loaders if loader is not None), None)
        return getattr(dataset, 'metainfo', None) or {}

    def _compare_validation(self, meta: dict) -> None:
        """Warn where this test is not what the training validated with."""
        before, now = meta.get(RECORD_KEY), validation_record(self.cfg, 'test_dataloader')
        if not before or not now or isinstance(self.model, BaseTTAModel):
            return
        differences = validation_differences(before, now)
        if differences:
            self.logger.warning(
                "this test is not the validation of the checkpoint's training, its numbers differ: "
                f'{"; ".join(differences)}'
            )

    def save_checkpoint(self, *args, meta: dict | None = None, **kwargs) -> None:
        """Save as mmengine does, with what no parameter shows: heads, epsilons, normalisation.

        And with what the validation does to a picture, which a test is compared with.
        """
        described = {
            DESCRIPTION_KEY: describe_model(unwrap(self.model)).as_dict(),
            RECORD_KEY: validation_record(self.cfg, 'val_dataloader'),
        }
        super().save_checkpoint(*args, meta={**(meta or {}), **described}, **kwargs)

    def resume(self, *args, **kwargs) -> None:
        """Resume as mmengine does; where the config has another schedule now, follow that one."""
        wanted = self._schedule_spans()
        super().resume(*args, **kwargs)
        if self._schedule_spans() == wanted:
            return
        for group in self.optim_wrapper.param_groups:
            group['lr'] = group['initial_lr']
        self.param_schedulers = self.build_param_scheduler(self.cfg.param_scheduler)
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', 'Detected call of')  # before the optimizer's step
            for steps, by_epoch in ((self.iter, False), (self.epoch, True)):
                for _ in range(steps):
                    for scheduler in self.param_schedulers:
                        if scheduler.by_epoch == by_epoch:
                            scheduler.step()
        self.logger.info(
            'the config has another schedule than the checkpoint was trained with: continuing at '
            f'iteration {self.iter} of the new one'
        )

    def _schedule_spans(self) -> list[tuple[int, int]]:
        """Begin and end of each scheduler; empty where there is more than one optimizer."""
        if not isinstance(self.param_schedulers, list):
            return []
        return [(scheduler.begin, scheduler.end) for scheduler in self.param_schedulers]


def _check_validation(loop: BaseLoop) -> None:
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    key, end = ('max_epochs', loop.max_epochs) if by_epoch else ('max_iters', loop.max_iters)
    for name in ('val_interval', 'val_begin'):
        if getattr(loop, name) > end:
            raise ValueError(
                f'train_cfg.{name}={getattr(loop, name)}, but the run ends at {key}={end}; set '
                f'train_cfg.{name}={end} to validate at its end'
            )


class _Console(logging.Filter):
    """Let only warnings through while ``quiet``, and never upstream's noise."""

    quiet = True

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message.startswith(UPSTREAM_LOG_LINES) or message.endswith(UPSTREAM_LOG_ENDS):
            return False
        return not self.quiet or record.levelno >= logging.WARNING


class _ConsoleFormatter(logging.Formatter):
    """Time and message; the level only where it is a warning or worse."""

    def format(self, record: logging.LogRecord) -> str:
        level = f'{record.levelname}: ' if record.levelno >= logging.WARNING else ''
        return f'{self.formatTime(record, self.datefmt)}  {level}{record.getMessage()}'
