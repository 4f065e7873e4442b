"""The forecaster: pure forecasts, seasons and drift, shares by step ahead, errors, bad input."""

from __future__ import annotations

import collections
import copy
import datetime as dt
import math
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import datasets, evaluate, metrics, proba

from river_attention import StreamingAttentionForecaster
from river_attention.core.ahead import Origins
from river_attention.layers.window import Ring
from river_attention.modes import GLA
from river_attention.readout.shares import reweighted
from river_attention.state import StateError

SMALL = {"mode": None, "memory": 0, "window": 30, "long_lags": 0, "n_lags": 2}
SETTINGS = [
    pytest.param(params, id=str(params))
    for params in StreamingAttentionForecaster._unit_test_params()
]


def learned(model, rows):
    for x, y in rows:
        model.learn_one(y, x)
    return model


def series(values):
    return [(None, float(y)) for y in values]


def noisy(n_rows, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(n_rows)
    y = 20 + 5 * np.sin(2 * np.pi * t / 12) + rng.normal(size=n_rows)
    return [({"a": float(a)}, float(v)) for a, v in zip(rng.normal(size=n_rows), y, strict=True)]


AHEAD = [{"a": 0.1 * h} for h in range(40)]


@pytest.mark.parametrize("params", SETTINGS)
def test_a_forecast_changes_nothing(params):
    model = learned(StreamingAttentionForecaster(**params), noisy(50))
    before = pickle.dumps(model)
    first = model.forecast(8, AHEAD)
    model.forecast(40)
    model.forecast(3, AHEAD, with_dist=True)
    assert pickle.dumps(model) == before
    assert model.forecast(8, AHEAD) == first


@pytest.mark.parametrize("params", SETTINGS)
def test_what_was_asked_in_between_has_no_influence(params):
    quiet, asked = (StreamingAttentionForecaster(**params) for _ in range(2))
    for x, y in noisy(45):
        quiet.learn_one(y, x)
        asked.forecast(5, AHEAD)
        asked.learn_one(y, x)
    assert pickle.dumps(quiet) == pickle.dumps(asked)


@pytest.mark.parametrize("params", SETTINGS)
def test_a_model_from_a_pickle_goes_on_as_the_original(params):
    rows = noisy(70)
    model = learned(StreamingAttentionForecaster(**params), rows[:45])
    loaded = pickle.loads(pickle.dumps(model))
    for x, y in rows[45:]:
        assert loaded.forecast(3, AHEAD) == model.forecast(3, AHEAD)
        model.learn_one(y, x)
        loaded.learn_one(y, x)
    assert loaded.forecast(20) == model.forecast(20)
    assert loaded.expert_weights_ == model.expert_weights_


@pytest.mark.parametrize("params", SETTINGS)
def test_configurations_round_trip(params):
    model = StreamingAttentionForecaster(**params)
    again = StreamingAttentionForecaster.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert learned(again, noisy(20)).forecast(4) == learned(model, noisy(20)).forecast(4)


def test_before_anything_was_learned_forecasts_are_zero():
    model = StreamingAttentionForecaster()
    assert model.forecast(3) == [0.0, 0.0, 0.0]
    assert model.forecast(1, [{"a": 1.0}]) == [0.0]
    assert [p.mu for p in model.forecast(2, with_dist=True)] == [0.0, 0.0]


def test_after_one_target_the_forecast_is_that_target():
    model = learned(StreamingAttentionForecaster(season=2), series([7.0]))
    assert model.forecast(3) == pytest.approx([7.0, 7.0, 7.0])


def test_too_few_xs_are_an_error_that_says_so():
    model = learned(StreamingAttentionForecaster(**SMALL), noisy(5))
    with pytest.raises(ValueError, match=re.escape("xs has 2 entries for horizon=3")):
        model.forecast(3, AHEAD[:2])


def test_more_xs_than_the_horizon_are_ignored():
    model = learned(StreamingAttentionForecaster(**SMALL), noisy(30))
    assert model.forecast(3, AHEAD[:9]) == model.forecast(3, AHEAD[:3])


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda xs: collections.deque(xs, maxlen=3)])
def test_xs_of_any_kind_are_read_and_left_alone(kind):
    model = learned(StreamingAttentionForecaster(**SMALL), noisy(30))
    xs = kind(AHEAD[:3])
    assert model.forecast(3, xs) == model.forecast(3, AHEAD[:3])
    if isinstance(xs, collections.deque):
        assert list(xs) == AHEAD[:3]


