"""Spike encoders: what each code says, and that chance depends on seed, name and row only."""

from __future__ import annotations

import numpy as np
import pytest

from river_attention import SpikeEncoder


def trained(kind, **params):
    encoder = SpikeEncoder(kind, **params)
    for value in np.random.default_rng(0).normal(size=50).tolist():
        encoder.learn_one({"a": value, "b": -value})
    return encoder


def test_rate_spikes_are_as_frequent_as_a_value_is_strong():
    encoder, spikes, strengths = trained("rate"), [], []
    for value in np.random.default_rng(1).normal(size=200).tolist():
        mean, deviation = encoder.moments_.mean[0], encoder.moments_.divisor[0]
        strengths.append(min(max((value - mean) / deviation / 6 + 0.5, 0.0), 1.0))
        shown = encoder.transform_one({"a": value})
        spikes.append(sum(shown[f"a_{i}"] for i in range(1, 9)))
        assert not any(shown[f"b_{i}"] for i in range(1, 9))
        encoder.learn_one({"a": value})
    # the sum is never off by more than the spike that is not full
    assert abs(sum(spikes) - 8 * sum(strengths)) <= 1.0


@pytest.mark.parametrize("value", [-9.0, -1.0, 0.0, 1.0, 9.0])
def test_latency_is_one_spike_the_earlier_the_stronger(value):
    shown = [*trained("latency").transform_one({"a": value}).values()][:8]
    larger = [*trained("latency").transform_one({"a": value + 1.5}).values()][:8]
    assert sum(shown) == sum(larger) == 1.0
    assert larger.index(1.0) < shown.index(1.0) or value in (-9.0, 9.0)


def test_delta_sends_changes_from_where_it_sent_the_last_one():
    encoder = trained("delta", threshold=1.0)
    encoder.learn_one({"a": 5.0})
    for step, spikes in ((0.4, (0, 0)), (0.8, (0, 0)), (2.0, (1, 0)), (-2.0, (0, 1))):
        shown = encoder.transform_one({"a": 5.0 + step})
        assert (shown["a_up"], shown["a_down"]) == spikes


def test_poisson_spikes_depend_on_seed_name_and_row_only():
    one, other = trained("poisson", n_steps=40), trained("poisson", n_steps=40)
    x = {"a": 0.3, "b": 0.1}
    shown = one.transform_one(x)
    assert shown == other.transform_one(dict(reversed(x.items())))
    assert shown != trained("poisson", n_steps=40, seed=1).transform_one(x)
    one.learn_one(x)
    assert shown != one.transform_one(x)
