"""An ensemble of attention modes: river's exponentially weighted average over five of them.

The target mixes what inputs did some steps ago: a fading sum, an exact delay, and a product of past
and present. The modes differ a lot here, and the ensemble is as good as the best of its members
without being told which that is, at the price of all five. It does not beat the memory bank, which
the default model has anyway.

    python examples/ensemble_of_modes.py [--rows 3000]
"""

from __future__ import annotations

import argparse
import math
import random
from collections import deque
from collections.abc import Sequence
from typing import Any

from river import ensemble, optim

from river_attention import StreamingAttentionRegressor

MODES = ("gla", "gated_delta_net", "hawk", "rwkv7", "lru")
Row = tuple[dict[str, float], float]


def stream(n_rows: int, seed: int = 0) -> list[Row]:
    """One input, and a target made of its past."""
    rng = random.Random(seed)
    past, fading, rows = deque([0.0] * 6, maxlen=6), 0.0, []
    for t in range(n_rows):
        u = rng.uniform(-1, 1) + 0.5 * math.sin(t / 15)
        fading = 0.95 * fading + 0.3 * u
        rows.append(({"u": u}, fading + past[0] + 2 * u * past[-1] + rng.gauss(0, 0.1)))
        past.append(u)
    return rows


def model(**params: Any) -> StreamingAttentionRegressor:
    """A regressor that has nothing but the memory of its mode."""
    alone = {"memory": 0, "window": 0, "n_lags": 0, "readout": "rls", "prior": "mean"}
    return StreamingAttentionRegressor(**{**alone, "n_heads": 8, **params})


def error(regressor: Any, rows: list[Row]) -> float:
    """Mean absolute error of the second half, test then train."""
    errors = []
    for x, y in rows:
        errors.append(abs(y - regressor.predict_one(x)))
        regressor.learn_one(x, y)
    half = len(errors) // 2
    return sum(errors[half:]) / len(errors[half:])


def run(n_rows: int = 3000) -> dict[str, float]:
    """Mean absolute errors by name: no memory, each mode, their ensemble, the bank."""
    rows = stream(n_rows)
    found = {"no memory": error(model(mode=None), rows)}
    for mode in MODES:
        found[mode] = error(model(mode=mode), rows)
    several = ensemble.EWARegressor(
        [model(mode=mode) for mode in MODES], loss=optim.losses.Absolute(), learning_rate=0.05
    )
    found["ensemble of the five"] = error(several, rows)
    found["no heads, memory bank"] = error(model(mode=None, memory=32), rows)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Print the errors."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=3000)
    for name, mae in run(parser.parse_args(argv).rows).items():
        print(f"{mae:8.3f}  {name}")


if __name__ == "__main__":
    main()
