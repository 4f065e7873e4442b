"""What one step costs, as a multiple of river's linear regression, bare and behind a scaler.

A step is `predict_one` and `learn_one`. The models take turns in short rounds on the same rows, and
each is compared with the references of the same round: on a machine whose speed varies the ratios
hold still where the times do not. Everything runs on one core, and CPU time is what counts. Rows
that end in "NumPy" run without the compiled core, the others with it, if it was built.

Every attention mode runs with 4 heads of d_key 4 and d_value 4, six lags and one RLS, without
memory bank and retrieval; the fast settings are "gla" without lags.

    python benchmarks/throughput.py [--rounds 40] [--steps 500] [--features 10] [--profile]
                                    [--json FILE]
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import os
import pstats
import sys
import time
from collections.abc import Sequence
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


def our_models() -> dict[str, Model]:
    """Return our own models by name."""
    return {
        "StreamingAttentionRegressor()": StreamingAttentionRegressor(),
        "fast settings": StreamingAttentionRegressor(**FAST_SETTINGS),
        "RLSRegressor()": RLSRegressor(),
        'StreamingAttentionRegressor(readout="rls")': StreamingAttentionRegressor(readout="rls"),
        "StreamingAttentionRegressor(window=0)": StreamingAttentionRegressor(window=0),
        "StreamingAttentionClassifier()": StreamingAttentionClassifier(),
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
    if isinstance(model, AttentionTransformer):
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
            step_through(model, random_rows(rng, steps, n_features))
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
    parser.add_argument("--rounds", type=int, default=40, help="turns of each model")
    parser.add_argument("--steps", type=int, default=500, help="steps in a turn")
    parser.add_argument("--features", type=int, default=10, help="features in a row")
    parser.add_argument("--profile", action="store_true", help="profile the default model instead")
    parser.add_argument("--steps-only", choices=["fast", "default"], help="run a model, for tools")
    parser.add_argument("--json", type=Path, help="also write the ratios to this file")
    arguments = parser.parse_args(argv)
    for name in ("rounds", "steps", "features"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}={getattr(arguments, name)}: must be at least 1")
    if arguments.steps_only:
        model = StreamingAttentionRegressor(
            **(FAST_SETTINGS if arguments.steps_only == "fast" else {})
        )
        rows = random_rows(np.random.default_rng(0), 100, arguments.features)
        for _ in range(arguments.steps // 100):
            step_through(model, rows)
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
