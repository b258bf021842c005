"""What a run leaves behind, said at its end."""

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


@HOOKS.register_module()
class ReportHook(Hook):
    """At the end of a training draw its curves, sum it up, and name the command that tests it.

    ``summary.json`` holds what a program wants to know about the run: its length, its last log
    lines, its best score and its checkpoints.

    Args:
        curves: write ``curves.png`` (loss, learning rate, mIoU) into the work folder.
    """

    priority = 'LOWEST'

    def __init__(self, curves: bool = True) -> None:
        self.curves = curves

    @master_only
    def after_train(self, runner) -> None:
        """Log the paths of the run's checkpoint and curves, and the command that tests it."""
        checkpoint, score = best_checkpoint(runner)
        summary = json.dumps(summarised(runner), indent=2)
        write_atomically(Path(runner.work_dir, SUMMARY), f'{summary}\n'.encode())
        if self.curves:
            self._draw_curves(runner)
        if checkpoint is None:
            runner.logger.info('no checkpoint was saved (see default_hooks.checkpoint)')
            return
        config = Path(runner.work_dir, Path(runner.cfg.filename or 'config.py').name)
        runner.logger.info(f'best checkpoint{score}: {checkpoint}')
        command = shlex.join([*_test_tool(), str(config), str(checkpoint)])
        runner.logger.info(f'test it with: {command}')

    def _draw_curves(self, runner) -> None:
        try:
            curves = plot_curves(runner.work_dir, Path(runner.work_dir, 'curves.png'))
        except FileNotFoundError as error:
            # Someone logs to another backend only; that must not fail a run that is done.
            runner.logger.warning(f'no curves.png: {error}')
        else:
            runner.logger.info(f'curves: {curves}')


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
