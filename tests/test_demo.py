"""The demo: its baselines are what they claim to be, and it prints and draws what it promises."""

from __future__ import annotations

import io
import math
import pickle

import numpy as np
import pytest
from river import base, checks, linear_model, preprocessing, time_series

from river_attention import _baselines, _progress, demo

TARGETS = [3.0, -1.5, 2.25, 8.0]
ROWS = [({"a": float(i), "b": -0.5 * i}, y) for i, y in enumerate(TARGETS)]


class Recorder(base.Regressor):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.predicted: list[dict] = []
        self.learned: list[tuple[dict, float]] = []

    def predict_one(self, x):
        self.predicted.append(dict(x))
        return 0.0

    def learn_one(self, x, y):
        self.learned.append((dict(x), y))


def scaled_linear_regression() -> base.Regressor:
    return preprocessing.StandardScaler() | linear_model.LinearRegression()


def wrappers() -> list[base.Regressor]:
    return [
        _baselines.Persistence(),
        _baselines.LastTarget(scaled_linear_regression()),
        _baselines.OneStepForecast(time_series.SNARIMAX(p=1, d=1, q=0)),
    ]


WRAPPER_CHECKS = [
    pytest.param(model, check, id=f"{type(model).__name__}-{i}-{check.__name__}")
    for model in wrappers()
    for i, check in enumerate(checks.yield_checks(model))
    if check.__name__ not in model._unit_test_skips()
]


@pytest.mark.parametrize(("model", "check"), WRAPPER_CHECKS)
def test_wrappers_pass_the_checks_of_river(model, check):
    check(model.clone())


def test_persistence_predicts_the_last_target():
    model = _baselines.Persistence()
    predictions = []
    for x, y in ROWS:
        predictions.append(model.predict_one(x))
        model.learn_one(x, y)
    assert predictions == [0.0, *TARGETS[:-1]]


def test_last_target_adds_the_previous_target_and_never_the_present_one():
    model = _baselines.LastTarget(Recorder())
    for x, y in ROWS:
        model.predict_one(x)
        model.learn_one(x, y)
    expected = [
        {**x, _baselines.LAST_TARGET: last}
        for (x, _), last in zip(ROWS, [0.0, *TARGETS], strict=False)
    ]
    assert model.regressor.predicted == expected
    assert model.regressor.learned == list(zip(expected, TARGETS, strict=True))


def test_last_target_leaves_the_features_of_the_caller_alone():
    model = _baselines.LastTarget(scaled_linear_regression())
    x = {"a": 1.0}
    model.predict_one(x)
    model.learn_one(x, 2.0)
    assert x == {"a": 1.0}


def test_one_step_forecast_is_the_forecast_with_the_features_of_that_step():
    model = _baselines.OneStepForecast(time_series.SNARIMAX(p=2, d=0, q=1))
    reference = time_series.SNARIMAX(p=2, d=0, q=1)
    for x, y in ROWS * 5:
        prediction = model.predict_one(x)
        assert math.isfinite(prediction)
        assert prediction == reference.forecast(1, [x])[0]
        model.learn_one(x, y)
        reference.learn_one(y, x)


@pytest.mark.parametrize("name", list(_baselines.baseline_models()))
def test_baselines_predict_finite_numbers_and_survive_clone_and_pickle(name):
    model = _baselines.baseline_models()[name]
    for x, y in ROWS * 5:
        assert math.isfinite(model.predict_one(x))
        model.learn_one(x, y)
    restored = pickle.loads(pickle.dumps(model))
    assert restored.predict_one(ROWS[0][0]) == model.predict_one(ROWS[0][0])
    assert model.clone().predict_one(ROWS[0][0]) == 0.0


def test_baselines_are_fresh_in_every_call():
    _baselines.baseline_models()["persistence"].learn_one({}, 5.0)
    assert _baselines.baseline_models()["persistence"].predict_one({}) == 0.0


@pytest.fixture(scope="module")
def short_runs() -> list[demo.Run]:
    return demo.run(rows=30, quiet=True)


