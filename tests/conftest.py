"""Every estimator with every setting it is tested with, streams to feed it, ways to look at it."""

from __future__ import annotations

import contextlib
import functools
import gc
import io
import math
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from river import base

import river_attention
from river_attention import backend
from river_attention.readout import fits

for name, max_examples in (("reproducible", 30), ("thorough", 150)):
    # what runs for every estimator and every setting takes a part of these examples each time
    settings.register_profile(
        name,
        derandomize=True,
        deadline=None,
        database=None,
        max_examples=max_examples,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("reproducible")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Thousands of collected tests are no garbage: no collection has to look at them again."""
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def _case(*what: Any) -> Iterator[None]:
    try:
        yield
    except BaseException as error:  # a `pytest.raises` that saw nothing is no Exception
        names = (getattr(each, "__name__", None) or repr(each) for each in what)
        error.add_note(f"in the case {', '.join(names)}")
        raise


@pytest.fixture(scope="session")
def case():
    """Names the case of a loop that failed: tests of a millisecond are loops, not parametrised."""
    return _case


ESTIMATORS = [
    item
    for item in map(vars(river_attention).get, river_attention.__all__)
    if isinstance(item, type) and issubclass(item, base.Estimator)
]
"""Every estimator of the package; a new one joins by being exported."""


def _settings(suits: Callable[[Any], bool] = lambda model: True) -> list[Any]:
    return [
        pytest.param(
            functools.partial(cls, **params),
            id="-".join([cls.__name__, *(f"{name}={value}" for name, value in params.items())]),
        )
        for cls in ESTIMATORS
        for params in cls._unit_test_params()
        if suits(cls(**params))
    ]


@pytest.fixture(autouse=True)
def small_fits(request, monkeypatch):
    """Ensembles of a few trees: contracts do not ask how good they are, and every test has some."""
    if request.node.get_closest_marker("whole_fits") is None:
        monkeypatch.setitem(fits.SETTINGS, "max_iter", 5)
        monkeypatch.setattr(fits, "N_TREES_OF_CLASSES", 3)


@pytest.fixture(scope="session", params=ESTIMATORS)
def estimator(request):
    """The class of an estimator."""
    return request.param


def _remembers(model: Any) -> bool:
    states = [getattr(model, name, None) for name in ("state_", "bank_state_")]
    return any(state is not None for state in states)


@pytest.fixture(scope="session", params=_settings())
def make(request):
    """Makes an estimator: every class with every one of its test settings."""
    return request.param


@pytest.fixture(scope="session", params=_settings(lambda model: hasattr(model, "learn_many")))
def make_for_blocks(request):
    """Makes an estimator that learns blocks of rows."""
    return request.param


@pytest.fixture(scope="session", params=_settings(lambda model: isinstance(model, base.Regressor)))
def make_regressor(request):
    """Makes a regressor."""
    return request.param


@pytest.fixture(scope="session", params=_settings(lambda model: hasattr(model, "predict_many")))
def make_weighted(request):
    """Makes an estimator that learns rows with weights and predicts blocks of them."""
    return request.param


@pytest.fixture(scope="session", params=_settings(lambda model: hasattr(model, "advance_one")))
def make_labelled(request):
    """Makes an estimator whose labels may come late or never."""
    return request.param


@pytest.fixture(scope="session", params=_settings(_remembers))
def make_memory(request):
    """Makes an estimator with a recurrent state."""
    return request.param


@pytest.fixture(scope="session", params=_settings(lambda model: hasattr(model, "rollout")))
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
    if hasattr(model, "forecast"):
        return model.forecast(2, [x, x])
    if hasattr(model, "predict_proba_one"):
        return list(model.predict_proba_one(x).values())
    if isinstance(model, base.MultiTargetRegressor):
        return list(model.predict_one(x).values())
    if hasattr(model, "predict_one"):
        return [model.predict_one(x)]
    return list(model.transform_one(x).values())


@pytest.fixture(scope="session")
def answer():
    """The numbers that any kind of model answers for x."""
    return _answer


def _label(model: Any, y: Any) -> Any:
    if isinstance(model, base.Classifier):
        return f"class {math.floor(y) % 3}"
    if isinstance(model, base.MultiTargetRegressor):
        return {"p": y} if math.floor(y) % 5 == 2 else {"p": y, "q": -0.5 * float(y)}
    return y


@pytest.fixture(scope="session")
def label():
    """The label that any kind of model learns where a regressor would learn y."""
    return _label


def _learn(model: Any, x: dict[Any, Any], y: Any, w: float | None = None) -> None:
    if hasattr(model, "forecast"):
        model.learn_one(y, x)
    elif w is None or not hasattr(model, "predict_one"):
        model.learn_one(x, _label(model, y))
    else:
        model.learn_one(x, _label(model, y), w)


@pytest.fixture(scope="session")
def learn():
    """Lets any kind of model learn a row, with a weight if it takes any."""
    return _learn


def _train(model: Any, rows: list[tuple[dict[Any, Any], float]]) -> Any:
    for x, y in rows:
        _learn(model, x, y)
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


@pytest.fixture
def numpy_only(monkeypatch):
    """Models made in this test run on NumPy: for tests that look over the shoulder of its code."""
    monkeypatch.setattr(backend, "_core", None)


NURSERY = """
import os
import sys

import river_attention.keyed

for _ in sys.stdin:
    child = os.fork()
    if not child:
        exec(sys.argv[1], {"path": sys.argv[2]})
    print(child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""


@pytest.fixture
def killed():
    """Run a script, which has its ``path``, and kill it shortly after it printed a line, n times.

    Yields the path after every kill. One process imports the package and forks all the others,
    since an import takes longer than all the rest.
    """
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")

    def run(script, path, n):
        rng = np.random.default_rng(0)
        command = [sys.executable, "-c", NURSERY, script, str(path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        with subprocess.Popen(command, **pipes) as nursery:
            for _ in range(n):
                print(file=nursery.stdin)
                # the process id and the first empty line come in any order
                first = sorted(nursery.stdout.readline().strip() for _ in range(2))
                while not first[-1]:
                    first.append(nursery.stdout.readline().strip())
                time.sleep(float(rng.uniform(0.0, 0.05)))
                os.kill(int(first[-1]), signal.SIGKILL)
                while nursery.stdout.readline().strip() != "gone":
                    pass
                yield path
            nursery.stdin.close()

    return run
