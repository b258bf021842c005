"""Metrics."""

from mmseg_custom.evaluation.iou_metric import IoUMetric

__all__ = ['IoUMetric']
