"""The step of a keyed stream: pure, and the same however a stream is cut."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from river import base, linear_model

from river_attention import (
    FileError,
    RLSRegressor,
    StateError,
    StreamingAttentionClassifier,
    StreamingAttentionForecaster,
    StreamingAttentionRegressor,
    from_bytes,
)
from river_attention.keyed import step

MODELS = {
    "default": StreamingAttentionRegressor(),
    "small": StreamingAttentionRegressor(mode="gla", memory=0, window=9, readout="rls"),
    "classifier": StreamingAttentionClassifier(memory=2),
    "rls": RLSRegressor(),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


@pytest.fixture
def rows(model, stream, label):
    return [(x, label(model, y)) for x, y in stream(90)]


def by_hand(model, rows):
    model, predictions = model.clone(), []
    for x, y in rows:
        predictions.append(model.predict_one(x))
        if y is not None:
            model.learn_one(x, y)
        elif hasattr(model, "advance_one"):
            model.advance_one(x)
    return model.to_bytes(), predictions


@pytest.mark.parametrize("cuts", [[], [1], [20, 20, 21, 50], list(range(1, 90))])
def test_steps_are_predict_and_learn_row_by_row(model, rows, cuts):
    state, predictions = None, []
    for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        state, some = step(state, rows[start:end], model)
        predictions += some
    assert (state, predictions) == by_hand(model, rows)


def test_a_step_is_pure(model, rows, fingerprint):
    state, _ = step(None, rows[:30], model)
    before = bytes(state), fingerprint(model), repr(rows)
    first, second = (step(state, rows[30:], model) for _ in range(2))
    assert first == second
    assert (state, fingerprint(model), repr(rows)) == before


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA])
def test_without_a_label_time_passes(model, rows, missing):
    with_gaps = [(x, None if i % 7 == 3 or i > 80 else y) for i, (x, y) in enumerate(rows)]
    asked = [(x, missing if y is None else y) for x, y in with_gaps]
    assert step(None, asked, model) == by_hand(model, with_gaps)


def test_no_rows_make_a_state_too(model):
    state, predictions = step(None, [], model)
    assert predictions == []
    assert state == model.clone().to_bytes()
    assert step(state, [], model) == (state, [])


def test_rows_may_come_from_an_iterator(model, rows):
    assert step(None, iter(rows), model) == step(None, rows, model)


def test_labels_that_come_late_are_rows_of_their_own(stream):
    model = StreamingAttentionRegressor(advance_on="predict")
    expected, waiting, asked, predictions = model.clone(), [], [], []
    for x, y in stream(60):
        asked.append((x, None))
        predictions.append(expected.predict_one(x))
        waiting.append((x, y))
        if len(waiting) > 5:
            late = waiting.pop(0)
            asked.append(late)
            predictions.append(None)
            expected.learn_one(*late)
    first, some = step(None, asked[:40], model)
    state, others = step(first, asked[40:], model)
    assert some + others == predictions
    assert state == expected.to_bytes()
    assert from_bytes(state).n_pending_ == 5


def test_a_state_of_other_parameters_is_refused():
    state, _ = step(None, [], StreamingAttentionRegressor(window=10))
    with pytest.raises(StateError, match="window=10 instead of 1000: use those, or begin"):
        step(state, [], StreamingAttentionRegressor())
    with pytest.raises(StateError, match="StreamingAttentionRegressor, no RLSRegressor"):
        step(state, [], RLSRegressor())


def test_a_damaged_state_is_refused(model):
    state, _ = step(None, [], model)
    with pytest.raises(FileError, match="cut off"):
        step(state[:-1], [], model)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (linear_model.LinearRegression(), "regressor or classifier of river_attention"),
        (StreamingAttentionForecaster(), "regressor or classifier of river_attention"),
        (StreamingAttentionRegressor(seed=None), "give a seed"),
    ],
)
def test_models_that_cannot_be_stepped_are_refused(model, message):
    assert isinstance(model, base.Estimator)
    with pytest.raises(ValueError, match=message):
        step(None, [], model)


def test_a_bad_row_says_what_is_wrong():
    with pytest.raises(TypeError, match="feature 'a' is 'x'"):
        step(None, [({"a": "x"}, 1.0)], RLSRegressor())
