"""Several targets with one model: accuracy and cost beside a model for each of them.

Every stream is predicted twice: by one ``StreamingAttentionMultiRegressor``, and by a
``StreamingAttentionRegressor`` for every target, with the same input. Printed is the ratio of the
mean absolute errors (below 1 is better for the one model): the geometric mean over the targets of
a stream, and the worst of them. Then what a row costs with 1, 2, 5 and 10 targets, in units of the
default regressor of one target, measured in turns, with the compiled core (if it was built) and
without it.

Streams without ``--data``: three synthetic ones, and the approval rating of river's TrumpApproval
with its polls. With it, those made of the files there: weather, loads, returns and polls, which are
inputs there, become targets of their own in the row in which they were measured, and four series
that have nothing to do with each other stand side by side.

    python benchmarks/multi_target.py [--data DIR] [--rows 4000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from river import datasets, evaluate, metrics, tree

from river_attention import StreamingAttentionMultiRegressor, StreamingAttentionRegressor, backend
from river_attention._progress import ProgressBar

Array = NDArray[np.float64]
Stream = tuple[Array, Array]
"""Inputs [T, d] and targets [T, m]."""

MEASURED = {"etth1": (6, 1), "pollution": (4, 1), "sp_same": (10, 1), "trump": (5, 0)}
"""Files whose first inputs, so many, were measured like the target, so many rows before it."""

UNRELATED = ("etth1", "pollution", "dmin", "sunspots")
SIZES = (1, 2, 5, 10)
_WARMUP, _TURN = 1100, 20


def synthetic(n_rows: int) -> dict[str, Stream]:
    """A vector autoregression, seasons of ten series, ten random walks with one common part."""
    rng = np.random.default_rng(7)
    matrix = rng.normal(size=(10, 10)) * (rng.random((10, 10)) < 0.3)
    matrix *= 0.9 / np.abs(np.linalg.eigvals(matrix)).max()
    autoregression = np.zeros((n_rows, 10))
    for t in range(1, n_rows):
        autoregression[t] = matrix @ autoregression[t - 1] + rng.normal(size=10)
    seasons, noise = np.zeros((n_rows, 10)), np.zeros(10)
    shapes = [rng.normal(size=period) for period in rng.integers(7, 60, 10)]
    for t in range(n_rows):
        noise = 0.8 * noise + 0.3 * rng.normal(size=10)
        seasons[t] = noise + [shape[t % len(shape)] for shape in shapes]
    common = np.cumsum(rng.normal(size=(n_rows, 1)), axis=0)
    walks = common + np.cumsum(0.3 * rng.normal(size=(n_rows, 10)), axis=0)
    nothing = np.zeros((n_rows, 0))
    return {
        "vector autoregression": (nothing, autoregression),
        "seasons": (nothing, seasons),
        "random walks": (nothing, walks),
    }


def bundled(n_rows: int) -> dict[str, Stream]:
    """The approval rating and the polls that it is made of, each of them a target."""
    rows = [(x, y) for x, y in datasets.TrumpApproval().take(n_rows)]
    names = [name for name in rows[0][0] if name != "ordinal_date"]
    polls = np.array([[x[name] for name in names] for x, _ in rows])
    y = np.array([[y] for _, y in rows])
    return {"TrumpApproval": (np.zeros((len(rows), 0)), np.hstack([y, polls]))}


def from_files(data: Path, n_rows: int) -> dict[str, Stream]:
    """The streams made of the files of a folder."""

    def load(name: str) -> tuple[Array, Array]:
        with np.load(data / f"{name}.npz", allow_pickle=True) as archive:
            return archive["X"].astype(float), archive["y"].astype(float)

    streams = {}
    for name, (n, late) in MEASURED.items():
        X, y = load(name)
        length = min(n_rows, len(y) - late)
        Y = np.column_stack([y[:length], X[late : late + length, :n]])
        streams[name] = (X[:length, n:], Y)
    series = [load(name)[1] for name in UNRELATED]
    n = min(n_rows, *map(len, series))
    streams["unrelated"] = (np.zeros((n, 0)), np.column_stack([y[:n] for y in series]))
    return streams


def inputs(X: Array) -> list[dict[str, float]]:
    """The rows as dicts."""
    return [{f"x{i}": value for i, value in enumerate(row)} for row in X.tolist()]


def targets(Y: Array) -> list[dict[str, float]]:
    """The rows as dicts."""
    return [{f"y{j}": value for j, value in enumerate(row)} for row in Y.tolist()]


def ratios(stream: Stream, advance: Callable[[], None]) -> list[float]:
    """Error of every target with the one model, in units of that with a model of its own."""
    X, Y = stream
    rows, together = inputs(X), np.zeros_like(Y)
    model = StreamingAttentionMultiRegressor()
    for t, (x, y) in enumerate(zip(rows, targets(Y), strict=True)):
        predicted = model.predict_one(x)
        together[t] = [predicted.get(name, 0.0) for name in y]
        model.learn_one(x, y)
    advance()
    found = []
    for j in range(Y.shape[1]):
        alone, single = np.zeros(len(Y)), StreamingAttentionRegressor()
        for t, (x, value) in enumerate(zip(rows, Y[:, j].tolist(), strict=True)):
            alone[t] = single.predict_one(x)
            single.learn_one(x, value)
        errors = [np.abs(guess - Y[:, j])[1:].mean() for guess in (together[:, j], alone)]
        found.append(float(errors[0] / errors[1]))
        advance()
    return found


def costs(n_rows: int, n_features: int) -> dict[int, float]:
    """Time of a row with so many targets, in units of the default regressor; medians of turns."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(_WARMUP + n_rows, n_features))
    Y = np.cumsum(0.1 * rng.normal(size=(len(X), max(SIZES))), axis=0)
    rows, one = inputs(X), Y[:, 0].tolist()
    runs: list[tuple[Any, list[Any]]] = [(StreamingAttentionRegressor(), one)]
    runs += [(StreamingAttentionMultiRegressor(), targets(Y[:, :m])) for m in SIZES]

    def turn(model: Any, labels: list[Any], start: int, stop: int) -> float:
        began = time.process_time()
        for t in range(start, stop):
            model.predict_one(rows[t])
            model.learn_one(rows[t], labels[t])
        return time.process_time() - began

    for model, labels in runs:
        turn(model, labels, 0, _WARMUP)
    times = np.array(
        [
            [turn(model, labels, start, start + _TURN) for model, labels in runs]
            for start in range(_WARMUP, len(X) - _TURN + 1, _TURN)
        ]
    )
    middle = np.median(times[:, 1:] / times[:, :1], axis=0)
    return {m: float(ratio) for m, ratio in zip(SIZES, middle, strict=True)}


