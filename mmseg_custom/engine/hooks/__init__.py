"""Hooks."""

from mmseg_custom.engine.hooks.report_hook import ReportHook

__all__ = ['ReportHook']
