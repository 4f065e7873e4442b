"""The benchmark of spiking populations: its stream, its table and its picture."""

from __future__ import annotations

import itertools
import math

import pytest


@pytest.fixture(scope="module")
def spiking(load_benchmark):
    return load_benchmark("spiking")


def test_bursts_last_and_look_like_the_rest_row_by_row(spiking):
    rows = spiking.bursts(20_000)
    inside = [y for _, y in rows]
    starts = sum(now > before for before, now in itertools.pairwise(inside))
    assert 25 < sum(inside) / starts < 35
    for of_class in (0, 1):
        squares = [x["a"] ** 2 for x, y in rows if y == of_class]
        assert sum(squares) / len(squares) == pytest.approx(1.0, abs=0.1)


def test_every_model_is_run_on_both_streams(spiking, capsys):
    spiking.main(["--rows", "60"])
    lines = capsys.readouterr().out.splitlines()[2:]
    assert len(lines) == len(spiking.models(False)) + len(spiking.models(True))
    for line in lines:
        _, model, error, rate, cost = line.strip("| ").split(" | ")
        assert math.isfinite(float(error))
        assert float(cost) > 0.0
        assert (rate == "–") == ("population" not in model)


def test_the_raster_is_a_picture(spiking, tmp_path):
    pytest.importorskip("matplotlib")
    spiking.raster(tmp_path / "img" / "raster.png", n_rows=50)
    assert (tmp_path / "img" / "raster.png").read_bytes().startswith(b"\x89PNG")
