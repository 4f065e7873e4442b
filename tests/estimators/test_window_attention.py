"""Estimators of the softmax family: what they look at, and what they learn."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from river import checks, optim

from river_attention import (
    LatentAttentionRegressor,
    LSTMAttentionRegressor,
    SlidingWindowAttention,
    SlidingWindowAttentionClassifier,
    SlidingWindowAttentionRegressor,
    StateError,
    from_bytes,
)

SMALL = {"window_size": 4, "n_heads": 2, "head_dim": 4}
REGRESSORS = [SlidingWindowAttentionRegressor, LSTMAttentionRegressor, LatentAttentionRegressor]


def stream(n, seed=0, lags=(5, 2)):
    """y is a mix of two inputs that lie some steps back."""
    X = np.random.default_rng(seed).normal(size=(n, 2))
    for t in range(n):
        past = [X[t - lag, i] if t >= lag else 0.0 for i, lag in enumerate(lags)]
        yield {"a": X[t, 0], "b": X[t, 1]}, past[0] + 0.5 * past[1]


def last_quarter(model, n, **more):
    """Squared error over the last quarter, in units of the variance of the target."""
    errors, labels = [], []
    for t, (x, y) in enumerate(stream(n, **more)):
        if t >= 3 * n // 4:
            errors.append((model.predict_one(x) - y) ** 2)
            labels.append(y)
        model.learn_one(x, y)
    return np.mean(errors) / np.var(labels)


def test_locked_lags_make_old_inputs_readable():
    plain = {"n_lags": 0, "long_lags": 0, "prior": "mean", "readout": "rls"}
    model = SlidingWindowAttentionRegressor(window_size=16, n_heads=16, head_dim=4, **plain)
    assert last_quarter(model, 1500) < 0.2
    # the same without the lags in the window
    short = SlidingWindowAttentionRegressor(window_size=2, n_heads=16, head_dim=4, **plain)
    assert last_quarter(short, 1500) > 0.8


def sgd(cls=SlidingWindowAttentionRegressor, **more):
    options = {"readout": "sgd", "n_lags": 0, "long_lags": 0, "prior": "mean"}
    return cls(**options | more)


@pytest.mark.slow
@pytest.mark.parametrize("position", ["relative", "rope"])
def test_training_finds_the_steps_that_matter(position):
    assert last_quarter(sgd(window_size=16, position=position), 20_000) < 0.02


def test_training_lowers_the_error():
    model = sgd(window_size=4, optimizer=optim.Adam(0.01))
    assert last_quarter(model, 2000, lags=(2, 1)) < 0.1


def test_exact_gradients_need_no_more_steps_than_the_window():
    """A longer history changes nothing: no stale key is in sight."""
    models = [sgd(**SMALL, bptt=bptt) for bptt in (4, 9, 1)]
    for x, y in stream(60):
        answers = [model.predict_one(x) for model in models]
        for model in models:
            model.learn_one(x, y)
    assert answers[0] == pytest.approx(answers[1], rel=1e-9)
    assert answers[0] != pytest.approx(answers[2], rel=1e-3)


def pass_the_checks(make, every):
    """Go through river's checks on its first data set without the soak, or through all others."""
    seen = set()
    for check in checks.yield_checks(make()):
        kind = check.__name__
        if (kind in seen or kind == "check_bounded_memory_growth") is every:
            check(make())
        seen.add(kind)


# one kind of layer, as training is the same walk; what differs is in tests/layers and below
@pytest.mark.parametrize(
    ("cls", "every"),
    [
        (REGRESSORS[0], False),
        *(pytest.param(cls, False, marks=pytest.mark.slow) for cls in REGRESSORS[1:]),
        *(pytest.param(cls, True, marks=pytest.mark.slow) for cls in REGRESSORS),
    ],
)
def test_trained_models_pass_the_checks_of_river(cls, every):
    pass_the_checks(lambda: sgd(cls, **SMALL), every)


