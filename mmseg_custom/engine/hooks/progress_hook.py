"""A live bar under the log of a training, where somebody is looking."""

import logging
import sys
import time

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mmseg_custom.registry import HOOKS

SECONDS = 0.5


@HOOKS.register_module()
class ProgressHook(Hook):
    """Show a bar and the values of the log line, twice a second, if stdout is a terminal.

    The bar takes the place of the lines of single iterations, which go to the log file only; all
    other lines appear above it. Elsewhere (a file, a pipe, ``TERM=dumb``) the lines are printed and
    nothing else is.
    """

    # After LoggerHook, which may have formatted the same line.
    priority = 'LOW'

    def __init__(self) -> None:
        self._live = None
        self._shown_at = 0.0

    def before_train(self, runner) -> None:
        """Begin, where stdout is a terminal."""
        from rich.console import Console
        from rich.live import Live

        console = Console(file=sys.stdout)
        # FORCE_COLOR makes rich take a pipe for a terminal.
        if not (is_main_process() and sys.stdout.isatty() and console.is_interactive):
            return
        self._handlers = [h for h in runner.logger.handlers if type(h) is logging.StreamHandler]
        self._streams = [handler.stream for handler in self._handlers]
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()
        for handler in self._handlers:
            handler.setStream(sys.stdout)  # rich's, which writes above the bar
            handler.addFilter(_is_no_iteration)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Draw, if the last time was long enough ago."""
        if self._live is None or time.monotonic() < self._shown_at + SECONDS:
            return
        _, line = runner.log_processor.get_log_after_iter(runner, batch_idx, 'train')
        self._show(line, runner.iter + 1, runner.max_iters)

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Draw how far the validation is."""
        if self._live is None or time.monotonic() < self._shown_at + SECONDS:
            return
        self._show(
            f'validating after iteration {runner.iter}', batch_idx + 1, len(runner.val_dataloader)
        )

    def _show(self, line: str, done: int, total: int) -> None:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        rows = Table.grid(expand=True)
        rows.add_row(ProgressBar(total, done))
        rows.add_row(Text(line))
        self._live.update(rows, refresh=True)
        self._shown_at = time.monotonic()

    def after_train(self, runner) -> None:
        """Take the bar away."""
        self.close()

    def close(self) -> None:
        """Give the terminal back; also where the run ends with an error."""
        if self._live is None:
            return
        self._live.stop()
        self._live = None
        for handler, stream in zip(self._handlers, self._streams):
            handler.setStream(stream)
            handler.removeFilter(_is_no_iteration)


def _is_no_iteration(record: logging.LogRecord) -> bool:
    """Whether a line is something else than LoggerHook's of an iteration."""
    return record.module != 'logger_hook' or not record.funcName.endswith('_iter')
