"""The benchmark of searches prints what it says."""

from __future__ import annotations

import json


def test_the_searches_agree_and_are_timed(load_benchmark, tmp_path, monkeypatch, capsys):
    benchmark = load_benchmark("model_selection")
    monkeypatch.setattr(benchmark, "GRID", {"n_lags": [0, 6], "forgetting_factor": [0.9, 0.99]})
    path = tmp_path / "found.json"
    benchmark.main(["--rows", "200", "--rounds", "1", "--json", str(path)])
    found = json.loads(path.read_text())
    assert (found["rows"], found["candidates"]) == (200, 4)
    assert found["best"]["one job"] == found["best"]["two jobs"]
    assert found["score"]["one job"] == found["score"]["two jobs"]
    assert all(seconds > 0.0 for seconds in found["seconds"].values())
    out = capsys.readouterr().out
    assert all(name in out for name in ("one job", "two jobs", "halving", "An iterator"))


def test_there_are_64_candidates(load_benchmark):
    benchmark = load_benchmark("model_selection")
    assert len(benchmark.search()._param_sets()) == 64
