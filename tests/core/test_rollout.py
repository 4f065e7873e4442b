"""Looking ahead: a branch of a regressor that goes on with any targets."""

from __future__ import annotations

import pytest

from river_attention import StreamingAttentionRegressor


def test_its_first_prediction_is_that_of_the_model(make_attention, stream, train):
    model, x = train(make_attention(), stream(60)), {"a": 9.0, "b": 0.5}
    rollout = model.rollout()
    assert rollout.predict(x) == rollout.predict(x) == model.predict_one(x)


def test_it_goes_on_from_the_targets_it_is_given(stream, train):
    # without retrieval and with nothing learned in between, only lags and memory move on
    rows = stream(60)
    params = {"window": 0, "readout": "rls", "n_lags": 3}
    model = train(StreamingAttentionRegressor(**params), rows[:55])
    rollout = model.rollout()
    for x, y in rows[55:]:
        rollout.predict(x)
        rollout.advance(y)
        model.learn_one(x, y, w=0.0)
    branch, ours = rollout.predict(rows[0][0]), model.predict_one(rows[0][0])
    # the model also took the rows into its scales
    assert branch == pytest.approx(ours, rel=0.05)
    assert abs(branch - rows[-1][1]) < 30.0


def test_it_leaves_the_model_as_it_was(make_attention, stream, train, fingerprint):
    model = train(make_attention(), stream(60))
    before = fingerprint(model)
    rollout = model.rollout()
    for x, y in stream(40, seed=1):
        rollout.predict(x)
        rollout.advance(y + 100.0)
    assert fingerprint(model) == before


def test_an_advance_needs_a_prediction_to_go_on_with(stream, train):
    rollout = train(StreamingAttentionRegressor(), stream(30)).rollout()
    with pytest.raises(ValueError, match="predict the next step first"):
        rollout.advance(1.0)
    rollout.predict({"a": 1.0})
    rollout.advance(1.0)
    with pytest.raises(ValueError, match="predict the next step first"):
        rollout.attention()


@pytest.mark.parametrize("window", [0, 20])
def test_attention_is_what_retrieval_looks_back_to(window, stream, train):
    rollout = train(StreamingAttentionRegressor(window=window), stream(60)).rollout()
    rollout.predict({"a": 1.0})
    weights = rollout.attention()
    assert weights.shape[-1] == window
    assert (weights > 0.0).all()
