"""Spiking populations: how often they fire, what they are worth, what they cost.

Test then train on ``WaterFlow`` (mean absolute error) and on a synthetic stream of bursts (share of
wrong classes): noise in three channels, now and then faster for 30 rows, and the question whether
it is so now, without past labels. The population fires as often as its target rate says; "none" is
the same model without a population. CPU time is that of predicting and learning, per row.

    python benchmarks/spiking.py [--rows N] [--raster FILE]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from river import datasets, linear_model, preprocessing

from river_attention import (
    SpikingAttentionClassifier,
    SpikingAttentionRegressor,
    StreamingAttentionClassifier,
    StreamingAttentionRegressor,
    calendar_features,
)

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


def raster(path: Path, n_rows: int = 300) -> None:
    """A picture of the spikes of a population on the stream of bursts."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("--raster needs matplotlib: pip install river-attention[plot]") from None
    model = SpikingAttentionClassifier(n_neurons=32, window=0, target_rate=0.1)
    rows = bursts(2000)
    spikes = []
    for x, y in rows:
        model.learn_one(x, y)
        spikes.append(model.firing_.spikes.copy())
    times, neurons = np.nonzero(np.array(spikes[-n_rows:]))
    figure = Figure(figsize=(9, 3.5), layout="constrained")
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
    arguments = parser.parse_args(argv)
    if arguments.rows < 1:
        parser.error(f"--rows={arguments.rows}: must be at least 1")
    if arguments.raster is not None:
        raster(arguments.raster)
        return
    streams: dict[str, tuple[Rows, bool]] = {
        "WaterFlow": ([(calendar_features(x), y) for x, y in datasets.WaterFlow()], False),
        "bursts": (bursts(arguments.rows), True),
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