def indicator(item: tuple[str, Any]) -> tuple[str, float]:
    """A text as an indicator of its own, a number as it is."""
    name, value = item
    return (f"{name}={value}", 1.0) if isinstance(value, str) else (name, float(value))


def solar_flare() -> dict[str, float]:
    """Macro-averaged MAE on river's own stream with three targets; texts are indicators."""
    models = {
        "StreamingAttentionMultiRegressor": StreamingAttentionMultiRegressor(),
        "ISOUPTreeRegressor": tree.ISOUPTreeRegressor(),
    }
    found = {}
    for name, model in models.items():
        rows: Any = ((dict(map(indicator, x.items())), y) for x, y in datasets.SolarFlare())
        metric = metrics.multioutput.MacroAverage(metrics.MAE())
        found[name] = float(evaluate.progressive_val_score(rows, model, metric).get())
    return found


def mean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return float(np.exp(np.mean(np.log(values))))


def table(errors: dict[str, list[float]], cost: dict[str, dict[int, float]]) -> str:
    """Errors and costs as Markdown tables."""
    lines = ["| stream | targets | error / alone | worst target |", "| --- | ---: | ---: | ---: |"]
    for name, found in errors.items():
        lines.append(f"| {name} | {len(found)} | {mean(found):.3f} | {max(found):.3f} |")
    everything = [mean(found) for found in errors.values()]
    worst = max(max(found) for found in errors.values())
    lines.append(f"| geometric mean | | {mean(everything):.3f} | {worst:.3f} |")
    lines += ["", "| targets | " + " | ".join(cost) + " |"]
    lines.append("| ---: |" + " ---: |" * len(cost))
    for m in SIZES:
        lines.append(f"| {m} | " + " | ".join(f"{by[m]:.2f}" for by in cost.values()) + " |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with command-line arguments ``argv``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="a folder of NAME.npz with X and y")
    parser.add_argument("--rows", type=int, default=4000, help="rows of each stream")
    parser.add_argument("--cost-rows", type=int, default=1000, help="rows that are timed")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args(argv)
    if arguments.rows < 3 or arguments.cost_rows < _TURN:
        parser.error(f"--rows: at least 3; --cost-rows: at least {_TURN}")
    streams = synthetic(arguments.rows)
    if arguments.data is None:
        streams |= bundled(arguments.rows)
    else:
        streams |= from_files(arguments.data, arguments.rows)
    errors = {}
    with ProgressBar(total=sum(Y.shape[1] + 1 for _, Y in streams.values())) as bar:
        for name, stream in streams.items():
            bar.label(name)
            errors[name] = ratios(stream, bar.advance)
    cost = {f"{d} features": costs(arguments.cost_rows, d) for d in (0, 10)}
    if backend.is_compiled():
        with mock.patch("river_attention.backend._core", None):
            for d in (0, 10):
                cost[f"NumPy: {d} features"] = costs(arguments.cost_rows, d)
    print(table(errors, cost))
    flare = solar_flare()
    print("\nSolarFlare, three targets, macro-averaged MAE:")
    for name, error in flare.items():
        print(f"{name} {error:.4f}")
    if arguments.json:
        figures = {"errors": errors, "costs": cost, "solar flare": flare}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
