"""Watches a training: what is not finite, loss spikes, a loader that is too slow."""

import math

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from mmseg_custom.engine.failure_dump import dump_iteration, picture_names, pictures_not_finite
from mmseg_custom.engine.loader_speed import loader_report, reads_from_cache
from mmseg_custom.engine.parameter_groups import (
    group_table,
    is_written_for_us,
    settings_of,
    unmatched_keys,
)
from mmseg_custom.engine.unwrapping import unwrap
from mmseg_custom.registry import HOOKS

SKIPPED = 'skipped_steps'
MOST_NAMES = 5
MOST_GRADIENTS = 20


class NotFiniteError(ValueError):
    """A loss or a gradient is NaN or infinite."""


@HOOKS.register_module()
class GuardHook(Hook):
    """Stop a run that diverged before it does harm, and say what slows or threatens one.

    The norm of all gradients is looked at before the optimizer steps: the one that clipping
    computes, else one of the hook's own. Where it is not finite the gradients are dropped, so that
    the optimizer leaves weights and moments alone, and the statistics of norm layers are those from
    before the iteration. On a GPU without clipping a look before the step would let it wait for the
    result; there it is taken after the step, when mmengine has waited for the losses anyway, unless
    ``max_skips`` asks for more.

    With a loss scaler (float16) infinite gradients belong to its search for a scale: only the
    losses are looked at.

    Our runner adds the hook to every training whose config has none.

    Args:
        max_skips: so many steps whose loss or gradient is not finite are left out in a run; the
            next one stops it.
        spike_factor: a loss this many times the median of the last ``window`` is warned of.
        max_data_share: waiting for the loader for more than this share of ``window`` iterations is
            warned of, once.
        window: iterations.

    Raises:
        NotFiniteError: there was one too many; what happened is in ``non_finite/`` of the work
            folder. The step is not made, no checkpoint of the iteration is saved.
        ValueError: a pattern of ``custom_keys`` reaches no parameter, in a config for this project.
    """

    # After the hook that waits for the losses, before all that average or save weights.
    priority = 'HIGH'

    def __init__(
        self,
        max_skips: int = 0,
        spike_factor: float = 5.0,
        max_data_share: float = 0.5,
        window: int = 100,
    ) -> None:
        self.max_skips = max_skips
        self.spike_factor = spike_factor
        self.max_data_share = max_data_share
        self.window = window
        self._norm: float | Tensor = 0.0
        self._stepped = self._dropped = False
        self._broken_gradients: list[str] = []
        self._quiet_until = 0
        self._said_data_share = False
        self._statistics: list[Tensor] = []

    def before_run(self, runner) -> None:
        """Check the patterns that make groups of parameters."""
        if not isinstance(runner.optim_wrapper, OptimWrapper):  # a test
            return
        model = unwrap(runner.model)
        problem = unmatched_keys(runner.cfg, [name for name, _ in model.named_parameters()])
        if problem and is_written_for_us(runner.cfg):
            raise ValueError(problem)
        if problem:
            runner.logger.warning(problem)
        self._built = [settings_of(w.optimizer) for w in _wrappers(runner.optim_wrapper)]

    def before_train(self, runner) -> None:
        """Log what is trained with what; ask the optimizers to show gradients before they step."""
        model = unwrap(runner.model)
        for wrapper, built in zip(_wrappers(runner.optim_wrapper), self._built):
            table = group_table(wrapper.optimizer, model)
            runner.logger.info(f'learning rates and weight decays:\n{table}')
            if settings_of(wrapper.optimizer) != built:
                runner.logger.warning(
                    'these are the learning rates and weight decays of the checkpoint, not those '
                    "of the config; for the config's start a new run with load_from=CHECKPOINT"
                )
        self._start = runner.iter
        norms = [module for module in model.modules() if isinstance(module, _NormBase)]
        self._statistics = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
        self._saved = [buffer.clone() for buffer in self._statistics]
        batch_size = getattr(runner.train_dataloader, 'batch_size', None)
        if batch_size == 1 and _has_batch_of_one(norms, runner.world_size):
            runner.logger.warning(
                'train_dataloader.batch_size=1: batch norm takes its statistics from one picture, '
                'in validation from all; set train_dataloader.batch_size=2 or more, or '
                'model.decode_head.norm_cfg.type=SyncBN with several GPUs'
            )
        names = {parameter: name for name, parameter in model.named_parameters()}
        for wrapper in _wrappers(runner.optim_wrapper):
            wrapper.optimizer.register_step_pre_hook(
                lambda optimizer, *_, wrapper=wrapper: self._before_step(runner, wrapper, names)
            )

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Keep the statistics of norm layers."""
        self._norm, self._stepped, self._dropped, self._broken_gradients = 0.0, False, False, []
        if self._statistics:
            torch._foreach_copy_(self._saved, self._statistics)

    @torch.no_grad()
    def _before_step(self, runner, wrapper, names: dict[nn.Parameter, str]) -> None:
        self._stepped = True
        if _has_loss_scaler(wrapper):
            return
        parameters = [
            parameter
            for group in wrapper.optimizer.param_groups
            for parameter in group['params']
            if parameter.grad is not None
        ]
        if not parameters:
            return
        clipped = wrapper.clip_grad_kwargs and wrapper.grad_name == 'grad_norm'
        if clipped:
            norm = wrapper.message_hub.get_scalar('train/grad_norm').current()
        else:
            norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
            # Of sharded parameters it is a sum that is still to be made.
            norm = norm.full_tensor() if hasattr(norm, 'full_tensor') else norm
            if norm.is_cuda and not self.max_skips:
                self._norm = norm
                return
        norm = self._norm = float(norm)
        if not math.isfinite(norm):
            self._broken_gradients = [
                names[p] for p in parameters if p in names and not _local(p.grad).isfinite().all()
            ]
            for parameter in parameters:
                parameter.grad = None
            self._dropped = True

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Stop, skip or warn."""
        losses = {
            name: torch.as_tensor(value).item()
            for name, value in (outputs or {}).items()
            if 'loss' in name
        }
        broken = [name for name, value in losses.items() if not math.isfinite(value)]
        self._norm = float(self._norm)
        if broken or self._dropped or not math.isfinite(self._norm):
            self._answer(runner, data_batch, losses, broken)
            return
        if 'loss' in losses:
            self._warn_of_spike(runner, data_batch, losses['loss'])
        self._warn_of_starving(runner)

    def _answer(self, runner, batch: dict, losses: dict[str, float], broken: list[str]) -> None:
        """Write what happened, then stop unless the step was left out and may be."""
        if self._statistics:
            torch._foreach_copy_(self._statistics, self._saved)
        scaled = any(map(_has_loss_scaler, _wrappers(runner.optim_wrapper)))
        gathering = not self._stepped and not scaled
        left_out = self._dropped or gathering or scaled
        pictures = pictures_not_finite(runner.model, batch)
        found = dict(
            losses=losses,
            gradient_norm=self._norm,
            gradients_not_finite=self._broken_gradients[:MOST_GRADIENTS],
            pictures_not_finite=pictures,
        )
        info = runner.message_hub.runtime_info
        # Accumulated gradients are dropped by all processes at the step.
        number = info.get(SKIPPED, 0) + (not gathering)
        stops = not left_out or number > self.max_skips or not self.max_skips
        # Of several skips one holds the weights: those of a large model fill a disk.
        place = _dump(runner, batch, found, with_weights=left_out and (stops or number <= 1))
        what = ', '.join(name for name in broken if name != 'loss' or len(broken) == 1)
        message = f'iteration {runner.iter + 1}: {what or "the gradient"} is not finite'
        message += _cause(pictures, bool(broken), runner)
        message += f'; batch, losses and learning rates {place}'
        runner.message_hub.update_info(SKIPPED, number)
        if stops:
            raise NotFiniteError(
                f'{message}; default_hooks.guard.max_skips={max(10, 2 * self.max_skips)} leaves '
                f'out so many such steps (now {self.max_skips})'
            )
        if not gathering:
            message += f'; left out step {number} of at most {self.max_skips}'
        runner.logger.warning(message)

    def _warn_of_spike(self, runner, batch: dict, loss: float) -> None:
        values = runner.message_hub.get_scalar('train/loss').data[0]
        recent = values[-self.window - 1 : -1]
        if runner.iter < self._quiet_until or len(recent) < self.window // 2:
            return
        median = float(np.median(recent))
        if loss > self.spike_factor * median > 0:
            self._quiet_until = runner.iter + self.window
            names = picture_names(batch or {})
            more = f' and {len(names) - MOST_NAMES} more' if len(names) > MOST_NAMES else ''
            runner.logger.warning(
                f'iteration {runner.iter + 1}: loss {loss:.4g} is {loss / median:.0f} times the '
                f'median of the last {len(recent)} ({median:.4g}); look at '
                f'{", ".join(names[:MOST_NAMES])}{more}; lower the learning rate or clip gradients '
                '(optim_wrapper.clip_grad.max_norm) if it happens often'
            )

    def _warn_of_starving(self, runner) -> None:
        done = runner.iter - self._start
        # The first window holds the start of the workers.
        if self._said_data_share or done % self.window or done < 2 * self.window:
            return
        scalars = runner.message_hub.log_scalars
        if not {'train/data_time', 'train/time'} <= scalars.keys():
            return
        waited, total = (
            float(scalars[name].data[0][-self.window :].sum())
            for name in ('train/data_time', 'train/time')
        )
        if waited > self.max_data_share * total:
            self._said_data_share = True
            loader = runner.train_dataloader
            report = loader_report(
                waited / self.window,
                total / self.window,
                loader.batch_size or 1,
                loader.num_workers,
                reads_from_cache(runner.cfg.get('train_dataloader')),
            )
            runner.logger.warning(f'iterations {done - self.window + 1} to {done}: {report}')


