"""Estimators on populations: labels that come late, rows that come at any time."""

from __future__ import annotations

import datetime as dt
import math
import pickle

import numpy as np
import pandas as pd
import pytest

from river_attention import (
    SpikingAttentionClassifier,
    SpikingAttentionRegressor,
    SpikingAttentionTransformer,
    from_bytes,
)

SMALL = {"n_neurons": 5, "dim": 4, "window_size": 3, "n_lags": 2, "target_rate": 0.2}
LABELLED = {
    SpikingAttentionRegressor: {"window": 20, "long_lags": 5, **SMALL},
    SpikingAttentionClassifier: {"window": 20, "long_lags": 5, **SMALL},
}
ALL = {**LABELLED, SpikingAttentionTransformer: {"window": 20, **SMALL}}


def rows_of(kind, n=80, seed=0):
    """Rows of noise with a label that depends on them."""
    rng = np.random.default_rng(seed)
    rows = []
    for a, b in rng.normal(size=(n, 2)).tolist():
        y = "up" if a + b > 0 else "down"
        rows.append(({"a": a, "b": b}, y if kind is SpikingAttentionClassifier else a - 2 * b))
    return rows


def says(model, x):
    """What a model says if x came next."""
    for name in ("predict_proba_one", "transform_one"):
        if hasattr(model, name):
            return getattr(model, name)(x)
    return model.predict_one(x)


def answer(model, x, **key):
    """The answer that lets time pass where labels come late."""
    return (getattr(model, "predict_proba_one", None) or model.predict_one)(x, **key)


# --- late labels


@pytest.mark.parametrize("kind", LABELLED)
def test_labels_that_come_at_once_are_no_late_ones(kind):
    # nothing is forgotten: the leak depends on the number of features, which grows a bit earlier
    params = LABELLED[kind] | {"forgetting_factor": 1.0}
    if kind is SpikingAttentionRegressor:
        # the mixture learns its shares more slowly where labels come late
        params |= {"readout": "rls"}
    late, prompt = (kind(advance_on=on, **params) for on in ("predict", "learn"))
    for x, y in rows_of(kind):
        assert answer(late, x) == pytest.approx(answer(prompt, x), rel=1e-9, abs=1e-9)
        late.learn_one(x, y)
        prompt.learn_one(x, y)
    np.testing.assert_allclose(late.firing_.buffer, prompt.firing_.buffer, rtol=1e-9)


@pytest.mark.parametrize("kind", LABELLED)
@pytest.mark.parametrize("timed", [False, True])
def test_neurons_fire_when_a_row_is_seen_not_when_its_label_comes(kind, timed):
    delay = 7
    # past labels are no part of what neurons see
    params = {**LABELLED[kind], "n_lags": 0, "time": "t" if timed else None}
    late, prompt = kind(advance_on="predict", **params), kind(**params)
    rows = [({**x, "t": 2.5 * i} if timed else x, y) for i, (x, y) in enumerate(rows_of(kind))]
    for i, (x, y) in enumerate(rows):
        answer(late, x)
        prompt.learn_one(x, y)
        # one of them may walk on NumPy, the other in C
        for part in ("at", "slots", "ring", "potentials", "spikes", "traces", "thresholds"):
            found, expected = getattr(late.firing_, part), getattr(prompt.firing_, part)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=part)
        if i >= delay:
            before = late.firing_.buffer.copy()
            late.learn_one(*rows[i - delay])
            assert np.array_equal(late.firing_.buffer, before)
    assert late.n_pending_ == delay
    assert late.n_unmatched_ == 0
    again = from_bytes(pickle.loads(pickle.dumps(late)).to_bytes())
    for model in (late, again):
        for x, y in rows[-delay:]:
            model.learn_one(x, y)
        assert model.n_pending_ == model.n_unmatched_ == 0
    x, _ = rows[0]
    assert answer(late, x) == answer(again, x)


@pytest.mark.parametrize("kind", LABELLED)
def test_a_late_label_is_found_by_its_key_and_an_unknown_one_is_counted(kind):
    by_key, by_x = (kind(advance_on="predict", **LABELLED[kind]) for _ in range(2))
    rows = rows_of(kind, 40)
    for model, key in ((by_key, "key"), (by_x, None)):
        for i, (x, _) in enumerate(rows):
            answer(model, x, **({key: i} if key else {}))
        for i, (x, y) in enumerate(rows):
            model.learn_one({} if key else x, y, **({key: i} if key else {}))
    assert answer(by_key, rows[0][0]) == answer(by_x, rows[0][0])
    before = by_x.firing_.buffer.copy()
    by_x.learn_one({"a": 99.0, "b": 1.0}, rows[0][1])
    assert by_x.n_unmatched_ == 1
    assert np.array_equal(by_x.firing_.buffer, before)


