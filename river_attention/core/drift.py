"""Drift detectors of river beside a task: told of every error, and no plain data."""

from __future__ import annotations

from typing import Any

from river import base

from ..state import StateError

Detector = base.DriftDetector | base.BinaryDriftDetector


def refuse(detector: Detector | None) -> None:
    """Raise ``StateError`` if there is a detector: what it knows is not in its parameters."""
    if detector is not None:
        raise StateError(
            f"drift_detector={detector!r}: what a drift detector of river knows is no "
            "plain data; use pickle, or drift_detector=None"
        )


def drifted(detector: Detector | None, error: float) -> bool:
    """Tell a detector of an error; whether it fires. Without one, nothing ever drifts."""
    if detector is None:
        return False
    told: Any = bool(error) if isinstance(detector, base.BinaryDriftDetector) else error
    detector.update(told)
    return bool(detector.drift_detected)
