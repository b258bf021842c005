"""mmengine's runner on several processes, with a learning rate that follows the batch."""

import copy
import os

from mmengine.device import get_device
from mmengine.model import convert_sync_batchnorm, is_model_wrapper, revert_sync_batchnorm
from mmengine.optim import OptimWrapperDict
from torch import nn
from torch.distributed import get_backend
from torch.distributed.distributed_c10d import _get_default_store, _get_default_timeout

from mmseg_custom.engine.data_parallel import DataParallel
from mmseg_custom.engine.hooks.processes_hook import ProcessesHook
from mmseg_custom.engine.learning_rate import rate_of_items, scale_of_batch
from mmseg_custom.engine.process_watch import ProcessWatch, is_collective_error
from mmseg_custom.engine.resumable_runner import ResumableRunner
from mmseg_custom.engine.sharding import check_sharding, is_sharded, shard, whole


class DistributedRunner(ResumableRunner):
    """:class:`ResumableRunner` with our data parallel wrapper, ``sharding`` and ``per_item_lr``."""

    watch: ProcessWatch | None = None

    @property
    def shards(self) -> bool:
        """Whether this is a training whose parameters are to be sharded."""
        training = self._train_dataloader is not None
        return bool(self.distributed and training and self.cfg.get('sharding'))

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap as mmengine does, in our wrapper; what is to be sharded stays whole until loaded."""
        options = dict(model_wrapper_cfg or {})
        kind = options.pop('type', 'DataParallel')
        ours = kind in ('DataParallel', 'mmseg_custom.DataParallel')
        if not self.distributed or is_model_wrapper(model) or not ours:
            return super().wrap_model(model_wrapper_cfg, model)
        if self.cfg.get('sync_bn'):
            model = convert_sync_batchnorm(model, self.cfg.sync_bn)
        model = model.to(get_device())
        if self.shards:
            return revert_sync_batchnorm(model) if get_device() == 'cpu' else model
        options.setdefault('find_unused_parameters', self.cfg.get('find_unused_parameters', False))
        return DataParallel(model, device_ids=[int(os.environ['LOCAL_RANK'])], **options)

    def register_hooks(self, default_hooks=None, custom_hooks=None) -> None:
        """Register the config's hooks and what several processes need."""
        super().register_hooks(default_hooks, custom_hooks)
        if self._train_dataloader is not None:
            check_sharding(self.cfg, self.hooks)
            if self.distributed:
                self.register_hook(ProcessesHook())

    def build_optim_wrapper(self, optim_wrapper):
        """Build as mmengine does, with the learning rate that ``per_item_lr`` gives.

        Raises:
            ValueError: the config gives two learning rates.
        """
        if isinstance(optim_wrapper, dict) and isinstance(optim_wrapper.get('optimizer'), dict):
            rate = rate_of_items(self.cfg, self.world_size)
            if rate is not None:
                optim_wrapper = copy.deepcopy(optim_wrapper)
                optim_wrapper['optimizer']['lr'] = rate[0]
                self.logger.info(rate[1])
        return super().build_optim_wrapper(optim_wrapper)

    def scale_lr(self, optim_wrapper, auto_scale_lr: dict | None = None) -> None:
        """Scale as mmengine does, with a ``rule`` and the accumulation in the global batch."""
        factor, line = scale_of_batch(self.cfg, auto_scale_lr, self.world_size)
        if not line:
            return
        several = isinstance(optim_wrapper, OptimWrapperDict)
        for wrapper in optim_wrapper.values() if several else [optim_wrapper]:
            # Those of the wrapper: one of them is only logged, as base_lr.
            for group in wrapper.param_groups:
                group['lr'] *= factor
        self.logger.info(line)

    def load_or_resume(self) -> None:
        """Load or resume into the whole model and optimizer, then shard both."""
        super().load_or_resume()
        if self.shards and not is_sharded(self.model):
            shard(self.model, self.optim_wrapper)

    def save_checkpoint(self, *args, save_optimizer: bool = True, **kwargs) -> None:
        """Save whole tensors; every process has to call it."""
        if is_sharded(self.model):
            self.run_state.whole['state_dict'] = whole(self.model.state_dict())
            if save_optimizer:
                self.run_state.whole['optimizer'] = whole(self.optim_wrapper.state_dict())
        super().save_checkpoint(*args, save_optimizer=save_optimizer, **kwargs)
        self.run_state.whole.clear()

    def train(self) -> nn.Module:
        """Train; an error between processes says which one is missing.

        Raises:
            ConnectionError: a collective failed.
        """
        if not self.distributed:
            return super().train()
        timeout = self.cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout')
        timeout = timeout or _get_default_timeout(get_backend()).total_seconds()
        self.watch = ProcessWatch(
            *(_get_default_store(), self.rank, self.world_size),
            patience=0.7 * timeout,
            interval=min(5.0, timeout / 20),
            report=self.logger.error,
        )
        self.watch.start()
        try:
            return super().train()
        except RuntimeError as error:
            if not is_collective_error(error):
                raise
            raise ConnectionError(self.watch.explain(error)) from error
        finally:
            self.watch.stop()
