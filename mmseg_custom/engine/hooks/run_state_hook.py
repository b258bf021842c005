"""Save and restore where a run stands."""

from pathlib import Path

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook

from mmseg_custom.engine.checkpoint_files import remove_run
from mmseg_custom.engine.config_difference import config_difference
from mmseg_custom.engine.run_log import SUMMARY, cut_run_log
from mmseg_custom.engine.run_state import message_hub_state, plain_message_hub
from mmseg_custom.engine.unwrapping import unwrap
from mmseg_custom.registry import HOOKS


@HOOKS.register_module()
class RunStateHook(Hook):
    """Keep the position in the data, all generators and what is validated in checkpoints.

    Our runner adds it to every training by itself.

    Attributes:
        saved: ``run_state`` of the checkpoint that the run continues; None where there is none.
        validated_iter: the iteration of the last validation that finished.
    """

    # Before CheckpointHook, which saves once more at the end of a validation.
    priority = 'NORMAL'

    def __init__(self) -> None:
        self.saved: dict | None = None
        self.validated_iter = -1
        self.generators: list[dict] = []
        # What a sharded run has put together before a checkpoint is saved.
        self.whole: dict[str, dict] = {}

    @master_only
    def before_train(self, runner) -> None:
        """Write the config, begin ``log.jsonl`` or cut it; remove a run that is overwritten."""
        if getattr(runner, 'overwrite', False):
            removed = remove_run(Path(runner.work_dir))
            if removed:
                runner.logger.warning(
                    f'--overwrite: removed {", ".join(removed)}, the run that was in '
                    f'{runner.work_dir}'
                )
        runner.dump_config()
        Path(runner.work_dir, SUMMARY).unlink(missing_ok=True)  # it is of a run that was done
        cut_run_log(runner.work_dir, runner.iter, self.validated_iter == runner.iter)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Remember that this iteration is validated."""
        if not isinstance(runner._train_loop, dict):
            self.validated_iter = runner.iter

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add ``run_state`` to a checkpoint that a run can be resumed from."""
        checkpoint['message_hub'] = plain_message_hub(checkpoint['message_hub'])
        checkpoint.update(self.whole)
        iterations = checkpoint['meta']['iter']
        if 'optimizer' not in checkpoint:
            return
        checkpoint['run_state'] = dict(
            generators=self.generators,
            validated=self.validated_iter == iterations,
            world_size=runner.world_size,
            position=_position(runner.train_loop, iterations),
            gradients=_pending_gradients(runner),
        )

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Keep ``run_state`` until the training starts, where the checkpoint is resumed from."""
        if not runner._resume:
            return
        differences = config_difference(checkpoint['meta'].get('cfg') or '', runner.cfg.pretty_text)
        if differences:
            runner.logger.warning(f"the config is not the checkpoint's: {'; '.join(differences)}")
        checkpoint['message_hub'] = message_hub_state(checkpoint['message_hub'])
        self.saved = checkpoint.get('run_state')
        if self.saved is None:
            runner.logger.warning(
                'the checkpoint was not saved by this runner: the run continues at the right '
                'sample, but its random numbers are new ones'
            )
        elif self.saved['validated']:
            self.validated_iter = checkpoint['meta']['iter']


def _position(loop, iterations: int) -> dict | None:
    return loop.position(iterations) if getattr(loop, 'stream', None) is not None else None


def _pending_gradients(runner) -> dict[str, torch.Tensor]:
    """What gradient accumulation has gathered since the last step of the optimizer.

    With several processes each has gradients of its own, which no checkpoint holds.
    """
    wrapper = runner.optim_wrapper
    if runner.world_size > 1:
        return {}
    if getattr(wrapper, '_accumulative_counts', 1) == 1 or wrapper.should_update():
        return {}
    model = unwrap(runner.model)
    return {
        name: parameter.grad.detach().cpu()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
