r"""What a state costs: bytes, time to save, load and fork, and one model per key.

``sizes`` prints the bytes of a model that has learned 2 000 rows and the µs to save
(``to_bytes``), to load (``from_bytes``) and to fork it (``copy.deepcopy``, ``branch``). The models
take turns, the best of three times in each, and the medians of CPU time are printed with that of a
step (``predict_one`` and ``learn_one``) beside them: on a machine whose speed varies, compare the
two.

``float32`` loads a float32 copy in the middle of a stream and goes on with both: printed is the
relative change of the mean absolute error, and how far the predictions are apart, both over the
second half. Streams are river's bundled ones, or with ``--data DIR`` every `DIR/*.npz` with
arrays X, y and names.

``keyed`` compares rows per second of the fast settings: a dict of models, ``KeyedModel`` in memory
and with stores, ``step`` on blocks of the rows of a key, and Spark if pyspark is there (its first
micro-batch, which starts the workers, is not counted). Every row has a key at random, the worst
case for a model that spills: with a tenth of the models in memory nine rows of ten load one.

    python benchmarks/state.py [sizes] [float32] [keyed] [--data DIR] [--rounds 20] [--rows 20000]
                               [--keys 1000] [--json FILE]
"""

from __future__ import annotations

import argparse
import copy
import functools
import gc
import importlib.util
import json
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from river_attention import (
    RLSRegressor,
    StreamingAttentionClassifier,
    StreamingAttentionForecaster,
    StreamingAttentionRegressor,
    from_bytes,
)
from river_attention._baselines import FAST_SETTINGS
from river_attention._progress import ProgressBar
from river_attention.demo import load_streams
from river_attention.keyed import FolderStore, KeyedModel, SqliteStore, step

Rows = list[tuple[dict[Any, Any], Any]]

MODELS: dict[str, Callable[[], Any]] = {
    "default": StreamingAttentionRegressor,
    "`window=100`": lambda: StreamingAttentionRegressor(window=100),
    '`readout="rls"`': lambda: StreamingAttentionRegressor(readout="rls"),
    '`readout="rls", window=0`': lambda: StreamingAttentionRegressor(readout="rls", window=0),
    "fast settings": lambda: StreamingAttentionRegressor(**FAST_SETTINGS),
    "`RLSRegressor()`": RLSRegressor,
    "`StreamingAttentionClassifier()`, 3 classes": StreamingAttentionClassifier,
    "`StreamingAttentionForecaster()`": StreamingAttentionForecaster,
}
ACTIONS = ("step", "save", "load", "deepcopy", "branch")
PARTS = ("sizes", "float32", "keyed")
N_LEARNED = 2000


def random_rows(n_rows: int, n_features: int = 10, seed: int = 0) -> Rows:
    """Rows of normal features and a target that follows them slowly."""
    X = np.random.default_rng(seed).normal(size=(n_rows, n_features)).tolist()
    rows, level = [], 0.0
    for values in X:
        level = 0.9 * level + values[0]
        rows.append(({f"x{i}": value for i, value in enumerate(values)}, level))
    return rows


def run(model: Any, rows: Rows) -> None:
    """Predict and learn each row in turn, whatever the kind of the model."""
    for x, y in rows:
        if isinstance(model, StreamingAttentionForecaster):
            model.learn_one(y, x)
        else:
            model.predict_one(x)
            model.learn_one(x, int(y) % 3 if isinstance(model, StreamingAttentionClassifier) else y)


def seconds(work: Callable[[], Any], clock: Callable[[], float]) -> float:
    """How long it takes, with the garbage collector at rest."""
    gc.collect()
    gc.disable()
    start = clock()
    work()
    taken = clock() - start
    gc.enable()
    return taken


# --- sizes


def measure_sizes(rounds: int, n_learned: int = N_LEARNED) -> dict[str, dict[str, float]]:
    """Bytes, and medians of µs, for every model."""
    rows = random_rows(n_learned + 20)
    figures: dict[str, dict[str, float]] = {}
    models, states = {}, {}
    times: dict[str, dict[str, list[float]]] = {}
    with ProgressBar(total=len(MODELS) + rounds) as bar:
        for name, make in MODELS.items():
            bar.label(name)
            model = models[name] = make()
            run(model, rows[:n_learned])
            states[name] = model.to_bytes()
            figures[name] = {
                "pickle": len(pickle.dumps(model)),
                "float64": len(states[name]),
                "float32": len(model.to_bytes("float32")),
            }
            times[name] = {action: [] for action in ACTIONS}
            bar.advance()
        bar.label(f"{rounds} rounds")
        for _ in range(rounds):
            for name, model in models.items():
                stepped = copy.deepcopy(model)
                branch = getattr(getattr(model, "task_", None), "branch", None)
                work = {
                    "step": lambda model=stepped: run(model, rows[-20:]),
                    "save": model.to_bytes,
                    "load": lambda data=states[name]: from_bytes(data),
                    "deepcopy": lambda model=model: copy.deepcopy(model),
                } | ({} if branch is None else {"branch": branch})
                for action, do in work.items():
                    n = 20 if action == "step" else 1
                    # the first fills the caches
                    best = min(seconds(do, time.process_time) for _ in range(3))
                    times[name][action].append(1e6 * best / n)
            bar.advance()
    for name, taken in times.items():
        figures[name] |= {action: float(np.median(t)) for action, t in taken.items() if t}
    return figures


