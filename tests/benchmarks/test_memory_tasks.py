"""The memory tasks: the streams are what they say, and the modes that should solve them do."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from river_attention.modes import NAMED

ROOT = Path(__file__).parents[2]


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


tasks = load(ROOT / "benchmarks" / "memory_tasks.py")
make_modes = load(ROOT / "docs" / "make_modes.py")


def rng():
    return np.random.default_rng(0)


def test_copy_asks_for_the_input_of_so_many_steps_ago():
    task = tasks.copy(rng(), delay=7, n=50)
    assert np.array_equal(task.y[7:], task.X[:-7, 0])


def test_parity_changes_with_every_one_and_with_nothing_else():
    task = tasks.parity(rng(), n=200)
    ones = task.X[1:, 0] > 0
    assert np.array_equal(task.y[1:] != task.y[:-1], ones)


def test_narma_follows_its_equation():
    task = tasks.narma_10(rng(), n=200)
    u = np.append(task.X[1:, 0], np.nan)
    t = 150
    expected = (
        0.3 * task.y[t]
        + 0.05 * task.y[t] * task.y[t - 9 : t + 1].sum()
        + 1.5 * u[t - 9] * u[t]
        + 0.1
    )
    assert task.y[t + 1] == pytest.approx(expected)
    assert task.n_lags == 1


def test_mackey_glass_asks_for_the_series_six_steps_ahead():
    task = tasks.mackey_glass(rng(), n=200)
    np.testing.assert_array_equal(task.y[:-6], task.X[6:, 0])
    assert task.X.min() > 0.2
    assert task.X.max() < 1.5


def test_recall_asks_for_values_shown_four_to_seven_steps_before():
    task = tasks.recall(rng(), n=80)
    for t in np.flatnonzero(task.counts):
        episode = t - t % 8
        shown = task.X[episode : episode + 4]
        same_key = (shown[:, :8] == task.X[t, :8]).all(axis=1)
        assert task.y[t] == shown[same_key, 8].item()


def test_every_named_mode_runs_on_every_task():
    assert set(NAMED) <= set(tasks.MODELS)


def test_the_page_of_the_modes_is_that_of_the_docstrings_and_measurements():
    page = (ROOT / "docs" / "modes.md").read_text()
    measured = ROOT / "docs" / "measured"
    costs = json.loads((measured / "throughput.json").read_text())
    errors = json.loads((measured / "memory_tasks.json").read_text())
    assert page == make_modes.render(costs, errors)


# what each must reach: errors that no model without its kind of memory comes near
SOLVED = [
    ("delta_product, one reflection, no gate, gain 20", "parity", 0.5),
    ("gated_delta_net, tied, read before", "recall", 0.45),
    ("memory bank, 32 units", "NARMA-10", 0.05),
    ("memory bank, 32 units", "copy 20", 0.06),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "task", "bound"), SOLVED)
def test_a_mode_remembers_what_it_is_made_for(model, task, bound):
    assert np.median([tasks.error(model, task, seed) for seed in range(5)]) < bound


@pytest.mark.slow
def test_without_memory_nothing_is_remembered():
    assert tasks.error("no memory", "recall", 0) > 0.9
    assert tasks.error("no memory", "copy 20", 0) > 0.9
