"""What a search over 64 candidates costs: workers, successive halving, memory.

The candidates are 8 modes × 2 numbers of heads × 4 forgetting factors of
``StreamingAttentionRegressor(readout="rls")``. Streams are those of ``--data DIR`` (NAME.npz with
X [T, d], y [T], names [d]), else synthetic ones of 17 420 rows.

    python benchmarks/model_selection.py                        seconds by n_jobs, in turn
    python benchmarks/model_selection.py --halving [--data DIR] halving against all, by stream
    python benchmarks/model_selection.py --memory               peak memory by length of an iterator

All take ``--rows N``, ``--only NAME ...`` and ``--json FILE``.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from river_attention import StreamingAttentionRegressor, backend
from river_attention.model_selection import ProgressiveGridSearch

N_ROWS = 17_420
GRID: dict[str, list[Any]] = {
    "mode": ["gla", "delta_net", "gated_delta_net", "hawk", "retnet", "rwkv7", "hgrn2", "mlstm"],
    "n_heads": [1, 4],
    "forgetting_factor": [0.99, 0.998, 0.9995, 1.0],
}

Stream = list[tuple[dict[str, float], float]]
Figures = list[dict[str, Any]]


def synthetic(n_rows: int, seed: int = 0) -> Iterator[tuple[dict[str, float], float]]:
    """Six features with a season, and a target that remembers one of them; one row at a time."""
    rng, past = np.random.default_rng(seed), 0.0
    for t in range(n_rows):
        values = rng.normal(size=6) + np.sin(2.0 * np.pi * t / 24.0)
        past = 0.9 * past + values[0]
        x = {f"x{i}": value for i, value in enumerate(values.tolist())}
        yield x, float(past + values[1] + 0.1 * rng.normal())


def load(folder: Path | None, n_rows: int, only: Sequence[str] | None) -> dict[str, Stream]:
    """The first rows of every stream, by name."""
    if folder is None:
        streams = {f"synthetic {seed}": list(synthetic(n_rows, seed)) for seed in range(3)}
    else:
        streams = {}
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as arrays:
                names = arrays["names"].tolist()
                X, y = arrays["X"][:n_rows].tolist(), arrays["y"][:n_rows].tolist()
            rows = [dict(zip(names, x, strict=True)) for x in X]
            streams[path.stem] = list(zip(rows, y, strict=True))
    return {name: rows for name, rows in streams.items() if not only or name in only}


def search(stream: Any, **params: Any) -> ProgressiveGridSearch:
    """A search over the stream; raises if a candidate failed."""
    model = StreamingAttentionRegressor(readout="rls", memory=0, window=0)
    found = ProgressiveGridSearch(model, GRID, progress=False, **params).fit(stream)
    errors = [error for error in found.cv_results_["error"] if error is not None]
    if errors:
        raise RuntimeError(f"{len(errors)} candidates failed, the first one with {errors[0]}")
    return found


def workers(streams: dict[str, Stream], rounds: int) -> Figures:
    """Seconds with one and with two workers in turn, the least of some rounds.

    ``bound`` is what two workers can gain at most: with a share p of the time of one worker spent
    by the candidates, which run side by side, 1 / (1 - p / 2).
    """
    figures: Figures = []
    for name, rows in streams.items():
        turns = [[_timed(rows, n) for n in (1, 2)] for _ in range(rounds)]
        seconds, cpu, share = np.array(turns).min(axis=0).T
        ratios = [one[0] / two[0] for one, two in turns]
        figures.append(
            {
                "stream": name,
                "rows": len(rows),
                "n_jobs=1, s": float(seconds[0]),
                "n_jobs=2, s": float(seconds[1]),
                "ratio, median": float(np.median(ratios)),
                "ratio, best": float(np.max(ratios)),
                "CPU time, ratio": float(cpu[1] / cpu[0]),
                "bound": 1.0 / (1.0 - float(share[0]) / 2.0),
            }
        )
    return figures


def _timed(rows: Stream, n_jobs: int) -> tuple[float, float, float]:
    """Seconds of the clock, of the processor, and the share of the latter spent by candidates."""
    start, cpu_start = time.perf_counter(), time.process_time()
    found = search(rows, n_jobs=n_jobs)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    return seconds, cpu, float(np.sum(found.cv_results_["mean_fit_time"])) / cpu


def halving(streams: dict[str, Stream]) -> Figures:
    """Whether halving finds the best candidate, and the share of rows and seconds it takes."""
    figures: Figures = []
    for name, rows in streams.items():
        every, half = search(rows), search(rows, halving=True)
        scores = every.cv_results_["mean_test_score"]
        figures.append(
            {
                "stream": name,
                "rows": len(rows),
                "same winner": half.best_index_ == every.best_index_,
                "winner's error / least": scores[half.best_index_] / every.best_score_,
                "median error / least": float(np.median(scores)) / every.best_score_,
                "share of rows": _share(half, every, "n_rows"),
                "share of CPU time": _share(half, every, "mean_fit_time"),
            }
        )
    return figures


def _share(part: ProgressiveGridSearch, whole: ProgressiveGridSearch, name: str) -> float:
    return float(np.sum(part.cv_results_[name]) / np.sum(whole.cv_results_[name]))


def memory(n_rows: int) -> Figures:
    """Peak memory of a search over an iterator, by its length."""
    search(synthetic(100))  # what is imported on the way
    figures: Figures = []
    for length in (n_rows, 2 * n_rows, 4 * n_rows):
        tracemalloc.start()
        try:
            search(synthetic(length))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        figures.append({"rows": length, "peak, MB": peak / 1e6})
    return figures


def show(figures: Figures) -> None:
    """Print figures as a table."""
    print("| " + " | ".join(figures[0]) + " |")
    print("|" + " ---: |" * len(figures[0]))
    for row in figures:
        cells = (f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row.values())
        print("| " + " | ".join(cells) + " |")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with command-line arguments `argv`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--halving", action="store_true", help="halving against all candidates")
    what.add_argument("--memory", action="store_true", help="memory with an iterator")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of NAME.npz")
    parser.add_argument("--rows", type=int, default=N_ROWS, metavar="N", help="rows of a stream")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these streams")
    parser.add_argument("--rounds", type=int, default=3, help="turns of one and two workers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    arguments = parser.parse_args(argv)
    if arguments.memory:
        figures = memory(arguments.rows)
    else:
        streams = load(arguments.data, arguments.rows, arguments.only)
        if not streams:
            parser.error("no such stream: --data needs a folder of NAME.npz, --only their names")
        figures = halving(streams) if arguments.halving else workers(streams, arguments.rounds)
    print(f"64 candidates, {'compiled core' if backend.is_compiled() else 'NumPy'}\n")
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