def test_without_xs_features_count_as_missing():
    model = learned(StreamingAttentionForecaster(**SMALL), noisy(30))
    assert model.forecast(3) == model.forecast(3, [{}, None, {"a": None}])
    assert model.forecast(3) != model.forecast(3, AHEAD)


def test_features_of_the_steps_ahead_count():
    rng = np.random.default_rng(0)
    rows = [({"a": float(a)}, 10.0 * float(a)) for a in rng.normal(size=300)]
    model = learned(StreamingAttentionForecaster(horizon=3), rows)
    ahead = [1.0, -1.0, 0.5]
    assert model.forecast(3, [{"a": a} for a in ahead]) == pytest.approx(
        [10 * a for a in ahead], abs=1.5
    )


def test_xs_may_hold_dates_and_new_features():
    model = StreamingAttentionForecaster(season=12, **SMALL)
    for x, y in datasets.AirlinePassengers().take(40):
        model.learn_one(y, x)
    xs = [{"month": dt.datetime(1952, 5, 1)}, {"month": dt.date(1952, 6, 1), "new": 3.0}]
    assert np.isfinite(model.forecast(2, xs)).all()


@pytest.mark.parametrize("horizon", [0, -1, 2.5, None, True, "3"])
def test_a_horizon_is_a_whole_number_of_steps(horizon):
    with pytest.raises(ValueError, match="horizon="):
        StreamingAttentionForecaster().forecast(horizon)


@pytest.mark.parametrize("y", [None, math.nan, math.inf, -math.inf])
def test_a_target_that_is_no_number_is_refused_and_changes_nothing(y):
    model = learned(StreamingAttentionForecaster(**SMALL), noisy(20))
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match="y="):
        model.learn_one(y, {"a": 1.0})
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("x", [{"a": "red"}, {"a": [1.0]}, 3.0, ["a"]])
def test_bad_features_are_refused_and_change_nothing(x):
    model = learned(StreamingAttentionForecaster(**SMALL), noisy(20))
    before = pickle.dumps(model)
    with pytest.raises(TypeError):
        model.learn_one(1.0, x)
    with pytest.raises(TypeError):
        model.forecast(2, [{"a": 1.0}, x])
    assert pickle.dumps(model) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("season", 1),
        ("season", 0),
        ("season", -12),
        ("season", 2.5),
        ("season", "12"),
        ("season", True),
        ("horizon", 0),
        ("horizon", 1.5),
        ("window", -1),
        ("n_heads", 0),
        ("forgetting_factor", 1.5),
        ("readout", "sum"),
        ("seed", "a"),
    ],
)
def test_bad_parameters_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name}="):
        StreamingAttentionForecaster(**{name: value})


PATTERN = np.array([3.0, 8.0, -2.0, 5.0, 11.0, 0.0, 4.0])


def test_an_exact_season_that_is_told_is_forecast_nearly_exactly():
    values = np.tile(PATTERN, 40)
    model = learned(StreamingAttentionForecaster(season=7, horizon=14), series(values[:210]))
    errors = np.abs(np.array(model.forecast(14)) - values[210:224])
    assert errors.max() < 0.02 * np.ptp(PATTERN)


def test_an_exact_season_that_is_not_told_is_found():
    values = np.tile(PATTERN, 40)
    model = learned(StreamingAttentionForecaster(), series(values[:210]))
    errors = np.abs(np.array(model.forecast(12)) - values[210:222])
    assert errors.mean() < 0.05 * np.ptp(PATTERN)


def test_trend_and_season_together_are_forecast_from_the_second_season_on():
    t = np.arange(300)
    values = 0.5 * t + np.tile(PATTERN, 43)[:300]
    model = learned(StreamingAttentionForecaster(season=7, horizon=14), series(values[:250]))
    errors = np.abs(np.array(model.forecast(14)) - values[250:264])
    assert errors.max() < 0.1 * np.ptp(PATTERN)


def test_a_trend_is_not_cut_off():
    """Three seasons ahead after three seasons: what drifts leaves the range by far."""
    t = np.arange(21 + 21)
    values = 10.0 * t
    model = learned(StreamingAttentionForecaster(season=7, horizon=7), series(values[:21]))
    drifting = np.array(model.expert_forecasts(21)["seasonal + drift"])
    assert drifting == pytest.approx(values[21:])
    low, high = model.regressor_.task_.target.limits(1 + np.arange(1, 22) / 7)
    assert (low < drifting).all()
    assert (drifting < high).all()


