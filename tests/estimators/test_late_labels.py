"""Labels that come late: time advances when x is seen, labels find the step they belong to."""

from __future__ import annotations

import datetime as dt
import pickle

import numpy as np
import pytest
from river import drift, evaluate, metrics

from river_attention import StreamingAttentionRegressor
from river_attention.core.pending import PendingSteps
from river_attention.readout import RecursiveLeastSquares

SMALL = {"n_heads": 2, "memory": 2, "window": 50, "long_lags": 4}


def make(**params):
    return StreamingAttentionRegressor(**(SMALL | {"advance_on": "predict"} | params))


def rows(n=60, seed=0):
    rng = np.random.default_rng(seed)
    level = 0.0
    for a, b in rng.normal(size=(n, 2)).tolist():
        level = 0.9 * level + a
        yield {"a": a, "b": b}, 10.0 + level + 0.1 * b


def run(model, stream, delay):
    """Every label comes ``delay`` rows after its x; the predictions."""
    waiting, predictions = [], []
    for x, y in stream:
        predictions.append(model.predict_one(x))
        waiting.append((x, y))
        if len(waiting) > delay:
            model.learn_one(*waiting.pop(0))
    return predictions


# --- time


def test_time_advances_when_x_is_seen_and_not_when_its_label_comes():
    model = make()
    run(model, rows(20), 2)
    (x, y), *_ = rows(seed=1)
    before = model.state_.copy()
    model.predict_one(x)
    seen = model.state_.copy()
    assert not np.array_equal(seen, before)
    model.learn_one(x, y)
    assert np.array_equal(model.state_, seen)


def test_without_delay_it_is_the_model_that_advances_when_it_learns():
    # the lags of a label that follows at once are known at the same moments
    late, prompt = make(), StreamingAttentionRegressor(**SMALL)
    late.task_.readout.eta = prompt.task_.readout.eta
    assert run(late, rows(), 0) == run(prompt, rows(), 0)


def test_predict_many_and_debug_one_are_pure():
    pd = pytest.importorskip("pandas")
    model = make()
    run(model, rows(), 5)
    before = pickle.dumps(model)
    model.predict_many(pd.DataFrame([x for x, _ in rows(5, seed=1)]))
    model.debug_one({"a": 1.0, "new": 2.0})
    assert pickle.dumps(model) == before


def test_a_label_trains_the_features_that_were_seen(monkeypatch, numpy_only):
    asked, trained = [], []
    predict, update = RecursiveLeastSquares.predict, RecursiveLeastSquares.update

    def spy_predict(self, phi):
        asked.append(phi.copy())
        return predict(self, phi)

    def spy_update(self, phi, y, w=1.0):
        trained.append(phi.copy())
        n_asked = len(asked)
        result = update(self, phi, y, w)
        del asked[n_asked:]
        return result

    model = make(readout="rls", window=0)
    stream = list(rows(40))
    run(model, stream[:20], 6)
    monkeypatch.setattr(RecursiveLeastSquares, "predict", spy_predict)
    monkeypatch.setattr(RecursiveLeastSquares, "update", spy_update)
    for x, _ in stream[20:30]:
        model.predict_one(x)
    for x, y in stream[20:30]:
        model.learn_one(x, y)
    # learn_one looks at x once more to find it: that question is not the one trained on
    for phi, expected in zip(trained, asked[:10], strict=True):
        assert phi[: len(expected)].tobytes() == expected.tobytes()


def test_the_label_is_learned_from_the_last_label_known_then(monkeypatch, numpy_only):
    model, learned = make(readout="rls", window=0), []
    update = RecursiveLeastSquares.update

    def spy(self, phi, y, w=1.0):
        learned.append(y)
        return update(self, phi, y, w)

    monkeypatch.setattr(RecursiveLeastSquares, "update", spy)
    stream = list(rows(30))
    expected, waiting = [], []
    for x, y in stream:
        anchor = model.task_.target.last
        model.predict_one(x)
        waiting.append((x, y, anchor))
        if len(waiting) > 4:
            old_x, old_y, old_anchor = waiting.pop(0)
            # the scale is the one of now; a pair seen before any label has no anchor
            if model.task_.target.scale > 0.0 and old_anchor is not None:
                expected.append((old_y - old_anchor) / model.task_.target.scale)
            model.learn_one(old_x, old_y)
    assert len(expected) > 15
    assert learned == expected


# --- matching


