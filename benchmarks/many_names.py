"""What a bounded number of features costs and saves on a stream that keeps inventing names.

Each row names three features of many; which ones follows Zipf's law with a power (0: all alike),
and the target is a linear function of them, with some noise. Printed are

* by tenths of the stream, processor time per row and memory in use: beyond the budget both
  should stand still;
* the mean absolute error, test then train, over that of the model without a bound, and over that
  of a model told to keep the most frequent names, where these can still run.

    python benchmarks/many_names.py [--rows 100000] [--names 100000] [--json FILE]
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

from river_attention import RLSRegressor, StreamingAttentionRegressor
from river_attention._baselines import FAST_SETTINGS

MODELS: dict[str, Any] = {
    "RLSRegressor": RLSRegressor,
    "StreamingAttentionRegressor, fast settings": lambda **kw: StreamingAttentionRegressor(
        **FAST_SETTINGS, **kw
    ),
}
STREAMS = ((100_000, 0.0), (100_000, 1.0), (100_000, 1.3), (1_000, 1.5), (1_000, 1.0))
BUDGET = 256
_FREE_ROWS = 1_500

Row = tuple[dict[str, float], float]


def sparse(n_rows: int, n_names: int, power: float, seed: int = 0) -> Iterator[Row]:
    """Rows of three names at most, and their target."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=n_names)
    total = np.cumsum(np.arange(1.0, n_names + 1.0) ** -power)
    for _ in range(n_rows):
        picked = np.unique(np.searchsorted(total, rng.uniform(0.0, total[-1], 3)))
        values = rng.normal(size=len(picked))
        names = [f"w{i}" for i in picked.tolist()]
        y = float(weights[picked].dot(values)) + 0.1 * rng.normal()
        yield dict(zip(names, values.tolist(), strict=True)), y


def error(model: Any, rows: Sequence[Row]) -> float:
    """Mean absolute error, test then train."""
    errors = []
    for x, y in rows:
        errors.append(abs(model.predict_one(x) - y))
        model.learn_one(x, y)
    return float(np.mean(errors))


def by_tenths(model: Any, n_rows: int, n_names: int) -> list[float]:
    """Processor time per row in µs, for each tenth of a stream."""
    tenth, measured = n_rows // 10, []
    rows = sparse(n_rows, n_names, 0.0)
    for _ in range(10):
        block = [next(rows) for _ in range(tenth)]
        start = time.process_time()
        for x, y in block:
            model.learn_one(x, y)
        measured.append(1e6 * (time.process_time() - start) / tenth)
    return measured


def memory_ratio(make: Any, n_rows: int, n_names: int) -> float:
    """Memory in use after the last row over that after a fifth of the rows."""
    model, used = make(), []
    tracemalloc.start()
    try:
        for t, (x, y) in enumerate(sparse(n_rows, n_names, 0.0)):
            model.learn_one(x, y)
            if t in (n_rows // 5, n_rows - 1):
                used.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    return used[1] / used[0]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--names", type=int, default=100_000)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args(argv)
    figures: dict[str, Any] = {}

    print("| model | µs per row, second tenth | last tenth | ratio | memory, last / second tenth |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, make in MODELS.items():
        times = by_tenths(make(), options.rows, options.names)
        memory = memory_ratio(make, max(options.rows // 5, 10), options.names)
        figures[name] = {"time": times, "memory": memory}
        ratio = times[-1] / times[1]
        print(f"| {name} | {times[1]:.0f} | {times[-1]:.0f} | {ratio:.2f} | {memory:.2f} |")

    print("\n| names | power | evicted | error / without a bound | most frequent names only |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    n_rows = min(options.rows, _FREE_ROWS)
    for n_names, power in STREAMS:
        rows = list(sparse(n_rows, n_names, power))
        bounded = RLSRegressor(max_features=BUDGET)
        free = error(RLSRegressor(max_features=None), rows)
        ratio = error(bounded, rows) / free
        frequent = [({k: v for k, v in x.items() if int(k[1:]) < BUDGET}, y) for x, y in rows]
        oracle = error(RLSRegressor(max_features=None), frequent) / free
        figures[f"{n_names} {power}"] = {"bounded": ratio, "most frequent": oracle}
        print(f"| {n_names} | {power} | {bounded.n_evicted_} | {ratio:.3f} | {oracle:.3f} |")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
