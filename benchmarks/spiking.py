"""Spiking populations: how often they fire, what they are worth, what they cost.

Test then train on ``WaterFlow`` (mean absolute error) and on a synthetic stream of bursts (share of
wrong classes): noise in three channels, now and then faster for 30 rows, and the question whether
it is so now, without past labels. The population fires as often as its target rate says; "none" is
the same model without a population. CPU time is that of predicting and learning, per row.

A third stream is about when things happen: short events in two channels, and the question whether
both had one within the last four rows.

    python benchmarks/spiking.py [--rows N] [--raster FILE] [--steps]

``--steps`` prints what a step costs instead: of 64 neurons (16 slots, window 16) and of a single
one, beside a prediction and an update of river's ``LinearRegression``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from river import datasets, linear_model, preprocessing

from river_attention import (
    HybridLinearAttentionNeuron,
    SpikingAttentionClassifier,
    SpikingAttentionRegressor,
    StreamingAttentionClassifier,
    StreamingAttentionRegressor,
    backend,
    calendar_features,
)
from river_attention.spiking import Population

Rows = list[tuple[dict[Any, Any], Any]]
RATES = (None, 0.02, 0.1, 0.3)


def bursts(n_rows: int, seed: int = 0) -> Rows:
    """Noise that is sometimes fast: class 1 within a burst of 30 rows."""
    rng = np.random.default_rng(seed)
    rows: Rows = []
    level, left = np.zeros(3), 0
    for _ in range(n_rows):
        left = left - 1 if left else 30 * int(rng.random() < 0.01)
        # the variance is the same, so a single row does not tell
        memory = -0.5 if left else 0.5
        level = memory * level + np.sqrt(1.0 - memory**2) * rng.normal(size=3)
        rows.append((dict(zip("abc", level.tolist(), strict=True)), int(left > 0)))
    return rows


def coincidences(n_rows: int, seed: int = 0) -> Rows:
    """Sparse events in two channels: class 1 while both had one within the last four rows."""
    rng = np.random.default_rng(seed)
    events = rng.random((n_rows, 2)) < 0.12
    sizes = rng.uniform(0.5, 1.5, size=(n_rows, 2)) * events
    rows: Rows = []
    for t in range(n_rows):
        both = bool(events[max(t - 3, 0) : t + 1].any(axis=0).all())
        rows.append((dict(zip("ab", sizes[t].tolist(), strict=True)), int(both)))
    return rows


def cost_of_steps(n: int = 2000, rounds: int = 7) -> dict[str, float]:
    """Microseconds of CPU time a step, by what takes it: the fastest of rounds in turns."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 10))
    names = [f"x{i}" for i in range(10)]
    rows = [dict(zip(names, row, strict=True)) for row in X.tolist()]
    linear, neuron = linear_model.LinearRegression(), HybridLinearAttentionNeuron()
    population = Population(64, n_inputs=10)
    state = population.init_state()

    def of_river() -> None:
        for x in rows:
            linear.predict_one(x)
            linear.learn_one(x, x["x0"])

    def of_neuron() -> None:
        for x in rows:
            neuron.step_qkv(x["x0"], x["x1"], x["x2"])

    def of_population() -> None:
        nonlocal state
        for x in X:
            _, proposal = population.propose(x, state)
            state = population.commit(state, proposal)

    def on_numpy() -> None:
        with mock.patch.object(backend, "_core", None):
            of_population()

    work = {
        "river LinearRegression, 10 features": of_river,
        "one neuron, step_qkv": of_neuron,
        "64 neurons, NumPy": on_numpy,
    }
    if backend.is_compiled():
        work["64 neurons, compiled core"] = of_population
    fastest = dict.fromkeys(work, float("inf"))
    for _ in range(rounds):
        for name, do in work.items():
            start = time.process_time()
            do()
            fastest[name] = min(fastest[name], 1e6 * (time.process_time() - start) / n)
    return fastest


