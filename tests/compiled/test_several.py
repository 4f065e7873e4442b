"""The compiled core with several targets says what NumPy says, and leaves the same state behind."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from alike import Halving, assert_alike, on_numpy, pair

from river_attention import StreamingAttentionMultiRegressor, backend
from river_attention.core import MultiRegression
from river_attention.modes import NAMED

pytestmark = pytest.mark.skipif(backend._core is None, reason="the compiled core does not run")

QUICK = {"window": 40, "long_lags": 5, "memory": 4}
SETTINGS = {
    "default": {},
    "rls": {"readout": "rls"},
    "mixture without memories": {"mode": None, "memory": 0, "window": 0},
    "several factors": {"forgetting_factor": (0.99, 1.0), "window": 30, "memory": 3},
    "no Huber": {"huber": False, "prior": "mean", "window": 7},
    "zero, no long lags": {"prior": "zero", "delta": 0.5, "n_lags": 2, "long_lags": 0},
    "no lags": {"n_lags": 0, "window": 60},
    "no heads": {"mode": None, "long_lags": 3, "n_lags": 3},
    "odd sizes": {"n_heads": 3, "d_key": 6, "d_value": 5, "memory": 9, "window": 101},
    "without forgetting": {"forgetting_factor": 1.0, "window": 0},
    "categories": {"categorical": ("c",), "window": 20},
}


def stream(n, seed=0, jump=40.0):
    """Three targets, one of which comes late; gaps in targets and inputs, shifts and accidents."""
    rng = np.random.default_rng(seed)
    level, past = np.zeros(3), np.zeros(3)
    for t in range(n):
        a, b, c = rng.normal(size=3).round(3).tolist()
        if t % 300 == 299:
            level = level + jump * rng.normal(size=3)
        mixed = np.array([0.5 * past[1] + a, 0.7 * past[1] + b, math.sin(t / 5) + 0.3 * past[0]])
        past = mixed + 0.1 * rng.normal(size=3)
        x = {"a": a, "b": b, "c": round(c)}
        y = dict(zip(("up", "down", "late"), (level + past).tolist(), strict=True))
        if t < 60 or t % 17 == 3:
            del y["late"]
        if t % 13 == 5:
            del x["b"]
        if t % 11 == 5:
            x["a"] = None
        if t % 7 == 2:
            y["up"] = None
        if t % 50 == 31:
            y = {}
        if t == 150:
            x["a"] = 1e9
        yield x, y


def difference(ours, theirs, sizes):
    """The largest between predictions, relative to the largest of a target so far."""
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        sizes[name] = max(sizes.get(name, 1e-9), abs(value))
    return max((abs(ours[name] - value) / sizes[name] for name, value in theirs.items()), default=0)


def largest_difference(compiled, reference, rows, learn_weights=(1.0,)):
    worst, sizes = 0.0, {}
    for t, (x, y) in enumerate(rows):
        ours, theirs = compiled.predict_one(x), reference.predict_one(x)
        worst = max(worst, difference(ours, theirs, sizes))
        w = learn_weights[t % len(learn_weights)]
        compiled.learn_one(x, y, w)
        reference.learn_one(x, y, w)
    assert compiled._twin.is_holding
    return worst


@pytest.mark.parametrize("parameters", SETTINGS.values(), ids=SETTINGS)
def test_every_readout_and_memory_agrees(parameters):
    compiled, reference = pair(StreamingAttentionMultiRegressor, **parameters)
    weights = (1.0, 1.0, 0.3, 0.0, 2.5)
    assert largest_difference(compiled, reference, stream(300), weights) < 1e-12
    assert_alike(compiled, reference, 1e-10)


@pytest.mark.parametrize("mode", NAMED)
def test_every_mode_agrees(mode):
    compiled, reference = pair(StreamingAttentionMultiRegressor, mode=mode, **QUICK)
    assert largest_difference(compiled, reference, stream(150)) < 1e-12
    assert_alike(compiled, reference, 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("parameters", SETTINGS.values(), ids=SETTINGS)
def test_ten_thousand_steps_agree(parameters):
    # after larger shifts all that a short window holds is at the limit of a residual for a while:
    # then it is rounding whether a read repeats, which the watch for calm asks
    compiled, reference = pair(StreamingAttentionMultiRegressor, **parameters)
    assert largest_difference(compiled, reference, stream(10_000, jump=4.0)) < 1e-12


def test_what_happens_in_between_agrees():
    # rest, new features and targets, names that leave, and another stream
    compiled, reference = pair(StreamingAttentionMultiRegressor, **QUICK, max_features=5)
    for model in (compiled, reference):
        for t, (x, y) in enumerate(stream(260)):
            if t == 100:
                model.reset_state()
            if t > 150:
                x |= {f"new {t // 40}": float(t % 7)}
            if t % 5 == 0:
                model.advance_one(x)
            if t > 200:
                y |= {"another": float(t % 3)}
            model.learn_one(x, y)
    assert compiled.n_evicted_ == reference.n_evicted_ > 0
    assert compiled.targets_ == ["down", "up", "late", "another"]
    x = next(iter(stream(1, seed=3)))[0]
    assert compiled.predict_one(x) == pytest.approx(reference.predict_one(x), rel=1e-10)
    assert compiled._twin.is_holding
    assert_alike(compiled, reference, 1e-9)


@pytest.mark.parametrize("delay", [0, 3])
def test_late_labels_agree(delay):
    compiled, reference = pair(StreamingAttentionMultiRegressor, advance_on="predict", **QUICK)
    waiting, sizes = [], {}
    for t, (x, y) in enumerate(stream(250)):
        ours, theirs = compiled.predict_one(x, key=t), reference.predict_one(x, key=t)
        assert difference(ours, theirs, sizes) < 1e-10
        waiting.append((t, x, y))
        if len(waiting) > delay:
            seen, x, y = waiting.pop(0)
            for model in (compiled, reference):
                model.learn_one(x, y, (1.0, 0.5, 0.0, 2.5)[t % 4], key=seen)
    assert compiled.n_unmatched_ == 0
    assert compiled._twin.is_holding
    assert_alike(compiled, reference, 1e-9)


def test_labels_that_come_late_or_for_nobody_stay_in_c():
    models = pair(StreamingAttentionMultiRegressor, advance_on="predict", **QUICK)
    rows = list(stream(200))
    for model in models:
        for x, y in rows[:100]:
            model.predict_one(x)
            model.learn_one(x, y)
    compiled, reference = models
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MultiRegression, "propose", None)
        patch.setattr(MultiRegression, "train", None)
        for t, (x, y) in enumerate(rows[100:]):
            if t % 9:
                compiled.predict_one(x)
            compiled.learn_one(x, y)
    for t, (x, y) in enumerate(rows[100:]):
        if t % 9:
            reference.predict_one(x)
        reference.learn_one(x, y)
    assert compiled.n_unmatched_ == reference.n_unmatched_ > 5
    assert_alike(compiled, reference, 1e-9)


@pytest.mark.parametrize("parameters", [QUICK, {"readout": "rls", "mode": "lru"}], ids=str)
def test_a_pickle_of_one_continues_on_the_other(parameters):
    compiled, reference = pair(StreamingAttentionMultiRegressor, **parameters)
    rows = list(stream(200))
    for x, y in rows[:120]:
        compiled.learn_one(x, y)
        reference.learn_one(x, y)
    from_numpy = pickle.loads(pickle.dumps(reference))
    from_compiled = on_numpy(lambda: pickle.loads(pickle.dumps(compiled)))
    assert from_numpy._twin is not None
    assert from_compiled._twin is None
    assert largest_difference(from_numpy, from_compiled, rows[120:]) < 1e-12


def test_looking_inside_changes_nothing():
    looked_at, other = (StreamingAttentionMultiRegressor(**QUICK) for _ in range(2))
    for t, (x, y) in enumerate(stream(150)):
        if t % 3 == 0:
            assert len(looked_at.task_.targets) == len(looked_at.targets_)
            looked_at.get_state()
            copy.deepcopy(looked_at)
        assert looked_at.predict_one(x) == other.predict_one(x)
        looked_at.learn_one(x, y)
        other.learn_one(x, y)


def test_all_that_it_can_be_runs_in_c():
    # a NumPy class that got a new attribute is left to NumPy until its twin knows it
    for parameters in StreamingAttentionMultiRegressor._unit_test_params():
        model = StreamingAttentionMultiRegressor(**parameters)
        for x, y in stream(30):
            model.learn_one(x, y)
        model.predict_one(x)
        assert model._twin.is_holding, parameters


def test_what_is_known_stays_in_c():
    model = StreamingAttentionMultiRegressor(**QUICK)
    rows = list(stream(200))
    for x, y in rows[:100]:
        model.learn_one(x, y)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MultiRegression, "propose", None)
        patch.setattr(MultiRegression, "train", None)
        for x, y in rows[100:]:
            model.predict_one(x)
            model.learn_one(x, y)


@pytest.mark.parametrize("readout", ["mixture", "rls"])
def test_a_block_is_the_loop_over_its_rows(readout):
    rows = list(stream(200))
    X = pd.DataFrame([x for x, _ in rows]).astype(float)
    y = [
        {"new" if t > 150 and name == "up" else name: value for name, value in row.items()}
        for t, (_, row) in enumerate(rows)
    ]
    block, loop = (StreamingAttentionMultiRegressor(readout=readout, **QUICK) for _ in range(2))
    together = block.predict_learn_many(X, y)
    alone = []
    for t, x in enumerate(X.to_dict("records")):
        alone.append(loop.predict_one(x))
        loop.learn_one(x, y[t])
    expected = pd.DataFrame(alone, columns=together.columns)
    pd.testing.assert_frame_equal(together, expected, check_exact=True)
    ours, theirs = block.get_state(), loop.get_state()
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    foreseen = block.predict_many(X[:20])
    assert foreseen.to_dict("records") == [loop.predict_one(x) for x in X[:20].to_dict("records")]
    assert block._twin.is_holding


def test_a_mode_of_a_user_runs_inside():
    compiled, reference = pair(StreamingAttentionMultiRegressor, mode=Halving(), **QUICK)
    assert largest_difference(compiled, reference, stream(150)) < 1e-12
    assert_alike(compiled, reference, 1e-10)


class Reading:
    """A number that uses the model which reads it."""

    def __init__(self, act):
        self._act = act

    def __float__(self):
        self._act()
        return 1.0


def test_an_exception_leaves_the_model_as_it_was():
    model = StreamingAttentionMultiRegressor(mode=Halving(), **QUICK)
    for x, y in stream(100):
        model.learn_one(x, y)
    before = model.get_state()
    good = {"up": 1.0, "down": 2.0, "late": 3.0}

    def fail(*_):
        raise ArithmeticError("too large")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Halving, "token", fail)
        with pytest.raises(ArithmeticError):
            model.learn_one({"a": 0.5}, good)
    wrong = [
        ({"a": "text"}, good, 1.0),
        ({"a": 1.0}, good | {"up": math.inf}, 1.0),
        ({"a": 1.0}, good | {"late": "text"}, 1.0),
        ({"a": 1.0}, {"up": 10**400}, 1.0),
        ({"a": 1.0}, good, -1.0),
        ({"a": 1.0}, 3.0, 1.0),
        ({"a": 1.0}, good | {"up": Reading(lambda: 1 / 0)}, 1.0),
    ]
    for x, y, w in wrong:
        with pytest.raises((TypeError, ValueError, ArithmeticError)):
            model.learn_one(x, y, w)
    after = model.get_state()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_target_that_uses_the_model_is_refused():
    model = StreamingAttentionMultiRegressor(**QUICK)
    rows = list(stream(100))
    for x, y in rows:
        model.learn_one(x, y)
    x, good = rows[0]
    with pytest.raises(RuntimeError, match="while it read y"):
        model.learn_one(x, {"up": Reading(lambda: model.learn_one(x, good))})


def test_extreme_targets_agree():
    # overflow in one target leaves it, and the others learn on
    compiled, reference = pair(StreamingAttentionMultiRegressor, **QUICK)
    rng = np.random.default_rng(2)
    sizes = (1e-150, 1.0, 1e150, 1e300)
    for t in range(200):
        x = {"a": float(rng.normal()) * sizes[t % 4]}
        y = {"small": float(rng.normal()), "large": float(rng.normal()) * sizes[t // 3 % 4]}
        for model in (compiled, reference):
            model.learn_one(x, y)
        found = compiled.predict_one(x)
        assert all(math.isfinite(value) for value in found.values())
    assert compiled._twin.is_holding
    assert compiled.predict_one({})["small"] == pytest.approx(reference.predict_one({})["small"])
