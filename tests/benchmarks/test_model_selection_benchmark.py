"""The benchmark of the search: what it prints and writes."""

from __future__ import annotations

import json

import numpy as np
import pytest


@pytest.fixture(scope="module")
def benchmark(load_benchmark):
    return load_benchmark("model_selection")


def _main(benchmark, tmp_path, capsys, *arguments):
    path = tmp_path / "figures.json"
    benchmark.main([*arguments, "--json", str(path)])
    figures, printed = json.loads(path.read_text()), capsys.readouterr().out
    assert len(printed.splitlines()) == 4 + len(figures)
    return figures


def test_workers_are_timed_in_turn(benchmark, tmp_path, capsys):
    options = ["--rows", "60", "--only", "synthetic 1", "--rounds", "1"]
    (figures,) = _main(benchmark, tmp_path, capsys, *options)
    assert (figures["stream"], figures["rows"]) == ("synthetic 1", 60)
    assert figures["n_jobs=1, s"] > 0.0
    assert 1.0 < figures["bound"] < 2.1


def test_halving_is_compared_on_the_streams_of_a_folder(benchmark, tmp_path, capsys):
    y = np.cumsum(np.random.default_rng(0).normal(size=160))
    np.savez(tmp_path / "walk.npz", X=np.zeros((160, 0)), y=y, names=np.array([]))
    (figures,) = _main(benchmark, tmp_path, capsys, "--halving", "--data", str(tmp_path))
    # all 64 up to row 20, 32 to 40, 16 to 80, 8 to the end
    assert figures["share of rows"] == pytest.approx((32 * 20 + 16 * 40 + 8 * 80 + 8 * 160) / 10240)
    error = figures["winner's error / least"]
    assert error == 1.0 if figures["same winner"] else error >= 1.0
    assert figures["median error / least"] >= 1.0


def test_memory_is_measured_at_three_lengths(benchmark, tmp_path, capsys):
    figures = _main(benchmark, tmp_path, capsys, "--memory", "--rows", "20")
    assert [row["rows"] for row in figures] == [20, 40, 80]
    assert all(row["peak, MB"] > 0.0 for row in figures)


def test_streams_that_are_not_there_are_said(benchmark, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--only", "nothing", "--rows", "5"])
    assert "no such stream" in capsys.readouterr().err
