"""Boosted trees among the experts of the regressor."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import warnings

import numpy as np
import pytest
from river import drift

import river_attention
from river_attention import StreamingAttentionRegressor, backend
from river_attention.readout import boosting, fits
from river_attention.state import StateError

SMALL = {"mode": "gla", "n_heads": 2, "memory": 0, "window": 30, "long_lags": 4, "trees": 40}


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    """Fits that take milliseconds, and begin early."""
    monkeypatch.setitem(fits.SETTINGS, "max_iter", 10)
    monkeypatch.setattr(boosting, "FIRST", 40)


def make(**params):
    return StreamingAttentionRegressor(**(SMALL | params))


def rows(n=240, seed=0, gaps=True):
    """A target that is high where both of two features are."""
    rng = np.random.default_rng(seed)
    for t, (a, b) in enumerate(rng.normal(size=(n, 2)).tolist()):
        y = 10.0 * (a > 0.0 and b > 0.0) + 0.1 * rng.normal()
        yield ({"a": a} if gaps and t % 17 == 5 else {"a": a, "b": b}), y


def run(model, stream):
    predictions = []
    for x, y in stream:
        predictions.append(model.predict_one(x))
        model.learn_one(x, y)
    return predictions


def error(model, stream):
    stream = list(stream)
    truth = np.array([y for _, y in stream])
    return np.abs(np.array(run(model, stream)) - truth)[len(stream) // 2 :].mean()


# --- what they are for


def test_they_see_what_linear_experts_cannot(monkeypatch):
    monkeypatch.setitem(fits.SETTINGS, "max_iter", 40)
    without, model = make(trees=0, prior="zero"), make(prior="zero")
    assert error(model, rows(1000, gaps=False)) < 0.5 * error(without, rows(1000, gaps=False))
    assert max(model.expert_weights_, key=model.expert_weights_.get) == "trees"
    assert model.expert_losses_["trees"] < min(without.expert_losses_.values())


def test_until_the_first_fit_predictions_are_those_without():
    with_trees, without = make(), make(trees=0)
    stream = list(rows(100))
    ours, theirs = run(with_trees, stream), run(without, stream)
    awake = next(i for i in range(100) if abs(ours[i] - theirs[i]) > 1e-9)
    # begun with 40 rows, five before it takes over; nothing is learned from the first two
    assert awake == 40 + 5 + 2
    assert with_trees.expert_weights_.keys() == {*without.expert_weights_, "trees"}


def test_the_explanation_names_what_they_look_at():
    model = make(prior="zero")
    run(model, rows(600))
    text = model.debug_one({"a": 1.0, "b": 2.0})
    assert "trees" in text
    first = text.split("Feature of the trees")[1].splitlines()[2:4]
    assert {line.split()[0] for line in first} == {"a", "b"}


def test_they_are_refused_where_there_is_no_mixture():
    with pytest.raises(ValueError, match=r"trees=5: .*readout='mixture'"):
        StreamingAttentionRegressor(readout="rls", trees=5)
    with pytest.raises(ValueError, match="trees"):
        StreamingAttentionRegressor(trees=-1)
    with pytest.raises((TypeError, ValueError), match="trees"):
        StreamingAttentionRegressor(trees=0.5)


# --- the contracts, after the first fit


def test_predictions_are_pure_and_repeat():
    model = make()
    run(model, rows(150))
    before = pickle.dumps(model)
    x = {"a": 0.3, "new": 1.0}
    asked = [model.predict_one, model.debug_one, model.predict_interval_one]
    answers = [ask(x) for ask in asked]
    model.predict_one({"b": -1.0})
    future = model.rollout()
    future.predict(x)
    future.advance(3.0)
    future.predict({})
    assert [ask(x) for ask in asked] == answers
    assert model.predict_one(x, with_dist=True).mu == answers[0]
    assert pickle.dumps(model) == before


def test_looking_ahead_is_as_living_through_it(monkeypatch):
    model = make()
    run(model, rows(150))
    x, after = {"a": 0.5, "b": 1.0}, {"a": -0.5, "b": 1.0}
    monkeypatch.setattr(backend, "_core", None)
    plain = copy.deepcopy(model)
    monkeypatch.undo()
    said = {}
    for y in (0.0, 10.0):
        for one in (model, plain):
            future = one.rollout()
            assert future.predict(x) == pytest.approx(model.predict_one(x), rel=1e-12)
            future.advance(y)
            said.setdefault(y, []).append(future.predict(after))
        # both backends see the same past ahead
        assert said[y][0] == pytest.approx(said[y][1], rel=1e-12)
    # the step before is in what trees see
    assert said[0.0] != said[10.0]
    row = future._task.propose(future._task.features.encoder.encode(after)).evidence["boosted"]
    assert row[0] == 10.0
    assert row[-3::2].tolist() == [0.5, 1.0]


@pytest.mark.parametrize("params", [{}, {"advance_on": "predict"}, {"prior": "mean"}])
def test_the_seed_decides(params):
    stream = list(rows())
    first, second = make(**params), make(**params)
    assert run(first, stream) == run(second, stream)
    assert run(make(**params, seed=7), stream) != run(make(**params), stream)


def test_a_block_is_the_loop_over_its_rows():
    stream = list(rows(300, gaps=False))
    X = np.array([[x["a"], x["b"]] for x, _ in stream])
    y = np.array([label for _, label in stream])
    by_row, by_block = make(), make()
    assert by_block.predict_learn_many(X, y, names=["a", "b"]).tolist() == run(by_row, stream)
    assert pickle.dumps(by_row) == pickle.dumps(by_block)


@pytest.mark.parametrize("params", [{}, {"advance_on": "predict"}])
def test_a_copy_goes_on_alike_however_it_was_made(params, copies_of, case):
    stream = list(rows())
    model = make(**params)
    run(model, stream[:45])
    for at, until in itertools.pairwise([45, 55, 120, 131, 240]):
        copies = copies_of(model)
        expected = run(model, stream[at:until])
        for how, other in copies.items():
            with case(at, how):
                assert run(other, stream[at:until]) == expected


def test_late_labels_are_learned_with_what_was_seen_then():
    # the trees of a model whose labels come at once
    prompt, late = make(), make(advance_on="predict")
    stream = list(rows(60))
    for x, y in stream:
        prompt.predict_one(x)
        prompt.learn_one(x, y)
        late.predict_one(x)
        late.learn_one(x, y)
    ours, theirs = (
        fits.joined([(chunk, chunk.n) for chunk in chunks], width)
        for model in (late, prompt)
        for boosted in [model.task_.readout.boosted]
        for chunks, width in [(boosted.chunks, boosted.width)]
    )
    told = slice(boosting.N_HISTORY, boosting.N_HISTORY + late.task_.readout.n_told)
    for rows_of in (ours, theirs):
        rows_of[0][:, told] = 0.0  # shares move at another pace
    np.testing.assert_allclose(ours[0], theirs[0])
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-12)


def test_labels_that_come_late_are_steps_from_the_last_one_known_then():
    model = make(advance_on="predict")
    labels = {}
    stream = list(rows(120, gaps=False))
    for t, (x, y) in enumerate(stream):
        model.predict_one(x, key=t)
        labels[t] = y
        if t >= 7:
            model.learn_one(stream[t - 7][0], labels[t - 7], key=t - 7)
    boosted = model.task_.readout.boosted
    kept, steps, _ = fits.joined([(chunk, chunk.n) for chunk in boosted.chunks], boosted.width)
    # row t was seen when t - 8 was the last label
    last = [labels[t] for t in range(len(labels) - 7 - 8)]
    np.testing.assert_allclose(kept[-len(last) + 5 :, 0], last[5:], rtol=1e-6)
    expected = [labels[t] for t in range(8, len(labels) - 7)]
    np.testing.assert_allclose(kept[:, 0] + steps, expected, rtol=1e-5, atol=1e-5)
    # the inputs as they came, and one step before
    inputs = [
        [stream[t][0][name] for name in "ab" for t in (s, s - 1)] for s in range(8, len(labels) - 7)
    ]
    np.testing.assert_array_equal(kept[:, -4:], np.float32(inputs))


def test_a_recycled_column_is_missing_until_the_next_fit():
    model = make(max_features=2)
    run(model, rows(150))
    boosted = model.task_.readout.boosted
    used = boosted.trees.uses(boosted.width)
    assert used[-4:].sum() > 0
    stream = [({"a": x["a"], f"new {t // 30}": 1.0}, y) for t, (x, y) in enumerate(rows(200))]
    answers = run(model, stream)
    assert model.n_evicted_ > 3
    assert np.isfinite(answers).all()
    restored = make(max_features=2)
    restored.set_state(model.get_state())
    assert run(restored, stream) == run(model, stream)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("renewed", [10**6]),
        ("renewed_at", [1, 2, 3]),
        ("n", 3),
        ("is_fitted", -1),
        ("weights", np.full(1, -1.0)),
        ("trees.roots", np.array([10**6], np.int32)),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(name, value):
    model = make(max_features=2)
    run(model, rows(150))
    model.learn_one({"new": 1.0}, 1.0)
    before, state = pickle.dumps(model), model.get_state()
    prefix = "readout.trees."
    bad = state | {prefix + name: value}
    if name == "renewed":
        bad |= {prefix + "renewed_at": [0]}
    with pytest.raises(StateError, match=name.split(".")[-1]):
        model.set_state(bad)
    assert pickle.dumps(model) == before


def test_a_row_without_weight_is_not_kept():
    model = make()
    for t, (x, y) in enumerate(rows(100)):
        model.learn_one(x, 1e6 if t % 2 else y, w=float(t % 2 == 0))
    boosted = model.task_.readout.boosted
    _, _, weights = fits.joined([(c, c.n) for c in boosted.chunks], boosted.width)
    assert len(weights) == boosted.n < 51
    assert (weights == 1.0).all()


def test_weights_count_in_a_fit():
    def answer(weight):
        model = make()
        for x, _ in rows(100, gaps=False):
            model.learn_one(x, 10.0 if x["a"] > 0 else -10.0, 1.0)
            model.learn_one(x, 0.0, weight)
        return model.task_.readout.boosted.trees.base

    assert answer(1e-6) != answer(1.0)


def test_a_drift_and_a_reset_leave_a_model_that_works():
    model = make(drift_detector=drift.PageHinkley(min_instances=20, threshold=3.0))
    run(model, rows(150))
    run(model, [(x, y + 1000.0) for x, y in rows(60)])
    assert model.n_drifts_ > 0
    model.reset_state()
    assert math.isfinite(model.predict_one({"a": 1.0}))
    assert np.isfinite(run(model, rows(60))).all()
    assert abs(sum(model.expert_weights_.values()) - 1.0) < 1e-9


def test_a_drift_before_the_first_fit_gives_trees_no_share():
    model = make(drift_detector=drift.PageHinkley(min_instances=5, threshold=0.1))
    run(model, rows(30))
    assert model.n_drifts_ > 0
    assert model.expert_weights_["trees"] == 0.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_whatever_comes_answers_are_finite(sign):
    model = make()
    wild = [1e308, -1e308, None, float("nan"), float("inf"), 0.0, 1e-308]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for t, (x, y) in enumerate(rows(200)):
            x = x | {"a": wild[t % len(wild)], "c": wild[(t // 3) % len(wild)]}
            assert math.isfinite(model.predict_one(x))
            model.learn_one(x, sign * (1e150 if t % 50 == 49 else y))
    assert model.task_.readout.boosted.failure is None
    assert math.isfinite(model.predict_one({}))


def test_a_fit_that_fails_is_no_end(monkeypatch):
    def fail(*_):
        raise MemoryError("no room for trees")

    monkeypatch.setattr(fits, "fit", fail)
    model, without = make(), make(trees=0)
    stream = list(rows(100))
    assert np.allclose(run(model, stream), run(without, stream))
    assert "no room for trees" in model.debug_one({"a": 1.0})


def test_one_column_or_none_is_enough():
    for x in ({}, {"a": 1.0}):
        model = make()
        stream = [(x, float(t % 7 == 0)) for t in range(150)]
        assert np.isfinite(run(model, stream)).all()


def test_all_estimators_that_take_trees_say_so():
    takers = {
        name
        for name in river_attention.__all__
        if hasattr(getattr(river_attention, name), "_get_params")
        and "trees" in getattr(river_attention, name)()._get_params()
    }
    assert takers == {"StreamingAttentionRegressor", "StreamingAttentionClassifier"}