def test_every_model_meets_every_stream(short_runs):
    expected = [(model, stream) for model in demo.models() for stream in demo.load_streams(2)]
    assert [(run.model, run.stream) for run in short_runs] == expected
    assert all(len(run.predictions) == len(run.truth) == 30 for run in short_runs)
    assert all(np.isfinite(run.predictions).all() and run.seconds > 0 for run in short_runs)


def test_the_error_leaves_out_the_first_row():
    run = demo.Run("m", "s", np.array([100.0, 1.0, 2.0]), np.array([0.0, 1.5, 1.0]), 0.0)
    assert run.mae == 0.75


def test_persistence_in_the_demo_is_persistence(short_runs):
    for run in short_runs:
        if run.model == demo.REFERENCE:
            np.testing.assert_array_equal(run.predictions[1:], run.truth[:-1])


def test_streams_hold_numbers_only():
    for rows in demo.load_streams(3).values():
        assert len(rows) == 3
        assert all(isinstance(value, int | float) for x, _ in rows for value in x.values())


def test_fewer_than_two_rows_cannot_be_scored():
    with pytest.raises(ValueError, match=r"rows=1: .* at least 2"):
        demo.load_streams(1)


def made_up_run(model: str, stream: str, error: float) -> demo.Run:
    return demo.Run(model, stream, np.zeros(3), np.full(3, error), 3e-6)


def test_table_has_a_row_per_model_with_the_best_in_bold():
    runs = [
        made_up_run("persistence", "one", 1.0),
        made_up_run("persistence", "two", 2.0),
        made_up_run("other", "one", 0.5),
        made_up_run("other", "two", 4.0),
    ]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in demo.table(runs).split("\n")
    ]
    assert rows[0] == ["model", "MAE one", "MAE two", "MAE / persistence", "µs / sample"]
    assert rows[2] == ["persistence", "1.000", "**2.000**", "**1.000**", "1"]
    assert rows[3] == ["other", "**0.5000**", "4.000", "**1.000**", "1"]


def test_table_of_a_constant_stream_has_no_ratio():
    assert "nan" in demo.table([made_up_run("persistence", "one", 0.0)])


def test_main_prints_the_table_and_writes_the_picture(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    path = tmp_path / "picture.png"
    demo.main(["--rows", "12", "--out", str(path), "--quiet"])
    captured = capsys.readouterr()
    assert all(f"| {model}" in captured.out for model in demo.models())
    assert str(path) in captured.out
    assert captured.err == ""
    assert path.read_bytes().startswith(b"\x89PNG")


def test_main_without_matplotlib_prints_the_table_and_says_what_to_install(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(demo, "run", lambda rows, quiet: [made_up_run("persistence", "one", 1.0)])

    def plot(runs, path):
        raise ImportError("No module named 'matplotlib'")

    monkeypatch.setattr(demo, "plot", plot)
    demo.main(["--out", str(tmp_path / "picture.png")])
    out = capsys.readouterr().out
    assert "| persistence" in out
    assert 'pip install "river-attention[plot]"' in out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_redrawn_on_a_terminal_and_wiped_at_the_end():
    terminal = Terminal()
    with _progress.ProgressBar(total=4, stream=terminal) as bar:
        bar.label("model")
        bar.advance(2)
    assert " 50%  model" in terminal.getvalue()
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")
    assert terminal.getvalue().rsplit("\r", 2)[1].strip() == ""


def test_progress_is_a_line_per_label_elsewhere():
    stream = io.StringIO()
    with _progress.ProgressBar(total=4, stream=stream) as bar:
        for name in ("one", "two"):
            bar.label(name)
            bar.advance(2)
    assert stream.getvalue() == "one\ntwo\n"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_quiet_progress_writes_nothing(stream):
    with _progress.ProgressBar(total=1, stream=stream, quiet=True) as bar:
        bar.label("one")
        bar.advance()
    assert stream.getvalue() == ""