def table_of_sizes(figures: dict[str, dict[str, float]]) -> str:
    """The sizes and times as a Markdown table."""
    lines = [
        "| model, 10 features | pickle | bytes | float32 | µs a step | save | load | deepcopy "
        "| branch |",
        "| --- |" + " ---: |" * 8,
    ]
    for name, row in figures.items():
        sizes = [f"{row[kind]:,.0f}".replace(",", " ") for kind in ("pickle", "float64", "float32")]
        taken = [f"{row[action]:.0f}" if action in row else "–" for action in ACTIONS]
        lines.append(f"| {name} | " + " | ".join(sizes + taken) + " |")
    return "\n".join(lines)


# --- float32


def load(folder: Path | None) -> dict[str, Rows]:
    """The streams of a folder, or those that river ships."""
    if folder is None:
        return load_streams()
    streams = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            names = [str(name) for name in arrays["names"]]
            X, y = arrays["X"].tolist(), arrays["y"].tolist()
        rows = zip(X, y, strict=True)
        streams[path.stem] = [(dict(zip(names, x, strict=True)), target) for x, target in rows]
    return streams


def measure_float32(streams: dict[str, Rows]) -> dict[str, dict[str, dict[str, float]]]:
    """For some models and every stream how a float32 copy differs from the original."""
    chosen = ("default", '`readout="rls"`', "fast settings")
    figures: dict[str, dict[str, dict[str, float]]] = {name: {} for name in chosen}
    with ProgressBar(total=len(chosen) * len(streams)) as bar:
        for name in chosen:
            for stream, rows in streams.items():
                bar.label(f"{name}, {stream}")
                figures[name][stream] = compare(MODELS[name](), rows)
                bar.advance()
    return figures


def compare(model: Any, rows: Rows) -> dict[str, float]:
    """Go on from the middle with a float32 copy beside the original."""
    half = len(rows) // 2
    run(model, rows[:half])
    compact = from_bytes(model.to_bytes("float32"))
    answers = np.empty((2, len(rows) - half))
    for i, (x, y) in enumerate(rows[half:]):
        for j, each in enumerate((model, compact)):
            answers[j, i] = each.predict_one(x)
            each.learn_one(x, y)
    original, copied = np.abs(answers - np.array([y for _, y in rows[half:]]))
    apart = np.abs(answers[1] - answers[0])
    mae = original.mean()
    return {
        "change": float(copied.mean() / mae - 1.0),
        "mean": float(apart.mean() / mae),
        "largest": float(apart.max() / mae),
    }


