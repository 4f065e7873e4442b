"""The benchmark of the transformer: what it prints."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest


@pytest.fixture(scope="module")
def transformer(load_benchmark):
    return load_benchmark("transformer")


def test_streams_of_a_folder_are_compared_and_written(transformer, tmp_path, capsys):
    y = np.cumsum(np.random.default_rng(0).normal(size=40))
    np.savez(tmp_path / "walk.npz", X=np.zeros((40, 0)), y=y, names=np.array([]))
    models = ["BayesianLinearRegression", "LinearRegression"]
    arguments = ["--data", str(tmp_path), "--json", str(tmp_path / "found.json"), "--quiet"]
    transformer.main([*arguments, "--jobs", "1", "--models", *models])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| model | | walk |"
    assert lines[5] == "| BayesianLinearRegression | without | – |"
    assert lines[-1].startswith("Beyond what is promised: ")
    found = json.loads((tmp_path / "found.json").read_text())
    assert [run["model"] for run in found] == models[::-1]
    assert math.isfinite(found[0]["errors"]["alone"])


def test_what_is_beyond_the_promise_is_named(transformer):
    errors = {"without": 1.0, "alone": 1.05, "beside a scaler": 1.2}
    runs = [transformer.Run(name, "s", errors) for name in ("LinearRegression", "KNNRegressor")]
    assert transformer.table(runs).splitlines()[-1] == (
        "Beyond what is promised: LinearRegression on s alone 1.050; "
        "LinearRegression on s beside a scaler 1.200; KNNRegressor on s beside a scaler 1.200."
    )


@pytest.mark.parametrize(
    "arguments", [["--rows", "2"], ["--jobs", "0"], ["--only", "Nothing"], ["--models", "SVM"]]
)
def test_arguments_that_make_no_sense_are_refused(transformer, arguments, capsys):
    with pytest.raises(SystemExit):
        transformer.main(arguments)
    assert arguments[0] in capsys.readouterr().err
