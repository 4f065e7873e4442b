"""The cases of the soak benchmark with few steps, and with many among the slow tests."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

# The cases are parameters of the tests, so the script is needed before any fixture.
_spec = importlib.util.spec_from_file_location("soak", BENCHMARKS / "soak.py")
soak = importlib.util.module_from_spec(_spec)
sys.modules["soak"] = soak
_spec.loader.exec_module(soak)

FEW, MANY = 10_000, 100_000
# what a million leaves in running moments and weights takes the whole 10 000 rows to fade
SLOW_TO_RECOVER = {"jumping features", "jumping target"}


@functools.cache
def report(name, case, steps):
    return soak.soak(name, case, steps, fresh_error(name, steps))


@functools.cache
def fresh_error(name, steps):
    return soak.fresh_error(name, steps)


TREES = "trees=50"
RUNS = [
    pytest.param(name, case, steps, marks=marks, id=f"{name}-{case}-{steps}")
    for name in soak.MODELS
    if name != TREES
    # several targets take their time
    for steps, marks in (
        (FEW, pytest.mark.slow if name == "three targets" else ()),
        (MANY, pytest.mark.slow),
    )
    for case in soak.CASES
]
RECOVERIES = [run for run in RUNS if run.values[2] == MANY or run.values[1] not in SLOW_TO_RECOVER]


@pytest.mark.parametrize(("name", "case", "steps"), RUNS)
def test_it_survives(name, case, steps):
    seen = report(name, case, steps)
    assert seen.finite
    assert seen.within_guard
    assert seen.smallest_eigenvalue > 0.0
    # three times the slack of the leak
    assert seen.largest_variance <= 3 * 30
    assert seen.n_resets == 0
    # counters take a byte or two more when they grow
    assert seen.growth < 0.1


@pytest.mark.parametrize(("name", "case", "steps"), RECOVERIES)
def test_a_live_signal_is_learned_afterwards_as_by_a_fresh_model(name, case, steps):
    assert report(name, case, steps).ratio <= 1.1


@pytest.mark.slow
@pytest.mark.parametrize("case", soak.CASES)
def test_trees_survive(case):
    seen = report(TREES, case, 30_000)
    assert seen.finite
    assert seen.within_guard
    assert seen.smallest_eigenvalue > 0.0
    assert seen.n_resets == 0
    # the window of 8000 rows is full in both looks, but no two ensembles have as many nodes
    assert seen.growth < 10.0
    assert seen.ratio <= 1.1


def test_every_row_of_a_plan_is_used():
    for steps in (1000, 9_999, FEW, MANY, 10**6):
        assert sum(soak.Plan.of(steps)) == steps


def test_recovery_takes_ten_thousand_rows_at_most():
    assert soak.Plan.of(10**6).recovery == soak.Plan.of(MANY).recovery == 10_000


@pytest.mark.parametrize("case", soak.CASES)
def test_a_case_is_the_same_every_time(case):
    first, second = (list(soak.blocks(soak.CASES[case], 2500, 10, seed=0)) for _ in range(2))
    assert [len(y) for _, y in first] == [1000, 1000, 500]
    for (X, y), (same_X, same_y) in zip(first, second, strict=True):
        assert np.array_equal(X, same_X)
        assert np.array_equal(y, same_y)


def test_the_report_is_a_table_with_a_row_for_each_case(capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))  # for worker processes, however they start
    soak.main(
        ["--steps", "1000", "--models", "RLS, p=100, λ=.95", "--cases", "zeros", "white noise"]
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
