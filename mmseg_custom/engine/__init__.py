"""Running: configuration, runner, log lines and hooks."""

from mmseg_custom.engine.log_processor import LogProcessor
from mmseg_custom.engine.runner import Runner

__all__ = ['LogProcessor', 'Runner']
