"""What one step costs, as a multiple of river's linear regression, bare and behind a scaler.

A step is `predict_one` and `learn_one`. The models take turns in short rounds on the same rows, and
each is compared with the references of the same round: on a machine whose speed varies the ratios
hold still where the times do not. Everything runs on one core, and CPU time is what counts. Rows
that end in "NumPy" run without the compiled core, the others with it, if it was built.

With `--blocks` rows come as one NumPy array to `predict_learn_many`, beside the loop over its rows
as dicts, in turns; then two threads learn a block each, on models of their own, beside one thread
that learns a single block. Threads are timed by the clock, for which the machine must have two
cores to itself now and then: the best round counts, of rates as well as of ratios.

Every attention mode runs with 4 heads of d_key 4 and d_value 4, six lags and one RLS, without
memory bank and retrieval; the fast settings are "gla" without lags.

    python benchmarks/throughput.py [--rounds 12] [--steps 500] [--features 10] [--profile]
                                    [--blocks] [--json FILE]
"""

from __future__ import annotations

import argparse
import concurrent.futures
import cProfile
import functools
import gc
import itertools
import json
import math
import os
import pstats
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from river import (
    base,
    compose,
    forest,
    linear_model,
    neighbors,
    preprocessing,
    time_series,
    tree,
)

from river_attention import (
    AttentionTransformer,
    RLSRegressor,
    StreamingAttentionClassifier,
    StreamingAttentionForecaster,
    StreamingAttentionMultiRegressor,
    StreamingAttentionRegressor,
    backend,
)
from river_attention._baselines import FAST_SETTINGS
from river_attention._progress import ProgressBar
from river_attention.modes import NAMED, DeltaProduct

HEADS_ONLY: dict[str, Any] = {"memory": 0, "window": 0, "long_lags": 0, "readout": "rls"}

REFERENCE = "river StandardScaler | LinearRegression"
BARE = "river LinearRegression"

CLASSES = "river StandardScaler | LogisticRegression"

Model = Any
Rows = list[tuple[dict[Any, Any], float]]


class SeveralTargets:
    """A model of several targets: the one of a row, and random walks beside it."""

    def __init__(self, n_targets: int) -> None:
        self.model = StreamingAttentionMultiRegressor()
        walks = np.random.default_rng(0).standard_normal((1000, n_targets - 1)).cumsum(axis=0)
        names = [f"walk {j}" for j in range(n_targets - 1)]
        beside = [dict(zip(names, row, strict=True)) for row in walks.tolist()]
        self._beside = itertools.cycle(beside)

    def step_through(self, rows: Rows) -> None:
        """Predict and learn each row in turn."""
        for x, y in rows:
            self.model.predict_one(x)
            self.model.learn_one(x, {"y": y, **next(self._beside)})


class LateLabels:
    """A model whose labels come five rows late."""

    def __init__(self) -> None:
        self.model = StreamingAttentionRegressor(advance_on="predict")
        self._waiting: deque[tuple[dict[Any, Any], float]] = deque()

    def step_through(self, rows: Rows) -> None:
        """Predict each row, and learn the one of five rows before."""
        for x, y in rows:
            self.model.predict_one(x)
            self._waiting.append((x, y))
            if len(self._waiting) > 5:
                self.model.learn_one(*self._waiting.popleft())


def our_models() -> dict[str, Model]:
    """Return our own models by name."""
    return {
        "StreamingAttentionRegressor()": StreamingAttentionRegressor(),
        "fast settings": StreamingAttentionRegressor(**FAST_SETTINGS),
        "RLSRegressor()": RLSRegressor(),
        'StreamingAttentionRegressor(readout="rls")': StreamingAttentionRegressor(readout="rls"),
        "StreamingAttentionRegressor(window=0)": StreamingAttentionRegressor(window=0),
        "StreamingAttentionRegressor(), labels five rows late": LateLabels(),
        "StreamingAttentionClassifier()": StreamingAttentionClassifier(),
        **{f"StreamingAttentionMultiRegressor(), {m} targets": SeveralTargets(m) for m in (2, 10)},
        "StreamingAttentionForecaster(), learning": StreamingAttentionForecaster(),
        "AttentionTransformer()": AttentionTransformer(),
        **{name: StreamingAttentionRegressor(mode=name, **HEADS_ONLY) for name in NAMED},
        "delta_product, n = 4": StreamingAttentionRegressor(
            mode=DeltaProduct(n_compositions=4), **HEADS_ONLY
        ),
        "no heads": StreamingAttentionRegressor(mode=None, **HEADS_ONLY),
    }


def build_models() -> dict[str, Model]:
    """Return the timed models by name, the references first."""
    models = {
        REFERENCE: preprocessing.StandardScaler() | linear_model.LinearRegression(),
        BARE: linear_model.LinearRegression(),
        CLASSES: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
        "river SNARIMAX(6, 1, 0)": time_series.SNARIMAX(p=6, d=1, q=0),
        "river KNNRegressor()": neighbors.KNNRegressor(),
        "river HoeffdingTreeRegressor()": tree.HoeffdingTreeRegressor(),
        "river ARFRegressor()": forest.ARFRegressor(seed=0),
        **our_models(),
    }
    if backend.is_compiled():
        with mock.patch("river_attention.backend._core", None):
            models |= {f"{name}, NumPy": model for name, model in our_models().items()}
    return models


