"""Does it survive for ever? Long disturbances, and whether a live signal is learned afterwards.

Every model goes through every disturbance, then through a live signal, the same for all cases.
Three tenths of the steps at most (10 000 rows) are for recovery; on the rows after them its error
is compared with that of a model that was fresh when the live signal began. Reported are

* whether all predictions were finite, and within the guard (the range of the targets seen so far,
  widened by its own width on both sides; recursive least squares alone has none),
* the smallest eigenvalue of P, the largest element of its diagonal in units of its prior (the leak
  promises 90 at most), and how often P had to be set back, over all recursive least squares inside
  and over the whole run,
* how much the pickle of the model grew over the second half of the disturbance, in percent,
* the ratio of the mean absolute errors, of the survivor to the fresh model.

    python benchmarks/soak.py [--steps 1000000] [--models NAME ...] [--cases NAME ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from river_attention import StreamingAttentionMultiRegressor, StreamingAttentionRegressor
from river_attention._progress import ProgressBar
from river_attention.readout import RecursiveLeastSquares

Array = NDArray[np.float64]
Block = tuple[Array, Array]
Rows = Callable[[np.random.Generator, int, int, int], Block]

LONGEST_RECOVERY = 10_000
LONGEST_COMPARISON = 5_000
_BLOCK = 1_000
_JUMP = 1e6
_JUMP_EVERY = 700
_LONG_WEIGHTS = np.random.default_rng(7).normal(size=100)


def _noise(rng: np.random.Generator, n: int) -> Array:
    return 0.5 * rng.normal(size=n)


def _signal(X: Array) -> Array:
    """A linear function of the features, with a variance near one for white ones."""
    n_features = X.shape[1]
    return X @ _LONG_WEIGHTS[:n_features] / np.sqrt(n_features)


def _high(n: int, start: int) -> NDArray[np.bool_]:
    """Which rows are up: every second stretch of 700."""
    return (np.arange(start, start + n) // _JUMP_EVERY) % 2 == 1


def live(rng: np.random.Generator, n: int, d: int, start: int) -> Block:
    """White features and a target that follows them, with some noise."""
    X = rng.normal(size=(n, d))
    return X, _signal(X) + _noise(rng, n)


def white(rng: np.random.Generator, n: int, d: int, start: int) -> Block:
    """Features and target are white noise that have nothing to do with each other."""
    return rng.normal(size=(n, d)), rng.normal(size=n)


def constant(rng: np.random.Generator, n: int, d: int, start: int) -> Block:
    """Every feature is one for ever; the target is noise."""
    return np.ones((n, d)), _noise(rng, n)


def duplicated(rng: np.random.Generator, n: int, d: int, start: int) -> Block:
    """The second half of the features repeats the first."""
    X = np.tile(rng.normal(size=(n, d // 2)), 2)
    return X, _signal(X) + _noise(rng, n)


def dead(rng: np.random.Generator, n: int, d: int, start: int) -> Block:
    """Three live features, all others zero."""
    X = np.zeros((n, d))
    X[:, :3] = rng.normal(size=(n, 3))
    return X, _signal(X) + _noise(rng, n)


def zeros(rng: np.random.Generator, n: int, d: int, start: int) -> Block:
    """Nothing but zeros, features and target."""
    return np.zeros((n, d)), np.zeros(n)


def jumping_features(rng: np.random.Generator, n: int, d: int, start: int) -> Block:
    """A live signal whose features all jump by a million and back, again and again."""
    X, y = live(rng, n, d, start)
    return X + _JUMP * _high(n, start)[:, None], y


def jumping_target(rng: np.random.Generator, n: int, d: int, start: int) -> Block:
    """A live signal whose target jumps by a million and back, again and again."""
    X, y = live(rng, n, d, start)
    return X, y + _JUMP * _high(n, start)


CASES: dict[str, Rows] = {
    "white noise": white,
    "constant input": constant,
    "duplicated features": duplicated,
    "three live features": dead,
    "zeros": zeros,
    "jumping features": jumping_features,
    "jumping target": jumping_target,
}


class Bare:
    """Recursive least squares on the features as they are."""

    def __init__(self, forgetting_factor: float, n_features: int) -> None:
        self.rls = RecursiveLeastSquares(
            forgetting_factor, np.full(n_features, 0.1), leak=8, huber=True
        )

    def predict(self, row: Array) -> float:
        return float(self.rls.predict(row))

    def learn(self, row: Array, y: float) -> None:
        self.rls.update(row, y)

    def inside(self) -> list[RecursiveLeastSquares]:
        return [self.rls]


class Whole:
    """A regressor, fed with dicts."""

    regressor: Any

    def __init__(self, **params: Any) -> None:
        self.regressor = StreamingAttentionRegressor(**params)

    def _x(self, row: Array) -> dict[Any, Any]:
        return dict(enumerate(row.tolist()))

    def predict(self, row: Array) -> float:
        return float(self.regressor.predict_one(self._x(row)))

    def learn(self, row: Array, y: float) -> None:
        self.regressor.learn_one(self._x(row), y)

    def inside(self) -> list[RecursiveLeastSquares]:
        return list(self.regressor.task_.readout.least_squares.values())


class Several(Whole):
    """A regressor of three targets: the one that is looked at, and two that go with it."""

    def __init__(self) -> None:
        self.regressor = StreamingAttentionMultiRegressor()
        self._n = 0

    def predict(self, row: Array) -> float:
        return float(self.regressor.predict_one(self._x(row)).get("y", 0.0))

    def learn(self, row: Array, y: float) -> None:
        self._n += 1
        targets = {"y": y, "feature": float(row[0]), "now and then": -y}
        if self._n % 3:
            del targets["now and then"]
        self.regressor.learn_one(self._x(row), targets)


class Subject(NamedTuple):
    """A model: how it is made, how many features it gets, whether its predictions are guarded."""

    make: Callable[[], Bare | Whole]
    n_features: int
    guarded: bool


MODELS: dict[str, Subject] = {
    "RLS, p=100, λ=.95": Subject(lambda: Bare(0.95, 100), 100, False),
    "RLS, p=100, λ=.998": Subject(lambda: Bare(0.998, 100), 100, False),
    "readout='rls', λ=.95": Subject(lambda: Whole(readout="rls", forgetting_factor=0.95), 10, True),
    "readout='rls', λ=.998": Subject(lambda: Whole(readout="rls"), 10, True),
    "default": Subject(Whole, 10, True),
    "trees=50": Subject(lambda: Whole(trees=50), 10, True),
    "three targets": Subject(Several, 10, True),
}


class Plan(NamedTuple):
    """How many rows of disturbance, of recovery, and of comparison."""

    disturbance: int
    recovery: int
    comparison: int

    @classmethod
    def of(cls, steps: int) -> Plan:
        """Share ``steps`` rows out."""
        recovery = min(3 * steps // 10, LONGEST_RECOVERY)
        comparison = min(steps // 10, LONGEST_COMPARISON)
        return cls(steps - recovery - comparison, recovery, comparison)


class Report(NamedTuple):
    """What was seen of a model in a case; NaN where it does not apply."""

    finite: bool
    within_guard: bool
    smallest_eigenvalue: float
    largest_variance: float
    n_resets: int
    growth: float
    ratio: float


class Watch:
    """Looks at the predictions of a model, and into it."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.model = subject.make()
        self.finite = True
        self.within_guard = True
        self.smallest = np.inf
        self.largest = 0.0
        self._low, self._high = np.inf, -np.inf

    def run(self, X: Array, y: Array) -> Array:
        """Test, then train on a block; returns the absolute errors."""
        errors = np.empty(len(y))
        for i, (row, target) in enumerate(zip(X, y.tolist(), strict=True)):
            prediction = self.model.predict(row)
            self._look_at(prediction)
            errors[i] = abs(prediction - target)
            self.model.learn(row, target)
            self._low, self._high = min(self._low, target), max(self._high, target)
        self._look_inside()
        return errors

    def _look_at(self, prediction: float) -> None:
        self.finite &= bool(np.isfinite(prediction))
        width = self._high - self._low
        if width >= 0.0:
            self.within_guard &= self._low - width <= prediction <= self._high + width

    def _look_inside(self) -> None:
        for rls in self.model.inside():
            P = rls.covariance
            self.finite &= bool(np.isfinite(P).all() and np.isfinite(rls.weights).all())
            if self.finite:
                self.smallest = min(self.smallest, float(np.linalg.eigvalsh(P)[0]))
                self.largest = max(self.largest, float((P.diagonal() / rls.prior).max()))

    def n_resets(self) -> int:
        return sum(rls.n_resets_ for rls in self.model.inside())


