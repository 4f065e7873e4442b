"""Predictions of every estimator on streams that river ships, to tell whether a change moves them.

    python tests/reference/make_predictions.py      # writes predictions.npz beside this file

Run it only where predictions are meant to change, and say so in the changelog.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from river import datasets, drift

from river_attention import (
    AttentionTransformer,
    LatentAttentionRegressor,
    LSTMAttentionRegressor,
    RLSRegressor,
    SlidingWindowAttention,
    SlidingWindowAttentionClassifier,
    SlidingWindowAttentionRegressor,
    SpikeEncoder,
    SpikingAttentionClassifier,
    SpikingAttentionRegressor,
    SpikingAttentionTransformer,
    StreamingAttentionClassifier,
    StreamingAttentionForecaster,
    StreamingAttentionMultiRegressor,
    StreamingAttentionRegressor,
)
from river_attention._baselines import FAST_SETTINGS

FILE = Path(__file__).with_name("predictions.npz")
N_ROWS = 300

Rows = list[tuple[dict[Any, Any], Any]]


def arithmetic() -> np.ndarray:
    """Results whose last bits differ between processors and their libraries."""
    from scipy.linalg.blas import ddot, dsymv, dsyr

    rng = np.random.default_rng(0)
    found = []
    for n in (3, 17, 61, 103):
        a, x = np.asfortranarray(rng.normal(size=(n, n))), rng.normal(size=n)
        tall = rng.normal(size=(10 * n, n))
        found += [ddot(x, x), x.dot(x), x.sum(), np.exp(x).sum(), tall.mean()]
        found += [*dsymv(1.0, a, x, lower=1), *dsyr(0.3, x, lower=1, a=a).ravel(), *tall.dot(x)]
        found += [*(tall.T @ tall).ravel()]
    return np.array(found)


def stream(name: str, n_rows: int) -> Rows:
    """The first rows of a stream; ``gaps`` is one with missing, late and vanishing features."""
    if name != "gaps":
        return [(dict(x), y) for x, y in itertools.islice(getattr(datasets, name)(), n_rows)]
    rng, rows, level = np.random.default_rng(0), [], 0.0
    for t in range(n_rows):
        a, b, c = rng.normal(size=3).tolist()
        level = 0.9 * level + a
        x: dict[Any, Any] = {"a": 5.0 + a, "when": dt.datetime(2024, 1, 1) + dt.timedelta(hours=t)}
        if t % 7:
            x["b"] = b if t % 5 else None
        if t >= 40:
            x[("c", 1)] = c
        rows.append((x, level + 2.0 * b))
    return rows


def regress(rows: Rows, kind: Any = StreamingAttentionRegressor, **params: Any) -> Iterator[float]:
    """Means and deviations, test then train."""
    model = kind(**params)
    for t, (x, y) in enumerate(rows):
        answer = model.predict_one(x, with_dist=True)
        yield from (answer.mu, answer.sigma)
        model.learn_one(x, y, w=0.0 if t % 50 == 49 else 1.0)
        if t % 60 == 59:
            model.advance_one(x)
        if t == 200:
            model.reset_state()


def regress_late(rows: Rows, delay: int, **params: Any) -> Iterator[float]:
    """The same with labels that come ``delay`` rows late, every second one by its key."""
    model, waiting = StreamingAttentionRegressor(advance_on="predict", **params), deque()
    for t, (x, y) in enumerate(rows):
        key = t if t % 2 else None
        yield model.predict_one(x, key=key)
        waiting.append((x, y, key))
        if len(waiting) > delay:
            x, y, key = waiting.popleft()
            model.learn_one(x, y, key=key)
        if t % 90 == 89:
            model.learn_one({"unheard of": 1.0}, y)


def regress_several(rows: Rows, **params: Any) -> Iterator[float]:
    """Predictions of a target, its change and one that comes now and then, test then train."""
    model, last = StreamingAttentionMultiRegressor(**params), 0.0
    for t, (x, y) in enumerate(rows):
        yield from model.predict_one(x).values()
        targets = {"y": y, "change": y - last}
        if t >= 30 and t % 3:
            targets["rare"] = y + last
        model.learn_one(x, targets)
        last = y


def classify(
    rows: Rows, kind: Any = StreamingAttentionClassifier, delay: int = 0, **params: Any
) -> Iterator[float]:
    """Probabilities of the classes seen so far, test then train."""
    model, waiting = kind(**params), deque()
    for x, y in rows:
        yield from model.predict_proba_one(x).values()
        waiting.append((x, y))
        if len(waiting) > delay:
            model.learn_one(*waiting.popleft())


def forecast(rows: Rows, **params: Any) -> Iterator[float]:
    """Means and deviations for as many steps as the model scores, now and then."""
    model = StreamingAttentionForecaster(**params)
    for t, (x, y) in enumerate(rows):
        model.learn_one(y, x)
        if t % 10 == 9:
            for answer in model.forecast(model.horizon, with_dist=True):
                yield from (answer.mu, answer.sigma)


def transform(rows: Rows, kind: Any = AttentionTransformer, **params: Any) -> Iterator[float]:
    """The features before every row."""
    model = kind(**params)
    for x, y in rows:
        yield from model.transform_one(x).values()
        model.learn_one(x, y)


def least_squares(rows: Rows, **params: Any) -> Iterator[float]:
    """Predictions of the readout alone."""
    model = RLSRegressor(**params)
    for x, y in rows:
        x = {name: value for name, value in x.items() if not isinstance(value, dt.date)}
        yield model.predict_one(x)
        model.learn_one(x, y)


REGRESSION = ("TrumpApproval", "WaterFlow", "AirlinePassengers", "gaps")
CLASSES = ("Phishing", "ImageSegments", "Bananas")
REGRESSORS: dict[str, dict[str, Any]] = {
    "mixture": {},
    "rls": {"readout": "rls"},
    "fast": FAST_SETTINGS,
    "small": {
        "mode": None,
        "memory": 3,
        "window": 30,
        "n_lags": 2,
        "prior": "mean",
        "long_lags": 4,
    },
    "several": {"mode": "rwkv7", "forgetting_factor": (0.99, 1.0), "delta": 0.5, "huber": False},
    "alarmed": {"mode": "log_linear", "window": 0, "drift_detector": drift.PageHinkley(5)},
}
LATE: dict[str, dict[str, Any]] = {
    "mixture": {"delay": 7},
    "rls": {"delay": 1, "readout": "rls"},
}
SEVERAL: dict[str, dict[str, Any]] = {
    "default": {},
    "rls": {"readout": "rls", "mode": "gla", "n_lags": 2},
}
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "default": {},
    "one": {"mode": "hawk", "forgetting_factor": 0.99, "delta": 0.5, "n_lags": 2},
    "late": {"advance_on": "predict", "delay": 4},
}
FORECASTERS: dict[str, dict[str, Any]] = {
    "mixture": {"horizon": 6},
    "rls": {"readout": "rls", "season": 12, "horizon": 3, "window": 40},
    "far": {"mode": "retnet", "memory": 2, "horizon": 30, "window": 0, "long_lags": 0},
}
TRANSFORMERS: dict[str, dict[str, Any]] = {"default": {}, "mlstm": {"mode": "mlstm", "memory": 0}}
LEAST_SQUARES: dict[str, dict[str, Any]] = {
    "default": {},
    "robust": {"forgetting_factor": 0.99, "leak": 8, "huber": True},
}

OTHER_REGRESSORS: dict[str, dict[str, Any]] = {
    "window": {"kind": SlidingWindowAttentionRegressor, "window_size": 6},
    "trained window": {
        "kind": SlidingWindowAttentionRegressor,
        "window_size": 4,
        "readout": "sgd",
    },
    "lstm": {"kind": LSTMAttentionRegressor, "window_size": 4, "lstm_hidden": 6},
    "latent": {"kind": LatentAttentionRegressor, "window_size": 6, "readout": "rls"},
    "spiking": {"kind": SpikingAttentionRegressor, "target_rate": 0.1},
}
OTHER_CLASSIFIERS: dict[str, dict[str, Any]] = {
    "window": {"kind": SlidingWindowAttentionClassifier, "window_size": 6},
    "spiking": {"kind": SpikingAttentionClassifier, "window": 50},
}
OTHER_TRANSFORMERS: dict[str, dict[str, Any]] = {
    "window": {"kind": SlidingWindowAttention, "window_size": 6, "head_dim": 2},
    "spiking": {"kind": SpikingAttentionTransformer, "n_neurons": 4},
    "spikes": {"kind": SpikeEncoder, "n_steps": 2},
}

Case = Callable[[int], np.ndarray]


def _case(predictions: Callable[..., Iterator[float]], name: str, params: dict[str, Any]) -> Case:
    return lambda n_rows: np.fromiter(predictions(stream(name, n_rows), **params), np.float64)


CASES: dict[str, Case] = {
    f"{run.__name__} {label} {name}": _case(run, name, params)
    for run, settings, names in (
        (regress, REGRESSORS, REGRESSION),
        (regress_late, LATE, REGRESSION),
        (regress_several, SEVERAL, REGRESSION),
        (classify, CLASSIFIERS, CLASSES),
        (forecast, FORECASTERS, REGRESSION[:3]),
        (transform, TRANSFORMERS, REGRESSION),
        (least_squares, LEAST_SQUARES, REGRESSION),
        (regress, OTHER_REGRESSORS, ("TrumpApproval", "gaps")),
        (classify, OTHER_CLASSIFIERS, ("Phishing",)),
        (transform, OTHER_TRANSFORMERS, ("gaps",)),
    )
    for label, params in settings.items()
    for name in names
}


def sample(predictions: np.ndarray) -> np.ndarray:
    """A hundred of them, the last among them; of means and deviations in turn, some of both."""
    return predictions[:: -(math.ceil(len(predictions) / 100) | 1)]


if __name__ == "__main__":
    kept = {name: sample(case(N_ROWS)) for name, case in CASES.items()}
    np.savez_compressed(FILE, arithmetic=arithmetic(), **kept)