@pytest.mark.parametrize("cls", REGRESSORS)
def test_predictions_of_trained_models_are_pure(cls):
    model = sgd(cls, **SMALL, bptt=3)
    for x, y in stream(30):
        model.learn_one(x, y)
    before = pickle.dumps(model)
    for _ in range(2):
        model.predict_one({"a": 1.0, "never seen": 2.0})
        model.debug_one({"a": 1.0})
    assert pickle.dumps(model) == before


def test_prediction_before_learning_changes_nothing():
    one, two = sgd(**SMALL), sgd(**SMALL)
    for x, y in stream(40):
        one.predict_one(x)
        one.learn_one(x, y)
        two.learn_one(x, y)
    assert one.predict_one(x) == two.predict_one(x)


def test_new_names_may_come_at_any_time():
    model = sgd(**SMALL, max_features=3)
    for t, (x, y) in enumerate(stream(80)):
        model.learn_one(x | {f"name {t // 10}": 1.0}, y)
        assert np.isfinite(model.predict_one(x))


def test_large_steps_never_make_a_prediction_infinite():
    model = sgd(**SMALL, optimizer=optim.SGD(1e12), clip_gradient=1e12)
    for x, y in stream(100):
        model.learn_one(x, 1e9 * y)
        assert np.isfinite(model.predict_one(x))


SUPPORTED = [
    optim.Adam(0.01),
    optim.SGD(0.01),
    optim.RMSProp(0.01),
    optim.Momentum(0.01),
    optim.NesterovMomentum(0.01),
    optim.AdaGrad(0.01),
    optim.AdaDelta(),
    optim.Nadam(0.01),
]


@pytest.mark.parametrize("optimizer", SUPPORTED, ids=lambda o: type(o).__name__)
def test_optimizers_that_train_arrays_move_the_weights(optimizer):
    model = sgd(**SMALL, optimizer=optimizer)
    for x, y in stream(20):
        model.learn_one(x, y)
    before = model.task_.readout.core.theta.copy()
    model.learn_one(x, 3.0)
    after = model.task_.readout.core.theta
    assert np.isfinite(after).all()
    assert np.abs(after - before).max() > 0.0


@pytest.mark.parametrize("name", ["AdaMax", "AMSGrad", "AdaBound", "FTRLProximal"])
def test_optimizers_for_single_numbers_are_refused_at_once(name):
    with pytest.raises(ValueError, match=f"optimizer={name}"):
        sgd(optimizer=getattr(optim, name)())


BAD = [
    {"window_size": 0},
    {"n_heads": 0},
    {"head_dim": 1.5},
    {"n_kv_heads": 3},
    {"position": "learned"},
    {"readout": "best"},
    {"bptt": 0},
    {"clip_gradient": 0.0},
    {"l2": -1.0},
    {"optimizer": "adam"},
]


