"""What softmax attention over a window costs, learns, and is worth on streams.

    python benchmarks/window.py steps          µs a step and bytes a token of the layers
    python benchmarks/window.py learning       the lag task: which settings find old inputs
    python benchmarks/window.py streams --data DIR [--rows N]    regressors with and without it
    python benchmarks/window.py others --data DIR [--rows N]     transformers and the classifier

``steps`` runs all layers in turns, so the ratio to the ring in its row is what counts; there is no
compiled twin, NumPy runs. ``learning`` is y_t = x1_{t-5} + x2_{t-2} / 2 on white noise, the squared
error by quarter in units of the variance of y. ``streams`` prints mean absolute errors, and each as
a share of that of the same estimator without attention. ``others`` does so for transformers before
``LinearRegression``, and prints the share of wrong classes: whether the target of a stream rises.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from river.linear_model import LinearRegression

from river_attention import (
    AttentionTransformer,
    LatentAttention,
    LatentAttentionRegressor,
    LSTMAttention,
    LSTMAttentionRegressor,
    SlidingWindowAttention,
    SlidingWindowAttentionClassifier,
    SlidingWindowAttentionRegressor,
    StreamingAttentionClassifier,
    StreamingAttentionRegressor,
)
from river_attention.layers import GroupedQueryAttention, MultiHeadLatentAttention


def _time(layer: Any, state: Any, X: Any) -> tuple[float, Any]:
    start = time.process_time()
    for x in X:
        _, state = layer.step(x, state)
    return (time.process_time() - start) / len(X) * 1e6, state


def _bytes_of_a_token(layer: Any) -> int:
    """Bytes that a row of a layer's cache takes."""
    _, state = layer.forward(np.ones((2, layer.d_in)), layer.init_state())
    return sum(array[:1].nbytes for array in state.segments()[0].values())


