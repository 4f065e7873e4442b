r"""Boosted trees as an expert: what they are worth, which part of them is, and what they cost.

Accuracy is that of ``accuracy.py``: test then train, mean absolute errors over those of
persistence.
The cost is measured in two ways. At full speed, where every fit is waited for: CPU time of
predicting and learning, per row, over the whole stream. And paced, as a stream that comes in real
time: a row every two milliseconds, so that fits run beside it; the median step, the slowest ones,
and both for the same model without trees.

    python benchmarks/trees.py [--data DIR]           accuracy, one thing changed at a time
    python benchmarks/trees.py --cost [--steps N]     what a row costs

Both take ``--rows N`` and ``--json FILE``. Set OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import accuracy
import numpy as np
from accuracy import OURS, REFERENCE, Model, compared, load, ours
from numpy.typing import NDArray

from river_attention import StreamingAttentionRegressor
from river_attention.demo import load_streams
from river_attention.readout import BoostedMixture, boosting, fits

PACE = 0.002
EVERY = 500


class _WithoutOpinions(BoostedMixture):
    """The trees do not see what the other experts say."""

    def row(self, evidence: Any) -> Any:
        row = super().row(evidence)
        row[boosting.N_HISTORY : boosting.N_HISTORY + self.n_told] = np.nan
        return row


def _fits(**settings: Any) -> dict[str, Any]:
    return {"readout.fits.SETTINGS": {**fits.SETTINGS, **settings}}


def changed() -> dict[str, Model]:
    """The default, with trees, and with trees of which one thing is changed."""
    patches = {
        "60 trees": _fits(max_iter=60),
        "7 leaves": _fits(max_leaf_nodes=7),
        "31 leaves": _fits(max_leaf_nodes=31),
        "10 rows a leaf": _fits(min_samples_leaf=10),
        "squared error": _fits(loss="squared_error"),
        "the last 4 000 rows": {"readout.fits.ROWS": 4000},
        "a first fit after 200 rows, none early": {
            **{"readout.boosting.FIRST": 200, "readout.boosting.GROWTH": 0.1}
        },
        "without the opinions of the others": {
            "estimators.regressor.BoostedMixture": _WithoutOpinions
        },
    }
    every = {f"trees={n}": ours(trees=n) for n in (250, EVERY, 1000, 2000)}
    return {
        REFERENCE: compared()[REFERENCE],
        OURS: ours(),
        **every,
        **{f"trees={EVERY}: {label}": ours(patch, trees=EVERY) for label, patch in patches.items()},
    }


def stream(
    n_rows: int, n_features: int = 10, seed: int = 0
) -> list[tuple[dict[str, float], float]]:
    """A target that follows its inputs, beside a season."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    y = np.sin(np.arange(n_rows) / 7.0) + X[:, 0] * (X[:, 1] > 0.0) + 0.3 * rng.normal(size=n_rows)
    names = [f"x{i}" for i in range(n_features)]
    return [
        (dict(zip(names, x, strict=True)), label)
        for x, label in zip(X.tolist(), y.tolist(), strict=True)
    ]


def paced(trees: int, n_before: int, n_steps: int) -> NDArray[np.float64]:
    """Seconds of every step of a stream that comes in real time [n_steps]."""
    model, rows = StreamingAttentionRegressor(trees=trees), stream(n_before + n_steps)
    for x, y in rows[:n_before]:
        model.learn_one(x, y)
    seconds = np.empty(n_steps)
    for i, (x, y) in enumerate(rows[n_before:]):
        time.sleep(PACE)
        start = time.perf_counter()
        model.predict_one(x)
        model.learn_one(x, y)
        seconds[i] = time.perf_counter() - start
    return seconds


def full_speed(trees: int, rows: int) -> float:
    """CPU seconds of a row, with all fits."""
    model = StreamingAttentionRegressor(trees=trees)
    start = time.process_time()
    for x, y in stream(rows):
        model.predict_one(x)
        model.learn_one(x, y)
    return (time.process_time() - start) / rows


def cost(n_rows: int, n_steps: int) -> tuple[str, dict[str, Any]]:
    """What a row costs without trees and with them."""
    lines = [
        "| | CPU µs a row, fits and all | paced: median µs | 99.9 % below | slowest | "
        "slowest / median | median / without |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    found: dict[str, Any] = {}
    for trees in (0, 2000, 1000, EVERY):
        micros = 1e6 * paced(trees, fits.ROWS, n_steps)
        median, high, slowest = np.median(micros), np.quantile(micros, 0.999), micros.max()
        found[f"trees={trees}"] = {
            "cpu": 1e6 * full_speed(trees, n_rows),
            **{"median": float(median), "99.9 %": float(high), "slowest": float(slowest)},
        }
        one = found[f"trees={trees}"]
        lines.append(
            f"| `trees={trees}` | {one['cpu']:.0f} | {median:.1f} | {high:.0f} | {slowest:.0f} | "
            f"{slowest / median:.0f} | {median / found['trees=0']['median']:.2f} |"
        )
    return "\n".join(lines), found


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with command-line arguments ``argv``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of streams, see accuracy.py")
    parser.add_argument("--cost", action="store_true", help="what a row costs")
    parser.add_argument("--rows", type=int, default=None, help="only the first rows")
    parser.add_argument("--steps", type=int, default=10_000, help="paced steps of every setting")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    arguments = parser.parse_args(argv)
    if arguments.cost:
        text, figures = cost(arguments.rows or 2 * fits.ROWS, arguments.steps)
    else:
        read = load_streams if arguments.data is None else partial(load, arguments.data)
        text, figures = accuracy.ablation(changed(), read(arguments.rows))
    print(text)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
