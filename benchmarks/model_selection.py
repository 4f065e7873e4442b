r"""What a search costs: many candidates on one stream, halving, and how much of a stream it keeps.

64 candidates (eight modes, two sizes, four forgetting factors, ``readout="rls"``) on 17 420 rows,
with one job and with two; then by halving, and what that finds; and the peak of memory that a
search of two candidates on an iterator takes, for the stream and for four of it in a row. Wall
clock: jobs are threads.

    python benchmarks/model_selection.py [--data FILE.npz] [--rows N] [--rounds N] [--json FILE]

FILE holds X [T, d], y [T] and names [d]; without it the stream is synthetic, with 7 columns.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from river_attention import StreamingAttentionRegressor
from river_attention.model_selection import ProgressiveGridSearch

Array = NDArray[np.float64]

GRID = {
    "mode": [
        *("ret_net", "gla", "gla_vector", "hawk", "hgrn2", "mlstm", "delta_net", "gated_delta_net")
    ],
    "n_heads": [2, 4],
    "forgetting_factor": [0.99, 0.995, 0.998, 0.999],
}


def synthetic(n_rows: int, seed: int = 0) -> tuple[list[str], Array, Array]:
    """A stream that remembers its first column, beside a season."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 7))
    y = 0.1 * rng.normal(size=n_rows) + np.sin(np.arange(n_rows) / 24.0)
    y[3:] += X[:-3, 0]
    return [f"x{i}" for i in range(7)], X, y


def read(path: Path | None, n_rows: int) -> tuple[list[str], Array, Array]:
    """Names, X and y of a file, or of the synthetic stream."""
    if path is None:
        return synthetic(n_rows)
    with np.load(path) as arrays:
        names = [str(name) for name in arrays["names"]]
        return names, arrays["X"][:n_rows], arrays["y"][:n_rows]


def search(n_jobs: int = 1, halving: bool = False) -> ProgressiveGridSearch:
    """The search over all candidates."""
    model = StreamingAttentionRegressor(readout="rls", memory=0, window=0, long_lags=0)
    return ProgressiveGridSearch(model, GRID, n_jobs=n_jobs, halving=halving, progress=False)


def rows_of(names: list[str], X: Array, y: Array, times: int = 1) -> Iterator[Any]:
    """The rows one by one, as nobody could read them twice."""
    for _ in range(times):
        for x, label in zip(X, y, strict=True):
            yield dict(zip(names, x.tolist(), strict=True)), float(label)


def peak(names: list[str], X: Array, y: Array, times: int) -> float:
    """Megabytes that a search on an iterator takes at most, beside what was there."""
    few = ProgressiveGridSearch(
        StreamingAttentionRegressor(readout="rls", memory=0, window=0, long_lags=0),
        {"n_lags": [1, 6]},
        progress=False,
    )
    tracemalloc.start()
    few.fit(rows_of(names, X, y, times))
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found / 1e6


def measure(path: Path | None, n_rows: int, rounds: int) -> dict[str, Any]:
    """Seconds of every search, medians of interleaved rounds, and what they found."""
    import pandas as pd

    names, X, y = read(path, n_rows)
    frame = pd.DataFrame(X, columns=names)
    ways = {"one job": search(), "two jobs": search(2), "halving": search(halving=True)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way.fit(frame, y)
            seconds[name].append(time.perf_counter() - start)
    best = {name: way.best_params_ for name, way in ways.items()}
    return {
        "rows": len(y),
        "candidates": len(ways["one job"].cv_results_["params"]),
        "seconds": {name: median(found) for name, found in seconds.items()},
        "best": {
            name: {key: str(value) for key, value in found.items()} for name, found in best.items()
        },
        "score": {name: way.best_score_ for name, way in ways.items()},
        "megabytes": {times: peak(names, X, y, times) for times in (1, 4)},
    }


def table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    seconds, one = found["seconds"], found["seconds"]["one job"]
    lines = [
        f"| {found['candidates']} candidates, {found['rows']} rows | seconds | one job / this | "
        "best | MAE |",
        "| --- | ---: | ---: | --- | ---: |",
    ]
    for name, took in seconds.items():
        best = ", ".join(f"{key}={value}" for key, value in found["best"][name].items())
        lines.append(
            f"| {name} | {took:.1f} | {one / took:.2f} | {best} | {found['score'][name]:.4g} |"
        )
    short, long = found["megabytes"].values()
    lines.append(f"\nAn iterator: {short:.1f} MB at most; four times as long: {long:.1f} MB.")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with command-line arguments ``argv``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="a file of one stream")
    parser.add_argument("--rows", type=int, default=17_420, help="the first rows")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    arguments = parser.parse_args(argv)
    found = measure(arguments.data, arguments.rows, arguments.rounds)
    print(table(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