# --- time


@pytest.mark.parametrize("kind", ALL)
def test_a_row_every_step_is_what_there_is_without_a_time(kind):
    timed, plain = kind(time="t", **ALL[kind]), kind(**ALL[kind])
    for i, (x, y) in enumerate(rows_of(kind)):
        assert says(timed, {"t": i + 100, **x}) == pytest.approx(says(plain, x), rel=1e-9, abs=1e-9)
        timed.learn_one({"t": i + 100, **x}, y)
        plain.learn_one(x, y)
    assert "t" not in timed.features_.encoder.names
    np.testing.assert_allclose(timed.firing_.buffer, plain.firing_.buffer, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ALL)
def test_a_row_after_a_gap_is_stepping_through_the_silence(kind):
    model = kind(time="t", time_step=60, **ALL[kind])
    population = model.features_.memories["spiking"]
    silence, dense, now = np.zeros(3 * 5), population.init_state(), 0
    for i, (x, y) in enumerate(rows_of(kind, 60)):
        gap = (1, 1, 4, 2, 9)[i % 5]
        now += gap
        x["t"] = 60 * now
        # what is seen with the row, in the columns that were there before it
        token = model._step(x).evidence["token"].copy()
        if model.features_._visible is not None:
            token = token[model.features_._visible]
        weights = population.weights.copy()
        for _ in range(gap - 1 if i else 0):
            dense = population.commit(dense, population.respond(silence, dense)[1])
            # asked in silence a neuron may fire, left alone it does not
            dense.thresholds -= population.threshold_rate * dense.spikes
            dense.traces -= dense.spikes
        read, proposal = population.respond(weights.dot(token), dense)
        dense = population.commit(dense, proposal)
        said = says(model, x)
        assert says(model, x) == said
        model.learn_one(x, y)
        for part in ("at", "slots", "ring", "potentials", "traces", "thresholds"):
            found, expected = getattr(model.firing_, part), getattr(dense, part)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=part)
        assert np.array_equal(model.firing_.spikes, read[5:10])
        assert model.firing_.now == now


@pytest.mark.parametrize("kind", ALL)
def test_asking_at_other_times_changes_nothing(kind):
    asked, left = (kind(time="t", **ALL[kind]) for _ in range(2))
    for i, (x, y) in enumerate(rows_of(kind, 40)):
        x["t"] = 3.0 * i
        before = asked.to_bytes()
        for t in (3.0 * i + 50.0, 3.0 * i - 9.0, None, 3.0 * i, 3.0 * i + 7.5):
            says(asked, {**x, "t": t})
        assert asked.to_bytes() == before
        assert says(asked, x) == says(left, x)
        says(asked, {**x, "t": 1e9})
        asked.learn_one(x, y)
        left.learn_one(x, y)
    assert asked.to_bytes() == left.to_bytes()
    far, near = says(asked, {**x, "t": 1e9}), says(asked, {**x, "t": 121.0})
    assert far != near


@pytest.mark.parametrize("kind", ALL)
def test_what_is_saved_goes_on_at_its_time(kind):
    model = kind(time="t", **ALL[kind])
    rows = [({**x, "t": i**1.5}, y) for i, (x, y) in enumerate(rows_of(kind, 60))]
    for x, y in rows[:30]:
        model.learn_one(x, y)
    others = [pickle.loads(pickle.dumps(model)), from_bytes(model.to_bytes())]
    for x, y in rows[30:]:
        for one in (model, *others):
            one.learn_one(x, y)
        assert [says(one, x) for one in others] == [says(model, x)] * 2
    model.reset_state()
    assert math.isnan(model.firing_.now)


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, pd.NaT, "absent"])
def test_a_missing_time_is_one_step_and_a_time_that_is_past_is_none(missing):
    model = SpikingAttentionRegressor(time="t", **LABELLED[SpikingAttentionRegressor])
    x = {"a": 0.5, "b": -1.0}
    model.learn_one({**x, "t": 10.0}, 1.0)
    model.learn_one(x if missing == "absent" else {**x, "t": missing}, 2.0)
    assert model.firing_.now == 11.0
    slots = model.firing_.slots.copy()
    model.learn_one({**x, "t": -1e300}, 2.0)
    assert model.firing_.now == 11.0
    # nothing has decayed: a slot is written or as it was
    assert (model.firing_.slots != slots).sum(axis=1).max() == 1
    model.learn_one({**x, "t": 1e300}, 2.0)
    assert np.isfinite(model.firing_.buffer).all()
    assert math.isfinite(model.predict_one({**x, "t": 1e300}))


