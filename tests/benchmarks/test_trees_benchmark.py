"""The benchmark of boosted trees prints what it says."""

from __future__ import annotations

import json


def test_every_change_is_compared_with_the_default(load_benchmark, monkeypatch, capsys):
    trees = load_benchmark("trees")
    accuracy = load_benchmark("accuracy")
    few = ("persistence", trees.OURS, "trees=500", "trees=500: 7 leaves")
    kept = {name: model for name, model in trees.changed().items() if name in few}
    assert len(kept) == len(few)
    monkeypatch.setattr(trees, "changed", lambda: kept)
    monkeypatch.setattr(accuracy, "run", lambda jobs: _one_by_one(accuracy, jobs))
    trees.main(["--rows", "150"])
    out = capsys.readouterr().out
    assert "the default" in out
    assert all(name in out for name in few[2:])


def _one_by_one(accuracy, jobs):
    runs = {job.name: {} for job in jobs}
    for job in jobs:
        runs[job.name][job.stream] = accuracy.validate(job)
    return runs


def test_without_opinions_trees_see_none(load_benchmark):
    accuracy, trees = load_benchmark("accuracy"), load_benchmark("trees")
    changed = trees.changed()["trees=500: without the opinions of the others"]
    with accuracy.patched(changed.patches):
        model = changed.build()
        for x, y in trees.stream(60, 2):
            model.learn_one(x, y)
        readout = model.task_.readout
    rows = readout.boosted.chunks[0].rows[: readout.boosted.n]
    told = slice(trees.boosting.N_HISTORY, trees.boosting.N_HISTORY + readout.n_told)
    assert (rows[:, told] != rows[:, told]).all()
    assert (rows[:, told.stop :: 2] == rows[:, told.stop :: 2]).all()


def test_the_cost_is_that_of_every_setting(load_benchmark, monkeypatch, tmp_path, capsys):
    trees = load_benchmark("trees")
    monkeypatch.setattr(trees, "PACE", 0.0)
    monkeypatch.setattr(trees.fits, "ROWS", 110)
    trees.main(["--cost", "--rows", "130", "--steps", "20", "--json", str(tmp_path / "cost.json")])
    found = json.loads((tmp_path / "cost.json").read_text())
    assert list(found) == ["trees=0", "trees=2000", "trees=1000", "trees=500"]
    for one in found.values():
        assert 0.0 < one["median"] <= one["99.9 %"] <= one["slowest"]
        assert one["cpu"] > 0.0
    assert capsys.readouterr().out.count("\n") == 6
