"""What a transformer shows: the same from the compiled core, name by name."""

from __future__ import annotations

import math

import numpy as np
import pytest

from river_attention import AttentionTransformer, backend

pytestmark = pytest.mark.skipif(backend._core is None, reason="the compiled core does not run")

SETTINGS = [
    *AttentionTransformer._unit_test_params(),
    {"window": 0, "n_lags": 0, "with_forecast": False},
    {"with_forecast": False, "window": 0, "memory": 2, "n_lags": 3, "keep_inputs": False},
    {"mode": None, "window": 9, "memory": 0, "prefix": "", "target": "number"},
    {"mode": None, "window": 0, "memory": 0, "n_lags": 0, "keep_inputs": False},
]


def rows(n):
    """Labels that begin late, jumps, a new input, gaps, and names that meet those of features."""
    rng = np.random.default_rng(0)
    for t in range(n):
        a, noise = rng.normal(size=2).tolist()
        x = {"a": math.nan if t % 5 == 3 else a, "attn_next": 1e150 if t == 30 else a + noise}
        if t > 40:
            x["c"] = t % 3
        y = 1e3 * math.sin(t / 5) + a if t > 6 and t % 11 else None
        yield x, y


@pytest.mark.parametrize("parameters", SETTINGS, ids=str)
def test_both_backends_show_the_same(parameters, monkeypatch):
    compiled = AttentionTransformer(**parameters)
    with monkeypatch.context() as patch:
        patch.setattr(backend, "_core", None)
        plain = AttentionTransformer(**parameters)
    for x, y in rows(90):
        ours, theirs = compiled.transform_one(x), plain.transform_one(x)
        assert list(ours) == list(theirs)
        assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-12)
        compiled.learn_one(x, y)
        plain.learn_one(x, y)
    assert compiled.transform_one({}).keys() == plain.transform_one({}).keys()


def test_what_is_shown_stays_in_c(monkeypatch):
    model = AttentionTransformer()
    for t, (x, y) in enumerate(rows(70)):
        if t > 50:
            monkeypatch.setattr("river_attention.estimators.transformer.shown_group", None)
        model.transform_one(x)
        model.learn_one(x, y)
        assert t <= 50 or model._twin.is_holding
