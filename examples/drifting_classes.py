"""Classification under drift: a boundary that turns around, again and again.

Two features, two classes. Every few hundred rows the rule is reversed, gradually, and nobody says
so. Beside the classifier stand river's models, which get the last label as one more feature.

    python examples/drifting_classes.py [--rows 4000]
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Sequence
from typing import Any

from river import forest, linear_model, preprocessing

from river_attention import StreamingAttentionClassifier

Row = tuple[dict[str, float], bool]


def stream(n_rows: int, seed: int = 0) -> list[Row]:
    """Features and class; the probability that the rule holds as it is swings between 0 and 1."""
    rng = random.Random(seed)
    rows = []
    for t in range(n_rows):
        x = {"a": rng.gauss(0, 1), "b": rng.gauss(0, 1)}
        reversed_now = rng.random() > 0.5 + 0.5 * math.tanh(8 * math.sin(math.tau * t / 1000))
        y = x["a"] + 0.5 * x["b"] + rng.gauss(0, 0.3) > 0
        rows.append((x, y != reversed_now))
    return rows


def accuracy(model: Any, rows: list[Row], with_last_label: bool) -> float:
    """The share of rows predicted rightly, test then train."""
    right, last = 0, False
    for x, y in rows:
        features = {**x, "last": float(last)} if with_last_label else x
        right += model.predict_one(features) == y
        model.learn_one(features, y)
        last = y
    return right / len(rows)


def run(n_rows: int = 4000) -> dict[str, float]:
    """Accuracies by name, ours last."""
    rows = stream(n_rows)
    logistic = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    return {
        "LogisticRegression": accuracy(logistic, rows, True),
        "ARFClassifier": accuracy(forest.ARFClassifier(n_models=5, seed=42), rows, True),
        "StreamingAttentionClassifier": accuracy(StreamingAttentionClassifier(), rows, False),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Print the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=4000)
    for name, share in run(parser.parse_args(argv).rows).items():
        print(f"{share:8.3f}  {name}")


if __name__ == "__main__":
    main()
