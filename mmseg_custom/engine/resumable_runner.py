"""mmengine's runner that continues a stopped run exactly where it was."""

import os
from pathlib import Path

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner as BaseRunner
from mmengine.runner.base_loop import BaseLoop
from torch.utils.data import DataLoader

from mmseg_custom.engine.checkpoint_files import newest_whole_checkpoint, problem_of
from mmseg_custom.engine.hooks.guard_hook import GuardHook
from mmseg_custom.engine.hooks.interruption_hook import InterruptionHook, StopRequests
from mmseg_custom.engine.hooks.progress_hook import ProgressHook
from mmseg_custom.engine.hooks.run_state_hook import RunStateHook
from mmseg_custom.engine.run_log import RunLogBackend
from mmseg_custom.engine.run_state import all_generator_states, check_optimizer, continue_generators
from mmseg_custom.engine.samplers.worker import WorkerStart
from mmseg_custom.engine.unwrapping import unwrap


class ResumableRunner(BaseRunner):
    """``mmengine.runner.Runner`` whose runs survive being stopped at any moment.

    A checkpoint holds the position in the data and the generators of every process; ``resume``
    takes the newest checkpoint of the work folder that is whole; a signal to stop saves first.
    """

    def register_hooks(self, default_hooks=None, custom_hooks=None) -> None:
        """Register the config's hooks and those that every training needs."""
        super().register_hooks(default_hooks, custom_hooks)
        self.run_state = RunStateHook()
        if self._train_dataloader is not None:
            self.register_hook(self.run_state)
            self.register_hook(InterruptionHook())
            if not any(isinstance(hook, GuardHook) for hook in self.hooks):
                self.register_hook(GuardHook())

    @staticmethod
    def build_dataloader(dataloader, seed=None, diff_rank_seed=False) -> DataLoader:
        """Build a loader that neither draws from the training's generator nor loses its workers."""
        built = BaseRunner.build_dataloader(dataloader, seed, diff_rank_seed)
        if built.generator is None:
            built.generator = torch.Generator().manual_seed(seed or 0)
        if not isinstance(built.worker_init_fn, WorkerStart):
            built.worker_init_fn = WorkerStart(built.worker_init_fn)
        return built

    def build_train_loop(self, loop) -> BaseLoop:
        """Build the loop that ``type`` or, in older configs, ``by_epoch`` names."""
        if isinstance(loop, dict) and 'by_epoch' in loop and 'type' not in loop:
            kind = 'EpochBasedTrainLoop' if loop['by_epoch'] else 'IterBasedTrainLoop'
            others = {key: value for key, value in loop.items() if key != 'by_epoch'}
            loop = dict(type=f'mmseg_custom.{kind}', **others)
        return super().build_train_loop(loop)

    def with_run_log(self, visualizer: dict) -> dict:
        """Let a training's visualizer write ``log.jsonl`` into the work folder, too."""
        if self._train_dataloader is None:
            return visualizer
        log = dict(type=RunLogBackend, save_dir=self.work_dir)
        return {**visualizer, 'vis_backends': [*(visualizer.get('vis_backends') or []), log]}

    def train(self) -> torch.nn.Module:
        """Train; SIGTERM and SIGINT end the run after the iteration and a checkpoint."""
        self.stop_requests = StopRequests()
        try:
            with self.stop_requests:
                return super().train()
        finally:
            for hook in self.hooks:
                if isinstance(hook, ProgressHook):
                    hook.close()

    def save_checkpoint(self, *args, **kwargs) -> None:
        """Save as mmengine does, with the generators of all processes; every one has to call it."""
        self.run_state.generators = all_generator_states()
        super().save_checkpoint(*args, **kwargs)

    def load_or_resume(self) -> None:
        """Load or resume; ``resume`` without a path takes the newest whole checkpoint.

        Raises:
            ValueError: no checkpoint of the work folder is whole, or the one that was asked for.
        """
        if not self._resume or self._has_loaded:
            return super().load_or_resume()
        if self._load_from is not None:
            problem = problem_of(Path(self._load_from)) if os.path.isfile(self._load_from) else None
            if problem:
                raise ValueError(f'--resume {self._load_from}: {problem}; take another checkpoint')
            return super().load_or_resume()
        newest = self._newest_checkpoint()
        if newest is None:
            self.logger.warning(f'no checkpoint in {self.work_dir} yet: starting from 0')
            return
        self.resume(newest)
        self._has_loaded = True

    def _newest_checkpoint(self) -> str | None:
        """The first process looks: the others may not see its disk at the same moment."""
        found: list = [None, None]
        if is_main_process():
            try:
                newest = newest_whole_checkpoint(Path(self.work_dir), self.logger.warning)
                found[0] = newest and str(newest)
            except ValueError as error:
                found[1] = str(error)
        broadcast_object_list(found)
        if found[1] is not None:
            raise ValueError(found[1])
        return found[0]

    def resume(self, filename: str, *args, **kwargs) -> None:
        """Resume as mmengine does, at the sample where the run was stopped.

        Raises:
            ValueError: the checkpoint does not fit this run.
        """
        super().resume(filename, *args, **kwargs)
        if not isinstance(self.optim_wrapper, OptimWrapperDict):
            check_optimizer(self.optim_wrapper.optimizer, filename)
        saved = self.run_state.saved
        if saved and saved['position'] and getattr(self.train_loop, 'stream', None) is not None:
            self.train_loop.load_position(saved['position'])
        self.logger.info(f'continuing after iteration {self.iter}: {filename}')
        if self.iter >= self.max_iters:
            self.logger.warning(
                f'this run is done: {self.iter} of {self.max_iters} iterations; set a larger '
                'max_iters or max_epochs to train on'
            )

    def continue_state(self) -> bool:
        """Set this process's generators, and gathered gradients, to what the checkpoint holds.

        Returns:
            Whether the run was resumed at an iteration whose validation did not finish.
        """
        saved = self.run_state.saved
        if saved is None:
            return False
        if not continue_generators(saved['generators'], self.seed, self.iter):
            self.logger.warning(
                f'the checkpoint was saved by {saved["world_size"]} process(es), this run has '
                f'{self.world_size}: dropout and stochastic depth continue with new random numbers'
            )
        model = unwrap(self.model)
        parameters = dict(model.named_parameters())
        for name, gradient in saved['gradients'].items():
            parameters[name].grad = gradient.to(parameters[name].device)
        # Hooks have set it to the iteration that comes next; validation belongs to the last one.
        self.message_hub.update_info('iter', self.iter - 1)
        return not saved['validated']
