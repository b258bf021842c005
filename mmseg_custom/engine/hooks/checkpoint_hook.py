"""When a checkpoint is saved, and which old ones go."""

from collections import deque
from pathlib import Path

from mmengine.dist import is_main_process, master_only
from mmengine.hooks import CheckpointHook as BaseCheckpointHook

from mmseg_custom.engine.checkpoint_files import (
    BACKEND,
    LAST_CHECKPOINT,
    CheckpointBackend,
    CheckpointWriter,
    open_writer,
    remove_leftovers,
)
from mmseg_custom.registry import HOOKS


class _KeepsUntilSaved(CheckpointBackend):
    """Remember what is to be removed until :meth:`remove_outdated`."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.outdated: list[str] = []

    def remove(self, filepath: str | Path) -> None:
        self.outdated.append(str(filepath))

    def remove_outdated(self) -> None:
        while self.outdated:
            super().remove(self.outdated.pop(0))


@HOOKS.register_module()
class CheckpointHook(BaseCheckpointHook):
    """mmengine's hook that never leaves a run without a whole checkpoint.

    Files are written as :mod:`mmseg_custom.engine.checkpoint_files` says, and an old checkpoint is
    removed only after the new one and ``last_checkpoint`` are on the disk; mmengine removes first.
    With ``backend_args`` (a remote storage) everything is mmengine's.

    Args:
        asynchronous: let a thread write to the disk while training goes on. The copy of the state
            that it writes takes as much memory as the file.
        **kwargs: see mmengine.
    """

    writer: CheckpointWriter | None = None
    _saved_iterations = -1

    def __init__(self, *args, asynchronous: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.asynchronous = asynchronous

    def before_train(self, runner) -> None:
        """Choose the storage, and clean up after a process that was killed while saving."""
        folder = str(self.out_dir or runner.work_dir)
        if self.backend_args is None and self.file_client_args is None and '://' not in folder:
            self.writer = open_writer(folder, self.asynchronous)
            self.backend_args = dict(backend=BACKEND, folder=folder)
        super().before_train(runner)
        if self.writer is None:
            return
        self.file_backend = _KeepsUntilSaved(folder)
        # A resumed run's first best score has to reach the checkpoint that it continues from.
        self.last_ckpt = runner.message_hub.runtime_info.get('last_ckpt')
        if is_main_process():
            for place in {Path(self.out_dir), Path(runner.work_dir)}:
                names = remove_leftovers(place)
                if names:
                    runner.logger.info(f'removed what was half written: {", ".join(names)}')

    def _save_checkpoint_with_step(self, runner, step: int | str, meta: dict) -> None:
        """Save, then say so in ``last_checkpoint``, then remove the oldest."""
        if self.writer is None:
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        limit = self.max_keep_ckpts
        kept = list(self.keep_ckpt_ids) if limit > 0 else []
        if limit > 0:
            if not kept or kept[-1] != step:
                kept.append(step)
            # The oldest is among them still: a run that is killed before it could remove it, and is
            # resumed from here, does so.
            runner.message_hub.update_info('keep_ckpt_ids', list(kept))
        name = self.filename_tmpl.format(step)
        self._saved_iterations = meta['iter']
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        while limit > 0 and len(kept) > limit:
            outdated = self.filename_tmpl.format(kept.pop(0))
            self.file_backend.remove(self.file_backend.join_path(self.out_dir, outdated))
        if limit > 0:
            self.keep_ckpt_ids = deque(kept, limit)
        self._finish_saving(runner)

    @master_only
    def _finish_saving(self, runner) -> None:
        self.writer.write_text(Path(runner.work_dir, LAST_CHECKPOINT), self.last_ckpt)
        self.file_backend.remove_outdated()

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        """Save the best as mmengine does; the one before it goes last."""
        super()._save_best_checkpoint(runner, metrics)
        if self.writer is not None and is_main_process():
            self.file_backend.remove_outdated()

    def save_now(self, runner, iterations: int) -> str:
        """Save after an iteration that is not among those to be saved, and wait for the disk.

        Args:
            runner: the runner.
            iterations: that are done.

        Returns:
            The path; nothing is written where this iteration was saved before.
        """
        step = f'{runner.epoch}_iter_{iterations}' if self.by_epoch else iterations
        path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))
        if self.last_ckpt != path:
            meta = dict(epoch=runner.epoch, iter=iterations)
            self._save_checkpoint_with_step(runner, step, meta)
        self.finish()
        return path

    def after_train(self, runner) -> None:
        """Save the end of a run that stopped early, wait for the disk, publish as mmengine does."""
        done = runner.iter
        if self.writer is not None and self._saved_iterations < done < runner.max_iters:
            self.save_now(runner, done)
        self.finish()
        super().after_train(runner)

    def finish(self) -> None:
        """Wait until everything is on the disk.

        Raises:
            OSError: something could not be written.
        """
        if self.writer is not None:
            self.writer.wait()
