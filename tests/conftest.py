"""Every estimator with every setting it is tested with, streams to feed it, ways to look at it."""

from __future__ import annotations

import functools
import io
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from river_attention import AttentionTransformer, RLSRegressor, StreamingAttentionRegressor

settings.register_profile(
    "reproducible",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("reproducible")


def _settings(*classes: type) -> list[Any]:
    return [
        pytest.param(
            functools.partial(cls, **params),
            id="-".join([cls.__name__, *(f"{name}={value}" for name, value in params.items())]),
        )
        for cls in classes
        for params in cls._unit_test_params()
    ]


@pytest.fixture(
    scope="session",
    params=_settings(StreamingAttentionRegressor, AttentionTransformer, RLSRegressor),
)
def make(request):
    """Makes an estimator: every class with every one of its test settings."""
    return request.param


@pytest.fixture(scope="session", params=_settings(StreamingAttentionRegressor, RLSRegressor))
def make_regressor(request):
    """Makes a regressor."""
    return request.param


@pytest.fixture(
    scope="session", params=_settings(StreamingAttentionRegressor, AttentionTransformer)
)
def make_memory(request):
    """Makes an estimator with a recurrent state."""
    return request.param


@pytest.fixture(scope="session", params=_settings(StreamingAttentionRegressor))
def make_attention(request):
    """Makes a regressor with a recurrent state."""
    return request.param


def _stream(n_rows: int = 60, seed: int = 0) -> list[tuple[dict[str, float], float]]:
    rng = np.random.default_rng(seed)
    rows, level = [], 0.0
    for t in range(n_rows):
        a, b, c, noise = rng.normal(size=4).tolist()
        level = 0.9 * level + a
        x = {"a": 10.0 + 3.0 * a, "b": b}
        if t >= 20:
            x["c"] = 0.1 * c
        if 30 <= t < 45:
            del x["b"]
        rows.append((x, 50.0 + level + 2.0 * b + 0.1 * noise))
    return rows


@pytest.fixture(scope="session")
def stream():
    """Makes rows (x, y): "c" appears in row 20, "b" is gone from row 30 to 45."""
    return _stream


def _answer(model: Any, x: dict[Any, Any]) -> list[float]:
    if hasattr(model, "predict_one"):
        return [model.predict_one(x)]
    return list(model.transform_one(x).values())


@pytest.fixture(scope="session")
def answer():
    """The numbers that any kind of model answers for x."""
    return _answer


def _train(model: Any, rows: list[tuple[dict[Any, Any], float]]) -> Any:
    for x, y in rows:
        model.learn_one(x, y)
    return model


@pytest.fixture(scope="session")
def train():
    """Lets a model learn rows one by one, and returns it."""
    return _train


def _fingerprint(model: Any) -> bytes:
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer)
    pickler.fast = True  # no references: equal models with other string objects are equal
    pickler.dump(model)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def fingerprint():
    """The pickle of a model; the same bytes for models that are equal to the last bit."""
    return _fingerprint


@pytest.fixture(scope="session")
def recursions():
    """All recursive least squares of a regressor, by name."""

    def find(model):
        return {"rls": model.rls_} if hasattr(model, "rls_") else model.task_.readout.least_squares

    return find


@pytest.fixture(scope="session")
def learned(recursions):
    """What the readouts of a regressor know: weights, and optionally P, bit by bit."""

    def state(model, covariance=True):
        return {
            name: (rls.weights.tobytes(), rls.covariance.tobytes() if covariance else b"")
            for name, rls in recursions(model).items()
        }

    return state