@pytest.mark.parametrize("params", BAD, ids=str)
def test_bad_parameters_are_named(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        SlidingWindowAttentionRegressor(**params)


def test_what_was_looked_at_is_shown():
    for readout in ("mixture", "sgd"):
        model = SlidingWindowAttentionRegressor(**SMALL, readout=readout)
        assert model.attention_weights_ is None
        for x, y in stream(12):
            coming = model.look_one(x)
            assert "head 2: " in model.debug_one(x)
            model.learn_one(x, y)
            np.testing.assert_allclose(model.attention_weights_, coming, atol=1e-12)
        assert coming.shape == (2, 4)
        np.testing.assert_allclose(coming.sum(axis=1), 1.0)


def test_the_others_show_it_as_well():
    classifier = SlidingWindowAttentionClassifier(**SMALL)
    transformer = SlidingWindowAttention(**SMALL)
    for x, y in stream(12):
        classifier.learn_one(x, y > 0)
        transformer.learn_one(x, y)
    assert "Attention" in classifier.debug_one(x)
    for model in (classifier, transformer):
        assert model.attention_weights_.shape == (2, 4)


def classes(n, seed=0):
    """The class is told by an input two steps back."""
    X = np.random.default_rng(seed).normal(size=(n, 2))
    for t in range(n):
        past = X[t - 2, 0] if t >= 2 else 0.0
        yield (
            {"a": X[t, 0], "b": X[t, 1]},
            "low" if past < -0.5 else "high" if past > 0.5 else "mid",
        )


def classifier(**more):
    options = {"readout": "sgd", "n_lags": 0, "long_lags": 0, "optimizer": optim.Adam(0.02)}
    return SlidingWindowAttentionClassifier(**SMALL | options | more)


def test_a_trained_classifier_finds_what_lies_two_steps_back():
    wrong = {2: 0, 4: 0}
    for window in wrong:
        model = classifier(window_size=window)
        for t, (x, y) in enumerate(classes(1200)):
            wrong[window] += t >= 900 and model.predict_one(x) != y
            model.learn_one(x, y)
    assert wrong[4] < 45
    assert wrong[2] > 120  # it is out of sight


def test_a_trained_classifier_descends_log_loss():
    """The step of plain gradient descent is the difference quotient of the loss."""
    model = classifier(optimizer=optim.SGD(0.1), clip_gradient=1e9)
    for x, y in classes(12):
        model.learn_one(x, y)
    readout = model.task_.readout
    evidence = model._step(x).evidence
    label = model.classes_.index(y)

    def loss():
        readout._memo = None
        readout.predict(evidence)
        return -np.log(evidence["answers"][label])

    weights = readout._weights()
    slopes = {}
    for name, value in weights.items():
        for at in [(0,) * value.ndim, tuple(np.array(value.shape) // 3)]:
            kept = value[at]
            value[at] = kept + 1e-6
            above = loss()
            value[at] = kept - 1e-6
            slopes[name, at] = (above - loss()) / 2e-6
            value[at] = kept
    old = {name: value.copy() for name, value in weights.items()}
    readout._memo = None
    readout.update(evidence, label, 1.0)
    for (name, at), slope in slopes.items():
        assert old[name][at] - weights[name][at] == pytest.approx(0.1 * slope, abs=1e-8)
    assert max(map(abs, slopes.values())) > 1e-3


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_trained_classifier_passes_the_checks_of_river(every):
    pass_the_checks(classifier, every)


@pytest.mark.parametrize("optimizer", SUPPORTED, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("advance_on", ["learn", "predict"])
@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_trained_models_go_on_from_plain_data_to_the_bit(kind, optimizer, advance_on):
    more = {"optimizer": optimizer, "advance_on": advance_on, "bptt": 3, "n_lags": 1}
    make = classifier if kind == "classifier" else lambda **options: sgd(**SMALL | options)
    model = make(**more)
    rows = list(classes(40) if kind == "classifier" else stream(40))
    waiting = []

    def go_on(model, rows, waiting):
        said = []
        for x, y in rows:
            said.append(model.predict_one(x))
            waiting.append((x, y))
            if len(waiting) > (3 if advance_on == "predict" else 0):
                model.learn_one(*waiting.pop(0))
        return said

    go_on(model, rows[:25], waiting)
    twin, copied = make(**more), pickle.loads(pickle.dumps(model))
    twin.set_state(model.get_state())
    goal = go_on(model, rows[25:], list(waiting))
    assert go_on(twin, rows[25:], list(waiting)) == goal
    assert go_on(copied, rows[25:], list(waiting)) == goal
    assert len(set(goal)) > 1


@pytest.mark.parametrize(
    "optimizer", [None, optim.Adam(0.01), optim.SGD(optim.schedulers.InverseScaling(0.01))], ids=str
)
def test_files_hold_trained_models(optimizer):
    model = classifier(optimizer=optimizer)
    for x, y in classes(20):
        model.learn_one(x, y)
    again = from_bytes(model.to_bytes())
    for each in (model, again):
        each.learn_one(x, "high")
    assert again.predict_proba_one(x) == model.predict_proba_one(x)


def test_a_bad_state_of_a_trained_model_changes_nothing():
    model = classifier()
    for x, y in classes(20):
        model.learn_one(x, y)
    state, before = model.get_state(), model.predict_proba_one(x)
    for name, value in [
        ("readout.theta", np.zeros(3)),
        ("readout.optimizer.m.of", ["else"]),
        ("readout.before.inputs", np.zeros((9, 2))),
    ]:
        with pytest.raises(StateError, match=name):
            model.set_state(state | {name: value})
        assert model.predict_proba_one(x) == before


class Remembers(optim.SGD):
    """Keeps what is no array."""

    def __init__(self, lr=0.01):
        super().__init__(lr)
        self.seen = object()


def test_what_an_optimizer_of_a_user_knows_is_no_plain_data():
    with pytest.raises(StateError, match="optimizer=Remembers: what it keeps as seen"):
        sgd(**SMALL, optimizer=Remembers()).get_state()


@pytest.mark.parametrize("cls", REGRESSORS)
def test_late_labels_train_on_what_was_there_when_x_was_seen(cls):
    model = sgd(cls, **SMALL, bptt=2, advance_on="predict", max_features=2)
    rows = list(stream(40))
    reads = []
    for t, (x, _) in enumerate(rows[:30]):
        evidence = model._step(x).evidence
        reads.append((evidence, model.task_.readout._run(evidence["token"])[0].copy()))
        model.predict_one(x, key=t)
        if t >= 3 and t < 20:
            model.learn_one(rows[t - 3][0], rows[t - 3][1], key=t - 3)
            reads.clear()  # weights moved
    readout = model.task_.readout
    for evidence, read in reads:
        np.testing.assert_array_equal(readout._run(evidence["token"], evidence.before)[0], read)
    assert len(reads) == 10
    assert model.n_pending_ == 13


def test_columns_that_changed_hands_while_a_step_waited_are_not_trained():
    # an optimizer without memory moves only what has a gradient
    model = sgd(**SMALL, advance_on="predict", max_features=2, optimizer=optim.SGD(0.01))
    for t, (x, y) in enumerate(stream(12)):
        model.predict_one(x, key=t)
        model.learn_one(x, y, key=t)
    model.predict_one(x, key="late")
    for t in range(6):
        model.predict_one({"a": 1.0, "c": float(t)}, key=t)  # c takes the column of b
    assert model.n_evicted_ == 1
    before = model.task_.readout.projection.copy()
    model.learn_one(x, 9.0, key="late")
    moved = np.abs(model.task_.readout.projection - before).max(axis=0)
    assert moved[0] > 0.0
    assert moved[1] == 0.0


def test_late_labels_teach_as_well():
    model = sgd(**SMALL, optimizer=optim.Adam(0.02), advance_on="predict")
    errors, labels, waiting = [], [], []
    for t, (x, y) in enumerate(stream(1200, lags=(2, 1))):
        errors.append((model.predict_one(x, key=t) - y) ** 2)
        labels.append(y)
        waiting.append((x, y, t))
        if len(waiting) > 4:
            x, y, key = waiting.pop(0)
            model.learn_one(x, y, key=key)
    assert np.mean(errors[900:]) / np.var(labels) < 0.1


def test_resetting_forgets_the_window_and_keeps_the_weights():
    model = sgd(**SMALL)
    for x, y in stream(40):
        model.learn_one(x, y)
    weights = model.task_.readout.core.theta.copy()
    model.reset_state()
    assert model.look_one(x).shape == (2, 1)
    np.testing.assert_array_equal(model.task_.readout.core.theta, weights)


class Fails(optim.SGD):
    """Changes weights, and then fails, from the tenth step on."""

    def _step_with_dict(self, w, g):
        n_steps = self.n_iterations
        w = super()._step_with_dict(w, g)
        if n_steps >= 10:
            for value in w.values():
                value += 1.0
            raise ArithmeticError("the tenth step")
        return w


def test_an_optimizer_that_fails_leaves_the_weights_as_they_were():
    model = SlidingWindowAttentionRegressor(window_size=4, readout="sgd", optimizer=Fails(0.01))
    for t in range(40):
        before = model.task_.readout.core.theta.copy()
        try:
            model.learn_one({"a": float(t % 3)}, float(t % 5))
        except ArithmeticError:
            break
    else:
        pytest.fail("the optimizer never failed")
    assert t > 9
    np.testing.assert_array_equal(model.task_.readout.core.theta, before)
