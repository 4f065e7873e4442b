"""Boosted trees among the experts of the classifier."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest

from river_attention import StreamingAttentionClassifier
from river_attention.readout import boosting, fits

SMALL = {"mode": None, "memory": 0, "window": 20, "long_lags": 4, "trees": 40}
NAMES = ("low", "high", "both", "none of them")


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    """Fits that take milliseconds, and begin early."""
    monkeypatch.setattr(fits, "N_TREES_OF_CLASSES", 8)
    monkeypatch.setattr(boosting, "FIRST", 40)


def make(**params):
    return StreamingAttentionClassifier(**(SMALL | params))


def rows(n=200, n_classes=2, seed=0):
    """The class tells in which corner two features are; for two classes, whether signs differ."""
    rng = np.random.default_rng(seed)
    for t, (a, b) in enumerate(rng.normal(size=(n, 2)).tolist()):
        corner = 2 * (a > 0.3) + (b > 0.3)
        label = corner == 3 if n_classes == 2 else corner if t > 60 else min(corner, 1)
        yield ({"a": a} if t % 17 == 5 else {"a": a, "b": b}), NAMES[int(label)]


def run(model, stream):
    said = []
    for x, y in stream:
        said.append(model.predict_proba_one(x))
        model.learn_one(x, y)
    return said


def log_loss(model, stream):
    stream = list(stream)
    pairs = list(zip(run(model, stream), stream, strict=True))[len(stream) // 2 :]
    return -np.mean([np.log(said[y]) for said, (_, y) in pairs])


@pytest.mark.parametrize("n_classes", [2, 4])
def test_they_see_what_linear_experts_cannot(n_classes, monkeypatch):
    monkeypatch.setattr(fits, "N_TREES_OF_CLASSES", 30)
    model, without = make(), make(trees=0)
    assert log_loss(model, rows(800, n_classes)) < 0.8 * log_loss(without, rows(800, n_classes))
    assert model.expert_weights_["trees"] > 0.5


@pytest.mark.parametrize("n_classes", [2, 4])
def test_until_the_first_fit_probabilities_are_those_without(n_classes):
    ours, theirs = (run(make(trees=trees), rows(100, n_classes)) for trees in (40, 0))
    differs = [i for i in range(1, 100) if abs(ours[i]["low"] - theirs[i]["low"]) > 1e-9]
    # begun with 40 rows, five before it takes over
    assert differs[0] == 45


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("params", [{}, {"advance_on": "predict"}])
def test_a_copy_goes_on_alike_however_it_was_made(params, n_classes, copies_of, case):
    stream = list(rows(160, n_classes))
    model = make(**params)
    run(model, stream[:42])
    for at, until in itertools.pairwise([42, 120, 160]):
        copies = copies_of(model)
        expected = run(model, stream[at:until])
        for how, other in copies.items():
            with case(at, how):
                assert run(other, stream[at:until]) == expected


def test_probabilities_are_some_for_every_class_however_late_it_comes():
    model = make()
    stream = list(rows(300, 4)) + [({"a": 5.0}, "a late one")] * 3 + list(rows(60, 4, seed=1))
    for said in run(model, stream)[1:]:
        assert abs(sum(said.values()) - 1.0) < 1e-9
        assert min(said.values()) > 0.0
    assert "a late one" in model.predict_proba_one({"a": 1.0})


def test_one_class_is_nothing_to_fit():
    model = make()
    run(model, [({"a": float(t % 5)}, "same") for t in range(100)])
    assert model.expert_weights_["trees"] == 0.0
    assert model.predict_one({"a": 1.0}) == "same"
    run(model, rows(200))
    assert model.expert_weights_["trees"] > 0.0


def test_predictions_are_pure():
    model = make()
    run(model, rows(150))
    before = pickle.dumps(model)
    answers = [model.predict_proba_one({"a": 0.5, "new": 1.0}) for _ in range(2)]
    assert "Feature of the trees" in model.debug_one({"a": 0.5})
    assert answers[0] == answers[1]
    assert pickle.dumps(model) == before


def test_past_labels_are_seen_and_nothing_that_was_computed():
    model = make(n_lags=2)
    run(model, rows(120))
    boosted = model.task_.readout.boosted
    names = model.task_.readout.names_of_row(["a", "b"])
    assert boosted.width == len(names)
    kept, labels, _ = fits.joined([(c, c.n) for c in boosted.chunks], boosted.width)
    numbers = [model.classes_.index(y) for _, y in rows(120)]
    assert labels.tolist() == numbers
    for lag in range(1, 7):
        assert kept[10:, lag - 1].tolist() == numbers[10 - lag : -lag]
    a = np.float32([x["a"] for x, _ in rows(120)])
    np.testing.assert_array_equal(kept[5:, names.index("a")], a[5:])
    np.testing.assert_array_equal(kept[5:, names.index("a one step before")], a[4:-1])


def test_a_recycled_column_is_missing_until_the_next_fit():
    model = make(max_features=2)
    run(model, rows(150))
    stream = [({"a": x["a"], f"new {t // 30}": 1.0}, y) for t, (x, y) in enumerate(rows(150))]
    said = run(model, stream)
    assert model.n_evicted_ > 2
    assert all(abs(sum(each.values()) - 1.0) < 1e-9 for each in said)
