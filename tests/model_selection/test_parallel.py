"""Several workers find what one finds, also when one of them is killed."""

from __future__ import annotations

import os
import signal

import joblib
import pytest
from river import linear_model

from river_attention import RLSRegressor
from river_attention.model_selection import ProgressiveGridSearch

GRID = {"C": [0.01, 0.1, 0.5, 1.0]}
ROWS = [({"a": float(i % 7), "b": float(i % 3)}, float((i * i) % 11)) for i in range(600)]


def _scores(estimator, grid, **params):
    found = ProgressiveGridSearch(estimator, grid, progress=False, **params).fit(iter(ROWS))
    return found.cv_results_["mean_test_score"].tolist(), found.best_estimator_


@pytest.mark.parametrize("halving", [False, 50])
def test_processes_find_what_one_finds(halving):
    one, model = _scores(linear_model.PARegressor(), GRID, halving=halving)
    two, other = _scores(linear_model.PARegressor(), GRID, halving=halving, n_jobs=2)
    assert two == one
    assert other.predict_one(ROWS[0][0]) == model.predict_one(ROWS[0][0])


def test_threads_find_what_one_finds():
    grid = {"delta": [0.1, 1.0, 10.0]}
    one, _ = _scores(RLSRegressor(), grid)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert _scores(RLSRegressor(), grid)[0] == one


def test_a_search_survives_the_death_of_a_worker(tmp_path):
    mark = tmp_path / "killed"

    class Mortal(linear_model.PARegressor):
        """Kills the process it is in, once, somewhere in the middle."""

        def learn_one(self, x, y):
            self.seen = getattr(self, "seen", 0) + 1
            if self.C == 0.5 and self.seen == 300 and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            super().learn_one(x, y)

    expected, _ = _scores(linear_model.PARegressor(), GRID)
    found, _ = _scores(Mortal(), GRID, n_jobs=2)
    assert mark.exists()
    assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("dies", [False, True])
def test_a_dask_cluster_of_two_finds_what_one_finds(dies):
    distributed = pytest.importorskip("distributed")
    rows = ROWS * 30
    search = ProgressiveGridSearch(linear_model.PARegressor(), GRID, progress=False)
    expected = search.fit(rows).cv_results_["mean_test_score"].tolist()
    size = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**size) as cluster, distributed.Client(cluster) as client:
        pids = list(client.run(os.getpid).values())

        def stream():
            for i, row in enumerate(rows):
                # between two blocks, while the worker may still be told of the next
                if dies and i == 10_000:
                    os.kill(pids[0], signal.SIGKILL)
                yield row

        with joblib.parallel_config(backend="dask"):
            found = search.fit(stream()).cv_results_["mean_test_score"].tolist()
        assert found == expected
        assert len(set(pids)) == 2


@pytest.mark.slow
def test_ray_finds_what_one_finds():
    ray = pytest.importorskip("ray")
    register_ray = pytest.importorskip("ray.util.joblib").register_ray
    search = ProgressiveGridSearch(linear_model.PARegressor(), GRID, progress=False)
    expected = search.fit(ROWS).cv_results_["mean_test_score"].tolist()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        register_ray()
        with joblib.parallel_config(backend="ray", n_jobs=2):
            found = search.fit(iter(ROWS)).cv_results_["mean_test_score"].tolist()
    finally:
        ray.shutdown()
    assert found == expected