@pytest.mark.parametrize("zone", [None, dt.UTC, dt.timezone(dt.timedelta(hours=5))])
@pytest.mark.parametrize("make", [dt.datetime, pd.Timestamp, lambda *_: None])
def test_a_date_counts_in_seconds_and_keeps_its_calendar(zone, make):
    params = LABELLED[SpikingAttentionRegressor]
    dated = SpikingAttentionRegressor(time="t", time_step=3600, **params)
    start = dt.datetime(2024, 3, 1, tzinfo=zone)
    hours = [0, 1, 2, 7, 8, 30]
    plain = SpikingAttentionRegressor(time="hour", **params)
    for hour, (x, y) in zip(hours, rows_of(None), strict=False):
        when = start + dt.timedelta(hours=hour)
        if make is pd.Timestamp:
            when = pd.Timestamp(when)
        elif make is not dt.datetime and zone is None:
            when = np.datetime64(when)
        dated.learn_one({**x, "t": when}, y)
        plain.learn_one({**x, "t": when, "hour": hour}, y)
    assert "t_hour_sin" in dated.features_.encoder.names
    assert dated.firing_.now - hours[-1] == pytest.approx(start.timestamp() / 3600, abs=24)
    np.testing.assert_allclose(dated.firing_.buffer, plain.firing_.buffer, rtol=1e-9)


@pytest.mark.parametrize("dates", [False, True])
def test_a_block_is_the_loop_over_its_rows(dates):
    params = LABELLED[SpikingAttentionRegressor] | {"time": "t", "time_step": 10.0}
    one, many, array = (SpikingAttentionRegressor(**params) for _ in range(3))
    times = np.cumsum(np.random.default_rng(1).integers(1, 60, 50)).astype(float)
    rows = rows_of(None, 50)
    X, y = pd.DataFrame([x for x, _ in rows]), pd.Series([y for _, y in rows])
    X["t"] = pd.to_datetime(times, unit="s") if dates else times
    said = []
    for x, label in zip(X.to_dict("records"), y, strict=True):
        said.append(one.predict_one(x))
        one.learn_one(x, label)
    assert many.predict_learn_many(X, y).tolist() == said
    assert many.to_bytes() == one.to_bytes()
    if not dates:
        array.learn_many(X.to_numpy(), y.to_numpy(), names=["a", "b", "t"])
        assert array.to_bytes() == one.to_bytes()
        ahead = X.tail(3).assign(t=[700.0, 800.0, 2000.0] + times[-1])
        expected = [one.predict_one(x) for x in ahead.to_dict("records")]
        assert one.predict_many(ahead).tolist() == expected


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    ("params", "says_what"),
    [
        ({"time": []}, r"time=\[\]: must be the name"),
        ({"time": "t", "categorical": ("t",)}, "time='t': is named in categorical"),
        ({"time_step": 0.0}, "time_step=0.0"),
        ({"time_step": math.nan}, "time_step=nan"),
    ],
)
def test_a_bad_time_is_an_error_that_names_it(kind, params, says_what):
    with pytest.raises(ValueError, match=f"^{says_what}"):
        kind(**params)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("bad", ["noon", [1.0], dt.timedelta(1)])
def test_a_time_that_is_none_is_an_error_and_changes_nothing(kind, bad):
    model = kind(time="t", **ALL[kind])
    x, y = rows_of(kind, 1)[0]
    model.learn_one({**x, "t": 1.0}, y)
    before = model.to_bytes()
    with pytest.raises(TypeError, match="feature 't'"):
        model.learn_one({**x, "t": bad}, y)
    with pytest.raises(TypeError, match="feature 'a'"):
        model.learn_one({"a": "x", "t": 9.0}, y)
    assert model.to_bytes() == before
