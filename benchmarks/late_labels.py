"""Late labels: what it is worth to let time advance when x is seen.

Every label comes a number of rows after its x. With ``advance_on="learn"`` the model waits for it
and predicts from the past that it knew then; with ``advance_on="predict"`` its memory follows the
inputs. Printed is the ratio of the mean absolute errors, over the rows for which some label was
known when they were predicted. Below 1 is better for "predict".

    python benchmarks/late_labels.py [--data DIR] [--delays 0 2 6 24 96] [--rows 4000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from river import datasets

from river_attention import StreamingAttentionRegressor
from river_attention._progress import ProgressBar

Stream = list[tuple[dict[Any, Any], float]]

BUNDLED: dict[str, Any] = {
    "WaterFlow": datasets.WaterFlow,
    "TrumpApproval": datasets.TrumpApproval,
    "AirlinePassengers": datasets.AirlinePassengers,
}


def load(name: str, data: Path | None, n_rows: int) -> Stream:
    """The first rows of a stream that river ships, or of a file ``name.npz`` with X, y, names."""
    if data is None:
        return [(x, float(y)) for x, y in BUNDLED[name]().take(n_rows)]
    with np.load(data / f"{name}.npz", allow_pickle=True) as archive:
        X, y = archive["X"][:n_rows].tolist(), archive["y"][:n_rows].tolist()
        names = [str(column) for column in archive["names"]]
    return [(dict(zip(names, row, strict=True)), target) for row, target in zip(X, y, strict=True)]


def error(name: str, data: Path | None, n_rows: int, delay: int, advance_on: str) -> float:
    """Mean absolute error of the default model with labels that come ``delay`` rows late."""
    model = StreamingAttentionRegressor(advance_on=advance_on)
    waiting: deque[tuple[dict[Any, Any], float]] = deque()
    errors = []
    for x, y in load(name, data, n_rows):
        if len(waiting) > delay:
            model.learn_one(*waiting.popleft())
        errors.append(abs(model.predict_one(x) - y))
        waiting.append((x, y))
    return float(np.mean(errors[delay + 1 :]))


def measure(
    names: Sequence[str], data: Path | None, n_rows: int, delays: Sequence[int]
) -> dict[str, dict[int, float]]:
    """Ratio of the errors by stream and delay."""
    errors: dict[tuple[str, int, str], float] = {}
    settings = ("learn", "predict")
    with (
        ProcessPoolExecutor(os.cpu_count()) as pool,
        ProgressBar(total=len(names) * len(delays) * 2) as bar,
    ):
        bar.label(f"{len(names)} streams, delays {', '.join(map(str, delays))}")
        jobs = {
            pool.submit(error, name, data, n_rows, delay, advance_on): (name, delay, advance_on)
            for name in names
            for delay in delays
            for advance_on in settings
        }
        for job in as_completed(jobs):
            errors[jobs[job]] = job.result()
            bar.advance()
    return {
        name: {d: errors[name, d, "predict"] / errors[name, d, "learn"] for d in delays}
        for name in names
    }


def table(ratios: dict[str, dict[int, float]], delays: Sequence[int]) -> str:
    """The ratios as a Markdown table, with their geometric means."""
    lines = [
        f"| stream | {' | '.join(f'delay {delay}' for delay in delays)} |",
        "| --- |" + " ---: |" * len(delays),
    ]
    for name, row in ratios.items():
        lines.append(f"| {name} | " + " | ".join(f"{row[delay]:.3f}" for delay in delays) + " |")
    means = [np.exp(np.mean([np.log(row[delay]) for row in ratios.values()])) for delay in delays]
    lines.append("| geometric mean | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with command-line arguments ``argv``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="a folder of NAME.npz with X, y and names")
    parser.add_argument("--delays", type=int, nargs="+", default=[0, 2, 6, 24, 96])
    parser.add_argument("--rows", type=int, default=4000, help="rows of each stream")
    parser.add_argument("--json", type=Path, help="also write the ratios to this file")
    arguments = parser.parse_args(argv)
    if min(arguments.delays) < 0 or arguments.rows <= max(arguments.delays) + 1:
        parser.error("--delays: must be at least 0 and below --rows")
    if arguments.data is None:
        names = list(BUNDLED)
    else:
        names = sorted(path.stem for path in arguments.data.glob("*.npz"))
        if not names:
            parser.error(f"--data={arguments.data}: there is no .npz file")
    ratios = measure(names, arguments.data, arguments.rows, arguments.delays)
    print(table(ratios, arguments.delays))
    if arguments.json:
        arguments.json.write_text(json.dumps(ratios, indent=1) + "\n")


if __name__ == "__main__":
    main()