def test_forecasts_far_ahead_stay_within_the_limits():
    rng = np.random.default_rng(3)
    values = np.exp(rng.normal(size=80).cumsum())
    model = learned(StreamingAttentionForecaster(season=4, horizon=4, **SMALL), series(values))
    forecasts = np.array(model.forecast(200))
    room = np.ptp(values) * (1 + np.arange(1, 201) / 4)
    assert (forecasts >= values.min() - room).all()
    assert (forecasts <= values.max() + room).all()


def test_before_the_first_season_is_over_the_season_says_nothing():
    model = learned(StreamingAttentionForecaster(season=50, **SMALL), series(range(10)))
    experts = model.expert_forecasts(60)
    assert experts["seasonal"] == experts["seasonal + drift"] == [9.0] * 60


def test_retrieval_forecasts_what_followed_when_the_past_was_like_this():
    values = np.tile(PATTERN, 30)
    model = learned(StreamingAttentionForecaster(), series(values[:150]))
    assert model.expert_forecasts(12)["retrieval"] == pytest.approx(values[150:162], abs=0.2)


def test_the_first_step_of_the_recursion_is_the_prediction_of_the_regressor():
    model = learned(StreamingAttentionForecaster(**SMALL), noisy(60))
    recursive = model.expert_forecasts(3, AHEAD)["recursive"]
    assert recursive[0] == model.regressor_.predict_one(AHEAD[0])


def test_the_recursion_takes_its_predictions_for_targets():
    model = learned(StreamingAttentionForecaster(**SMALL), noisy(60))
    first, second = model.expert_forecasts(2, AHEAD)["recursive"]
    rollout = model.regressor_.rollout()
    assert rollout.predict(AHEAD[0]) == first
    rollout.advance(first)
    assert rollout.predict(AHEAD[1]) == second


def test_the_forecasts_are_means_of_those_of_the_experts():
    model = learned(StreamingAttentionForecaster(**SMALL), noisy(60))
    experts, weights = model.expert_forecasts(3, AHEAD), model.expert_weights_
    means = [sum(weights[h][name] * experts[name][h] for name in experts) for h in range(3)]
    assert model.forecast(3, AHEAD) == pytest.approx(means, abs=1e-10)


def test_the_second_regressor_is_the_model_of_some_steps_ago():
    rows = noisy(50)
    model = learned(StreamingAttentionForecaster(horizon=5, **SMALL), rows)
    old = learned(StreamingAttentionForecaster(horizon=5, **SMALL), rows[:46])
    assert model.behind_.task_.target.n == 46
    assert model.behind_.predict_one({"a": 0.3}) == old.regressor_.predict_one({"a": 0.3})


@pytest.fixture
def few_at_first(monkeypatch):
    """Origins that are sparse before a thousand rows."""
    monkeypatch.setattr("river_attention.core.ahead._FIRST", 30)


def test_where_origins_are_sparse_it_is_the_model_of_the_first_one_that_waits(few_at_first):
    rows, model = noisy(90), StreamingAttentionForecaster(horizon=9, **SMALL)
    origins, seen = Origins(), set()
    for t, (x, y) in enumerate(rows):
        model.learn_one(y, x)
        waiting = [at for at in range(max(0, t - 7), t + 1) if at in origins]
        if t < 37:
            assert model.behind_.task_.target.n == max(0, t - 7)
        elif not waiting:
            assert model.behind_ is None
            seen.add(None)
        else:
            old = learned(StreamingAttentionForecaster(horizon=9, **SMALL), rows[: waiting[0]])
            assert model.behind_.predict_one({"a": 0.3}) == old.regressor_.predict_one({"a": 0.3})
            seen.add(waiting[0])
    assert len(seen) > 5
    assert None in seen
    assert model.n_scored_ == sum(at in origins for at in range(90 - 9 + 1)) - 2


