"""Many stores, one model each: sales per day with a season, a trend and promotions of its own.

``KeyedModel`` keeps a regressor per store, the last thousand that sold something in memory, and all
of them in a file. Beside it: yesterday's sales, and one model for all stores with the store as a
category.

    python examples/many_stores.py [--stores 20] [--days 200]
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from river_attention import StreamingAttentionRegressor
from river_attention.keyed import KeyedModel, SqliteStore

Row = tuple[dict[str, Any], float]


def sales(n_stores: int, n_days: int, seed: int = 0) -> Iterator[Row]:
    """Store, weekday and promotion, and what was sold: day by day, store by store."""
    rng = random.Random(seed)
    stores = [
        {
            "name": f"store {i:03d}",
            "level": math.exp(rng.gauss(4, 1)),
            "trend": rng.gauss(0, 0.002),
            "week": [rng.uniform(0.6, 1.4) for _ in range(7)],
            "lift": rng.uniform(0.1, 0.8),
        }
        for i in range(n_stores)
    ]
    for day in range(n_days):
        for store in stores:
            promotion = rng.random() < 0.15
            mean = store["level"] * math.exp(store["trend"] * day) * store["week"][day % 7]
            sold = mean * (1 + store["lift"] * promotion) * math.exp(rng.gauss(0, 0.08))
            yield {"store": store["name"], "weekday": day % 7, "promotion": promotion}, sold


def error(model: Any, rows: list[Row], start: int) -> float:
    """Weighted absolute error, test then train: what is wrong as a share of what was sold."""
    wrong = sold = 0.0
    for i, (x, y) in enumerate(rows):
        prediction = model.predict_one(x)
        model.learn_one(x, y)
        if i >= start:
            wrong, sold = wrong + abs(y - prediction), sold + y
    return wrong / sold


def yesterday(rows: list[Row], n_stores: int, start: int, lag: int) -> float:
    """The same for the sales of some days ago."""
    pairs = [(y, rows[i - lag * n_stores][1]) for i, (_, y) in enumerate(rows) if i >= start]
    return sum(abs(y - past) for y, past in pairs) / sum(y for y, _ in pairs)


def run(n_stores: int = 20, n_days: int = 200) -> dict[str, float]:
    """Errors by name from the fifth week on, ours last."""
    rows = list(sales(n_stores, n_days))
    start = 28 * n_stores
    one = StreamingAttentionRegressor(categorical=("store", "weekday"))
    each = StreamingAttentionRegressor(window=100, categorical=("weekday",))
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(str(Path(folder) / "models.db"))
        keyed = KeyedModel(each, key="store", max_keys=1000, store=store)
        found = {
            "yesterday": yesterday(rows, n_stores, start, 1),
            "a week ago": yesterday(rows, n_stores, start, 7),
            "one model, store as a category": error(one, rows, start),
            "a model per store": error(keyed, rows, start),
        }
        keyed.flush()
        store.close()
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Print the errors."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stores", type=int, default=20)
    parser.add_argument("--days", type=int, default=200)
    arguments = parser.parse_args(argv)
    for name, share in run(arguments.stores, arguments.days).items():
        print(f"{share:8.1%}  {name}")


if __name__ == "__main__":
    main()