def table_of_float32(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """The differences as a Markdown table."""
    streams = list(next(iter(figures.values())))
    lines = [
        "| model | figure | " + " | ".join(streams) + " |",
        "| --- | --- |" + " ---: |" * len(streams),
    ]
    shown = {
        "change": ("relative change of the MAE", "{:+.0e}"),
        "mean": ("mean difference / MAE", "{:.0e}"),
        "largest": ("largest difference / MAE", "{:.0e}"),
    }
    for name, row in figures.items():
        for kind, (label, form) in shown.items():
            cells = " | ".join(form.format(row[stream][kind]) for stream in streams)
            lines.append(f"| {name} | {label} | {cells} |")
    return "\n".join(lines)


# --- one model per key


def keyed_rows(n_rows: int, n_keys: int) -> Rows:
    """Rows of five features and a key at random."""
    keys = np.random.default_rng(1).integers(n_keys, size=n_rows).tolist()
    rows = random_rows(n_rows, 5)
    return [({"key": key, **x}, y) for key, (x, y) in zip(keys, rows, strict=True)]


def dict_of_models(rows: Rows, models: dict[Any, Any]) -> None:
    """One model per key by hand."""
    for x, y in rows:
        rest = dict(x)
        key = rest.pop("key")
        if key not in models:
            models[key] = StreamingAttentionRegressor(**FAST_SETTINGS)
        models[key].predict_one(rest)
        models[key].learn_one(rest, y)


def keyed_by_row(rows: Rows, model: KeyedModel) -> None:
    """The rows one by one; a store has them all in the end."""
    run(model, rows)
    if model.store is not None:
        model.flush()


def steps(rows: Rows, states: dict[Any, bytes]) -> None:
    """The rows of a key as one block, as an engine would give them."""
    blocks: dict[Any, Rows] = {}
    for x, y in rows:
        rest = dict(x)
        blocks.setdefault(rest.pop("key"), []).append((rest, y))
    for key, block in blocks.items():
        states[key], _ = step(states.get(key), block, StreamingAttentionRegressor(**FAST_SETTINGS))


def measure_keyed(n_rows: int, n_keys: int) -> dict[str, float]:
    """Rows per second: every way sees the same rows, first half to make the models."""
    rows = keyed_rows(2 * n_rows, n_keys)
    few = max(n_keys // 10, 1)
    fast = StreamingAttentionRegressor(**FAST_SETTINGS)
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        models: dict[Any, Any] = {}
        states: dict[Any, bytes] = {}
        sqlite = SqliteStore(Path(folder, "models.db"))
        stores = {
            "dict": {},
            "SqliteStore": sqlite,
            "FolderStore": FolderStore(Path(folder, "models")),
        }
        ways: dict[str, Callable[[Rows], None]] = {
            "dict of models": lambda rows: dict_of_models(rows, models),
            "KeyedModel": _by_row(KeyedModel(fast, "key")),
            **{
                f"KeyedModel, a tenth in memory, {name}": _by_row(
                    KeyedModel(fast, "key", few, store)
                )
                for name, store in stores.items()
            },
            "step, blocks of a key": lambda rows: steps(rows, states),
        }
        with ProgressBar(total=len(ways)) as bar:
            for name, way in ways.items():
                bar.label(name)
                way(rows[:n_rows])
                rates[name] = n_rows / seconds(
                    functools.partial(way, rows[n_rows:]), time.perf_counter
                )
                bar.advance()
        sqlite.close()
        if importlib.util.find_spec("pyspark") is not None:
            rates["Spark, local[2]"] = spark_rate(rows, Path(folder))
    return rates


def _by_row(model: KeyedModel) -> Callable[[Rows], None]:
    return lambda rows: keyed_by_row(rows, model)


def spark_rate(rows: Rows, folder: Path) -> float:
    """Rows per second of four micro-batches, after a first one that starts the workers."""
    import pandas as pd
    from pyspark.sql import SparkSession

    from river_attention.keyed.spark import ROCKSDB, predict_learn

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    frame = pd.DataFrame([{**x, "time": t, "y": y} for t, (x, y) in enumerate(rows)])
    given = folder / "in"
    given.mkdir()
    for i, part in enumerate(np.array_split(np.arange(len(frame)), 5)):
        frame.iloc[part].to_parquet(given / f"{i}.parquet", index=False)
        os.utime(given / f"{i}.parquet", (i, i))
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    for name, value in (ROCKSDB | {"spark.sql.shuffle.partitions": 2}).items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    try:
        stream = spark.readStream.schema(spark.read.parquet(str(given)).schema)
        stream = stream.option("maxFilesPerTrigger", 1).parquet(str(given))
        fast = StreamingAttentionRegressor(**FAST_SETTINGS)
        query = (
            predict_learn(stream, fast, key="key", time="time", target="y")
            .writeStream.format("parquet")
            .option("path", str(folder / "out"))
            .option("checkpointLocation", str(folder / "checkpoint"))
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
        batches = [p for p in query.recentProgress if p["numInputRows"]][1:]
        milliseconds = sum(batch["durationMs"]["triggerExecution"] for batch in batches)
        return sum(batch["numInputRows"] for batch in batches) / (1e-3 * milliseconds)
    finally:
        spark.stop()


def table_of_keyed(rates: dict[str, float]) -> str:
    """The rates as a Markdown table."""
    first = next(iter(rates.values()))
    lines = ["| way | rows a second | of a dict of models |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {rate:.0f} | {rate / first:.2g} |" for name, rate in rates.items()]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with command-line arguments ``argv``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--data", type=Path, help="a folder of NAME.npz with X, y and names")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each model in sizes")
    parser.add_argument("--rows", type=int, default=20_000, help="rows that keyed times")
    parser.add_argument("--keys", type=int, default=1000, help="keys in keyed")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args(argv)
    for name in ("rounds", "rows", "keys"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}={getattr(arguments, name)}: must be at least 1")
    parts = arguments.parts or list(PARTS)
    for part in parts:
        if part not in PARTS:
            parser.error(f"{part}: must be one of {', '.join(PARTS)}")
    figures: dict[str, Any] = {}
    if "sizes" in parts:
        figures["sizes"] = measure_sizes(arguments.rounds)
        print(table_of_sizes(figures["sizes"]), end="\n\n")
    if "float32" in parts:
        streams = load(arguments.data)
        if not streams:
            parser.error(f"--data={arguments.data}: there is no .npz file")
        figures["float32"] = measure_float32(streams)
        print(table_of_float32(figures["float32"]), end="\n\n")
    if "keyed" in parts:
        figures["keyed"] = measure_keyed(arguments.rows, arguments.keys)
        print(table_of_keyed(figures["keyed"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
