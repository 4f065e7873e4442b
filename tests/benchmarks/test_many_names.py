"""benchmarks/many_names.py runs and prints what it says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "many_names.py"


@pytest.fixture(scope="module")
def many_names():
    spec = importlib.util.spec_from_file_location("many_names", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_prints_and_writes_its_figures(many_names, capsys, tmp_path):
    path = tmp_path / "figures.json"
    many_names.main(["--rows", "50", "--names", "500", "--json", str(path)])
    printed = capsys.readouterr().out
    assert "RLSRegressor" in printed
    assert "error / without a bound" in printed
    figures = json.loads(path.read_text())
    assert len(figures["RLSRegressor"]["time"]) == 10
    assert figures["1000 1.5"]["bounded"] == 1.0  # 50 rows stay within the budget


def test_rows_follow_the_law(many_names):
    rows = list(many_names.sparse(400, 1000, 2.0))
    first = sum("w0" in x for x, _ in rows)
    assert first > 250
    assert max(len(x) for x, _ in rows) == 3
