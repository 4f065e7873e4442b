"""A sensor whose labels come late: let time advance when a reading is seen.

A boiler is slow: its temperature follows the power of the last half hour. Power is read every
minute; the temperature comes from another system, 5 to 40 minutes later, out of order, and one in
twenty is lost. ``key`` says which reading a label belongs to.

    python examples/late_sensor.py [--rows 3000]
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections.abc import Sequence

from river_attention import StreamingAttentionRegressor

Row = tuple[dict[str, float], float, int | None]


def readings(n_rows: int, seed: int = 0) -> list[Row]:
    """Power, temperature, and when the temperature arrives (None: never)."""
    rng = random.Random(seed)
    heat, rows = 20.0, []
    for minute in range(n_rows):
        power = 5 + 3 * math.sin(minute / 40) + rng.gauss(0, 1.5)
        heat += 0.08 * (20 + 6 * power - heat)
        arrives = None if rng.random() < 0.05 else minute + rng.randint(5, 40)
        rows.append(({"power": power}, heat + rng.gauss(0, 0.3), arrives))
    return rows


def error(rows: list[Row], advance_on: str) -> float:
    """Mean absolute error of predictions made when the power was read."""
    model = StreamingAttentionRegressor(advance_on=advance_on)
    late = advance_on == "predict"
    waiting: list[tuple[int, int]] = []
    total = 0.0
    for minute, (x, y, arrives) in enumerate(rows):
        while waiting and waiting[0][0] <= minute:
            _, which = heapq.heappop(waiting)
            past_x, past_y, _ = rows[which]
            if late:
                model.learn_one(past_x, past_y, key=which)
            else:
                model.learn_one(past_x, past_y)
        total += abs(y - (model.predict_one(x, key=minute) if late else model.predict_one(x)))
        if arrives is not None:
            heapq.heappush(waiting, (arrives, minute))
    return total / len(rows)


def last_known(rows: list[Row]) -> float:
    """Mean absolute error of the last temperature that had arrived."""
    arrivals = sorted((arrives, y) for _, y, arrives in rows if arrives is not None)
    known, total, i = 0.0, 0.0, 0
    for minute, (_, y, _) in enumerate(rows):
        while i < len(arrivals) and arrivals[i][0] <= minute:
            known = arrivals[i][1]
            i += 1
        total += abs(y - known)
    return total / len(rows)


def run(n_rows: int = 3000) -> dict[str, float]:
    """Mean absolute errors by name, the last row of the table ours."""
    rows = readings(n_rows)
    return {
        "last known label": last_known(rows),
        'waits for labels (advance_on="learn")': error(rows, "learn"),
        'follows the input (advance_on="predict")': error(rows, "predict"),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Print the errors."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=3000)
    for name, mae in run(parser.parse_args(argv).rows).items():
        print(f"{mae:8.3f}  {name}")


if __name__ == "__main__":
    main()
