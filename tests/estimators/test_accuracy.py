"""Predictions on real streams, beside those of the last value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from river import datasets

from river_attention import StreamingAttentionRegressor

STREAMS = Path(__file__).parents[3] / "shared" / "data" / "streams"


def relative_error(rows, model):
    """Test-then-train error (MAE without the first row) in units of that of the last value."""
    errors, steps, last = [], [], None
    for x, y in rows:
        prediction = model.predict_one(x)
        model.learn_one(x, y)
        if last is not None:
            errors.append(abs(y - prediction))
            steps.append(abs(y - last))
        last = y
    return np.mean(errors) / np.mean(steps)


@pytest.mark.skipif(not STREAMS.is_dir(), reason="no streams beside this repository")
def test_the_defaults_are_better_than_the_last_value_on_real_streams():
    errors = []
    for path in sorted(STREAMS.glob("*.npz")):
        z = np.load(path)
        names = [str(name) for name in z["names"]]
        rows = (
            (dict(zip(names, x, strict=True)), y)
            for x, y in zip(z["X"].tolist(), z["y"].tolist(), strict=True)
        )
        errors.append(relative_error(rows, StreamingAttentionRegressor()))
    assert len(errors) == 9
    assert np.exp(np.mean(np.log(errors))) <= 1.00


# measured 1.20 and 0.67: the approval rating of tomorrow is mostly that of today
@pytest.mark.parametrize(
    ("dataset", "bound"), [(datasets.TrumpApproval, 1.3), (datasets.AirlinePassengers, 0.8)]
)
def test_the_defaults_hold_their_own_on_the_small_streams_of_river(dataset, bound):
    assert relative_error(dataset(), StreamingAttentionRegressor()) <= bound
