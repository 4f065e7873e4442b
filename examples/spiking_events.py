"""A stream of events without a clock: spiking neurons that know how much time has passed.

Events come at random, one per second on average, in busy stretches two and a half, and only the
times are seen. Is it busy just now? A single gap hardly tells. Neurons that get a current with
every event and decay by the time in between, ``step(current, dt=gap)``, count events of the last
seconds, each with its own time constant. Their potentials are features for river's logistic
regression; beside it the same regression sees the gap, or the last eight gaps.

    python examples/spiking_events.py [--events 6000]
"""

from __future__ import annotations

import argparse
import math
import random
from collections import deque
from collections.abc import Sequence

from river import linear_model, preprocessing

from river_attention import HybridLinearAttentionNeuron

DECAYS = (0.5, 0.8, 0.9, 0.95)


def events(n_events: int, seed: int = 0) -> list[tuple[float, bool]]:
    """Gaps in seconds, and whether it was busy."""
    rng = random.Random(seed)
    busy, rows = False, []
    for _ in range(n_events):
        if rng.random() < (1 / 60 if busy else 1 / 40):
            busy = not busy
        rows.append((rng.expovariate(2.5 if busy else 1.0), busy))
    return rows


class Neurons:
    """Neurons of several time constants that never fire: their potentials count the past."""

    def __init__(self) -> None:
        self.neurons = [
            HybridLinearAttentionNeuron(lambda_decay=decay, threshold=1e9) for decay in DECAYS
        ]

    def step(self, gap: float) -> dict[str, float]:
        """Let the time pass and an event come."""
        for neuron in self.neurons:
            neuron.step(1.0, dt=gap)
        return {f"v {decay}": neuron.v for decay, neuron in zip(DECAYS, self.neurons, strict=True)}


def accuracy(features: list[dict[str, float]], busy: list[bool]) -> float:
    """The share of events judged rightly, test then train, after the first fifth."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    right = []
    for x, y in zip(features, busy, strict=True):
        right.append(model.predict_one(x) == y)
        model.learn_one(x, y)
    start = len(right) // 5
    return sum(right[start:]) / len(right[start:])


def run(n_events: int = 6000) -> dict[str, float]:
    """Accuracies by name, ours last."""
    rows = events(n_events)
    busy = [y for _, y in rows]
    gaps: deque[float] = deque([1.0] * 8, maxlen=8)
    neurons, one, eight, potentials = Neurons(), [], [], []
    for gap, _ in rows:
        gaps.appendleft(math.log1p(gap))
        one.append({"gap": gaps[0]})
        eight.append({f"gap {i}": value for i, value in enumerate(gaps)})
        potentials.append(neurons.step(gap))
    share = sum(busy) / len(busy)
    return {
        "the more frequent class": max(share, 1 - share),
        "the last gap": accuracy(one, busy),
        "the last eight gaps": accuracy(eight, busy),
        "potentials of four neurons": accuracy(potentials, busy),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Print the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=6000)
    for name, share in run(parser.parse_args(argv).events).items():
        print(f"{share:8.3f}  {name}")


if __name__ == "__main__":
    main()
