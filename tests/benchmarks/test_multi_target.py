"""The benchmark of several targets prints errors and costs."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from river_attention import backend

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("multi_target")
    monkeypatch.setattr(module, "SIZES", (1, 2))
    monkeypatch.setattr(module, "_WARMUP", 10)
    monkeypatch.setattr(module, "synthetic", lambda n: {"walk": (np.zeros((n, 0)), _walk(n))})
    monkeypatch.setattr(module, "solar_flare", lambda: {"ours": 0.5})
    return module


def _walk(n_rows):
    return np.cumsum(np.random.default_rng(0).normal(size=(n_rows, 2)), axis=0)


def test_it_prints_errors_by_stream_and_costs_by_targets(benchmark, tmp_path, capsys):
    out = tmp_path / "figures.json"
    benchmark.main(["--rows", "30", "--cost-rows", "50", "--json", str(out)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")] == [
        *("| stream", "| ---", "| walk", "| TrumpApproval", "| geometric mean"),
        *("| targets", "| ---:", "| 1", "| 2"),
    ]
    figures = json.loads(out.read_text())
    assert {name: len(found) for name, found in figures["errors"].items()} == {
        "walk": 2,
        "TrumpApproval": 6,
    }
    assert all(0.2 < ratio < 5.0 for found in figures["errors"].values() for ratio in found)
    costs = {"0 features", "10 features"}
    if backend.is_compiled():
        costs |= {f"NumPy: {name}" for name in costs}
    assert set(figures["costs"]) == costs


def test_files_become_streams_of_several_targets(benchmark, tmp_path):
    rng = np.random.default_rng(1)
    for name in {*benchmark.MEASURED, *benchmark.UNRELATED}:
        X, y = np.arange(200.0).reshape(20, 10), rng.normal(size=20)
        np.savez(tmp_path / f"{name}.npz", X=X, y=y)
    streams = benchmark.from_files(tmp_path, 12)
    X, Y = streams["etth1"]
    assert X.shape == (12, 4)
    assert Y.shape == (12, 7)
    assert Y[0, 1:].tolist() == [10.0, 11.0, 12.0, 13.0, 14.0, 15.0]
    assert streams["trump"][1][0, 1:].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert streams["unrelated"][1].shape == (12, 4)
    assert streams["sp_same"][1].shape == (12, 11)


def test_too_few_rows_are_refused(benchmark, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--rows", "2"])
    assert "--rows: at least 3" in capsys.readouterr().err
