"""The forecaster in the compiled core: what NumPy says, and the same state."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from alike import Halving, assert_alike, on_numpy, pair

from river_attention import StreamingAttentionForecaster, backend
from river_attention.core.rollout import Rollout

pytestmark = pytest.mark.skipif(backend._core is None, reason="the compiled core does not run")

SETTINGS = {
    "default": {"horizon": 6},
    "a season": {"season": 7, "horizon": 5, "window": 50},
    "a season longer than the stream": {"season": 300, "horizon": 3, "window": 20, "mode": "lru"},
    "no retrieval": {"window": 0, "readout": "rls", "horizon": 30},
    "one step": {"horizon": 1, "window": 30, "long_lags": 0, "prior": "mean"},
}


@pytest.fixture(autouse=True)
def _few_at_first(monkeypatch):
    """Origins that are sparse before a thousand rows."""
    monkeypatch.setattr("river_attention.core.ahead._FIRST", 150)


def stream(n, seed=0):
    """A season, an input with gaps, a new input and a shift."""
    rng = np.random.default_rng(seed)
    for t in range(n):
        a, b = rng.normal(size=2).round(3).tolist()
        y = (20.0 if t > n // 2 else 0.0) + math.sin(t / 7 * 2 * math.pi) + a + 0.1 * rng.normal()
        x = {"a": a} if t % 9 == 4 else {"a": a, "b": b}
        if t > 100:
            x["c"] = float(t % 3)
        yield x, float(y)


def largest_difference(compiled, reference, rows, horizon):
    """Between forecasts and bounds of intervals, relative to the largest forecast."""
    worst, size = 0.0, 1e-9
    for t, (x, y) in enumerate(rows):
        if t % 11 == 5:
            ours, theirs = np.array(
                [model.forecast(horizon, [x] * horizon) for model in (compiled, reference)]
            )
            size = max(size, np.abs(theirs).max())
            worst = max(worst, np.abs(ours - theirs).max())
            ours, theirs = np.array(
                [model.forecast_interval(horizon) for model in (compiled, reference)]
            )
            worst = max(worst, np.abs(ours - theirs).max())
        compiled.learn_one(y, x)
        reference.learn_one(y, x)
    return worst / size


@pytest.mark.parametrize("parameters", SETTINGS.values(), ids=SETTINGS)
def test_every_setting_agrees(parameters):
    compiled, reference = pair(StreamingAttentionForecaster, **parameters)
    assert largest_difference(compiled, reference, stream(260), 8) < 1e-12
    assert compiled.n_scored_ == reference.n_scored_ > 0
    assert_alike(compiled, reference, 1e-10)


def test_a_mode_of_a_user_is_rolled_out_in_python():
    compiled, reference = pair(StreamingAttentionForecaster, mode=Halving(), window=20, horizon=3)
    assert largest_difference(compiled, reference, stream(120), 4) < 1e-12
    assert_alike(compiled, reference, 1e-10)


def test_forecasts_and_their_scores_stay_in_c():
    model, rows = StreamingAttentionForecaster(horizon=4, window=20), list(stream(80))
    for x, y in rows[:40]:
        model.learn_one(y, x)
    n_scored = model.n_scored_
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rollout, "predict", None)
        for x, y in rows[40:]:
            model.forecast(5, [x] * 5)
            model.learn_one(y, x)
    assert model.n_scored_ == n_scored + 40


def test_a_pickle_of_one_continues_on_the_other():
    compiled, reference = pair(StreamingAttentionForecaster, horizon=4, window=30, season=7)
    rows = list(stream(200))
    for x, y in rows[:120]:
        compiled.learn_one(y, x)
        reference.learn_one(y, x)
    from_numpy = pickle.loads(pickle.dumps(reference))
    from_compiled = on_numpy(lambda: pickle.loads(pickle.dumps(compiled)))
    assert largest_difference(from_numpy, from_compiled, rows[120:], 6) < 1e-12


def test_a_forecast_changes_nothing():
    asked, other = (StreamingAttentionForecaster(horizon=3, window=30) for _ in range(2))
    for x, y in stream(100):
        asked.forecast(7, [x] * 7)
        asked.expert_forecasts(2)
        for model in (asked, other):
            model.learn_one(y, x)
    ours, theirs = asked.get_state(), other.get_state()
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
