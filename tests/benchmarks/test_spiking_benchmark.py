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


def test_every_model_is_run_on_every_stream(spiking, capsys):
    spiking.main(["--rows", "60"])
    lines = capsys.readouterr().out.splitlines()[2:]
    assert len(lines) == len(spiking.models(False)) + 2 * len(spiking.models(True))
    for line in lines:
        _, model, error, rate, cost = line.strip("| ").split(" | ")
        assert math.isfinite(float(error))
        assert float(cost) > 0.0
        assert (rate == "–") == ("population" not in model)


def test_the_raster_is_a_picture(spiking, tmp_path):
    pytest.importorskip("matplotlib")
    spiking.raster(tmp_path / "img" / "raster.png", n_rows=50)
    assert (tmp_path / "img" / "raster.png").read_bytes().startswith(b"\x89PNG")


def test_coincidences_are_what_the_last_four_rows_say(spiking):
    rows = spiking.coincidences(500)
    for t, (_, y) in enumerate(rows):
        last = [x for x, _ in rows[max(t - 3, 0) : t + 1]]
        assert y == (any(x["a"] for x in last) and any(x["b"] for x in last))
    assert 0.1 < sum(y for _, y in rows) / 500 < 0.3


def test_the_cost_of_steps_is_printed_beside_river(spiking, capsys):
    spiking.main(["--steps", "--rows", "20"])
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert lines[0][0].startswith("river")
    assert lines[0][2] == "1.00"
    assert [line[0].split(",")[0] for line in lines[1:3]] == ["one neuron", "64 neurons"]
    assert all(float(line[1]) > 0.0 for line in lines)