def blocks(rows: Rows, n: int, d: int, seed: int) -> Iterator[Block]:
    """``n`` rows of a case in blocks, so that memory does not grow with them."""
    rng = np.random.default_rng(seed)
    for start in range(0, n, _BLOCK):
        yield rows(rng, min(_BLOCK, n - start), d, start)


def live_errors(watch: Watch, plan: Plan) -> float:
    """Mean absolute error on the live signal, after the rows of recovery."""
    n, d = plan.recovery + plan.comparison, watch.subject.n_features
    errors = [watch.run(X, y) for X, y in blocks(live, n, d, seed=1)]
    return float(np.concatenate(errors)[plan.recovery :].mean())


def fresh_error(name: str, steps: int) -> float:
    """Error on the live signal of a model that saw nothing else."""
    return live_errors(Watch(MODELS[name]), Plan.of(steps))


def soak(name: str, case: str, steps: int, fresh: float) -> Report:
    """Let a model go through a case, given the error that a fresh one has afterwards."""
    plan, watch = Plan.of(steps), Watch(MODELS[name])
    sizes = []
    n_blocks = -(-plan.disturbance // _BLOCK)
    disturbance = blocks(CASES[case], plan.disturbance, watch.subject.n_features, seed=0)
    for i, (X, y) in enumerate(disturbance):
        watch.run(X, y)
        if i in (n_blocks // 2, n_blocks - 1):
            sizes.append(len(pickle.dumps(watch.model)))
    error = live_errors(watch, plan)
    return Report(
        watch.finite,
        watch.within_guard or not watch.subject.guarded,
        watch.smallest,
        watch.largest,
        watch.n_resets(),
        100.0 * (sizes[-1] / sizes[0] - 1.0),
        error / fresh,
    )


def measure(names: Sequence[str], cases: Sequence[str], steps: int) -> dict[str, dict[str, Report]]:
    """The reports by model and case."""
    reports: dict[str, dict[str, Report]] = {name: {} for name in names}
    with (
        ProcessPoolExecutor(os.cpu_count()) as pool,
        ProgressBar(total=len(names) * (len(cases) + 1)) as bar,
    ):
        bar.label(f"fresh models: {len(names)}")
        fresh = dict(zip(names, pool.map(fresh_error, names, [steps] * len(names)), strict=True))
        bar.advance(len(names))
        bar.label(f"{len(names)} models, {len(cases)} cases, {steps} steps each")
        jobs = {
            pool.submit(soak, name, case, steps, fresh[name]): (name, case)
            for name in names
            for case in cases
        }
        for job in as_completed(jobs):
            name, case = jobs[job]
            reports[name][case] = job.result()
            bar.advance()
    return {name: {case: reports[name][case] for case in cases} for name in names}


def table(reports: dict[str, dict[str, Report]]) -> str:
    """The reports as a Markdown table."""
    lines = [
        "| model | case | finite | within guard | smallest eigenvalue of P "
        "| largest P[k, k] / P₀[k] | resets | growth of the pickle, % | error / fresh |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, cases in reports.items():
        for case, report in cases.items():
            guard = "–" if not MODELS[name].guarded else "yes" if report.within_guard else "NO"
            lines.append(
                f"| {name} | {case} | {'yes' if report.finite else 'NO'} | {guard} "
                f"| {report.smallest_eigenvalue:.2g} | {report.largest_variance:.3g} "
                f"| {report.n_resets} | {report.growth:.3f} | {report.ratio:.3f} |"
            )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with command-line arguments ``argv``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=1_000_000, help="rows per model and case")
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--json", type=Path, help="also write the reports to this file")
    arguments = parser.parse_args(argv)
    if arguments.steps < 1000:
        parser.error(f"--steps={arguments.steps}: must be at least 1000")
    reports = measure(arguments.models, arguments.cases, arguments.steps)
    print(table(reports))
    if arguments.json:
        plain = {
            name: {case: report._asdict() for case, report in cases.items()}
            for name, cases in reports.items()
        }
        arguments.json.write_text(json.dumps(plain, indent=1) + "\n")


if __name__ == "__main__":
    main()
