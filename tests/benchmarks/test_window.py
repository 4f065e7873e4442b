"""The benchmark of the window: what it prints."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="module")
def window(load_benchmark):
    return load_benchmark("window")


def test_estimators_are_compared_on_the_streams_of_a_folder(window, tmp_path, capsys):
    y = np.cumsum(np.random.default_rng(0).normal(size=30))
    np.savez(tmp_path / "walk.npz", X=np.zeros((30, 0)), y=y, names=np.array([]))
    window.main(["streams", "--data", str(tmp_path), "--rows", "20"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "mixture",
        "walk",
        "geometric",
        "rls",
        "walk",
        "geometric",
    ]
    assert all(np.isfinite(float(cell)) for line in lines[1:3] for cell in line.split()[1:])


def test_layers_take_steps(window, capsys):
    window.steps(n=3, rounds=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 14  # two of them the head
    assert lines[5].split()[:3] == ["60", "4", "4"]


def test_the_lag_task_is_learned(window):
    model = window.SlidingWindowAttentionRegressor(
        window_size=8, n_heads=8, readout="rls", n_lags=0, long_lags=0, prior="mean"
    )
    assert window.by_quarter(model, 800)[-1] < 0.1


def test_both_beginnings_of_a_head_are_run(window, capsys):
    window.main(["head", "--n", "40"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    means = [line for line in lines if "geometric" in line]
    assert [line[:2] for line in means] == [
        [position, begins] for position in ("relative", "rope") for begins in ("zero", "drawn")
    ]
    assert means[0] != means[1]