def models(of_classes: bool) -> dict[str, Any]:
    """The models that are compared, by name."""
    off: dict[str, Any] = {"mode": None, "memory": 0}
    # a burst lasts: past labels would give it away
    blind: dict[str, Any] = {"window": 0, "n_lags": 0, "long_lags": 0}
    scaler = preprocessing.StandardScaler()
    if of_classes:
        found: dict[str, Any] = {
            "river LogisticRegression": scaler | linear_model.LogisticRegression(),
            "none": StreamingAttentionClassifier(**off, **blind),
            "heads and bank": StreamingAttentionClassifier(**blind),
        }
        spiking: Any = partial(SpikingAttentionClassifier, **blind)
    else:
        found = {
            "river LinearRegression": scaler | linear_model.LinearRegression(),
            "none": StreamingAttentionRegressor(**off),
            "heads and bank": StreamingAttentionRegressor(),
        }
        spiking = SpikingAttentionRegressor
    return found | {f"population, target rate {r}": spiking(target_rate=r) for r in RATES}


def run(model: Any, rows: Rows, of_classes: bool) -> tuple[float, float, float]:
    """The error, spikes per neuron and row, and microseconds of CPU time per row."""
    errors, cost, fired = [], 0.0, []
    for x, y in rows:
        start = time.process_time()
        said = model.predict_one(x)
        model.learn_one(x, y)
        cost += time.process_time() - start
        errors.append(float(said != y) if of_classes else abs(said - y))
        if hasattr(model, "firing_"):
            fired.append(model.firing_.spikes.mean())
    rate = float(np.mean(fired)) if fired else float("nan")
    return float(np.mean(errors)), rate, 1e6 * cost / len(rows)


def raster(path: Path, n_rows: int = 600) -> None:
    """A picture of the spikes of a population on the stream of bursts."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("--raster needs matplotlib: pip install river-attention[plot]") from None
    model = SpikingAttentionClassifier(n_neurons=32, window=0, target_rate=0.1)
    rows = bursts(4000)
    spikes = []
    for x, y in rows:
        model.learn_one(x, y)
        spikes.append(model.firing_.spikes.copy())
    times, neurons = np.nonzero(np.array(spikes[-n_rows:]))
    figure = Figure(figsize=(11, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(times, neurons, "|", color="black", markersize=4)
    inside = np.array([y for _, y in rows[-n_rows:]]) > 0
    axes.fill_between(np.arange(n_rows), -1, 32, where=inside, color="tab:orange", alpha=0.3, lw=0)
    axes.set(xlabel="row", ylabel="neuron", ylim=(-1, 32), title="spikes; bursts are shaded")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with command-line arguments ``argv``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=4000, help="rows of each stream at most")
    parser.add_argument("--raster", type=Path, help="only draw a raster of spikes into this file")
    parser.add_argument("--steps", action="store_true", help="only print what a step costs")
    arguments = parser.parse_args(argv)
    if arguments.rows < 1:
        parser.error(f"--rows={arguments.rows}: must be at least 1")
    if arguments.raster is not None:
        raster(arguments.raster)
        return
    if arguments.steps:
        fastest = cost_of_steps(min(arguments.rows, 2000))
        river = next(iter(fastest.values()))
        print("| a step of | µs | times river |")
        print("| --- | ---: | ---: |")
        for name, cost in fastest.items():
            print(f"| {name} | {cost:.2f} | {cost / river:.2f} |")
        return
    streams: dict[str, tuple[Rows, bool]] = {
        "WaterFlow": ([(calendar_features(x), y) for x, y in datasets.WaterFlow()], False),
        "bursts": (bursts(arguments.rows), True),
        "coincidences": (coincidences(arguments.rows), True),
    }
    print("| stream | model | error | spikes per neuron and row | µs per row |")
    print("| --- | --- | ---: | ---: | ---: |")
    for stream, (rows, of_classes) in streams.items():
        for name, model in models(of_classes).items():
            error, rate, cost = run(model, rows[: arguments.rows], of_classes)
            shown = "–" if np.isnan(rate) else f"{rate:.3f}"
            print(f"| {stream} | {name} | {error:.4f} | {shown} | {cost:.0f} |", flush=True)


if __name__ == "__main__":
    main()
