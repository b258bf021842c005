"""Hooks: what happens at fixed points of a run, beside training itself."""

from mmseg_custom.engine.hooks.checkpoint_hook import CheckpointHook
from mmseg_custom.engine.hooks.early_stopping_hook import EarlyStoppingHook
from mmseg_custom.engine.hooks.guard_hook import GuardHook
from mmseg_custom.engine.hooks.image_folder_hook import ImageFolderHook
from mmseg_custom.engine.hooks.interruption_hook import InterruptionHook
from mmseg_custom.engine.hooks.paint_hook import PaintHook
from mmseg_custom.engine.hooks.processes_hook import ProcessesHook
from mmseg_custom.engine.hooks.progress_hook import ProgressHook
from mmseg_custom.engine.hooks.report_hook import ReportHook
from mmseg_custom.engine.hooks.run_state_hook import RunStateHook
from mmseg_custom.engine.hooks.sample_predictions_hook import SamplePredictionsHook
from mmseg_custom.engine.hooks.sync_buffers_hook import SyncBuffersHook
from mmseg_custom.engine.hooks.validation_loss_hook import ValidationLossHook

__all__ = [
    'CheckpointHook',
    'EarlyStoppingHook',
    'GuardHook',
    'ImageFolderHook',
    'InterruptionHook',
    'PaintHook',
    'ProcessesHook',
    'ProgressHook',
    'ReportHook',
    'RunStateHook',
    'SamplePredictionsHook',
    'SyncBuffersHook',
    'ValidationLossHook',
]