@pytest.mark.parametrize("horizon", [1, 3, 20])
def test_files_and_pickles_go_on_wherever_origins_wait(few_at_first, horizon):
    rows = noisy(75)
    model = StreamingAttentionForecaster(horizon=horizon, **SMALL)
    for n, (x, y) in enumerate(rows[:55]):
        model.learn_one(y, x)
        if n % 4 == 0 and n > 20:
            loaded = StreamingAttentionForecaster.from_bytes(model.to_bytes())
            copies = loaded, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)
            other = copy.deepcopy(model)
            expected = learned(other, rows[n + 1 : n + 22]).get_state()
            for again in copies:
                state = learned(again, rows[n + 1 : n + 22]).get_state()
                assert state.keys() == expected.keys()
                assert all(np.array_equal(state[k], expected[k]) for k in state)


@pytest.mark.parametrize("params", SETTINGS)
def test_a_file_holds_what_errors_are_expected_to_the_last_bit(params):
    model = learned(StreamingAttentionForecaster(**params), noisy(30))
    for x, y in noisy(50, seed=1):
        model.learn_one(y, x)
        loaded = StreamingAttentionForecaster.from_bytes(model.to_bytes())
        assert loaded._known.size.tobytes() == model._known.size.tobytes()


class Failing(GLA):
    """A mode of a user that fails after so many steps; None for never."""

    left = None

    def step(self, *arguments):
        if Failing.left is not None:
            Failing.left -= 1
            if Failing.left < 0:
                raise MemoryError("of a user")
        return super().step(*arguments)