def random_rows(rng: np.random.Generator, n_rows: int, n_features: int) -> Rows:
    """Return `n_rows` rows of normal features and a noisy linear target, as Python floats."""
    X = rng.standard_normal((n_rows, n_features))
    y = X.sum(axis=1) + rng.standard_normal(n_rows)
    names = [f"x{i}" for i in range(n_features)]
    return [
        (dict(zip(names, row, strict=True)), target)
        for row, target in zip(X.tolist(), y.tolist(), strict=True)
    ]


def step_through(model: Model, rows: Rows) -> None:
    """Predict and learn each row in turn; a forecaster of ours only learns."""
    if isinstance(model, (SeveralTargets, LateLabels)):
        model.step_through(rows)
    elif isinstance(model, AttentionTransformer):
        for x, y in rows:
            model.transform_one(x)
            model.learn_one(x, y)
    elif isinstance(model, StreamingAttentionForecaster):
        for x, y in rows:
            model.learn_one(y, x)
    elif isinstance(model, time_series.SNARIMAX):
        for x, y in rows:
            model.forecast(1, xs=[x])
            model.learn_one(y, x)
    else:
        last = list(model.steps.values())[-1] if isinstance(model, compose.Pipeline) else model
        is_classifier = isinstance(last, base.Classifier)
        predict = model.predict_proba_one if is_classifier else model.predict_one
        learn = model.learn_one
        for x, y in [(x, y > 0.0) for x, y in rows] if is_classifier else rows:
            predict(x)
            learn(x, y)