def test_equal_x_are_matched_oldest_first():
    by_x, by_key, x = make(), make(), {"a": 1.0}
    for t, (seen, y) in enumerate(rows(20)):
        for model in (by_x, by_key):
            model.predict_one(seen)
            model.learn_one(seen, y)
        if t % 5 == 4:
            by_x.predict_one(x)
            by_key.predict_one(x, key=t)
    for t, y in ((4, 1.0), (9, 2.0), (14, 3.0)):
        by_x.learn_one(x, y)
        by_key.learn_one(x, y, key=t)
    assert by_x.predict_one({"a": 0.5}) == by_key.predict_one({"a": 0.5})


@pytest.mark.parametrize(
    ("seen", "labelled"),
    [
        ({"a": 1, "b": 2.0}, {"b": 2, "a": 1.0}),
        ({"a": 1.0, "b": None}, {"a": 1.0}),
        ({"a": -0.0}, {"a": 0.0}),
        ({"a": 1.0, "b": float("nan")}, {"a": 1.0, "b": float("inf")}),
        ({}, {}),
        ({"t": dt.datetime(2024, 1, 1, 6)}, {"t": dt.datetime(2024, 1, 1, 6)}),
    ],
)
def test_an_x_is_found_by_what_it_means(seen, labelled):
    model = make()
    model.predict_one(seen)
    model.learn_one(labelled, 1.0)
    assert (model.n_unmatched_, model.n_pending_) == (0, 0)


def test_an_x_is_found_after_new_features_have_come():
    model = make()
    model.predict_one({"a": 1.0})
    model.predict_one({"a": 2.0, "z": 1.0, "c": 3.0})
    model.learn_one({"a": 1.0}, 1.0)
    model.learn_one({"c": 3.0, "a": 2.0, "z": 1.0}, 2.0)
    assert model.n_unmatched_ == 0


def test_keys_find_steps_whatever_their_x():
    model = make()
    model.predict_one({"a": 1.0}, key="first")
    model.predict_one({"a": 2.0}, key=("second", 2))
    model.learn_one({"a": 9.0}, 2.0, key=("second", 2))
    assert model.n_unmatched_ == 0
    assert model.n_pending_ == 1
    # without its key a step that was given one is not found
    model.learn_one({"a": 1.0}, 1.0)
    assert model.n_unmatched_ == 1


def test_a_key_that_cannot_be_one_leaves_the_model_as_it_was():
    model = make()
    run(model, rows(20), 3)
    before = pickle.dumps(model)
    with pytest.raises(TypeError):
        model.predict_one({"a": 1.0}, key=["no"])
    assert pickle.dumps(model) == before
    with pytest.raises(TypeError):
        model.learn_one({"a": 1.0}, 1.0, key=["no"])
    assert pickle.dumps(model) == before


def test_an_unmatched_label_is_learned_counted_and_does_not_advance():
    model = make()
    run(model, rows(30), 0)
    state, n_targets = model.state_.copy(), model.task_.target.n
    model.learn_one({"a": 3.0, "b": 4.0}, 12.0)
    assert model.n_unmatched_ == 1
    assert model.task_.target.n == n_targets + 1
    assert np.array_equal(model.state_, state)


def test_a_label_that_comes_twice_is_unmatched_the_second_time():
    model = make()
    model.predict_one({"a": 1.0})
    model.learn_one({"a": 1.0}, 1.0)
    model.learn_one({"a": 1.0}, 1.0)
    assert model.n_unmatched_ == 1


def test_labels_may_come_in_any_order():
    model = make()
    stream = list(rows(50))
    for x, _ in stream:
        model.predict_one(x)
    for i in np.random.default_rng(0).permutation(50):
        model.learn_one(*stream[i])
    assert (model.n_unmatched_, model.n_pending_) == (0, 0)
    assert np.isfinite(model.predict_one({"a": 0.0}))


def test_labels_that_never_come_are_dropped_at_last_and_counted():
    model = make(readout="rls", window=0)
    for x, _ in rows(4100):
        model.predict_one(x)
    assert (model.n_pending_, model.n_dropped_) == (4096, 4)
    size = len(pickle.dumps(model))
    for x, _ in rows(25, seed=1):
        model.predict_one(x)
    assert len(pickle.dumps(model)) == pytest.approx(size, rel=0.01)


def test_the_oldest_that_waits_is_dropped_first():
    pending = PendingSteps(capacity=10)
    for i in range(25):
        pending.add("even" if i % 2 == 0 else "odd", i)
    assert (len(pending), pending.n_dropped) == (10, 15)
    assert (pending.pop("even"), pending.pop("odd")) == (16, 15)


def test_a_stream_without_features_is_matched_in_order():
    model = make()
    predictions = run(model, [({}, float(i % 5)) for i in range(200)], 3)
    assert (model.n_unmatched_, model.n_pending_) == (0, 3)
    assert np.isfinite(predictions).all()


