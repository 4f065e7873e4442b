"""Retrieval for classes: mismatches of the last classes, votes, and what a state may hold."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from river_attention.layers import ClassRetrieval

FADING = 0.9
METRICS = (0.3, 10.0)
TEMPERATURES = (0.1, 0.025, 0.00625)


def lived(n_rows, n_classes, n_columns=2, seed=0):
    """Situations [T, 1 + d], the last class first, and classes [T]."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(n_classes, size=n_rows)
    last = np.concatenate([[-1], classes[:-1]])
    return np.column_stack([last, rng.normal(size=(n_rows, n_columns))]), classes.astype(float)


def naive_votes(situations, classes, now, window, frequencies):
    """Each sum from its definition."""
    t = len(classes)
    last, x = np.append(situations[:, 0], now[0]), situations[:, 1:]
    past = range(max(0, t - window), t)
    far = [
        FADING ** np.arange(i + 1)
        @ (last[t - i :][::-1] != last[: i + 1][::-1])
        / (1.0 - FADING ** (i + 1))
        for i in past
    ]
    rows = []
    for metric in METRICS:
        score = np.array(far) + metric * ((x[list(past)] - now[1:]) ** 2).sum(axis=1)
        for temperature in TEMPERATURES:
            a = np.exp(-(score - score.min()) / (temperature * score.mean()))
            a /= a.sum()
            n = 1.0 / (a @ a)
            of_class = [a[classes[list(past)] == c].sum() for c in range(len(frequencies))]
            rows.append((n * np.array(of_class) + 2.0 * frequencies) / (n + 2.0))
    return np.array(rows)


@pytest.mark.parametrize("n_classes", [2, 30])
@pytest.mark.parametrize("window", [7, 500])
def test_votes_are_those_of_the_definition(window, n_classes):
    layer, frequencies = ClassRetrieval(window), np.full(n_classes, 1.0 / n_classes)
    (situations, classes), state = lived(60, n_classes), layer.init_state()
    for t, (now, label) in enumerate(zip(situations, classes, strict=True)):
        _, proposal = layer.propose(now, state)
        if t >= 5:
            expected = naive_votes(situations[:t], classes[:t], now, window, frequencies)
            votes = layer.votes(now, proposal, state, frequencies)
            np.testing.assert_allclose(votes, expected, atol=1e-10)
            np.testing.assert_allclose(votes.sum(axis=1), 1.0, atol=1e-12)
        state = layer.learn(layer.commit(state, proposal), now, label)


def test_with_fewer_than_five_steps_the_frequencies_vote():
    layer, frequencies = ClassRetrieval(100), np.array([0.7, 0.3])
    situations, classes = lived(4, 2)
    _, state = layer.forward(situations, layer.init_state(), classes)
    _, proposal = layer.propose(situations[0], state)
    votes = layer.votes(situations[0], proposal, state, frequencies)
    assert np.array_equal(votes, np.tile(frequencies, (6, 1)))


def test_a_few_that_vote_alike_are_not_certain():
    # the step that is exactly alike decides, and is one of three votes only
    layer = ClassRetrieval(100)
    situations, classes = lived(50, 2, n_columns=3)
    _, state = layer.forward(situations, layer.init_state(), classes)
    now = np.concatenate([[classes[-1]], situations[20, 1:]])
    _, proposal = layer.propose(now, state)
    sharpest = layer.votes(now, proposal, state, np.array([0.5, 0.5]))[-1]
    assert sharpest[int(classes[20])] == pytest.approx((1.0 + 2.0 * 0.5) / 3.0, abs=0.01)


def test_numbers_of_classes_are_not_clipped():
    layer = ClassRetrieval(10)
    _, state = layer.forward(np.array([[-1.0], [999.0]]), layer.init_state(), np.array([999.0, 20]))
    assert state.past["residual"].tolist() == [999.0, 20.0]
    assert layer.n_classes(state) == 1000


def test_proposing_and_voting_change_nothing():
    layer = ClassRetrieval(20)
    situations, classes = lived(30, 3)
    _, state = layer.forward(situations, layer.init_state(), classes)
    before = pickle.dumps(copy.deepcopy(state))
    reads, proposal = layer.propose(situations[3], state)
    layer.votes(situations[3], proposal, state, np.ones(3) / 3.0)
    assert pickle.dumps(copy.deepcopy(state)) == before
    assert reads.shape == (0,)
