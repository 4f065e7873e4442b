"""The usual alternative: gradient boosted trees on lags, refitted now and then on all rows so far.

A stream is cut into thirteen pieces. Before each but the first LightGBM is fitted on all rows seen,
with the input and the last 50 targets as features, and predicts the piece row by row, with the true
lags. It learns steps from the last target, as the default model does: trees cannot extrapolate
levels. Printed are mean absolute errors over the twelve pieces, as multiples of that of
persistence, with their geometric mean, and the seconds that fitting and predicting took. The
attention model has seen the same rows, each of them once.

    python benchmarks/refitted.py [--data DIR] [--rows N] [--pieces 13] [--json FILE]

Streams are those of accuracy.py. LightGBM is needed: pip install lightgbm.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from river_attention import StreamingAttentionRegressor
from river_attention.demo import load_streams

Array = NDArray[np.float64]
Stream = list[tuple[dict[Any, Any], float]]

N_LAGS = 50
# The best of five settings that were tried on the nine streams of docs/accuracy.md.
SETTINGS: dict[str, Any] = {
    "objective": "l1",
    "n_estimators": 300,
    "learning_rate": 0.05,
    "num_leaves": 31,
    "n_jobs": 1,
    "verbose": -1,
    "seed": 42,
}
OURS = "StreamingAttentionRegressor"


def load(folder: Path, rows: int | None) -> dict[str, Stream]:
    """The streams of a folder of NAME.npz with X [T, d], y [T] and names [d]."""
    streams = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            names = [str(name) for name in arrays["names"]]
            X, y = arrays["X"][:rows].tolist(), arrays["y"][:rows].tolist()
        streams[path.stem] = [
            (dict(zip(names, x, strict=True)), target) for x, target in zip(X, y, strict=True)
        ]
    return streams


def table_of(rows: Stream, n_lags: int = N_LAGS) -> Array:
    """Input and lags [T, d + n_lags]; what is not known yet is NaN."""
    names = sorted({name for x, _ in rows for name in x}, key=str)
    y = np.array([target for _, target in rows])
    X = np.array([[x.get(name, np.nan) for name in names] for x, _ in rows])
    lags = np.full((len(rows), n_lags), np.nan)
    for k in range(1, min(n_lags, len(rows) - 1) + 1):
        lags[k:, k - 1] = y[:-k]
    return np.hstack([X.reshape(len(rows), len(names)), lags])


def refitted(rows: Stream, bounds: Sequence[int], fit: Callable[[Array, Array], Any]) -> Array:
    """Predictions [T] of a model fitted at every bound but the first; before it the last target.

    Parameters
    ----------
    rows
        The stream.
    bounds
        Where pieces begin, and the end.
    fit
        Gives a model with ``predict`` for features and targets.
    """
    X, y = table_of(rows), np.array([target for _, target in rows])
    last = np.concatenate([[0.0], y[:-1]])
    predictions = last.copy()
    for start, end in itertools.pairwise(bounds[1:]):
        model = fit(X[1:start], (y - last)[1:start])
        predictions[start:end] += model.predict(X[start:end])
    return predictions


def boosted(X: Array, y: Array) -> Any:
    """LightGBM, fitted."""
    try:
        import lightgbm
    except ImportError:
        raise SystemExit("refitted.py needs LightGBM: pip install lightgbm") from None
    return lightgbm.LGBMRegressor(**SETTINGS).fit(X, y).booster_


def online(rows: Stream) -> Array:
    """Predictions [T] of the default model, test then train."""
    model, predictions = StreamingAttentionRegressor(), np.empty(len(rows))
    for i, (x, y) in enumerate(rows):
        predictions[i] = model.predict_one(x)
        model.learn_one(x, y)
    return predictions


def measure(rows: Stream, pieces: int) -> dict[str, tuple[float, float]]:
    """For both models the error as a multiple of that of persistence, and the seconds."""
    y = np.array([target for _, target in rows])
    bounds = np.linspace(0, len(rows), pieces + 1).astype(int).tolist()
    start = bounds[1]
    naive = np.abs(np.diff(y))[start - 1 :].mean()
    found = {}
    models: dict[str, Callable[[], Array]] = {
        f"LightGBM, {pieces - 1} fits": lambda: refitted(rows, bounds, boosted),
        OURS: lambda: online(rows),
    }
    for name, predict in models.items():
        begin = time.process_time()
        errors = np.abs(y - predict())[start:]
        found[name] = (float(errors.mean() / naive), time.process_time() - begin)
    return found


def table(found: dict[str, dict[str, tuple[float, float]]]) -> str:
    """The results as a Markdown table."""
    streams = list(found)
    lines = [
        f"| MAE / persistence | {' | '.join(streams)} | geometric mean | seconds |",
        "| --- |" + " ---: |" * (len(streams) + 2),
    ]
    for name in next(iter(found.values())):
        ratios = [found[stream][name][0] for stream in streams]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        seconds = sum(found[stream][name][1] for stream in streams)
        cells = " | ".join(f"{ratio:.3f}" for ratio in ratios)
        lines.append(f"| {name} | {cells} | {mean:.3f} | {seconds:.1f} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with these arguments."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of NAME.npz instead of river's streams")
    parser.add_argument("--rows", type=int, help="only the first ROWS rows of each stream")
    parser.add_argument("--pieces", type=int, default=13, help="one more than there are fits")
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args(argv)
    streams = load(arguments.data, arguments.rows) if arguments.data else load_streams()
    if not arguments.data:
        streams = {name: rows[: arguments.rows] for name, rows in streams.items()}
    found = {name: measure(rows, arguments.pieces) for name, rows in streams.items()}
    print(table(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
