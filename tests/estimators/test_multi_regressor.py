"""Several targets with one memory: missing ones, new ones, what is shared and what is not."""

from __future__ import annotations

import math
import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from river import compose, datasets, evaluate, metrics, preprocessing

from river_attention import StreamingAttentionMultiRegressor, StreamingAttentionRegressor

QUICK = {"window": 30, "long_lags": 5, "n_heads": 2, "memory": 4}


def make(**params):
    return StreamingAttentionMultiRegressor(**(QUICK | params))


def rows(n_rows=60, seed=0):
    rng = np.random.default_rng(seed)
    level, found = 0.0, []
    for _ in range(n_rows):
        a, b = rng.normal(size=2).tolist()
        level = 0.9 * level + a
        found.append(({"a": a, "b": b}, {"up": 5.0 + level + b, "down": 1.0 - 3.0 * level}))
    return found


def trained(stream, **params):
    model = make(**params)
    for x, y in stream:
        model.learn_one(x, y)
    return model


# --- targets that are missing, and new ones


@pytest.mark.parametrize(
    "missing",
    [None, math.nan, np.float32("nan"), Decimal("nan"), Decimal("snan"), pd.NA, pd.NaT],
    ids=repr,
)
def test_every_spelling_of_missing_means_the_target_is_absent(missing, fingerprint):
    spelt, absent = trained(rows(30)), trained(rows(30))
    for x, y in rows(10, seed=1):
        spelt.learn_one(x, {"up": y["up"], "down": missing})
        absent.learn_one(x, {"up": y["up"]})
    assert fingerprint(spelt) == fingerprint(absent)


def known_of_up(model):
    """Weights, shares and past of the target "up", bit by bit."""
    task, found = model.task_, {}
    for name, rls in task.readout.least_squares.items():
        if not name.endswith("target 0"):
            found[name] = (rls.weights if rls.n_targets is None else rls.weights[:, 1]).tobytes()
    found["shares"] = task.readout.shares[1].tobytes()
    found["past"] = task.targets.past[1].tobytes()
    return found


def test_a_target_that_is_missing_is_not_trained_and_its_past_stays():
    model = trained(rows(30), forgetting_factor=1.0)  # no leak
    assert model.targets_ == ["down", "up"]
    before = known_of_up(model)
    for x, y in rows(10, seed=1):
        model.learn_one(x, {"down": y["down"]})
    assert known_of_up(model) == before


@pytest.mark.parametrize("nothing", [{}, {"up": None, "down": math.nan}, {"unknown": None}])
def test_a_row_without_any_target_lets_time_pass(nothing, fingerprint):
    without, passed = trained(rows(30)), trained(rows(30))
    without.learn_one({"a": 1.0}, nothing)
    passed.advance_one({"a": 1.0})
    assert fingerprint(without) == fingerprint(passed)


def test_a_target_may_come_at_any_time_and_is_learned():
    model, errors = make(), []
    for t in range(300):
        y = {"first": math.sin(t / 3)}
        if t >= 100:
            y["late"] = 10.0 + math.cos(t / 5)
        predicted = model.predict_one({})
        if t > 100:
            errors.append(abs(predicted["late"] - y["late"]))
        model.learn_one({}, y)
    assert model.targets_ == ["first", "late"]
    assert np.mean(errors[100:]) < 0.02


def test_before_any_target_there_are_no_predictions():
    model = make()
    assert model.predict_one({"a": 1.0}) == {}
    model.advance_one({"a": 1.0})
    assert model.predict_one({"a": 2.0}) == {}
    assert len(model.predict_many(pd.DataFrame({"a": [1.0, 2.0]}))) == 2


def test_the_order_of_targets_does_not_matter(fingerprint):
    forward = trained(rows())
    backward = trained([(x, dict(reversed(y.items()))) for x, y in rows()])
    assert forward.predict_one({"a": 0.5}) == backward.predict_one({"a": 0.5})
    assert fingerprint(forward) == fingerprint(backward)


# --- bad targets


@pytest.mark.parametrize(
    ("y", "error", "named"),
    [
        ({"up": 1.0, "down": math.inf}, ValueError, "target 'down'"),
        ({"up": 10**400}, ValueError, "target 'up'"),
        ({"up": "high"}, TypeError, "target 'up'"),
        ({"up": [1.0]}, TypeError, "target 'up'"),
        ({object(): 1.0}, TypeError, "address"),
        (3.0, TypeError, "y=3.0"),
        (None, TypeError, "y=None"),
    ],
)
def test_a_bad_target_is_refused_by_name_and_changes_nothing(y, error, named):
    model = trained(rows(10))
    before = pickle.dumps(model)
    with pytest.raises(error, match=named):
        model.learn_one({"a": 1.0, "new": 2.0}, y)
    assert pickle.dumps(model) == before


