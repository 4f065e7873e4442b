"""One model per key on Spark: what it gives is what models by hand give, whatever happens to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from river_attention import StreamingAttentionRegressor

pytestmark = pytest.mark.spark

N_KEYS, N_FILES, ROWS_PER_FILE = 300, 12, 1500

JOB = """
import sys
from pathlib import Path
from pyspark.sql import SparkSession
from river_attention import StreamingAttentionRegressor
from river_attention.keyed.spark import ROCKSDB, predict_learn

folder, model = Path(sys.argv[1]), StreamingAttentionRegressor(**%(parameters)r)
builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
for name, value in ROCKSDB.items():
    builder = builder.config(name, value)
spark = builder.config("spark.sql.shuffle.partitions", 2).getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
schema = spark.read.parquet(str(folder / "in")).schema
rows = spark.readStream.schema(schema).option("maxFilesPerTrigger", 1).parquet(str(folder / "in"))
out = predict_learn(rows, model, key="meter", time="time", target="y", features=["a", "b"])
query = (
    out.writeStream.format("parquet")
    .option("path", str(folder / "out"))
    .option("checkpointLocation", str(folder / "checkpoint"))
    .trigger(availableNow=True)
    .start()
)
query.awaitTermination()
# what was committed, as Spark reads it: files of a batch that was cut off do not count
spark.read.parquet(str(folder / "out")).toPandas().to_pickle(folder / "out.pickle")
"""
PARAMETERS = {
    "mode": "gla",
    "memory": 0,
    "window": 9,
    "n_lags": 2,
    "long_lags": 0,
    "readout": "rls",
}


@pytest.fixture(scope="module")
def stream():
    """Rows of 300 meters; in every file they are shuffled, some times twice, some labels absent."""
    rng = np.random.default_rng(0)
    n = N_FILES * ROWS_PER_FILE
    a, b, noise = rng.normal(size=(3, n))
    meters = rng.integers(N_KEYS, size=n)
    frame = pd.DataFrame(
        {
            "meter": [f"meter {i}" for i in meters],
            "row": np.arange(n),
            "time": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n) // 2, unit="min"),
            "a": np.where(rng.uniform(size=n) < 0.05, np.nan, a),
            "b": b,
            "y": np.where(rng.uniform(size=n) < 0.02, np.nan, a + meters % 7 * b + 0.1 * noise),
        }
    )
    return [
        frame[i : i + ROWS_PER_FILE].sample(frac=1.0, random_state=i)
        for i in range(0, n, ROWS_PER_FILE)
    ]


@pytest.fixture(scope="module")
def expected(stream):
    """The prediction for every row by models by hand, in the order of time and row."""
    models, predictions = {}, {}
    for part in stream:
        for row in part.sort_values(["time", "row"]).itertuples():
            model = models.setdefault(row.meter, StreamingAttentionRegressor(**PARAMETERS))
            x = {"a": row.a, "b": row.b}
            predictions[row.row] = model.predict_one(x)
            if row.y == row.y:
                model.learn_one(x, row.y)
            else:
                model.advance_one(x)
    return predictions


@pytest.fixture
def folder(tmp_path, stream):
    (tmp_path / "in").mkdir()
    for i, part in enumerate(stream):
        part.to_parquet(tmp_path / "in" / f"{i:03}.parquet", index=False, coerce_timestamps="us")
        os.utime(tmp_path / "in" / f"{i:03}.parquet", (i, i))
    return tmp_path


def start(folder):
    script = JOB % {"parameters": PARAMETERS}
    with (folder / "log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-c", script, str(folder)],
            stdout=log,
            stderr=log,
            env=os.environ | {"PYSPARK_PYTHON": sys.executable},
            # a group of its own: the JVM and the Python workers are killed with it
            start_new_session=True,
        )


def committed(folder):
    return len(list((folder / "checkpoint" / "commits").glob("[0-9]*")))


def finish(folder):
    job = start(folder)
    assert job.wait(600) == 0, (folder / "log").read_text()[-3000:]
    return pd.read_pickle(folder / "out.pickle")


def assert_complete_and_equal(found, expected):
    assert sorted(found["row"]) == list(range(N_FILES * ROWS_PER_FILE))
    assert dict(zip(found["row"], found["prediction"], strict=True)) == expected


def test_a_job_gives_what_models_by_hand_give(folder, expected):
    assert_complete_and_equal(finish(folder), expected)


def test_a_job_that_is_killed_goes_on_from_its_checkpoint(folder, expected):
    """Killed with -9 three times in the middle of a batch: none lost, none doubled, all equal."""
    rng = np.random.default_rng(0)
    kills = []
    for batches in (1, 4, 8):
        job = start(folder)
        while committed(folder) < batches:
            assert job.poll() is None, (folder / "log").read_text()[-3000:]
            time.sleep(0.02)
        time.sleep(float(rng.uniform(0.1, 1.5)))
        os.killpg(job.pid, signal.SIGKILL)
        assert job.wait() == -signal.SIGKILL
        kills.append(committed(folder))
    assert kills[-1] < N_FILES
    assert_complete_and_equal(finish(folder), expected)