def test_reset_state_forgets_the_steps_that_wait():
    model = make()
    run(model, rows(20), 5)
    model.reset_state()
    assert model.n_pending_ == 0


def test_a_bad_label_leaves_the_step_waiting():
    model = make()
    run(model, rows(20), 5)
    before = pickle.dumps(model)
    for bad in (None, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="y="):
            model.learn_one(next(iter(rows()))[0], bad)
        assert pickle.dumps(model) == before


def test_a_pickle_continues_identically():
    one = make()
    stream = list(rows(80))
    run(one, stream[:40], 7)
    other = pickle.loads(pickle.dumps(one))
    for x, y in stream[40:]:
        assert one.predict_one(x) == other.predict_one(x)
        one.learn_one(x, y)
        other.learn_one(x, y)


def test_advance_on_takes_two_values_only():
    with pytest.raises(ValueError, match="advance_on='label'"):
        make(advance_on="label")


# --- through river


@pytest.mark.parametrize("delay", [1, 7, dt.timedelta(days=3)])
def test_progressive_validation_with_a_delay_matches_every_label(delay):
    start = dt.datetime(2024, 1, 1)
    stream = [({**x, "day": start + dt.timedelta(days=i)}, y) for i, (x, y) in enumerate(rows(80))]
    model = make()
    moment = "day" if isinstance(delay, dt.timedelta) else None
    metric = evaluate.progressive_val_score(
        stream, model, metrics.MAE(), moment=moment, delay=delay
    )
    assert np.isfinite(metric.get())
    assert model.n_unmatched_ == 0


def test_with_late_labels_it_predicts_better_than_a_model_that_waits_for_them():
    # the input says where the target will be; a model that waits sees it a dozen steps late
    rng = np.random.default_rng(0)
    push, level, stream = 0.0, 0.0, []
    for _ in range(1500):
        push = 0.95 * push + rng.normal()
        level = 0.9 * level + push
        stream.append(({"push": push}, level))
    errors = {}
    for advance_on in ("learn", "predict"):
        predictions = run(make(advance_on=advance_on), stream, 12)
        errors[advance_on] = np.abs(np.array(predictions) - [y for _, y in stream])[500:].mean()
    assert errors["predict"] < 0.8 * errors["learn"]


class Touchy:
    """A key that collides with others, and does not let itself be compared."""

    def __init__(self, raises=False):
        self.raises = raises

    def __hash__(self):
        return 7

    def __eq__(self, other):
        if self.raises or getattr(other, "raises", False):
            raise ArithmeticError("not to be compared")
        return self is other


@pytest.mark.parametrize("backend", ["compiled", "numpy"])
def test_a_key_that_cannot_be_compared_leaves_the_model_as_it_was(backend, request):
    if backend == "numpy":
        request.getfixturevalue("numpy_only")
    model = make()
    run(model, rows(20), 2)
    model.predict_one({"a": 1.0, "b": 2.0}, key=Touchy())
    before = model.state_.copy(), model.n_pending_
    with pytest.raises(ArithmeticError):
        model.predict_one({"a": 1.0, "b": 3.0}, key=Touchy(raises=True))
    assert np.array_equal(model.state_, before[0])
    assert model.n_pending_ == before[1]


class Failing(drift.PageHinkley):
    """A detector that fails when it is told to."""

    fails = False

    def update(self, x):
        if Failing.fails:
            raise ArithmeticError("of a user")
        return super().update(x)


@pytest.mark.parametrize("backend", ["compiled", "numpy"])
@pytest.mark.parametrize("key", [None, "k"])
def test_a_detector_that_fails_leaves_the_step_waiting(backend, key, request, monkeypatch):
    if backend == "numpy":
        request.getfixturevalue("numpy_only")
    models = [make(drift_detector=Failing()) for _ in range(2)]
    stream = list(rows(30))
    for model in models:
        run(model, stream[:20], 2)
        for x, _ in stream[20:]:
            model.predict_one(x, key=key)
    failing, other = models
    for x, y in stream[20:]:
        n_pending = failing.n_pending_
        monkeypatch.setattr(Failing, "fails", True)
        with pytest.raises(ArithmeticError):
            failing.learn_one(x, y, key=key)
        monkeypatch.setattr(Failing, "fails", False)
        assert failing.n_pending_ == n_pending
        for model in models:
            model.learn_one(x, y, key=key)
    assert failing.n_unmatched_ == other.n_unmatched_ == 0
    assert failing.predict_one({"a": 1.0}) == other.predict_one({"a": 1.0})
