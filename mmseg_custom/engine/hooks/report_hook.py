"""What a run leaves behind: its curves, a summary, and what to do next."""

import json
import shlex
from pathlib import Path

import torch
from mmengine.dist import master_only
from mmengine.hooks import CheckpointHook, Hook

from mmseg_custom.engine.run_log import SUMMARY, read_run_log
from mmseg_custom.registry import HOOKS
from mmseg_custom.visualization.curves import plot_curves
from mmseg_custom.writing import write_atomically

CURVES = 'curves.png'


@HOOKS.register_module()
class ReportHook(Hook):
    """Draw the curves at each validation; at the end sum up and name the command that tests.

    ``summary.json`` holds what a program wants to know about the run: its length, its last log
    lines, its best score and its checkpoints.

    Args:
        curves: write ``curves.png`` (losses, learning rate, mIoU, IoU by class) into the work
            folder.
    """

    priority = 'LOWEST'

    def __init__(self, curves: bool = True) -> None:
        self.curves = curves
        self._drawn_at = -1

    @master_only
    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Draw what is logged so far."""
        if self.curves and runner._train_dataloader is not None:
            self._draw_curves(runner)

    @master_only
    def after_train(self, runner) -> None:
        """Log the paths of the run's checkpoint and curves, and the command that tests it."""
        checkpoint, score = best_checkpoint(runner)
        summary = json.dumps(summarised(runner), indent=2)
        write_atomically(Path(runner.work_dir, SUMMARY), f'{summary}\n'.encode())
        if self.curves and (self._drawn_at == runner.iter or self._draw_curves(runner)):
            runner.logger.info(f'curves: {Path(runner.work_dir, CURVES)}')
        if checkpoint is None:
            runner.logger.info('no checkpoint was saved (see default_hooks.checkpoint)')
            return
        config = Path(runner.work_dir, Path(runner.cfg.filename or 'config.py').name)
        runner.logger.info(f'best checkpoint{score}: {checkpoint}')
        command = shlex.join([*_test_tool(), str(config), str(checkpoint)])
        runner.logger.info(f'test it with: {command}')

    def _draw_curves(self, runner) -> bool:
        records = read_run_log(runner.work_dir)
        try:
            plot_curves(records, Path(runner.work_dir, CURVES))
        except (ValueError, OSError) as error:
            # A picture must not fail a run: its log may be mmengine's, its disk full.
            runner.logger.warning(f'no {CURVES}: {error}')
            return False
        self._drawn_at = runner.iter
        return True


def _test_tool() -> list[str]:
    """The words that start the test tool from the present folder, in a checkout or without one."""
    path = Path(__file__).resolve().parents[3] / 'tools/test.py'
    if not path.is_file():
        return ['python', '-m', 'mmseg_custom.tools.test']
    here = Path.cwd()
    return ['python', str(path.relative_to(here) if here in path.parents else path)]


def summarised(runner) -> dict:
    """What ``summary.json`` says about a run that is done."""
    info = runner.message_hub.runtime_info
    log = read_run_log(runner.work_dir)
    lines = {
        mode: [record for record in log if record['mode'] == mode] for mode in ('train', 'val')
    }
    best = info.get('best_score')
    return {
        'config': Path(runner.cfg.filename or 'config.py').name,
        'iterations': runner.iter,
        'max_iters': runner.max_iters,
        'stopped_early': runner.iter < runner.max_iters,
        'epochs': runner.epoch,
        'seed': runner.seed,
        'processes': runner.world_size,
        'torch': torch.__version__,
        'best_score': None if best is None else float(best),
        'best_checkpoint': info.get('best_ckpt'),
        'last_checkpoint': info.get('last_ckpt'),
        **{f'last_{mode}': records[-1] if records else None for mode, records in lines.items()},
    }


def best_checkpoint(runner) -> tuple[Path | None, str]:
    """The best checkpoint of a run (else the last one) and a remark with its score."""
    hook = next((h for h in runner.hooks if isinstance(h, CheckpointHook)), None)
    best = getattr(hook, 'best_ckpt_path', None)
    if best:
        score = runner.message_hub.get_info('best_score')
        return Path(best), f' ({hook.key_indicators[0]} {score:.2f})'
    last = runner.message_hub.runtime_info.get('last_ckpt')
    return (Path(last), '') if last else (None, '')