def steps(n: int = 1000, rounds: int = 3) -> None:
    """Layers of 64 numbers, each in turns with the ring of its row."""
    print(
        "window heads kv  ring µs | times the ring: pages of 16, 64, 128 | rotated, float32, latent"
    )
    print("                         | bytes a token: ring, float32, latent")
    for window in (16, 60, 256, 1000):
        for n_heads, n_kv in ((4, 4), (4, 1), (8, 2)):
            options: dict[str, Any] = {"window_size": window, "position": None, "seed": 1}

            def build(
                n_heads: int = n_heads,
                n_kv: int = n_kv,
                options: dict[str, Any] = options,
                **more: Any,
            ) -> Any:
                return GroupedQueryAttention(64, n_heads, n_kv, 64 // n_heads, **options | more)

            layers = [build(), *(build(cache="paged", page_size=p) for p in (16, 64, 128))]
            layers += [build(position="rope"), build(dtype="float32")]
            layers.append(
                MultiHeadLatentAttention(64, n_heads, 64 // n_heads, 16, 8, window_size=window)
            )
            X = np.random.default_rng(0).normal(size=(max(n, window), 64))
            inputs = [X.astype(layer.dtype) for layer in layers]
            states = [
                _time(layer, layer.init_state(), rows)[1]
                for layer, rows in zip(layers, inputs, strict=True)
            ]
            times = np.full(len(layers), np.inf)
            for _ in range(rounds):
                for i, layer in enumerate(layers):
                    spent, states[i] = _time(layer, states[i], inputs[i][:n])
                    times[i] = min(times[i], spent)
            pages, (rotated, single, latent) = times[1:4] / times[0], times[4:] / times[0]
            sizes = [_bytes_of_a_token(layers[i]) for i in (0, 5, 6)]
            print(
                f"{window:6} {n_heads:5} {n_kv:2} {times[0]:8.1f} |"
                f" {' '.join(f'{ratio:4.2f}' for ratio in pages)} |"
                f" {rotated:4.2f} {single:4.2f} {latent:4.2f} | {sizes}"
            )


def by_quarter(
    model: Any, n: int, interaction: bool = False, lags: tuple[int, int] = (5, 2), seed: int = 0
) -> Any:
    """Error on the lag task by quarter, in units of the variance."""
    X = np.random.default_rng(seed).normal(size=(n, 2))
    y = np.zeros(n)
    y[lags[0] :] += X[: -lags[0], 0]
    y[lags[1] :] += 0.5 * X[: -lags[1], 1]
    if interaction:
        y[5:] += 0.5 * X[:-5, 0] * X[3:-2, 1]
    errors = np.zeros(n)
    for t in range(n):
        x = {"a": X[t, 0], "b": X[t, 1]}
        errors[t] = (model.predict_one(x) - y[t]) ** 2
        model.learn_one(x, y[t])
    return errors.reshape(4, -1).mean(axis=1) / y.var()


def learning(n: int = 20_000) -> None:
    """Trained and drawn attention on the lag task."""
    plain: dict[str, Any] = {"n_lags": 0, "long_lags": 0, "prior": "mean", "window_size": 16}
    trained: dict[str, dict[str, Any]] = {
        "relative bias, bptt = w": {},
        "the same in float32": {"dtype": "float32"},
        "rotation, bptt = w": {"position": "rope"},
        "no position, bptt = w": {"position": None},
        "relative bias, bptt = 1": {"bptt": 1},
    }
    for name, options in trained.items():
        model = SlidingWindowAttentionRegressor(readout="sgd", **plain, **options)
        print(f"sgd  {name:26}", by_quarter(model, n).round(4), flush=True)
    drawn: dict[str, dict[str, Any]] = {
        "16 locked heads": {"n_heads": 16},
        "4 locked heads": {},
        "16 heads, rotation": {"n_heads": 16, "position": "rope"},
    }
    for name, options in drawn.items():
        model = SlidingWindowAttentionRegressor(
            readout="rls", forgetting_factor=1.0, **plain | options
        )
        errors = by_quarter(model, 4000, interaction=True)
        print(f"rls, with an interaction  {name:20}", errors.round(4), flush=True)


def head(n: int = 12_000) -> None:
    """Whether a trained head had better begin at 0 or drawn: the lag task, three seeds and lags.

    All seeds, and two of the three pairs of lags, are others than those of ``learning``.
    """
    plain: dict[str, Any] = {"n_lags": 0, "long_lags": 0, "prior": "mean", "window_size": 16}
    for position in ("relative", "rope"):
        for begins in ("zero", "drawn"):
            runs = []
            for seed, lags in enumerate([(5, 2), (9, 1), (3, 12)]):
                model = SlidingWindowAttentionRegressor(
                    readout="sgd", position=position, seed=seed, **plain
                )
                if begins == "drawn":
                    row = model.task_.readout.rows[0]
                    row[:-1] = np.random.default_rng(seed).normal(size=len(row) - 1)
                    row[:-1] /= np.sqrt(len(row) - 1)
                runs.append(by_quarter(model, n, lags=lags, seed=100 + seed))
                print(f"{position:9} {begins:6} {lags!s:8}", runs[-1].round(4), flush=True)
            mean = np.exp(np.log(runs).mean(axis=0))
            print(f"{position:9} {begins:6} geometric mean", mean.round(4), flush=True)


ESTIMATORS: dict[str, Callable[[], Any]] = {
    "without": lambda: StreamingAttentionRegressor(mode=None, memory=0, window=0),
    "window": SlidingWindowAttentionRegressor,
    "lstm": LSTMAttentionRegressor,
    "latent": LatentAttentionRegressor,
    "default": StreamingAttentionRegressor,
}
RLS: dict[str, Callable[[], Any]] = {
    "without": lambda: StreamingAttentionRegressor(mode=None, memory=0, window=0, readout="rls"),
    "window": lambda: SlidingWindowAttentionRegressor(readout="rls"),
    "lstm": lambda: LSTMAttentionRegressor(readout="rls"),
    "latent": lambda: LatentAttentionRegressor(readout="rls"),
    "window, sgd": lambda: SlidingWindowAttentionRegressor(readout="sgd"),
}


TRANSFORMERS: dict[str, Callable[[], Any]] = {
    "without": lambda: AttentionTransformer(mode=None, window=0) | LinearRegression(),
    "window": lambda: SlidingWindowAttention() | LinearRegression(),
    "lstm": lambda: LSTMAttention() | LinearRegression(),
    "latent": lambda: LatentAttention() | LinearRegression(),
    "default": lambda: AttentionTransformer() | LinearRegression(),
}
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "without": lambda: StreamingAttentionClassifier(mode=None, memory=0, window=0),
    "window": SlidingWindowAttentionClassifier,
    "default": StreamingAttentionClassifier,
}


def streams(
    folder: Path, rows: int | None, tables: Sequence[tuple[str, dict[str, Callable[[], Any]]]]
) -> None:
    """Every estimator as it comes, beside itself without attention."""
    for title, models in tables:
        print(f"{title:10}" + "".join(f"{name:>14}" for name in models))
        shares = []
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as archive:
                X, y = archive["X"][:rows], archive["y"][:rows]
                names = [str(name) for name in archive["names"]]
            if title == "classes":
                y = np.concatenate([[0.0], np.diff(y) > 0])
            errors = []
            for make in models.values():
                model, total = make(), 0.0
                for t, (row, label) in enumerate(zip(X.tolist(), y.tolist(), strict=True)):
                    x = dict(zip(names, row, strict=True))
                    if t:
                        total += abs(model.predict_one(x) - label)
                    model.learn_one(x, label)
                errors.append(total / (len(y) - 1))
            shares.append(np.array(errors) / errors[0])
            cells = "".join(f"{share:14.3f}" for share in shares[-1][1:])
            print(f"{path.stem:10}{errors[0]:14.4g}{cells}", flush=True)
        means = np.exp(np.log(shares).mean(axis=0))
        print(f"{'geometric':10}{'':14}" + "".join(f"{mean:14.3f}" for mean in means[1:]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("steps", "learning", "head", "streams", "others"))
    parser.add_argument("--data", type=Path, help="folder of streams, *.npz")
    parser.add_argument("--rows", type=int, help="rows of every stream; all by default")
    parser.add_argument("--n", type=int, help="steps, of the first three; their own by default")
    given = parser.parse_args(arguments)
    if given.what in ("streams", "others"):
        if given.data is None:
            parser.error(f"{given.what} needs --data")
        tables = [("mixture", ESTIMATORS), ("rls", RLS)]
        if given.what == "others":
            tables = [("linear", TRANSFORMERS), ("classes", CLASSIFIERS)]
        streams(given.data, given.rows, tables)
    else:
        run = {"steps": steps, "learning": learning, "head": head}[given.what]
        run(given.n) if given.n else run()


if __name__ == "__main__":
    main()
