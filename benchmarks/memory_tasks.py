"""What each mode can remember: synthetic tasks that no linear model of the present can solve.

The regressor sees x only (prior "zero", no target lags but one for NARMA), predicts, then learns.
Printed is the normalised error, mean squared error over variance of y, on the second half of the
stream (0 = solved, 1 = nothing learned): the median over the seeds, which draw stream and model.

* copy-n: u uniform in (-1, 1), y[t] = u[t-n]: an exact delay.
* NARMA-10: a nonlinear moving average over ten steps; x[t] = u[t-1].
* Mackey-Glass (delay 17), six steps ahead: a chaotic oscillation.
* recall: eight fixed keys; four (key, value) tokens, then the same keys in another order ask for
  their values. Only the answers count.
* parity: y is the parity of all bits so far, which no fading memory can hold.

All modes run with 16 heads of d_key 32 and d_value 4, without the memory bank unless named; the
readout is one RLS that forgets with 0.999 (δ = 10, no Huber weights), without retrieval.

    python benchmarks/memory_tasks.py [--seeds 5] [--only NAME ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from river_attention import StreamingAttentionRegressor
from river_attention._progress import ProgressBar
from river_attention.modes import NAMED, DeltaProduct, GatedDeltaNet

Array = NDArray[Any]


class Task(NamedTuple):
    """A stream: inputs [T, d], targets [T], which rows count, and how many target lags to give."""

    X: Array
    y: Array
    counts: NDArray[np.bool_]
    n_lags: int = 0


def parity(rng: np.random.Generator, n: int = 6000) -> Task:
    """Parity of all bits so far."""
    bits = rng.integers(0, 2, n)
    return Task(2.0 * bits[:, None] - 1, 2.0 * (np.cumsum(bits) % 2) - 1, np.ones(n, bool))


def copy(rng: np.random.Generator, delay: int, n: int = 6000) -> Task:
    """The input of ``delay`` steps ago."""
    u = rng.uniform(-1, 1, n)
    return Task(u[:, None], np.concatenate([np.zeros(delay), u[:-delay]]), np.ones(n, bool))


def copy_5(rng: np.random.Generator) -> Task:
    """The input of five steps ago."""
    return copy(rng, 5)


def copy_20(rng: np.random.Generator) -> Task:
    """The input of twenty steps ago."""
    return copy(rng, 20)


def narma_10(rng: np.random.Generator, n: int = 6000) -> Task:
    """Nonlinear autoregressive moving average of order ten, clipped at 1."""
    u = rng.uniform(0, 0.5, n)
    y = np.zeros(n)
    for t in range(9, n - 1):
        mixed = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
        y[t + 1] = min(mixed, 1.0)
    x = np.concatenate([[0.0], u[:-1]])
    return Task(x[:, None], y, np.ones(n, bool), n_lags=1)


def mackey_glass(rng: np.random.Generator, n: int = 6000, ahead: int = 6) -> Task:
    """The Mackey-Glass equation with delay 17, sampled once per unit of time, six steps ahead."""
    per_unit, delay = 10, 17
    history = 1.2 + 0.1 * rng.standard_normal(per_unit * delay)
    values = [*history.tolist()]
    warm_up = 300
    for _ in range((n + ahead + warm_up) * per_unit):
        late = values[-per_unit * delay]
        values.append(values[-1] + (0.2 * late / (1 + late**10) - 0.1 * values[-1]) / per_unit)
    series = np.array(values)[per_unit * (delay + warm_up) :: per_unit]
    return Task(series[:n, None], series[ahead : n + ahead], np.ones(n, bool))


def recall(rng: np.random.Generator, n: int = 12000) -> Task:
    """Answer with the value that a key was last shown with."""
    keys = rng.standard_normal((8, 8))
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    X, y, asked = np.zeros((n, 10)), np.zeros(n), np.zeros(n, bool)
    for start in range(0, n, 8):
        shown, values = rng.permutation(8)[:4], rng.uniform(-1, 1, 4)
        order = rng.permutation(4)
        X[start : start + 4, :8], X[start : start + 4, 8] = keys[shown], values
        X[start + 4 : start + 8, :8], X[start + 4 : start + 8, 9] = keys[shown[order]], 1.0
        y[start + 4 : start + 8], asked[start + 4 : start + 8] = values[order], True
    return Task(X, y, asked)


TASKS: dict[str, Callable[[np.random.Generator], Task]] = {
    "NARMA-10": narma_10,
    "Mackey-Glass": mackey_glass,
    "copy 5": copy_5,
    "copy 20": copy_20,
    "recall": recall,
    "parity": parity,
}

HEADS: dict[str, Any] = {"n_heads": 16, "d_key": 32, "d_value": 4}

MODELS: dict[str, dict[str, Any]] = {
    **{name: {"mode": name, "memory": 0} for name in NAMED},
    "gated_delta_net, tied, read before": {
        "mode": GatedDeltaNet(tied=True, read="before"),
        "memory": 0,
    },
    "delta_product, one reflection, no gate, gain 20": {
        "mode": DeltaProduct(n_compositions=1, reflections=True, gated=False, beta_gain=20.0),
        "memory": 0,
    },
    "memory bank, 32 units": {"mode": None, "memory": 32},
    "gated_delta_net, tied, read before + bank": {
        "mode": GatedDeltaNet(tied=True, read="before"),
        "memory": 32,
    },
    "no memory": {"mode": None, "memory": 0},
}


def error(model: str, task: str, seed: int) -> float:
    """Normalised error of a model on the second half of a task."""
    stream = TASKS[task](np.random.default_rng(seed))
    regressor = StreamingAttentionRegressor(
        **(HEADS | MODELS[model]),
        n_lags=stream.n_lags,
        window=0,
        long_lags=0,
        readout="rls",
        prior="zero",
        forgetting_factor=0.999,
        delta=10.0,
        huber=False,
        seed=seed,
    )
    names = [f"x{i}" for i in range(stream.X.shape[1])]
    predictions = np.empty(len(stream.y))
    for t, (row, y) in enumerate(zip(stream.X.tolist(), stream.y.tolist(), strict=True)):
        x = dict(zip(names, row, strict=True))
        predictions[t] = regressor.predict_one(x)
        regressor.learn_one(x, y)
    counted = stream.counts & (np.arange(len(stream.y)) >= len(stream.y) // 2)
    truth = stream.y[counted]
    return float(np.mean((predictions[counted] - truth) ** 2) / np.var(truth))


def measure(models: Sequence[str], n_seeds: int) -> dict[str, dict[str, float]]:
    """Median error over the seeds, by model and task."""
    errors: dict[tuple[str, str], list[float]] = {}
    n_jobs = len(models) * len(TASKS) * n_seeds
    with ProcessPoolExecutor(os.cpu_count()) as pool, ProgressBar(total=n_jobs) as bar:
        bar.label(f"{len(models)} models, {len(TASKS)} tasks, {n_seeds} seeds")
        jobs = {
            pool.submit(error, model, task, seed): (model, task)
            for model in models
            for task in TASKS
            for seed in range(n_seeds)
        }
        for job in as_completed(jobs):
            errors.setdefault(jobs[job], []).append(job.result())
            bar.advance()
    return {
        model: {task: float(np.median(errors[model, task])) for task in TASKS} for model in models
    }


def table(medians: dict[str, dict[str, float]]) -> str:
    """The medians as a Markdown table."""
    lines = [f"| mode | {' | '.join(TASKS)} |", "| --- |" + " ---: |" * len(TASKS)]
    for model, row in medians.items():
        cells = " | ".join(f"{row[task]:.2g}" for task in TASKS)
        lines.append(f"| {model} | {cells} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with command-line arguments ``argv``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5, help="streams and models per cell")
    parser.add_argument("--only", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--json", type=Path, help="also write the medians to this file")
    arguments = parser.parse_args(argv)
    if arguments.seeds < 1:
        parser.error(f"--seeds={arguments.seeds}: must be at least 1")
    medians = measure(arguments.only, arguments.seeds)
    print(table(medians))
    if arguments.json:
        arguments.json.write_text(json.dumps(medians, indent=1) + "\n")


if __name__ == "__main__":
    main()
