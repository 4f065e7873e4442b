"""The benchmark of states: what it prints, on few rows."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def state():
    """The benchmark as a module, which is not part of the package; without Spark."""
    spec = importlib.util.spec_from_file_location("state_benchmark", BENCHMARKS / "state.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "state_benchmark", module)
        spec.loader.exec_module(module)
        patch.setattr(module, "spark_rate", lambda *_: 1.0)
        yield module


def cells(line):
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_sizes_are_those_of_the_models(state, monkeypatch):
    kept = {"fast settings", "`RLSRegressor()`", "`StreamingAttentionForecaster()`"}
    monkeypatch.setattr(state, "MODELS", {n: m for n, m in state.MODELS.items() if n in kept})
    figures = state.measure_sizes(rounds=1, n_learned=30)
    assert figures.keys() == kept
    model = state.MODELS["fast settings"]()
    state.run(model, state.random_rows(50)[:30])
    assert figures["fast settings"]["float64"] == len(model.to_bytes())
    for row in figures.values():
        assert row["float32"] < row["float64"] < row["pickle"]
        assert min(row.values()) > 0
    lines = state.table_of_sizes(figures).splitlines()
    assert {len(cells(line)) for line in lines} == {9}
    assert cells(lines[-1])[-1] == "–"


def test_every_way_sees_the_same_models(state):
    rows = state.keyed_rows(200, 5)
    models, states = {}, {}
    keyed = state.KeyedModel(state.StreamingAttentionRegressor(**state.FAST_SETTINGS), "key", 2, {})
    state.dict_of_models(rows, models)
    state.keyed_by_row(rows, keyed)
    state.steps(rows, states)
    for key, model in models.items():
        assert model.to_bytes() == states[key] == keyed.model_of(key).to_bytes()


def test_it_prints_and_writes_what_is_asked(state, tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "line.npz", X=rng.normal(size=(60, 1)), y=rng.normal(size=60), names=["a"])
    out = tmp_path / "figures.json"
    arguments = ["--rows", "100", "--keys", "5", "--data", str(tmp_path), "--json", str(out)]
    state.main(["float32", "keyed", *arguments])
    figures = json.loads(out.read_text())
    assert figures.keys() == {"float32", "keyed"}
    assert figures["float32"]["default"]["line"]["change"] == pytest.approx(0.0, abs=1e-2)
    assert {"dict of models", "KeyedModel", "step, blocks of a key"} <= figures["keyed"].keys()
    printed = capsys.readouterr().out
    assert "| dict of models |" in printed
    assert "largest difference" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "nothing: must be one of"),
        (["--rows", "0"], "--rows=0"),
        (["float32", "--data", "no/such/folder"], "no .npz file"),
    ],
)
def test_bad_arguments_are_refused(state, arguments, message, capsys):
    with pytest.raises(SystemExit):
        state.main(arguments)
    assert message in capsys.readouterr().err