def test_several_factors_take_the_mixture():
    with pytest.raises(ValueError, match="several take readout='mixture'"):
        make(readout="rls", forgetting_factor=(0.9, 0.99))


# --- what is shared


def test_shared_experts_have_one_covariance_and_own_experts_one_for_each_target():
    model = trained(rows(20))
    found = {name: rls.n_targets for name, rls in model.task_.readout.least_squares.items()}
    assert found == {
        "skip 0.998": 2,
        "skip 0.99": 2,
        "full 0.998": 2,
        "long 0.998, target 0": None,
        "long 0.998, target 1": None,
    }


def test_shares_are_shown_by_target_and_expert():
    weights = trained(rows(20)).expert_weights_
    assert list(weights) == ["down", "up"]
    assert all(sum(shares.values()) == pytest.approx(1.0) for shares in weights.values())


def errors(n_rows=500):
    """Errors of two targets, of which one follows the other: together, and of the other alone."""
    rng = np.random.default_rng(2)
    lead = rng.normal(size=n_rows + 1)
    model, alone = make(), StreamingAttentionRegressor(**(QUICK | {"n_lags": 1}))
    found = []
    for t in range(1, n_rows):
        y = {"lead": lead[t], "follows": lead[t - 1]}
        together = model.predict_one({}).get("follows", 0.0)
        found.append((abs(together - y["follows"]), abs(alone.predict_one({}) - y["follows"])))
        model.learn_one({}, y)
        alone.learn_one({}, y["follows"])
    return np.mean(found[n_rows // 2 :], axis=0)


def test_a_target_learns_from_the_past_of_another():
    together, alone = errors()
    assert together < 0.2 * alone


def test_one_target_is_predicted_about_as_well_as_by_the_regressor_for_one():
    rng = np.random.default_rng(4)
    model, alone = make(n_lags=6), StreamingAttentionRegressor(**QUICK)
    found, level = [], 0.0
    for t in range(400):
        level = 0.8 * level + rng.normal()
        y = level + 3.0 * math.sin(t / 4)
        together = model.predict_one({}).get("y", 0.0)
        found.append((abs(together - y), abs(alone.predict_one({}) - y)))
        model.learn_one({}, {"y": y})
        alone.learn_one({}, y)
    together, alone_error = np.mean(found[1:], axis=0)
    assert together == pytest.approx(alone_error, rel=0.02)  # its own experts differ a little


# --- blocks, and late labels


def test_a_frame_of_targets_is_learned_as_its_rows(fingerprint):
    X = pd.DataFrame([x for x, _ in rows()])
    Y = pd.DataFrame([y for _, y in rows()])
    Y.loc[20:25, "up"] = np.nan
    block, loop = make(), make()
    block.learn_many(X, Y)
    for x, y in zip(X.to_dict("records"), Y.to_dict("records"), strict=True):
        loop.learn_one(x, y)
    assert fingerprint(block) == fingerprint(loop)
    assert list(block.predict_many(X).columns) == ["down", "up"]


def test_a_row_of_a_block_tells_targets_that_were_not_known_by_nan():
    X, Y = pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame({"y": [3.0, 4.0]})
    assert make().predict_learn_many(X, Y)["y"].tolist()[1:] == [3.0]
    assert math.isnan(make().predict_learn_many(X, Y)["y"][0])


def test_late_labels_find_their_step_though_targets_have_come_meanwhile():
    model = make(advance_on="predict")
    waiting = []
    for t, (x, y) in enumerate(rows()):
        model.predict_one(x, key=t)
        waiting.append((t, x, y if t > 10 else {"up": y["up"]}))
        if t >= 6:
            key, x_then, y_then = waiting.pop(0)
            model.learn_one(x_then, y_then, key=key)
    assert model.n_unmatched_ == 0
    assert model.n_pending_ == 6
    assert np.isfinite(list(model.predict_one({"a": 1.0}).values())).all()
    again = make(advance_on="predict")
    again.set_state(model.get_state())
    for key, x, y in waiting:
        model.learn_one(x, y, key=key)
        again.learn_one(x, y, key=key)
    assert model.predict_one({"a": 1.0}, key="end") == again.predict_one({"a": 1.0}, key="end")


# --- with river


def test_progressive_validation_takes_multi_output_metrics():
    for wrapper in ("MacroAverage", "MicroAverage", "PerOutput"):
        model = (compose.SelectType(str) | preprocessing.OneHotEncoder()) + compose.SelectType(
            int
        ) | make()
        metric = getattr(metrics.multioutput, wrapper)(metrics.MAE())
        evaluate.progressive_val_score(datasets.SolarFlare().take(60), model, metric)
        assert "MAE" in repr(metric)
