"""What one step costs, as a multiple of river's `StandardScaler | LinearRegression`.

A step is `predict_one` and `learn_one`. The models take turns in short rounds on the same rows, and
each is compared with the reference of the same round: on a machine whose speed varies the ratios
hold still where the times do not.

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
import pstats
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from river import base, compose, linear_model, preprocessing

from river_attention import RLSRegressor, StreamingAttentionRegressor
from river_attention._progress import ProgressBar
from river_attention.modes import NAMED, DeltaProduct

HEADS_ONLY: dict[str, Any] = {"memory": 0, "window": 0, "long_lags": 0, "readout": "rls"}

FAST: dict[str, Any] = {"mode": "gla", "n_lags": 0, **HEADS_ONLY}
"""The fast settings: the memory alone, one RLS behind it."""

REFERENCE = "river StandardScaler | LinearRegression"

Model = base.Regressor | compose.Pipeline
Rows = list[tuple[dict[Any, Any], float]]


def build_models() -> dict[str, Model]:
    """Return the timed models by name, the reference first."""
    return {
        REFERENCE: preprocessing.StandardScaler() | linear_model.LinearRegression(),
        "StreamingAttentionRegressor()": StreamingAttentionRegressor(),
        "fast settings": StreamingAttentionRegressor(**FAST),
        "RLSRegressor()": RLSRegressor(),
        'StreamingAttentionRegressor(readout="rls")': StreamingAttentionRegressor(readout="rls"),
        "StreamingAttentionRegressor(window=0)": StreamingAttentionRegressor(window=0),
        **{name: StreamingAttentionRegressor(mode=name, **HEADS_ONLY) for name in NAMED},
        "delta_product, n = 4": StreamingAttentionRegressor(
            mode=DeltaProduct(n_compositions=4), **HEADS_ONLY
        ),
        "no heads": StreamingAttentionRegressor(mode=None, **HEADS_ONLY),
    }


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
    """Predict and learn each row in turn."""
    predict, learn = model.predict_one, model.learn_one
    for x, y in rows:
        predict(x)
        learn(x, y)


def measure(rounds: int, steps: int, n_features: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the seconds per step of each model in each round."""
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
                start = time.perf_counter()
                step_through(models[name], rows)
                seconds[name][i] = (time.perf_counter() - start) / steps
                gc.enable()
                bar.advance()
    return seconds


def table(seconds: dict[str, np.ndarray]) -> str:
    """Return medians and the range from the 10th to the 90th percentile as a Markdown table."""
    lines = [
        "| model | µs per step | multiple of the reference | 10–90 % | multiple of gla |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, times in seconds.items():
        low, middle, high = np.percentile(times / seconds[REFERENCE], [10, 50, 90])
        label = name.replace("|", "\\|")
        lines.append(
            f"| {label} | {1e6 * np.median(times):.1f} | {middle:.2f} | {low:.2f}–{high:.2f} "
            f"| {ratio(seconds, name, 'gla'):.2f} |"
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
    parser.add_argument("--json", type=Path, help="also write the ratios to this file")
    arguments = parser.parse_args(argv)
    for name in ("rounds", "steps", "features"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}={getattr(arguments, name)}: must be at least 1")
    if arguments.profile:
        profile(arguments.rounds * arguments.steps, arguments.features)
    else:
        seconds = measure(arguments.rounds, arguments.steps, arguments.features)
        print(table(seconds))
        if arguments.json:
            ratios = {
                name: {
                    "multiple of the reference": round(ratio(seconds, name, REFERENCE), 2),
                    "multiple of gla": round(ratio(seconds, name, "gla"), 2),
                }
                for name in seconds
            }
            arguments.json.write_text(json.dumps(ratios, indent=1) + "\n")


if __name__ == "__main__":
    main()
