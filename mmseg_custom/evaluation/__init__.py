"""How good predictions are: metrics over a data set."""

from mmseg_custom.evaluation.accuracy import Accuracy
from mmseg_custom.evaluation.iou_metric import IoUMetric

__all__ = ['Accuracy', 'IoUMetric']
