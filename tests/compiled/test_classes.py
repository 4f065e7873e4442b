"""The compiled core with classes says what NumPy says, and leaves the same state behind."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pandas as pd
import pytest
from alike import assert_alike, on_numpy, pair, stream
from river import drift

from river_attention import (
    AttentionTransformer,
    StreamingAttentionClassifier,
    backend,
)
from river_attention.core import Classification

pytestmark = pytest.mark.skipif(backend._core is None, reason="the compiled core does not run")

CLASSES = {
    "default": {},
    "a short window that fills up": {"window": 20},
    "few long lags": {"long_lags": 3, "window": 100},
    "no lags": {"n_lags": 0, "window": 100},
    "no heads": {"mode": None, "window": 100},
    "no bank": {"memory": 0, "window": 100},
    "no memory but retrieval": {"mode": None, "memory": 0, "window": 50, "n_lags": 1},
    "no retrieval": {"window": 0, "long_lags": 0, "forgetting_factor": 0.99},
    "least": {
        **{"mode": None, "memory": 0, "window": 0, "n_lags": 0, "long_lags": 0},
        **{"forgetting_factor": 1.0, "delta": 0.5},
    },
    "categories": {"categorical": ("d",), "window": 50},
}


def classes(n, n_classes, seed=0):
    """A stream of labels that depend on the target; more of them from the hundredth step on."""
    for t, (x, y) in enumerate(stream(n, seed)):
        if "d" in x:
            x["d"] = round(x["d"])
        yield x, f"class {int(abs(y)) % n_classes}" if t >= 100 and n_classes > 2 else y > 0.0


def largest_difference_of_classes(compiled, reference, rows, learn_weights=(1.0,)):
    """Between probabilities."""
    worst = 0.0
    for t, (x, label) in enumerate(rows):
        ours, theirs = compiled.predict_proba_one(x), reference.predict_proba_one(x)
        assert list(ours) == list(theirs)
        worst = max([worst, *(abs(ours[name] - p) for name, p in theirs.items())])
        w = learn_weights[t % len(learn_weights)]
        compiled.learn_one(x, label, w)
        reference.learn_one(x, label, w)
    assert compiled._twin.is_holding
    return worst


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("parameters", CLASSES.values(), ids=CLASSES)
def test_classes_agree(parameters, n_classes):
    compiled, reference = pair(StreamingAttentionClassifier, **parameters)
    rows = classes(300, n_classes)
    weights = (1.0, 0.5, 0.0, 2.5)
    assert largest_difference_of_classes(compiled, reference, rows, weights) < 1e-11
    assert_alike(compiled, reference, 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("n_classes", [2, 5])
def test_ten_thousand_labels_agree(n_classes):
    compiled, reference = pair(StreamingAttentionClassifier)
    rows = classes(10_000, n_classes)
    assert largest_difference_of_classes(compiled, reference, rows) < 1e-9


def test_what_happens_to_classes_in_between_agrees():
    compiled, reference = pair(StreamingAttentionClassifier, window=50)
    for model in (compiled, reference):
        for t, (x, label) in enumerate(classes(300, 5)):
            if t == 100:
                model.reset_state()
            if t > 150:
                x |= {"e": float(t % 7)}
            if t % 5 == 0:
                model.advance_one(x)
            model.learn_one(x, "new" if t in (180, 190) else label)
    x = next(iter(stream(1, seed=3)))[0]
    assert compiled.predict_proba_one(x) == pytest.approx(reference.predict_proba_one(x), rel=1e-9)
    assert compiled._twin.is_holding
    assert_alike(compiled, reference, 1e-9)


def test_features_beyond_the_budget_leave_alike():
    compiled, reference = pair(StreamingAttentionClassifier, max_features=5, window=50)
    for model in (compiled, reference):
        for t, (x, label) in enumerate(classes(200, 5)):
            model.learn_one({**x, f"new {t // 20}": 1.0} if t % 3 else x, label)
    assert compiled.n_evicted_ == reference.n_evicted_ > 5
    assert_alike(compiled, reference, 1e-9)


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("delay", [0, 3])
def test_late_labels_of_classes_agree(n_classes, delay):
    compiled, reference = pair(StreamingAttentionClassifier, advance_on="predict", window=50)
    waiting = []
    for t, (x, label) in enumerate(classes(300, n_classes)):
        ours, theirs = compiled.predict_proba_one(x, key=t), reference.predict_proba_one(x, key=t)
        assert list(ours) == list(theirs)
        assert ours == pytest.approx(theirs, abs=1e-10)
        waiting.append((t, x, label))
        if len(waiting) > delay:
            seen, x, label = waiting.pop(0)
            for model in (compiled, reference):
                model.learn_one(x, label, (1.0, 0.5, 0.0, 2.5)[t % 4], key=seen)
    assert compiled.n_unmatched_ == 0
    assert compiled._twin.is_holding
    assert_alike(compiled, reference, 1e-9)


def test_whatever_happens_to_late_labels_of_classes_agrees():
    # new classes and inputs while steps wait, names that leave, labels nobody waits for, and rest
    models = pair(
        StreamingAttentionClassifier,
        advance_on="predict",
        window=50,
        max_features=6,
        drift_detector=drift.PageHinkley(min_instances=10, threshold=5.0),
    )
    for model in models:
        waiting = []
        for t, (x, label) in enumerate(classes(400, 5)):
            if t % 40 > 30:
                x |= {f"new {t // 40}": float(t % 7)}
            if t % 50 == 40:
                label = f"late {t // 50}"
            model.predict_one(x)
            model.predict_proba_many(pd.DataFrame([x]))
            if t % 9:
                waiting.append((x, label))
            if t == 250:
                model.reset_state()
            if t % 60 == 20:
                model.learn_one({**x, "d": 77.5}, label)
            if len(waiting) > 4:
                model.learn_one(*waiting.pop(0))
    compiled, reference = models
    assert compiled.n_unmatched_ == reference.n_unmatched_ > 6
    assert compiled.n_pending_ == reference.n_pending_ > 20
    assert compiled.n_drifts_ == reference.n_drifts_ > 0
    assert compiled.n_evicted_ == reference.n_evicted_ > 0
    x = next(iter(classes(1, 5, seed=3)))[0]
    for ours, theirs in zip(*(probabilities_now(model, x) for model in models), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9)
    assert compiled._twin.is_holding
    for model in models:  # no part of a file
        model._whole().detector = None
    assert_alike(compiled, reference, 1e-9)


def probabilities_now(model, x):
    """Of one row, which is no step, and of one that is."""
    frame = model.predict_proba_many(pd.DataFrame([x]))
    return [frame.iloc[0].to_dict(), model.predict_proba_one(x)]


def test_late_labels_of_classes_stay_in_c():
    model = StreamingAttentionClassifier(advance_on="predict", window=50)
    rows = list(classes(200, 2))
    for x, label in rows[:50]:
        model.predict_one(x)
        model.learn_one(x, label)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Classification, "propose", None)
        patch.setattr(Classification, "train", None)
        for t, (x, label) in enumerate(rows[50:]):
            if t % 9:
                model.predict_one(x)
            model.learn_one(x, label)
    assert model.n_unmatched_ > 10


def test_a_pickled_classifier_continues_on_the_other():
    compiled, reference = pair(StreamingAttentionClassifier, window=50)
    rows = list(classes(250, 5))
    for x, label in rows[:200]:
        compiled.learn_one(x, label)
        reference.learn_one(x, label)
    from_numpy = pickle.loads(pickle.dumps(reference))
    from_compiled = on_numpy(lambda: pickle.loads(pickle.dumps(compiled)))
    assert largest_difference_of_classes(from_numpy, from_compiled, rows[200:]) < 1e-11


@pytest.mark.parametrize(
    "detector",
    [
        drift.PageHinkley(min_instances=10, threshold=5.0),
        drift.binary.DDM(warning_threshold=0.5, drift_threshold=1.0),
    ],
    ids=["of numbers", "of right and wrong"],
)
def test_a_drift_detector_is_told_the_same_wrong_classes(detector):
    compiled, reference = pair(StreamingAttentionClassifier, drift_detector=detector, window=50)
    rows = [
        (x, label if t < 250 else "other" if label else "same")
        for t, (x, label) in enumerate(classes(500, 2))
    ]
    assert largest_difference_of_classes(compiled, reference, rows) < 1e-11
    assert compiled.n_drifts_ == reference.n_drifts_ > 0


@pytest.mark.parametrize("window", [0, 50])
def test_the_classes_of_the_transformer_agree(window):
    compiled, reference = pair(AttentionTransformer, window=window)
    for t, (x, label) in enumerate(classes(250, 5)):
        ours, theirs = compiled.transform_one(x), reference.transform_one(x)
        assert list(ours) == list(theirs)
        np.testing.assert_allclose(list(ours.values()), list(theirs.values()), atol=1e-11)
        compiled.learn_one(x, str(label) if t % 9 else None)
        reference.learn_one(x, str(label) if t % 9 else None)
    assert_alike(compiled, reference, 1e-9)


def test_a_variance_that_rounding_made_negative_does_not_become_nan():
    # the leak takes a root of it
    model = StreamingAttentionClassifier(forgetting_factor=0.5, delta=1e6, window=30)
    rng = np.random.default_rng(1)
    for t, (x, y) in enumerate(stream(700)):
        if t % 50 == 1:
            x = {name: None if value is None else 1e6 * value for name, value in x.items()}
        model.learn_one(x, bool(rng.integers(2)) if t % 2 else y > 0.0, (1.0, 0.0, 3.0, 1e7)[t % 4])
        assert not any(math.isnan(p) for p in model.predict_proba_one(x).values())
    assert model._twin.is_holding
    arrays = [value for value in model.get_state().values() if isinstance(value, np.ndarray)]
    assert all(np.isfinite(array).all() for array in arrays)
