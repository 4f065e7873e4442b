"""The benchmark of refitted models: lags are of the past, and every fit sees the past only."""

from __future__ import annotations

import math

import numpy as np
import pytest

ROWS = [({"a": float(t)}, float(t * t)) for t in range(20)]


@pytest.fixture
def refitted(load_benchmark):
    return load_benchmark("refitted")


def test_lags_are_those_of_the_rows_before(refitted):
    X = refitted.table_of(ROWS, n_lags=2)
    assert X[5].tolist() == [5.0, 16.0, 9.0]
    assert np.isnan(X[0, 1:]).all()
    assert math.isnan(X[1, 2])


def test_every_fit_sees_the_rows_before_its_piece_and_no_other(refitted):
    seen = []

    class Nothing:
        def predict(self, X):
            return np.zeros(len(X))

    def fit(X, y):
        seen.append((X[:, 0].tolist(), y.tolist()))
        return Nothing()

    predictions = refitted.refitted(ROWS, [0, 5, 12, 20], fit)
    assert [rows[-1] for rows, _ in seen] == [4.0, 11.0]
    # steps from the last target: t² - (t - 1)²
    assert seen[0][1] == [2.0 * t - 1 for t in range(1, 5)]
    assert predictions.tolist() == [0.0, *(float(t * t) for t in range(19))]


def test_main_prints_both_models_for_every_stream(refitted, monkeypatch, capsys):
    class Nothing:
        def predict(self, X):
            return np.zeros(len(X))

    monkeypatch.setattr(refitted, "boosted", lambda X, y: Nothing())
    refitted.main(["--rows", "40", "--pieces", "4"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].count("|") == 7
    assert lines[2].startswith("| LightGBM, 3 fits | 1.000 | 1.000 | 1.000 | 1.000 |")
    assert lines[3].startswith("| StreamingAttentionRegressor |")