@pytest.mark.parametrize("n_rows", [12, 29, 34, 50])
def test_code_of_a_user_that_fails_leaves_the_model_as_it_was(few_at_first, monkeypatch, n_rows):
    rows, params = noisy(80), {"horizon": 3, "window": 8, "memory": 0, "long_lags": 0}
    model = learned(StreamingAttentionForecaster(mode=Failing(), **params), rows[:n_rows])
    expected = learned(StreamingAttentionForecaster(mode=Failing(), **params), rows).get_state()
    failed, left = 0, 0
    for x, y in rows[n_rows:]:
        before = pickle.dumps(model)
        for left in range(40):
            monkeypatch.setattr(Failing, "left", left)
            try:
                model.learn_one(y, x)
            except MemoryError:
                monkeypatch.setattr(Failing, "left", None)
                assert pickle.dumps(model) == before
                failed += 1
            else:
                break
    monkeypatch.setattr(Failing, "left", None)
    assert failed >= 80 - n_rows
    state = model.get_state()
    assert all(np.array_equal(state[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    ("what", "n_rows"),
    [("past", 20), ("past", 60), ("follower", 20), ("regressor", 20), ("regressor", 60)],
)
def test_after_an_interrupt_it_goes_on(few_at_first, monkeypatch, n_rows, what):
    rows = noisy(200)
    model = learned(StreamingAttentionForecaster(horizon=7, **SMALL), rows[:n_rows])
    interrupted = {
        "past": (Ring, "append"),
        "follower": (model._behind._now.follower, "learn_one"),
        "regressor": (model.regressor_, "learn_one"),
    }[what]
    real = getattr(*interrupted)

    def interrupt(*arguments, **options):
        real(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*interrupted, interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.learn_one(rows[n_rows][1], rows[n_rows][0])
    n_scored = model.n_scored_
    for x, y in rows[n_rows + 1 :]:
        StreamingAttentionForecaster(horizon=7, **SMALL).set_state(model.get_state())
        model.learn_one(y, x)
        assert len(model._behind._now.rows) < 7
    # an eighth of the rows, but for those that wait
    assert model.n_scored_ - n_scored > (len(rows) - n_rows) // 8 - 4
    assert np.isfinite(model.forecast(9)).all()


def test_shares_are_uniform_until_a_forecast_met_its_target():
    model = learned(StreamingAttentionForecaster(horizon=12, **SMALL), noisy(12))
    assert all(
        share == pytest.approx(0.25) for row in model.expert_weights_ for share in row.values()
    )


@pytest.mark.parametrize("params", SETTINGS)
def test_shares_stay_on_the_simplex(params):
    model = StreamingAttentionForecaster(**params)
    for x, y in noisy(60):
        model.learn_one(y, x)
        assert len(model.expert_weights_) == model.horizon
        for shares in model.expert_weights_:
            assert sum(shares.values()) == pytest.approx(1.0)
            assert min(shares.values()) > 0.0


def test_the_best_expert_gets_the_largest_share():
    values = np.tile(PATTERN, 40)
    model = learned(StreamingAttentionForecaster(season=7, **SMALL), series(values))
    for shares in model.expert_weights_[:6]:
        assert shares["seasonal"] > shares["last value"]
    walk = np.random.default_rng(0).normal(size=400).cumsum()
    model = learned(StreamingAttentionForecaster(season=7, **SMALL), series(walk))
    shares = model.expert_weights_[0]
    assert shares["last value"] > shares["seasonal + drift"]


def test_reweighting_is_the_fixed_share_update():
    weights, losses = np.array([0.2, 0.3, 0.5]), np.array([1.0, 0.0, 2.0])
    fading = weights * np.exp(-0.3 * losses)
    expected = 0.995 * fading / fading.sum() + 0.005 / 3
    assert reweighted(weights, losses, 0.3) == pytest.approx(expected, rel=1e-14)
    both = reweighted(np.stack([weights, weights]), np.stack([losses, 0 * losses]), 0.3)
    assert both[0] == pytest.approx(expected, rel=1e-14)
    assert weights.tolist() == [0.2, 0.3, 0.5]


def test_without_retrieval_there_is_no_expert_of_it():
    model = StreamingAttentionForecaster(window=0, horizon=1)
    assert list(model.expert_weights_[0]) == ["last value", "recursive", "median"]


def test_with_dist_gives_a_normal_distribution_around_each_forecast():
    model = learned(StreamingAttentionForecaster(**SMALL), noisy(60))
    distributions = model.forecast(15, AHEAD, with_dist=True)
    assert all(isinstance(p, proba.Gaussian) for p in distributions)
    assert [p.mu for p in distributions] == model.forecast(15, AHEAD)
    assert all(p.sigma > 0.0 for p in distributions)


def test_the_deviation_of_a_random_walk_grows_with_the_root_of_the_horizon():
    found = []
    for seed in range(3):
        walk = np.random.default_rng(seed).normal(size=1600).cumsum()
        model = StreamingAttentionForecaster(horizon=9, **SMALL)
        for t, y in enumerate(walk.tolist()):
            model.learn_one(y)
            if t % 25 == 24 and t > 300:
                found.append([p.sigma for p in model.forecast(36, with_dist=True)])
    # at a single moment it breathes with the stream: by a fifth, as far ahead as it is known
    sigma = np.mean(found, axis=0)
    assert (np.diff(sigma) > 0.0).all()
    assert sigma[[0, 3, 8]] == pytest.approx([1.0, 2.0, 3.0], rel=0.1)
    assert sigma[35] == pytest.approx(2 * sigma[8])


def test_before_any_forecast_met_its_target_the_deviation_is_wide():
    model = learned(StreamingAttentionForecaster(**SMALL), series([1.0, 2.0, 4.0]))
    sigma = [p.sigma for p in model.forecast(3, with_dist=True)]
    assert 0.5 < sigma[0] < sigma[1] < sigma[2]


def test_it_runs_in_the_evaluation_of_river_as_it_is():
    metric = evaluate.evaluate(
        datasets.AirlinePassengers(),
        StreamingAttentionForecaster(season=12),
        metrics.MAE(),
        horizon=12,
    )
    assert len(metric.get()) == 12
    assert np.isfinite(metric.get()).all()


def mean_errors(rows, model, horizon, warm_up):
    truth = np.array([y for _, y in rows])
    errors = []
    for t, (x, y) in enumerate(rows):
        if warm_up <= t <= len(rows) - horizon:
            forecasts = model.forecast(horizon, [x for x, _ in rows[t : t + horizon]])
            errors.append(np.abs(np.array(forecasts) - truth[t : t + horizon]))
        model.learn_one(y, x)
    return float(np.mean(errors))


@pytest.mark.parametrize(("season", "limit"), [(12, 16.5), (None, 17.2)])
def test_airline_passengers_are_forecast_better_than_by_the_models_of_river(season, limit):
    """SNARIMAX 17.6 and HoltWinters 17.2 with the season told."""
    rows = list(datasets.AirlinePassengers())
    assert mean_errors(rows, StreamingAttentionForecaster(season=season), 12, 24) < limit


@pytest.mark.slow
@pytest.mark.parametrize("season", [24, None])
def test_water_flow_is_forecast_better_than_by_the_last_value(season):
    rows = list(datasets.WaterFlow())
    assert mean_errors(rows, StreamingAttentionForecaster(season=season), 12, 168) < 2.57


numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, 1.0, 1e150, -1e300, 1e-300, 5.0]),
)
values = st.one_of(st.none(), numbers, st.just(math.nan), st.just(math.inf))
features = st.one_of(st.none(), st.dictionaries(st.sampled_from("abc"), values, max_size=3))


