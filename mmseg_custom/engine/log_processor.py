"""One tidy line per logging step."""

import datetime

from mmengine.runner import LogProcessor as BaseLogProcessor

from mmseg_custom.host_memory import peak_memory_mib
from mmseg_custom.registry import LOG_PROCESSORS

_SHORT = {'decode.loss_ce': None, 'decode.acc_seg': 'acc', 'loss': 'loss'}


@LOG_PROCESSORS.register_module()
class LogProcessor(BaseLogProcessor):
    """mmengine's log processor with shorter lines, and the run's peak memory without a GPU, too.

    ``train 50/4000  loss 1.2345  acc 61.2  lr 1.00e-03  38.1 img/s  data 4%  910 MiB  eta 0:12:34``
    """

    _peak = 0

    def get_log_after_iter(self, runner, batch_idx: int, mode: str) -> tuple[dict, str]:
        """See mmengine; returns the recorded scalars and the line."""
        tag, _ = super().get_log_after_iter(runner, batch_idx, mode)
        # mmengine begins to measure anew at each line, and leaves it out without a GPU.
        self._peak = max(self._peak, tag.get('memory') or peak_memory_mib() or 0)
        if self._peak:
            tag['memory'] = self._peak
        if mode != 'train':
            total = self._get_dataloader_size(runner, mode)
            return tag, f'{mode} {batch_idx + 1:>5}/{total}'
        total = runner.max_epochs if self.by_epoch else runner.max_iters
        done = f'{tag["iter"]:>{len(str(runner.max_iters))}}/{runner.max_iters}'
        parts = [f'train {done}' if not self.by_epoch else f'epoch {tag["epoch"]}/{total}  {done}']
        for key, value in tag.items():
            name = _SHORT.get(key, key if 'loss' in key else None)
            if name and not (name != 'loss' and key.startswith('decode.loss')):
                parts.append(f'{name} {value:.{1 if name == "acc" else 4}f}')
        parts += [f'{key} {tag[key]:.2e}' for key in ('lr', 'base_lr') if key in tag][:1]
        if 'time' in tag:
            images = (runner.train_dataloader.batch_size or 1) * runner.world_size
            parts.append(f'{images / tag["time"]:.1f} img/s')
            parts.append(f'data {100 * tag["data_time"] / tag["time"]:.0f}%')
        if 'memory' in tag:
            parts.append(f'{tag["memory"]} MiB')
        if 'eta' in runner.message_hub.runtime_info:
            eta = int(runner.message_hub.get_info('eta'))
            parts.append(f'eta {datetime.timedelta(seconds=eta)}')
        return tag, '  '.join(parts)

    def get_log_after_epoch(
        self, runner, batch_idx: int, mode: str, with_non_scalar: bool = False
    ) -> tuple[dict, str]:
        """See mmengine; returns the recorded scalars and the line of summary metrics."""
        tag, _ = super().get_log_after_epoch(runner, batch_idx, mode, with_non_scalar)
        metrics = {k: v for k, v in tag.items() if isinstance(v, float) and 'time' not in k}
        seconds = tag.get('time', 0.0)
        line = '  '.join(
            f'{name.split("/")[-1]} {value:.{4 if "loss" in name else 2}f}'
            for name, value in metrics.items()
        )
        return tag, f'{mode}  {line}  {seconds:.3f} s/batch'
