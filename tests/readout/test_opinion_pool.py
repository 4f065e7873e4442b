"""The log-linear pool: where it starts, its gradient, and what it is for two classes."""

from __future__ import annotations

import numpy as np
import pytest

from river_attention.readout.logistic import OnlineLogistic, softmax
from river_attention.readout.opinion_pool import LogLinearPool


def said(n_rows, n_classes, rng):
    """Logarithms of probabilities [R, K]."""
    return np.log(rng.dirichlet(np.ones(n_classes), size=n_rows))


def probabilities(pool, rows):
    return softmax(pool.answer(rows))


def test_it_begins_with_the_geometric_mean():
    rows = said(3, 4, np.random.default_rng(0))
    mean = np.exp(rows.mean(axis=0))
    expected = mean / mean.sum()
    np.testing.assert_allclose(probabilities(LogLinearPool(3, 1.0, 1.0), rows), expected)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_it_moves_along_the_gradient_of_the_log_probability(n_classes):
    rng = np.random.default_rng(1)
    rows, y, step = said(3, n_classes, rng), 1, 1e-6
    pool = LogLinearPool(3, 1.0, 1e-12)
    expected = []
    for r in range(3):
        logits = pool.answer(rows)
        up, down = (np.log(softmax(logits + s * step * rows[r])[y]) for s in (1, -1))
        expected.append((up - down) / (2.0 * step))
    pool.update(rows, y, 1.0)
    # with next to no prior variance a step is the gradient itself
    np.testing.assert_allclose(pool.rls.weights / 1e-12, expected, rtol=1e-6)


def test_for_two_classes_it_is_a_logistic_regression_on_log_odds():
    rng = np.random.default_rng(2)
    pool, model = LogLinearPool(3, 0.99, 0.1), OnlineLogistic(0.99, np.full(3, 0.1))
    for _ in range(200):
        rows = said(3, 2, rng)
        odds, y = rows[:, 1] - rows[:, 0], int(rng.random() < 0.3)
        prior = rows.mean(axis=0)
        np.testing.assert_allclose(
            probabilities(pool, rows), softmax(model.answer(odds, prior)), atol=1e-10
        )
        pool.update(rows, y, 1.0)
        model.update(odds, prior, y, 1.0)


def test_a_row_that_knows_gets_all_the_weight_it_needs():
    rng = np.random.default_rng(3)
    pool, hits = LogLinearPool(4, 0.998, 0.1), []
    for _ in range(600):
        y = int(rng.integers(6))
        rows = said(4, 6, rng)
        timid = np.full(6, 1.0)
        timid[y] = 1.5
        rows[2] = np.log(timid / timid.sum())
        hits.append(probabilities(pool, rows).argmax() == y)
        pool.update(rows, y, 1.0)
    assert np.mean(hits[-100:]) > 0.95


def test_weight_zero_trains_nothing():
    rng = np.random.default_rng(4)
    pool = LogLinearPool(2, 1.0, 1.0)
    pool.update(said(2, 3, rng), 0, 0.0)
    assert not pool.rls.weights.any()


def test_certainty_is_no_problem():
    pool = LogLinearPool(2, 0.9, 1.0)
    rows = np.log([[1.0 - 1e-9, 1e-9], [1.0 - 1e-9, 1e-9]])
    for y in (0, 0, 1, 1, 0):
        for _ in range(50):
            pool.update(rows, y, 1e6)
            assert np.isfinite(pool.rls.weights).all()
            assert np.isfinite(probabilities(pool, rows)).all()
