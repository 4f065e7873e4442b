"""Grid and random search on a stream."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any, Self

from river import base, metrics
from sklearn.base import BaseEstimator
from sklearn.model_selection import ParameterGrid, ParameterSampler

from .._validation import check_bool, check_int
from .halving import better_half, checkpoints, first_checkpoint
from .parallel import Workers
from .parameters import check_names, with_params
from .plotting import draw
from .progressive import Candidate
from .reporting import Report
from .results import best_of, order, tabulate
from .scores import Score
from .stream import Reader, as_stream

MAX_BLOCK = 8192
"""So many rows at most are read before all candidates have learned them."""

_FIRST_BLOCK = 256


class ProgressiveSearch(BaseEstimator):
    """What grid and random search share; see :class:`ProgressiveGridSearch`."""

    def __init__(
        self,
        estimator: Any,
        *,
        metric: Any = None,
        n_jobs: int | None = None,
        halving: bool | int = False,
        warmup: int = 0,
        delay: Any = None,
        moment: Any = None,
        refit: bool = True,
        progress: bool = True,
    ) -> None:
        self.estimator = estimator
        self.metric = metric
        self.n_jobs = n_jobs
        self.halving = halving
        self.warmup = check_int("warmup", warmup, 0)
        self.delay = delay
        self.moment = moment
        self.refit = check_bool("refit", refit)
        self.progress = check_bool("progress", progress)
        if not isinstance(halving, bool):
            check_int("halving", halving, 1)
            if halving <= warmup:
                raise ValueError(
                    f"halving={halving!r}: the first checkpoint must come after the warmup of "
                    f"{warmup} rows"
                )
        self._check_metric()

    def _param_sets(self) -> list[dict[str, Any]]:
        """The parameters of every candidate."""
        raise NotImplementedError

    def _checked_params(self) -> list[dict[str, Any]]:
        """The same after all names were found to be those of parameters."""
        found = self._param_sets()
        for params in found:
            check_names(self.estimator, params)
        if not found:
            raise ValueError("no candidates: the grid is empty")
        return found

    def _check_metric(self) -> None:
        kinds = (base.Regressor, base.Classifier, base.MultiTargetRegressor)
        if not isinstance(self.estimator, kinds):
            raise ValueError(
                f"estimator={type(self.estimator).__name__}: must be a regressor, a classifier or "
                "a pipeline of river that ends in one, as an object"
            )
        metric = self._fresh_metric()
        needed = ("update", "get", "works_with", "bigger_is_better")
        if isinstance(metric, (type, metrics.base.Metrics)) or not all(
            hasattr(metric, name) for name in needed
        ):
            raise ValueError(
                f"metric={self.metric!r}: must be one metric of river, such as river.metrics.MAE()"
            )
        if not metric.works_with(self.estimator):
            raise ValueError(
                f"metric={metric.__class__.__name__}: does not work with "
                f"{type(self.estimator).__name__}"
            )

    def _fresh_metric(self) -> Any:
        if self.metric is not None:
            return self.metric.clone() if isinstance(self.metric, base.Base) else self.metric
        if isinstance(self.estimator, base.Classifier):
            return metrics.Accuracy()
        if isinstance(self.estimator, base.MultiTargetRegressor):
            return metrics.multioutput.MicroAverage(metrics.MAE())
        return metrics.MAE()

    def _candidates(self, n_rows: int | None) -> list[Candidate]:
        """All candidates, untrained; an error where the parameters do not make a model."""
        candidates, metric = [], self._fresh_metric()
        for index, params in enumerate(self._checked_params()):
            score = Score(metric, self.warmup, n_rows)
            candidate = Candidate(index, params, None, score)
            try:
                candidate.model = with_params(self.estimator, params)
            except Exception as error:
                candidate.fail(error, "at construction")
            candidates.append(candidate)
        return candidates

    def fit(self, X: Any, y: Any = None) -> Self:
        """Let every candidate predict and learn the stream, which is read once.

        Parameters
        ----------
        X
            A stream: any iterable of (x, y), or (x, y, {"w": weight}) as river has it. With ``y``
            a data frame, an array [n, d], whose columns are named 0 to d - 1, or a list of dicts.
        y
            The labels of X.

        Raises
        ------
        ValueError
            If the stream is empty, or every candidate failed; with what the first one raised.
        """
        stream, n_rows = as_stream(X, y)
        candidates = self._candidates(n_rows)
        alive = [candidate for candidate in candidates if candidate.error is None]
        done = {candidate.index: candidate for candidate in candidates}
        bigger = bool(self._fresh_metric().bigger_is_better)
        reader = Reader(stream, self.moment, self.delay)
        workers, halvings = Workers(self.n_jobs), self._checkpoints(n_rows)
        n_read, halve_at = 0, next(halvings, math.inf)
        with Report(n_rows, quiet=not self.progress) as report:
            for size in _block_sizes():
                block = reader.read(int(min(size, halve_at - n_read)))
                if block is None or not alive:
                    break
                n_read += block.n_rows
                alive = workers.take(alive, block)
                done.update((candidate.index, candidate) for candidate in alive)
                alive = [candidate for candidate in alive if candidate.error is None]
                if n_read == halve_at:
                    halve_at = next(halvings, math.inf)
                    alive = better_half(alive, lambda c: (order(c, bigger), c.cost, c.index))
                if alive:
                    report.tell(n_read, len(alive), best_of(alive, bigger))
                del block  # never two of them at a time
        if not n_read and alive:
            raise ValueError("the stream is empty: nothing to choose by")
        self._conclude([done[index] for index in sorted(done)], bigger)
        return self

    def _checkpoints(self, n_rows: int | None) -> Iterator[float]:
        if self.halving is False:
            return iter(())
        given = None if self.halving is True else int(self.halving)
        return checkpoints(given or first_checkpoint(n_rows, self.warmup), n_rows)

    def _conclude(self, candidates: list[Candidate], bigger_is_better: bool) -> None:
        errors = [c.error for c in candidates if c.error is not None]
        if len(errors) == len(candidates):
            raise ValueError(f"all {len(errors)} candidates failed, the first one with {errors[0]}")
        for candidate in candidates:
            candidate.score.finish()
        best = best_of(candidates, bigger_is_better)
        self.cv_results_ = tabulate(candidates, bigger_is_better)
        self.curves_ = [candidate.score.curve() for candidate in candidates]
        self.metric_ = best.score.metric
        self.best_index_ = best.index
        self.best_params_ = best.params
        self.best_score_ = best.score.value
        self.best_estimator_ = best.model
        if not self.refit:
            del self.best_estimator_

    def plot(self, param: str | None = None, n_curves: int = 8) -> Any:
        """Draw scores against a parameter, and the curves of the best candidates over time.

        Parameters
        ----------
        param
            Name of a parameter; None for the one that moves the score most.
        n_curves
            The number of curves.

        Returns
        -------
        A figure of matplotlib, which ``figure.savefig(path)`` writes and notebooks show.

        Raises
        ------
        ImportError
            Without matplotlib: ``pip install "river-attention[plot]"``.
        """
        if not hasattr(self, "cv_results_"):
            raise ValueError("nothing to draw yet: call fit first")
        name = type(self.metric_).__name__
        better = "higher" if self.metric_.bigger_is_better else "lower"
        label = f"{name} ({better} is better)"
        return draw(self.cv_results_, self.curves_, self.best_index_, label, param, n_curves)


class ProgressiveGridSearch(ProgressiveSearch):
    r"""The best of a grid of parameters on a stream, by test-then-train.

    .. math::

        \hat c = \arg\min_c \ \mathrm{metric}\{(y_t, \hat y_{ct}) : t > \mathrm{warmup}\},
        \qquad \hat y_{ct} \text{ predicted by } c \text{ after it learned rows } 1 \dots t-1

    The stream is read once, whatever the number of candidates, and never kept: memory does not
    depend on its length. Scores are those of ``river.evaluate.progressive_val_score`` for every
    candidate alone, to the last bit. Models of this package learn blocks of rows in the compiled
    core, all others row by row.

    Parameters
    ----------
    estimator
        A regressor, classifier or pipeline of river; stays as it is.
    param_grid
        Lists of values by name, or a list of such dicts, as in scikit-learn. Values may be objects,
        such as modes. ``step__param`` names a parameter of a step of a pipeline or of an object
        that is itself a parameter, ``step`` the step.
    metric
        One metric of ``river.metrics``; None means MAE for regressors, accuracy for classifiers.
    n_jobs
        Number of workers, as in joblib; its backends and ``joblib.parallel_config`` are obeyed.
        Models of this package run in threads, others in processes.
    halving
        Whether the worse half of the candidates is dropped after an eighth, a quarter and a half
        of the stream (of 1000, 2000, 4000, … rows where its length is not known); a number gives
        the first checkpoint in rows. See :mod:`river_attention.model_selection.halving`.
    warmup
        Rows at first that are predicted and learned but not counted.
    delay, moment
        When labels are known, as in ``river.evaluate.progressive_val_score``: a delay of 3, say,
        means that a row is learned after three more were predicted.
    refit
        Whether to keep the best model, which has learned the whole stream by then.
    progress
        Whether to show progress and the best score so far on stderr.

    Attributes
    ----------
    cv_results_
        A dict of arrays [n_candidates]: ``params``, ``param_NAME``, ``mean_test_score`` (the metric
        as it is), ``rank_test_score``, ``mean_fit_time`` (seconds of the processor, predictions and
        scores included), ``n_rows`` (those taken, fewer if dropped or failed), ``error`` (what was
        raised, or None).
    curves_
        For every candidate its score over time: :class:`river_attention.model_selection.scores
        .Curve`.
    best_index_, best_params_, best_score_
        Of the best candidate; of candidates with equal scores, the cheapest.
    best_estimator_
        The best model, trained on the whole stream.
    metric_
        The metric of the best model.

    Raises
    ------
    ValueError
        At once for a name that is no parameter, with those that are. A candidate that raises does
        not end the search: ``error`` says what it was.

    References
    ----------
    Dawid 1984, *Present position and potential developments: some personal views. Statistical
    theory: the prequential approach*.

    Examples
    --------
    >>> from river import datasets, metrics
    >>> from river_attention import StreamingAttentionRegressor
    >>> from river_attention.model_selection import ProgressiveGridSearch
    >>> search = ProgressiveGridSearch(
    ...     StreamingAttentionRegressor(readout="rls", memory=0, window=0),
    ...     {"mode": ["gla", "delta_net"], "forgetting_factor": [0.9, 0.99]},
    ...     progress=False,
    ... )
    >>> search.fit(datasets.AirlinePassengers()).best_params_["forgetting_factor"]
    0.99
    >>> len(search.cv_results_["mean_test_score"])
    4
    """

    def __init__(
        self,
        estimator: Any,
        param_grid: Mapping[str, Any] | list[Mapping[str, Any]],
        *,
        metric: Any = None,
        n_jobs: int | None = None,
        halving: bool | int = False,
        warmup: int = 0,
        delay: Any = None,
        moment: Any = None,
        refit: bool = True,
        progress: bool = True,
    ) -> None:
        super().__init__(
            estimator,
            metric=metric,
            n_jobs=n_jobs,
            halving=halving,
            warmup=warmup,
            delay=delay,
            moment=moment,
            refit=refit,
            progress=progress,
        )
        self.param_grid = param_grid
        self._checked_params()

    def _param_sets(self) -> list[dict[str, Any]]:
        return list(ParameterGrid(self.param_grid))


class ProgressiveRandomSearch(ProgressiveSearch):
    """The best of random parameters on a stream; otherwise as :class:`ProgressiveGridSearch`.

    Parameters
    ----------
    estimator
        A regressor, classifier or pipeline of river; stays as it is.
    param_distributions
        By name lists of values, or distributions with a method ``rvs`` such as those of
        ``scipy.stats``; or a list of such dicts.
    n_iter
        The number of candidates.
    random_state
        Seed of the draws; None draws others every time.
    metric, n_jobs, halving, warmup, delay, moment, refit, progress
        See :class:`ProgressiveGridSearch`, as for attributes.

    Examples
    --------
    >>> from river import datasets
    >>> from scipy import stats
    >>> from river_attention import RLSRegressor
    >>> from river_attention.model_selection import ProgressiveRandomSearch
    >>> search = ProgressiveRandomSearch(
    ...     RLSRegressor(),
    ...     {"forgetting_factor": stats.uniform(0.9, 0.1), "delta": [1.0, 100.0]},
    ...     n_iter=5,
    ...     random_state=1,
    ...     progress=False,
    ... )
    >>> len(search.fit(datasets.TrumpApproval()).cv_results_["params"])
    5
    """

    def __init__(
        self,
        estimator: Any,
        param_distributions: Mapping[str, Any] | list[Mapping[str, Any]],
        n_iter: int = 10,
        *,
        random_state: int | None = None,
        metric: Any = None,
        n_jobs: int | None = None,
        halving: bool | int = False,
        warmup: int = 0,
        delay: Any = None,
        moment: Any = None,
        refit: bool = True,
        progress: bool = True,
    ) -> None:
        super().__init__(
            estimator,
            metric=metric,
            n_jobs=n_jobs,
            halving=halving,
            warmup=warmup,
            delay=delay,
            moment=moment,
            refit=refit,
            progress=progress,
        )
        self.param_distributions = param_distributions
        self.n_iter = check_int("n_iter", n_iter, 1)
        self.random_state = random_state
        self._checked_params()

    def _param_sets(self) -> list[dict[str, Any]]:
        sampler = ParameterSampler(
            self.param_distributions, self.n_iter, random_state=self.random_state
        )
        return list(sampler)


def _block_sizes() -> Iterator[int]:
    """Small blocks at first, so that costs and the first scores are soon known."""
    size = _FIRST_BLOCK
    while size < MAX_BLOCK:
        yield size
        size *= 2
    yield from itertools.repeat(MAX_BLOCK)