@settings(max_examples=40)
@given(
    rows=st.lists(st.tuples(numbers, features), max_size=25),
    ahead=st.lists(features, min_size=7, max_size=7),
    season=st.sampled_from([None, 2, 5]),
    window=st.sampled_from([0, 1, 8]),
)
def test_no_input_makes_a_forecast_nan_or_infinite(rows, ahead, season, window):
    model = StreamingAttentionForecaster(
        season, 3, mode="gla", memory=1, window=window, n_lags=1, long_lags=2
    )
    for y, x in rows:
        model.learn_one(y, x)
        distributions = model.forecast(7, ahead, with_dist=True)
        assert all(math.isfinite(p.mu) and math.isfinite(p.sigma) for p in distributions)
        assert np.isfinite([list(row.values()) for row in model.expert_weights_]).all()


@pytest.mark.parametrize("level", [0.0, 5.0, 1e150])
def test_a_constant_target_is_forecast_as_it_is(level):
    model = learned(StreamingAttentionForecaster(season=3, **SMALL), series([level] * 40))
    assert model.forecast(30) == pytest.approx([level] * 30, rel=1e-12)


def test_it_recovers_from_a_constant_start():
    values = np.concatenate([np.zeros(100), np.tile(PATTERN, 20)])
    model = learned(StreamingAttentionForecaster(season=7, **SMALL), series(values))
    assert model.forecast(7) == pytest.approx(PATTERN, abs=1.0)


def soak(n_rows):
    rng = np.random.default_rng(2)
    model = StreamingAttentionForecaster(
        season=24, horizon=4, mode="gla", n_heads=1, memory=1, window=50, long_lags=0
    )
    sizes, level = [], 0.0
    for t in range(n_rows):
        level += rng.normal() + (50.0 if t % 997 == 0 else 0.0)
        y = level + 10.0 * math.sin(2 * math.pi * t / 24)
        model.learn_one(y, {"a": rng.normal(), "b": None if t % 5 else 1.0})
        if t % 200 == 0:
            assert np.isfinite(model.forecast(8)).all()
        # as large as it gets within some steps: there is a copy for every origin that waits
        if t % (n_rows // 2) >= n_rows // 2 - 20:
            sizes.append(len(pickle.dumps(model)))
    return max(sizes[:20]), max(sizes[20:])


def test_ten_thousand_steps_leave_it_sound_and_its_memory_flat():
    early, late = soak(10_000)
    # counters grow by some bytes
    assert late <= early + 100


@pytest.mark.slow
def test_a_hundred_thousand_steps_leave_it_sound_and_its_memory_flat():
    early, late = soak(100_000)
    assert late <= early + 100


def test_far_horizons_are_scored_less_often():
    rows = noisy(80)
    near = learned(StreamingAttentionForecaster(horizon=24, **SMALL), rows)
    far = learned(StreamingAttentionForecaster(horizon=49, **SMALL), rows)
    # one origin for every step from the horizon on; two without a scale of the target do not count
    assert near.n_scored_ == (80 - 24 + 1) - 2
    # a third of the origins; the first has no scale
    assert far.n_scored_ == sum(origin in Origins(3) for origin in range(80 - 49 + 1)) - 1
    assert 9 <= far.n_scored_ <= 11


def test_learning_leaves_the_state_in_the_compiled_core():
    model = learned(StreamingAttentionForecaster(**SMALL), noisy(30))
    if model.regressor_._twin is None:
        pytest.skip("runs on NumPy")
    for x, y in noisy(10, seed=1):
        model.learn_one(y, x)
        assert model.regressor_._twin.is_holding
        assert model.behind_._twin.is_holding


def test_a_state_needs_the_sizes_of_every_origin_that_waits():
    model = learned(StreamingAttentionForecaster(horizon=5, **SMALL), noisy(30))
    state = model.get_state()
    with pytest.raises(StateError, match=re.escape("sizes has shape (3, 5): expected (4, 5)")):
        model.set_state(state | {"sizes": state["sizes"][:-1]})
    with pytest.raises(StateError, match="not of as many forecasts"):
        model.set_state(state | {"noise.2.n": 3})