def _dump(runner, batch: dict, found: dict, with_weights: bool) -> str:
    """Write what happened; say where, or why it could not be written."""
    try:
        return f'are in {dump_iteration(runner, batch, found, with_weights)}'
    except OSError as error:
        return f'could not be written ({error})'


def _wrappers(wrapper) -> list:
    return (
        list(wrapper.optim_wrappers.values())
        if isinstance(wrapper, OptimWrapperDict)
        else [wrapper]
    )


def _local(gradient: Tensor) -> Tensor:
    """What this process holds of a gradient."""
    return gradient.to_local() if hasattr(gradient, 'to_local') else gradient


def _has_loss_scaler(wrapper) -> bool:
    scaler = getattr(wrapper, 'loss_scaler', None)
    return scaler is not None and scaler.is_enabled()


def _has_batch_of_one(norms: list[nn.Module], world_size: int) -> bool:
    """Whether a norm layer is trained on one picture at a time; SyncBN sees all processes'."""
    return any(
        norm.training
        and norm.track_running_stats
        and 'InstanceNorm' not in type(norm).__name__
        and not (isinstance(norm, nn.SyncBatchNorm) and world_size > 1)
        for norm in norms
    )


def _cause(pictures: list[str], loss_is_broken: bool, runner) -> str:
    if pictures:
        return (
            f' because the image of {", ".join(pictures[:MOST_NAMES])} is not (NaN or infinity): '
            'check the picture, the mean and the std'
        )
    if runner.world_size > 1 and not loss_is_broken:
        return ' though images and losses of this process are: look at the files of the others'
    groups = getattr(runner.optim_wrapper, 'param_groups', [])
    rate = max((group['lr'] for group in groups), default=math.nan)
    wrapper = next(iter(_wrappers(runner.optim_wrapper)))
    fixes = [f'lower the learning rate (now {rate:.2g})']
    if not wrapper.clip_grad_kwargs:
        fixes.append('clip gradients (+optim_wrapper.clip_grad.max_norm=1)')
    if _has_loss_scaler(wrapper):
        fixes.append('train in bfloat16 (optim_wrapper.dtype=bfloat16)')
    return f' though all images are: {" or ".join(fixes)}'
