"""What a token costs in the recurrences of `functional`, on NumPy and in the compiled core.

Both run on the same sequence in turn, and the least CPU time of several rounds counts.

    python benchmarks/scan.py [--steps 1000] [--heads 4] [--rounds 7]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from river_attention import backend
from river_attention import functional as F
from river_attention.functional import recurrence

SIZES = (4, 16, 64)


def functions(n_steps: int, n_heads: int, d: int) -> dict[str, Callable[[], object]]:
    """Calls of the recurrences on one random sequence with keys of length one, by name."""
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, n_steps, n_heads, d))
    k /= np.linalg.norm(k, axis=-1, keepdims=True)
    gate, beta = -rng.uniform(size=(n_steps, n_heads)), rng.uniform(size=(n_steps, n_heads))
    gates = -rng.uniform(size=(n_steps, n_heads, d))
    bonus, weights = rng.normal(size=(n_heads, d)), rng.uniform(size=(n_steps, n_heads, 11))
    keys, values, betas = (np.stack([array, array], axis=1) for array in (k, v, 0.5 * beta))
    return {
        "gated_linear_attention": lambda: F.gated_linear_attention(q, k, v, gate),
        "gated_delta_rule": lambda: F.gated_delta_rule(q, k, v, beta, gate),
        "gated_delta_product, n = 2": lambda: F.gated_delta_product(q, keys, values, betas, gate),
        "rwkv6": lambda: F.rwkv6(q, k, v, gates, bonus),
        "rwkv7": lambda: F.rwkv7(q, k, v, gates, k, -gates),
        "mlstm": lambda: F.mlstm(q, k, v, beta, gate),
        "log_linear_attention": lambda: F.log_linear_attention(q, k, v, weights, gate),
    }


def measure(call: Callable[[], object], n_steps: int, rounds: int) -> tuple[float, float]:
    """Microseconds per token, on NumPy and in the compiled core."""
    compiled = recurrence._compiled
    times: tuple[list[float], list[float]] = ([], [])
    try:
        for _ in range(rounds):
            for loop, seconds in zip((None, compiled), times, strict=True):
                recurrence._compiled = loop
                start = time.process_time()
                call()
                seconds.append(time.process_time() - start)
    finally:
        recurrence._compiled = compiled
    numpy, core = (1e6 * min(seconds) / n_steps for seconds in times)
    return numpy, core


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with command-line arguments `argv`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=1000, help="tokens in the sequence")
    parser.add_argument("--heads", type=int, default=4, help="heads")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each")
    arguments = parser.parse_args(argv)
    if not backend.is_compiled():
        parser.error("the compiled core does not run here: nothing to compare")
    print("| function | d_key = d_value | NumPy: µs per token | compiled | ratio |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for d in SIZES:
        for name, call in functions(arguments.steps, arguments.heads, d).items():
            numpy, core = measure(call, arguments.steps, arguments.rounds)
            print(f"| {name} | {d} | {numpy:.2f} | {core:.2f} | {numpy / core:.1f} |")


if __name__ == "__main__":
    main()
