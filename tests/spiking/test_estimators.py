"""Spiking estimators in the walk of a stream: late labels, and thresholds that see to a rate."""

from __future__ import annotations

import numpy as np
import pytest

from river_attention import SpikingAttentionClassifier, SpikingAttentionRegressor
from river_attention.spiking import Population

SMALL = {"n_neurons": 6, "dim": 4, "window_size": 4, "window": 10, "long_lags": 0, "n_lags": 0}


def rows(n=40, seed=0):
    for a, b in np.random.default_rng(seed).normal(size=(n, 2)).tolist():
        yield {"a": a, "b": b}, a + 0.5 * b


def as_label(cls, y):
    return y if cls is SpikingAttentionRegressor else y > 0.0


@pytest.mark.parametrize("cls", [SpikingAttentionRegressor, SpikingAttentionClassifier])
def test_neurons_step_when_x_is_seen_and_not_when_its_label_comes(cls):
    late, prompt = cls(**SMALL, advance_on="predict"), cls(**SMALL)
    waiting = []
    for t, (x, y) in enumerate(rows()):
        late.predict_one(x, key=t)
        waiting.append((x, as_label(cls, y), t))
        prompt.learn_one(x, as_label(cls, y))
        # the neurons see inputs only, so labels that are late change nothing for them
        np.testing.assert_allclose(late.firing_.buffer, prompt.firing_.buffer, atol=1e-12)
        if len(waiting) > 5:
            before = late.firing_.buffer.copy()
            x, label, key = waiting.pop(0)
            late.learn_one(x, label, key=key)
            np.testing.assert_array_equal(late.firing_.buffer, before)
    assert (late.n_pending_, late.n_unmatched_) == (5, 0)
    assert late.firing_.traces.max() > 0.0


@pytest.mark.parametrize("cls", [SpikingAttentionRegressor, SpikingAttentionClassifier])
def test_a_late_label_trains_on_the_spikes_of_then(cls):
    """Labels five rows late teach what prompt ones do, apart from what was predicted meanwhile."""
    models = [cls(**SMALL, advance_on="predict") for _ in range(2)]
    stream = [(x, as_label(cls, y), t) for t, (x, y) in enumerate(rows(60))]
    for x, label, t in stream:
        models[0].predict_one(x, key=t)
        models[0].learn_one(x, label, key=t)
    for x, _, t in stream:
        evidence = models[1]._step(x).evidence
        models[1].predict_one(x, key=t)
        waiting = models[1]._pending.waiting()[-1]
        np.testing.assert_allclose(waiting["inputs"], evidence["inputs"], atol=1e-12)
        np.testing.assert_allclose(waiting["full"], evidence["full"], atol=1e-12)
    for x, label, t in stream:
        models[1].learn_one(x, label, key=t)
    assert models[1].n_pending_ == models[1].n_unmatched_ == 0
    assert models[1].predict_one(stream[3][0]) is not None


@pytest.mark.parametrize("target_rate", [0.05, 0.2, 0.4])
def test_the_thresholds_of_a_population_bring_every_neuron_to_the_rate(target_rate):
    population = Population(16, target_rate=target_rate, threshold_rate=0.05, n_inputs=3, seed=1)
    free = Population(16, n_inputs=3, seed=1)
    X = np.random.default_rng(0).normal(size=(12_000, 3))
    fired = [
        each.forward(X, each.init_state())[0][6000:, 16:32].mean(axis=0)
        for each in (population, free)
    ]
    np.testing.assert_allclose(fired[0], target_rate, atol=0.02)
    assert np.abs(fired[1] - target_rate).max() > 0.05
