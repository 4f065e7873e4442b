"""Pictures of a search show what was found, and say what is missing."""

from __future__ import annotations

import sys

import pytest

from river_attention import RLSRegressor
from river_attention.model_selection import ProgressiveGridSearch

ROWS = [({"a": float(i % 7)}, float(i % 7 + i % 2)) for i in range(200)]


def _search():
    return ProgressiveGridSearch(
        RLSRegressor(), {"delta": [0.1, 10.0], "huber": [True, False]}, progress=False
    )


def test_the_picture_has_scores_by_parameter_and_curves():
    pytest.importorskip("matplotlib")
    found = _search().fit(ROWS)
    scores, curves = found.plot("delta", n_curves=3).axes
    assert [tick.get_text() for tick in scores.get_xticklabels()] == ["0.1", "10.0"]
    assert len(curves.lines) == 3
    assert curves.lines[0].get_ydata().tolist() == found.curves_[found.best_index_].recent.tolist()


def test_what_cannot_be_drawn_is_said(monkeypatch):
    with pytest.raises(ValueError, match="call fit first"):
        _search().plot()
    found = _search().fit(ROWS)
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="param='alpha': must be one of delta, huber"):
        found.plot("alpha")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"river-attention\[plot\]"):
        found.plot()