def measure(rounds: int, steps: int, n_features: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the seconds per step of each model in each round."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rng = np.random.default_rng(seed)
    models = build_models()
    seconds = {name: np.empty(rounds) for name in models}
    with ProgressBar(total=(rounds + 1) * len(models)) as bar:
        bar.label("warm-up")
        for model in models.values():
            # forecasts are scored at every one of the first thousand steps
            n = 1000 * isinstance(model, StreamingAttentionForecaster) + steps
            step_through(model, random_rows(rng, n, n_features))
            bar.advance()
        bar.label(f"{rounds} rounds of {steps} steps")
        for i in range(rounds):
            rows = random_rows(rng, steps, n_features)
            # A changing order, so that no model always runs in the wake of the same other.
            for name in rng.permutation(list(models)):
                gc.collect()
                gc.disable()
                start = time.process_time()
                step_through(models[name], rows)
                seconds[name][i] = (time.process_time() - start) / steps
                gc.enable()
                bar.advance()
    return seconds


def table(seconds: dict[str, np.ndarray]) -> str:
    """Return medians, and quartiles of the first ratio, as a Markdown table."""
    lines = [
        f"| model | µs per step | multiple of {REFERENCE.replace('|', chr(92) + '|')} | quartiles "
        f"| multiple of {BARE} | multiple of gla |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, times in seconds.items():
        low, middle, high = np.percentile(times / seconds[REFERENCE], [25, 50, 75])
        label = name.replace("|", "\\|")
        lines.append(
            f"| {label} | {1e6 * np.median(times):.1f} | {middle:.2f} | {low:.2f}–{high:.2f} "
            f"| {ratio(seconds, name, BARE):.2f} | {ratio(seconds, name, 'gla'):.2f} |"
        )
    return "\n".join(lines)


def ratio(seconds: dict[str, np.ndarray], name: str, other: str) -> float:
    """Median over the rounds of what one model costs as a multiple of another."""
    return float(np.median(seconds[name] / seconds[other]))


def block_models() -> dict[str, Any]:
    """Return what makes the models that learn blocks, by name."""
    return {
        "fast settings": lambda: StreamingAttentionRegressor(**FAST_SETTINGS),
        "StreamingAttentionRegressor()": StreamingAttentionRegressor,
        "RLSRegressor()": RLSRegressor,
        "StreamingAttentionClassifier()": StreamingAttentionClassifier,
    }


class Threads:
    """Threads that stand by, so that starting them is not what is timed."""

    def __init__(self, n: int) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(n)
        list(self._pool.map(time.sleep, [0.01] * n))

    def seconds(self, calls: Sequence[Callable[[], Any]]) -> float:
        """Return how long calls take that run at the same time, by the clock."""
        start = time.perf_counter()
        for future in [self._pool.submit(call) for call in calls]:
            future.result()
        return time.perf_counter() - start


def measure_blocks(rounds: int, n_rows: int, n_features: int) -> dict[str, dict[str, float]]:
    """Return rows per second of loop and block, and what a second thread gains, by model."""
    rng = np.random.default_rng(0)
    found: dict[str, dict[str, float]] = {}
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    threads = Threads(2)
    names = [f"x{i}" for i in range(n_features)]
    with ProgressBar(total=rounds * len(block_models())) as bar:
        for name, make in block_models().items():
            bar.label(name)
            models = [make() for _ in range(3)]
            # what takes a second and more need not be as long for the clock to see it
            n = n_rows if name in ("fast settings", "RLSRegressor()") else n_rows // 10
            X = rng.standard_normal((n, n_features))
            y: Any = X.sum(axis=1) + rng.standard_normal(n)
            if isinstance(models[0], base.Classifier):
                y = y > 0.0
            few = max(n // 20, 1)
            rows = [dict(zip(names, row, strict=True)) for row in X[:few].tolist()]
            pairs = list(zip(rows, y[:few].tolist(), strict=True))
            for model in models:
                model.learn_many(X[:1000], y[:1000], names=names)
            best = dict.fromkeys(("loop", "block", "one thread", "two threads"), math.inf)
            for _ in range(rounds):
                if cores:
                    os.sched_setaffinity(0, cores[:1])
                gc.collect()
                gc.disable()
                start = time.process_time()
                for x, label in pairs:
                    models[0].predict_one(x)
                    models[0].learn_one(x, label)
                middle = time.process_time()
                models[0].predict_learn_many(X, y, names=names)
                end = time.process_time()
                if cores:
                    os.sched_setaffinity(0, cores)
                calls = [
                    functools.partial(model.predict_learn_many, X, y, names=names)
                    for model in models[1:]
                ]
                alone = threads.seconds(calls[:1])
                together = threads.seconds(calls)
                gc.enable()
                now = ((middle - start) / few, (end - middle) / n, alone / n, together / (2 * n))
                best = {what: min(best[what], s) for what, s in zip(best, now, strict=True)}
                bar.advance()
            found[name] = {
                "rows per second, loop": round(1.0 / best["loop"]),
                "rows per second, block": round(1.0 / best["block"]),
                "block, times the loop": round(best["loop"] / best["block"], 2),
                "two threads, times one": round(best["one thread"] / best["two threads"], 2),
            }
    return found


def block_table(found: dict[str, dict[str, float]]) -> str:
    """Return the rates of blocks as a Markdown table."""
    columns = list(next(iter(found.values())))
    lines = [
        "| model | " + " | ".join(columns) + " |",
        "| --- |" + " ---: |" * len(columns),
        *(
            f"| {name} | " + " | ".join(f"{value:,}" for value in row.values()) + " |"
            for name, row in found.items()
        ),
    ]
    return "\n".join(lines)


def profile(steps: int, n_features: int) -> None:
    """Print where the default model spends its time, the most expensive functions first."""
    rng = np.random.default_rng(0)
    model = StreamingAttentionRegressor()
    step_through(model, random_rows(rng, 500, n_features))
    rows = random_rows(rng, steps, n_features)
    profiler = cProfile.Profile()
    profiler.runcall(step_through, model, rows)
    pstats.Stats(profiler, stream=sys.stdout).strip_dirs().sort_stats("tottime").print_stats(20)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with command-line arguments `argv`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=12, help="turns of each model")
    parser.add_argument("--steps", type=int, default=500, help="steps in a turn")
    parser.add_argument("--features", type=int, default=10, help="features in a row")
    parser.add_argument("--profile", action="store_true", help="profile the default model instead")
    parser.add_argument("--blocks", action="store_true", help="time blocks of rows instead")
    parser.add_argument("--block-rows", type=int, default=20_000, help="rows in a block")
    parser.add_argument("--steps-only", choices=["fast", "default"], help="run a model, for tools")
    parser.add_argument("--json", type=Path, help="also write the ratios to this file")
    arguments = parser.parse_args(argv)
    least = {"rounds": 1, "steps": 1, "features": 1, "block_rows": 200}
    for name, minimum in least.items():
        value = getattr(arguments, name)
        if value < minimum:
            parser.error(f"--{name.replace('_', '-')}={value}: must be at least {minimum}")
    if arguments.steps_only:
        model = StreamingAttentionRegressor(
            **(FAST_SETTINGS if arguments.steps_only == "fast" else {})
        )
        rows = random_rows(np.random.default_rng(0), 100, arguments.features)
        for _ in range(arguments.steps // 100):
            step_through(model, rows)
    elif arguments.blocks:
        found = measure_blocks(arguments.rounds, arguments.block_rows, arguments.features)
        print(block_table(found))
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    elif arguments.profile:
        profile(arguments.rounds * arguments.steps, arguments.features)
    else:
        seconds = measure(arguments.rounds, arguments.steps, arguments.features)
        print(table(seconds))
        if arguments.json:
            ratios = {
                name: {
                    "multiple of the reference": round(ratio(seconds, name, REFERENCE), 3),
                    "multiple of the bare reference": round(ratio(seconds, name, BARE), 3),
                    "multiple of gla": round(ratio(seconds, name, "gla"), 2),
                }
                for name in seconds
            }
            arguments.json.write_text(json.dumps(ratios, indent=1) + "\n")


if __name__ == "__main__":
    main()
