"""Trees as arrays, and the learner that fits them beside the stream."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
import time

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from river_attention.readout import boosting, fits
from river_attention.readout.boosting import Boosted
from river_attention.readout.fits import CHUNK, ROWS
from river_attention.readout.trees import NODE, Trees
from river_attention.state import Reader, StateError, Writer


def data(n, d=5, seed=0, missing=0.1):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d))
    steps = np.where(rows[:, 0] * rows[:, 1] > 0, 3.0, -3.0) + rows[:, 2] + rng.normal(size=n)
    rows[rng.random(rows.shape) < missing] = np.nan
    return rows.astype(np.float32), steps


@pytest.fixture
def few_trees(monkeypatch):
    """Fits that take milliseconds, and none of another test under way."""
    fits._workers().shutdown()
    fits._workers.cache_clear()
    monkeypatch.setitem(fits.SETTINGS, "max_iter", 5)
    monkeypatch.setattr(boosting, "FIRST", 60)


def feed(boosted, rows, steps):
    for row, step in zip(rows, steps, strict=True):
        boosted.learn(row, step, 1.0)
        boosted.turn()


# --- trees


def test_they_say_what_scikit_learn_says():
    rows, steps = data(12_000)
    model = HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=40, max_leaf_nodes=15, max_features=0.5, random_state=3
    )
    with threadpool_limits(1, user_api="openmp"):
        model.fit(rows[:2000], steps[:2000])
        expected = model.predict(rows[2000:])
    trees = Trees.of(model)
    found = np.array([trees.predict(row) for row in rows[2000:]])
    assert len(found) == 10_000
    assert np.isnan(rows[2000:]).any(axis=0).all()
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_forgotten_number_is_missing_from_then_on():
    rows, steps = data(2000)
    trees = fits.fit(rows, steps, np.ones(2000), 0)
    before, kept = trees.nodes, trees.nodes.copy()
    without = rows.copy()
    without[:, 1] = np.nan
    expected = [trees.predict(row) for row in without]
    assert [trees.predict(row) for row in rows] != expected
    trees.forget(1)
    assert [trees.predict(row) for row in rows] == expected
    # whoever shares the nodes keeps those of before
    assert before.tobytes() == kept.tobytes()
    assert trees.nodes.tobytes() != kept.tobytes()


def test_they_are_used_for_what_they_look_at():
    rows, steps = data(3000, missing=0.0)
    uses = fits.fit(rows, steps, np.ones(3000), 0).uses(5)
    assert set(np.argsort(uses)[-2:]) == {0, 1}
    assert uses.sum() == (fits.fit(rows, steps, np.ones(3000), 0).nodes["feature"] >= 0).sum()


def test_an_unknown_scikit_learn_is_noticed(monkeypatch):
    def wrong(model):
        return Trees(base=1.0)

    monkeypatch.setattr(Trees, "of", wrong)
    with pytest.raises(RuntimeError, match="unknown way"):
        fits.fit(*data(200), np.ones(200), 0)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("left", lambda left: left * 0),  # a circle
        ("right", lambda right: right + 10**6),
        ("feature", lambda feature: feature + 5),
        ("feature", lambda feature: np.full_like(feature, -1)),
        ("number", lambda number: number * np.nan),
        ("number", lambda number: number * np.inf),
        ("number", lambda number: number[:-1]),
        ("roots", lambda roots: roots + 10**6),
    ],
)
def test_states_that_are_no_trees_are_refused(name, spoil):
    trees = fits.fit(*data(300, missing=0.0), np.ones(300), 0)
    writer = Writer()
    trees.transfer(writer, 5)
    state = writer.state
    good = Trees()
    good.transfer(Reader(dict(state)), 5)
    assert good.nodes.tobytes() == trees.nodes.tobytes()
    with np.errstate(invalid="ignore"):
        spoiled = state | {name: spoil(state[name])}
    with pytest.raises(StateError, match=name):
        Trees().transfer(Reader(spoiled), 5)


def test_nodes_are_as_the_compiled_core_has_them():
    assert NODE.itemsize == 24
    assert [NODE.fields[name][1] for name in NODE.names] == [0, 8, 12, 16, 20]


# --- the learner


def test_the_first_fit_takes_over_half_an_interval_after_it_began(few_trees):
    boosted = Boosted(40, 0)
    rows, steps = data(200)
    known = []
    for row, step in zip(rows, steps, strict=True):
        feed(boosted, [row], [step])
        known.append(boosted.trees)
    taken = [n + 1 for n in range(1, 200) if known[n] is not known[n - 1]]
    # begun at 60, 75, 93, … and then every 40 rows at most
    assert taken[0] == 60 + 8
    assert taken[1] == 75 + 9
    assert max(np.diff(taken)) <= 40


def test_a_fit_sees_the_last_rows_and_no_other(few_trees, monkeypatch):
    seen = []

    def spy(rows, steps, weights, seed):
        seen.append((rows, steps, weights))
        return Trees(base=float(len(steps)))

    monkeypatch.setattr(fits, "fit", spy)
    monkeypatch.setattr(fits, "ROWS", 700)
    boosted = Boosted(300, 0)
    rows, steps = data(2500)
    feed(boosted, rows, steps)
    boosted._finish()
    ends = [np.flatnonzero(steps == last[1][-1])[0] + 1 for last in seen]
    assert len(ends) > 5
    for end, (found, labels, weights) in zip(ends, seen, strict=True):
        start = max(0, end - 700)
        np.testing.assert_array_equal(found, rows[start:end])
        np.testing.assert_array_equal(labels, steps[start:end])
        assert len(weights) == len(labels)
    # and no more than that is kept
    assert sum(chunk.n for chunk in boosted.chunks) <= 700 + 300 + 2 * CHUNK


def test_predictions_do_not_depend_on_how_long_a_fit_takes(few_trees, monkeypatch):
    rows, steps = data(400)
    quick, slow, fit = Boosted(50, 1), Boosted(50, 1), fits.fit

    def slowly(*arguments):
        time.sleep(0.03)
        return fit(*arguments)

    answers = []
    for boosted, how in ((quick, fit), (slow, slowly)):
        monkeypatch.setattr(fits, "fit", how)
        said = []
        for row, step in zip(rows, steps, strict=True):
            said.append(0.0 if boosted.trees is None else boosted.trees.predict(row))
            feed(boosted, [row], [step])
        answers.append(said)
    assert answers[0] == answers[1]
    assert len(set(answers[0])) > 100


def test_it_is_fitted_in_another_thread(few_trees, monkeypatch):
    threads, fit = [], fits.fit

    def spy(*arguments):
        threads.append(threading.current_thread())
        return fit(*arguments)

    monkeypatch.setattr(fits, "fit", spy)
    feed(Boosted(50, 0), *data(100))
    assert threads
    assert threading.main_thread() not in threads


def test_a_copy_made_while_a_fit_runs_goes_on_alike(few_trees):
    rows, steps = data(300)
    boosted = Boosted(50, 0)
    feed(boosted, rows[:62], steps[:62])
    assert isinstance(boosted._coming, fits.Fit)
    copied = pickle.loads(pickle.dumps(boosted))
    restored = Boosted(50, 0)
    restored.set_state(boosted.get_state())
    for other in (boosted, copied, restored):
        feed(other, rows[62:], steps[62:])
    said = [[other.trees.predict(row) for row in rows] for other in (boosted, copied, restored)]
    assert said[0] == said[1] == said[2]


def test_a_fit_that_fails_leaves_the_trees_of_before(few_trees, monkeypatch):
    rows, steps = data(300)
    boosted = Boosted(40, 0)
    feed(boosted, rows[:100], steps[:100])
    before = boosted.trees

    def fail(*_):
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(fits, "fit", fail)
        feed(boosted, rows[100:200], steps[100:200])
        boosted._finish()
        assert before is not None
        assert boosted.failure == "MemoryError: no room"
    kept = boosted.trees
    feed(boosted, rows[200:], steps[200:])
    assert boosted.failure is None
    assert boosted.trees is not kept


def _child(boosted, rows, steps, answers):
    feed(boosted, rows, steps)
    answers.put([boosted.trees.predict(row) for row in rows])


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no forks on this system"
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_does_not_wait_for_a_thread_that_it_has_not(few_trees, monkeypatch):
    rows, steps = data(200)
    boosted = Boosted(50, 0)
    feed(boosted, rows[:60], steps[:60])
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_child, args=(boosted, rows[60:], steps[60:], answers))
    child.start()
    found = answers.get(timeout=20)
    child.join()
    feed(boosted, rows[60:], steps[60:])
    assert found == [boosted.trees.predict(row) for row in rows[60:]]


def test_a_column_that_is_another_one_is_unknown_before(few_trees, monkeypatch):
    seen = []
    monkeypatch.setattr(
        fits, "fit", lambda rows, *_: seen.append(rows) or Trees(base=float(len(rows)))
    )
    rows, steps = data(200, missing=0.0)
    boosted = Boosted(20, 0)
    feed(boosted, rows[:100], steps[:100])
    boosted.renew([2])
    feed(boosted, rows[100:], steps[100:])
    boosted._finish()
    later = [found for found in seen if len(found) > 100]
    assert later
    for found in later:
        assert np.isnan(found[:100, 2]).all()
        assert not np.isnan(found[100:]).any()
        assert not np.isnan(np.delete(found, 2, axis=1)).any()


def test_wider_rows_are_missing_in_the_past(few_trees):
    rows, steps = data(200, d=7, missing=0.0)
    boosted = Boosted(20, 0)
    feed(boosted, rows[:100, :5], steps[:100])
    feed(boosted, rows[100:], steps[100:])
    kept, _, _ = fits.joined([(chunk, chunk.n) for chunk in boosted.chunks], boosted.width)
    np.testing.assert_array_equal(kept[100:], rows[100:])
    np.testing.assert_array_equal(kept[:100, :5], rows[:100, :5])
    assert np.isnan(kept[:100, 5:]).all()


def test_the_window_is_bounded():
    boosted = Boosted(500, 0)
    # nothing is fitted: the start is out of reach until there is more than a window
    boosted._start = ROWS + 3 * CHUNK
    row = np.zeros(1)
    for _ in range(boosted._start - 1):
        boosted.learn(row, 0.0, 1.0)
    boosted.learn(row, 0.0, 1.0)
    boosted.turn()
    assert sum(chunk.n for chunk in boosted.chunks) <= ROWS + CHUNK
