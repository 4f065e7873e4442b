"""Drift detectors: which are taken, when they fire, and what happens then."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from river import base, drift
from river.drift import binary

from river_attention import StreamingAttentionClassifier, StreamingAttentionRegressor
from river_attention.state import StateError

READOUTS = ["mixture", "rls"]


class Alarm(base.DriftDetector):
    """Fires at the given updates; remembers what it was told."""

    def __init__(self, at: tuple[int, ...] = (0,)) -> None:
        super().__init__()
        self.at = at
        self.told: list[float] = []

    def update(self, x):
        self.told.append(x)
        self._drift_detected = len(self.told) in self.at


def fast(**params):
    return StreamingAttentionRegressor(mode=None, memory=0, window=0, long_lags=0, **params)


def changing(n_rows, change, seed, noise=0.3):
    """A linear stream whose coefficients change abruptly at a row."""
    rng = np.random.default_rng(seed)
    before, after = rng.normal(size=(2, 4))
    rows = []
    for t, x in enumerate(rng.normal(size=(n_rows, 4))):
        y = x @ (before if t < change else -before + 0.3 * after) + noise * rng.normal()
        rows.append((dict(zip("abcd", x.tolist(), strict=True)), float(y)))
    return rows


def errors_of(model, rows):
    errors = []
    for x, y in rows:
        errors.append(abs(y - model.predict_one(x)))
        model.learn_one(x, y)
    return np.array(errors)


def linear(model):
    return list(model.task_.readout.least_squares.values())


# --- which detectors


@pytest.mark.parametrize(
    "detector", [binary.DDM(), binary.EDDM(), binary.FHDDM(), "ADWIN", 1, drift.ADWIN, True]
)
def test_what_is_no_detector_of_numbers_is_refused_by_name(detector):
    with pytest.raises(ValueError, match="drift_detector"):
        StreamingAttentionRegressor(drift_detector=detector)


@pytest.mark.parametrize("detector", [drift.ADWIN(), drift.PageHinkley(), drift.KSWIN(seed=1)])
def test_the_detectors_of_river_for_numbers_work(detector, stream, train):
    model = train(StreamingAttentionRegressor(drift_detector=detector), stream(60))
    assert np.isfinite(model.predict_one({"a": 1.0}))


def test_without_a_detector_no_drift_is_counted(stream, train):
    assert train(StreamingAttentionRegressor(), stream(60)).n_drifts_ == 0


def test_the_detector_given_stays_as_it_was(stream, train):
    detector = Alarm(at=(5,))
    model = train(StreamingAttentionRegressor(drift_detector=detector), stream(60))
    assert model.n_drifts_ == 1
    assert detector.told == []
    assert not detector.drift_detected


def test_two_models_do_not_share_a_detector(stream, train):
    detector = Alarm(at=(50,))
    models = [StreamingAttentionRegressor(drift_detector=detector) for _ in range(2)]
    for model in models:
        train(model, stream(40))
    assert [model.n_drifts_ for model in models] == [0, 0]


# --- what it is told


def test_it_is_told_the_absolute_error_in_units_of_the_scale(stream):
    model = StreamingAttentionRegressor(drift_detector=Alarm())
    expected = []
    for x, y in stream(60):
        target = model.task_.target
        if target.scale > 0.0:
            expected.append(abs(y - model.predict_one(x)) / target.scale)
        model.learn_one(x, y)
    assert len(expected) == 58
    np.testing.assert_allclose(model.task_.detector.told, expected, atol=1e-10)


def test_it_is_told_nothing_by_a_sample_of_weight_zero(stream, train):
    model = train(StreamingAttentionRegressor(drift_detector=Alarm()), stream(30))
    before = len(model.task_.detector.told)
    model.learn_one({"a": 1.0}, 50.0, w=0.0)
    assert len(model.task_.detector.told) == before


def test_it_is_told_nothing_by_a_step_without_a_label(stream, train):
    model = train(StreamingAttentionRegressor(drift_detector=Alarm()), stream(30))
    before = len(model.task_.detector.told)
    model.advance_one({"a": 1.0})
    assert len(model.task_.detector.told) == before


def test_it_is_told_nothing_while_the_target_is_constant(train):
    model = StreamingAttentionRegressor(drift_detector=Alarm())
    train(model, [({"a": float(t)}, 3.0) for t in range(20)])
    assert model.task_.detector.told == []


def test_it_is_told_nothing_by_a_prediction(stream, train):
    model = train(StreamingAttentionRegressor(drift_detector=Alarm()), stream(30))
    before = len(model.task_.detector.told)
    model.predict_one({"a": 1.0})
    assert len(model.task_.detector.told) == before


# --- what happens then


@pytest.mark.parametrize("readout", READOUTS)
def test_every_alarm_is_counted(readout, stream, train):
    model = StreamingAttentionRegressor(readout=readout, drift_detector=Alarm(at=(10, 20, 21)))
    assert train(model, stream(60)).n_drifts_ == 3


@pytest.mark.parametrize("readout", READOUTS)
def test_the_weights_stay_when_it_fires(readout, stream, train):
    # the alarm comes with the last of these rows
    rows = stream(60)
    fired = StreamingAttentionRegressor(readout=readout, drift_detector=Alarm(at=(58,)))
    silent = StreamingAttentionRegressor(readout=readout)
    for model in (fired, silent):
        train(model, rows)
    assert fired.n_drifts_ == 1
    for after, before in zip(linear(fired), linear(silent), strict=True):
        assert np.array_equal(after.weights, before.weights)


@pytest.mark.parametrize("readout", READOUTS)
def test_the_covariance_is_that_of_the_prior_when_it_fires(readout, stream, train):
    model = StreamingAttentionRegressor(readout=readout, drift_detector=Alarm(at=(58,)))
    train(model, stream(60))
    for rls in linear(model):
        assert np.array_equal(rls.covariance, np.diag(rls.prior))


def test_experts_are_trusted_alike_when_it_fires(stream, train):
    model = train(StreamingAttentionRegressor(drift_detector=Alarm(at=(58,))), stream(60))
    assert set(model.expert_weights_.values()) == {1 / 12}


@pytest.mark.parametrize("readout", READOUTS)
def test_the_memory_stays_when_it_fires(readout, stream, train):
    rows = stream(60)
    fired = StreamingAttentionRegressor(readout=readout, drift_detector=Alarm(at=(30,)))
    silent = StreamingAttentionRegressor(readout=readout)
    for model in (fired, silent):
        train(model, rows)
    assert np.array_equal(fired.state_, silent.state_)
    assert np.array_equal(fired.bank_state_, silent.bank_state_)
    assert fired.retrieved_ == silent.retrieved_


@pytest.mark.parametrize("readout", READOUTS)
def test_a_new_feature_in_the_row_of_the_alarm_is_no_problem(readout, stream, train):
    model = StreamingAttentionRegressor(readout=readout, drift_detector=Alarm(at=(58,)))
    rows = stream(60)
    rows[-1] = ({**rows[-1][0], "new": 1.0}, rows[-1][1])
    train(model, rows)
    assert model.n_drifts_ == 1
    assert np.isfinite(model.predict_one({"new": 2.0}))


@pytest.mark.parametrize("readout", READOUTS)
def test_it_fires_when_the_coefficients_change(readout):
    model = fast(readout=readout, drift_detector=drift.ADWIN(), prior="mean")
    rows = changing(1200, 600, seed=0)
    errors_of(model, rows[:600])
    assert model.n_drifts_ == 0
    errors_of(model, rows[600:])
    assert model.n_drifts_ >= 1


@pytest.mark.parametrize("readout", READOUTS)
def test_after_a_change_the_error_is_lower_with_a_detector(readout):
    ratios = []
    for seed in range(3):
        rows, errors = changing(1800, 1500, seed), []
        for detector in (None, drift.ADWIN()):
            params = {"readout": readout, "drift_detector": detector, "prior": "mean"}
            model = fast(forgetting_factor=1.0, n_lags=0, **params)
            errors.append(errors_of(model, rows)[1500:].mean())
        ratios.append(errors[1] / errors[0])
    assert np.median(ratios) < 0.9


def test_without_a_change_a_detector_does_no_harm():
    rows = changing(1500, 1500, seed=0)
    without, with_adwin = (
        errors_of(fast(drift_detector=detector, prior="mean"), rows)[100:].mean()
        for detector in (None, drift.ADWIN())
    )
    assert with_adwin < 1.02 * without


# --- copies


def test_a_pickle_keeps_the_detector():
    rows = changing(1000, 600, seed=0)
    model = fast(drift_detector=drift.ADWIN(), prior="mean")
    errors_of(model, rows[:620])
    copied = pickle.loads(pickle.dumps(model))
    assert np.array_equal(errors_of(copied, rows[620:]), errors_of(model, rows[620:]))
    assert copied.n_drifts_ == model.n_drifts_ >= 1


def test_a_clone_has_the_detector_and_is_untrained(stream, train):
    model = StreamingAttentionRegressor(drift_detector=Alarm(at=(10,)))
    train(model, stream(60))
    clone = model.clone()
    assert clone.n_drifts_ == 0
    assert clone.task_.detector.told == []
    assert train(clone, stream(60)).n_drifts_ == 1


def test_a_clone_may_get_another_detector():
    model = StreamingAttentionRegressor(drift_detector=drift.ADWIN(delta=0.01))
    clone = model.clone({"drift_detector": drift.ADWIN(delta=0.5)})
    assert clone.task_.detector.delta == 0.5


@pytest.mark.parametrize(
    "detector", [None, drift.ADWIN(delta=0.01), drift.PageHinkley(min_instances=7)]
)
def test_a_configuration_file_keeps_the_detector(detector):
    model = StreamingAttentionRegressor(drift_detector=detector)
    config = json.loads(json.dumps(model.get_config()))
    again = StreamingAttentionRegressor.from_config(config)
    assert type(again.drift_detector) is type(detector)
    if detector is not None:
        assert again.drift_detector._get_params() == detector._get_params()


# --- classes


def labelled(rows):
    middle = np.median([y for _, y in rows])
    return [(x, "high" if y > middle else "low") for x, y in rows]


@pytest.mark.parametrize("detector", [drift.ADWIN(), drift.PageHinkley(threshold=10), binary.DDM()])
def test_a_classifier_takes_the_detectors_of_numbers_and_of_right_and_wrong(detector):
    params = {"mode": None, "memory": 0, "window": 0, "long_lags": 0, "n_lags": 0}
    model = StreamingAttentionClassifier(drift_detector=detector, **params)
    rows = labelled(changing(600, 600, seed=0))
    for x, y in rows:
        model.learn_one(x, y)
    before = model.n_drifts_
    # nothing to learn any more: a boundary that only turned around is learned before any alarm
    for t, (x, _) in enumerate(rows[:200]):
        model.learn_one(x, "high" if t * t % 7 > 2 else "low")
    assert model.n_drifts_ > before


def test_a_classifier_tells_it_which_predictions_were_wrong(stream):
    model, expected = StreamingAttentionClassifier(drift_detector=Alarm()), []
    for x, y in labelled(stream(60)):
        if model.classes_:
            expected.append(float(model.predict_one(x) != y))
        model.learn_one(x, y)
    model.learn_one(x, "low", w=0.0)
    assert model.task_.detector.told == expected
    assert 0.0 < np.mean(expected) < 1.0


def test_when_it_fires_the_classes_stay_and_the_readout_is_open(stream):
    model = StreamingAttentionClassifier(drift_detector=Alarm(at=(59,)))
    silent = StreamingAttentionClassifier()
    for x, y in labelled(stream(60)):
        model.learn_one(x, y)
        silent.learn_one(x, y)
    assert model.n_drifts_ == 1
    assert len(set(model.expert_weights_.values())) == 1
    assert model.retrieved_ == silent.retrieved_
    for name, rls in model.task_.readout.least_squares.items():
        assert np.array_equal(rls.covariance, np.diag(rls.prior))
        assert np.array_equal(rls.weights, silent.task_.readout.least_squares[name].weights)


class Broken(Alarm):
    """Fails after a while."""

    def update(self, x):
        super().update(x)
        if len(self.told) > 20:
            raise RuntimeError("broken")


def test_a_detector_that_fails_leaves_the_classifier_as_before(stream):
    model = StreamingAttentionClassifier(drift_detector=Broken())
    rows = labelled(stream(60))
    for x, y in rows[:21]:
        model.learn_one(x, y)
    before = model.predict_proba_one(rows[21][0])
    for label in (rows[21][1], "never seen"):
        with pytest.raises(RuntimeError):
            model.learn_one(rows[21][0], label)
    assert model.predict_proba_one(rows[21][0]) == before


@pytest.mark.parametrize("kind", [StreamingAttentionRegressor, StreamingAttentionClassifier])
def test_a_model_with_a_detector_has_no_plain_state(kind):
    with pytest.raises(StateError, match="drift_detector=ADWIN"):
        kind(drift_detector=drift.ADWIN()).get_state()
