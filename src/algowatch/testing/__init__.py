"""Helpers for tests: captured metrics, a clock that is held in the hand."""

from algowatch.testing.metrics import CapturedWatch, capture

__all__ = ["CapturedWatch", "capture"]
