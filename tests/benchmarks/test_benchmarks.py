"""The accuracy benchmark: its statistics, its loader and what it prints."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from river_attention.readout import shares


@pytest.fixture(scope="module")
def accuracy(load_benchmark):
    return load_benchmark("accuracy")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path, rng):
    """Two streams, one of them without any input."""
    y = np.cumsum(rng.standard_normal(80))
    np.savez(tmp_path / "walk.npz", X=np.zeros((80, 0)), y=y, names=np.array([]))
    X = rng.standard_normal((80, 2))
    np.savez(tmp_path / "line.npz", X=X, y=X.sum(axis=1), names=np.array(["a", "b"]))
    return tmp_path


def cells(line):
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def tables(text):
    """Every Markdown table as {first cell: {column: cell}}."""
    result = []
    for block in text.strip().split("\n\n"):
        header, rule, *rows = block.splitlines()
        assert len(cells(rule)) == len(cells(header))
        result.append(
            {cells(row)[0]: dict(zip(cells(header), cells(row), strict=True)) for row in rows}
        )
    return result


def test_equal_losses_differ_by_nothing(accuracy, rng):
    losses = rng.uniform(size=50)
    assert accuracy.diebold_mariano(losses, losses) == 0.0


def test_a_constant_advantage_is_infinitely_significant_and_negative_for_the_first(accuracy):
    losses = np.arange(50.0)
    assert accuracy.diebold_mariano(losses, losses + 1.0) == -math.inf
    assert accuracy.diebold_mariano(losses + 1.0, losses) == math.inf


def test_the_statistic_is_negative_where_the_first_forecast_is_better(accuracy, rng):
    better, worse = rng.uniform(0, 1, 300), rng.uniform(0.2, 1.2, 300)
    t = accuracy.diebold_mariano(better, worse)
    assert t < -3.0
    assert accuracy.diebold_mariano(worse, better) == -t


def test_without_lags_it_is_the_t_statistic_of_the_differences(accuracy, rng):
    a, b = rng.uniform(size=(2, 200))
    d = a - b
    expected = d.mean() / (d.std() / math.sqrt(len(d)))
    assert accuracy.diebold_mariano(a, b, lags=0) == pytest.approx(expected, rel=1e-12)


def test_the_long_run_variance_weighs_autocovariances_with_the_bartlett_window(accuracy):
    # d = (1, 2, 3, 6): mean 3, centred (-2, -1, 0, 3); γ = (14, 2, -3) / 4
    d = np.array([1.0, 2.0, 3.0, 6.0])
    variance = (14 + 2 * (2 / 3) * 2 + 2 * (1 / 3) * -3) / 4
    t = accuracy.diebold_mariano(d, np.zeros(4), lags=2)
    assert t == pytest.approx(3 / math.sqrt(variance / 4), rel=1e-12)


@pytest.mark.parametrize(("n", "lags"), [(100, 4), (1000, 6), (20_000, 12)])
def test_the_number_of_lags_grows_slowly_with_the_number_of_rows(accuracy, rng, n, lags):
    a, b = rng.uniform(size=(2, n))
    assert accuracy.diebold_mariano(a, b) == accuracy.diebold_mariano(a, b, lags=lags)


def test_differences_that_persist_are_less_significant_than_independent_ones(accuracy, rng):
    independent = rng.standard_normal(100)
    d = 0.3 + np.repeat(independent, 10)
    t = accuracy.diebold_mariano(d, np.zeros(1000))
    assert abs(t) < 0.6 * abs(accuracy.diebold_mariano(d, np.zeros(1000), lags=0))


def test_the_loader_reads_streams_with_and_without_input(accuracy, folder):
    streams = accuracy.load(folder)
    assert list(streams) == ["line", "walk"]
    with np.load(folder / "line.npz") as arrays:
        X, y = arrays["X"], arrays["y"]
    assert streams["line"][7] == ({"a": X[7, 0], "b": X[7, 1]}, y[7])
    assert {len(rows) for rows in streams.values()} == {80}
    assert all(x == {} and isinstance(y, float) for x, y in streams["walk"])


def test_the_loader_keeps_the_first_rows(accuracy, folder):
    whole, part = accuracy.load(folder), accuracy.load(folder, rows=30)
    assert part == {name: rows[:30] for name, rows in whole.items()}


def test_patches_hold_while_they_are_in_force_and_no_longer(accuracy):
    before = shares.SHARE
    with accuracy.patched({"readout.shares.SHARE": 0.25}):
        assert shares.SHARE == 0.25
    assert before == shares.SHARE


def test_a_patch_of_nothing_is_an_error(accuracy):
    with (
        pytest.raises(AttributeError, match="NO_SUCH_CONSTANT"),
        accuracy.patched({"readout.regression.NO_SUCH_CONSTANT": 1.0}),
    ):
        pass


def test_every_change_of_the_ladder_changes_the_model(accuracy, folder):
    streams = accuracy.load(folder)
    # a level shift, for the parts that are there because of those
    rows = streams["walk"] + [(x, y + 100.0) for x, y in streams["line"]]
    runs = {
        name: accuracy.validate(accuracy.Job(name, model, "both", rows))
        for name, model in accuracy.ablated().items()
        # slow to show: they matter from the 500th row on, or when the detector fires
        if not name.startswith(("window=500", "window=2000", "drift_", "running means"))
    }
    default = runs.pop(accuracy.OURS).predictions
    for name, run in runs.items():
        assert np.isfinite(run.predictions).all(), name
        assert not np.array_equal(run.predictions, default), name


def test_the_models_are_compared_on_every_stream(accuracy, folder, capsys):
    only = ["LinearRegression", "HoltWinters", "HoltWinters, season 12", "RLSRegressor"]
    out = folder / "figures.json"
    accuracy.main(["--data", str(folder), "--rows", "60", "--json", str(out), "--only", *only])
    mae, rmse, relative, t = tables(capsys.readouterr().out)
    names = {accuracy.REFERENCE, accuracy.OURS, *only}
    assert set(mae) == set(rmse) == set(relative) == names
    assert set(t) == names - {accuracy.OURS}
    figures = json.loads(out.read_text())
    assert set(figures) == names

    streams = accuracy.load(folder, rows=60)
    steps = {name: np.mean(np.abs(np.diff([y for _, y in rows]))) for name, rows in streams.items()}
    for stream, step in steps.items():
        assert float(mae["persistence"][stream]) == pytest.approx(step, rel=1e-3)
        assert relative["persistence"][stream] == "1.000"
        figure = figures[accuracy.OURS]["streams"][stream]
        assert figure["relative"] == pytest.approx(figure["mae"] / step)
    ratios = [float(relative[accuracy.OURS][stream]) for stream in steps]
    average = float(relative[accuracy.OURS]["geometric mean"])
    assert average == pytest.approx(math.sqrt(ratios[0] * ratios[1]), abs=2e-3)


def test_all_models_run_on_a_stream_without_input(accuracy, folder, capsys):
    (folder / "line.npz").unlink()
    accuracy.main(["--data", str(folder), "--rows", "60"])
    mae, *_ = tables(capsys.readouterr().out)
    assert list(mae) == list(accuracy.compared())


def test_the_ladder_and_the_modes_take_part_of_their_rows(accuracy, folder, capsys):
    common = ["--data", str(folder), "--rows", "60"]
    accuracy.main([*common, "--ablate", "--only", "window=0", "mixture: no fixed share"])
    (ladder,) = tables(capsys.readouterr().out)
    assert list(ladder) == ["the default", "`window=0`", "mixture: no fixed share"]
    # patches reach the worker processes
    assert ladder["the default"]["walk"] != ladder["mixture: no fixed share"]["walk"]
    accuracy.main([*common, "--modes", "--only", "gla", "no heads"])
    (modes,) = tables(capsys.readouterr().out)
    assert list(modes) == ["`gla`", "no heads"]


def test_coverage_counts_targets_within_the_interval(accuracy, tmp_path, rng, capsys):
    y = rng.standard_normal(1100)
    np.savez(tmp_path / "noise.npz", X=np.zeros((1100, 0)), y=y, names=np.array([]))
    fast, jackknife = f"{accuracy.OURS}, fast settings", "LinearRegression in RegressionJackknife"
    accuracy.main(["--data", str(tmp_path), "--coverage", "--only", fast, jackknife])
    inside, windows, width, score = tables(capsys.readouterr().out)
    kinds = [f"{fast}: predict_interval_one", f"{fast}: with_dist=True", jackknife]
    assert [list(table) for table in (inside, windows, width, score)] == [kinds] * 4
    for kind in kinds:
        assert 80.0 < float(inside[kind]["noise"].removesuffix(" %")) < 98.0
        # the deviation of the noise is 1, that of its differences √2
        assert 1.5 * 2 / math.sqrt(2) < float(width[kind]["noise"]) < 4.0
    assert float(windows[kinds[0]]["noise"].removesuffix(" %")) > 90.0
    assert float(score[kinds[0]]["noise"]) == 1.0


def test_the_interval_score_is_the_width_and_twenty_times_the_miss(accuracy):
    intervals = np.array([[0.0, 1.0]] * 3)
    scores = accuracy.winkler(np.array([0.5, 2.0, -0.1]), intervals)
    assert np.allclose(scores, [1.0, 21.0, 3.0], rtol=1e-12)


def test_local_coverage_is_that_of_every_window(accuracy):
    inside = np.array([1.0] * 90 + [0.0] * 10 + [1.0] * 100)
    # those that begin in rows 0 to 95 hold at least five of the ten misses, and none holds more
    assert accuracy.held(inside, window=100) == 96 / 101
    assert np.isnan(accuracy.held(inside, window=201))


def test_the_drifts_are_shown_with_their_alarms(accuracy, capsys):
    accuracy.main(["--drift", "--rows", "200", "--only", "None"])
    lines = capsys.readouterr().out.splitlines()
    assert [cells(line)[0][:3] for line in lines[2:]] == ["gra", "gsg", "lea"]
    assert {cells(line)[-1] for line in lines[2:]} == {"0.0"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nobody"], "nobody"),
        (["--rows", "1"], "--rows=1: must be at least 40"),
        (["--data", "no/such/folder"], "no .npz files"),
    ],
)
def test_bad_arguments_are_refused(accuracy, arguments, message, capsys):
    with pytest.raises(SystemExit):
        accuracy.main(arguments)
    assert message in capsys.readouterr().err
