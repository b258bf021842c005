"""Running: configuration, runner, log lines and hooks."""

from mmseg_custom import registry  # noqa: F401  (mends mmcv before mmseg is imported)
from mmseg_custom.engine.amp_optim_wrapper import AmpOptimWrapper
from mmseg_custom.engine.data_parallel import DataParallel
from mmseg_custom.engine.layer_decay import LayerDecayOptimWrapperConstructor
from mmseg_custom.engine.log_processor import LogProcessor
from mmseg_custom.engine.loops import EpochBasedTrainLoop, IterBasedTrainLoop
from mmseg_custom.engine.poly_lr import PolyLR
from mmseg_custom.engine.runner import Runner

__all__ = [
    'AmpOptimWrapper',
    'DataParallel',
    'EpochBasedTrainLoop',
    'IterBasedTrainLoop',
    'LayerDecayOptimWrapperConstructor',
    'LogProcessor',
    'PolyLR',
    'Runner',
]
