r"""How good one-step predictions are: test-then-train on real streams, beside river's own models.

Streams are river's bundled ones, with their dates as calendar features, and with ``--data DIR``
instead every `DIR/*.npz` with arrays ``X`` [T, d] (known before y), ``y`` [T] and ``names`` [d];
d may be 0. All errors are of predictions made before the label was known, over all rows but the
first. "Relative" is the mean absolute error over that of persistence, and its geometric mean over
the streams sums a model up.

River's models get the last target as one more feature and a scaler for it (see
``river_attention._baselines``); Holt-Winters and SNARIMAX make their own lags. The times per row
are taken while the models run side by side on all cores: compare orders of magnitude, and use
throughput.py for more.

    python benchmarks/accuracy.py [--data DIR] [--bundled]    the models on every stream
    python benchmarks/accuracy.py [--data DIR] --ablate       the default, changed part by part
    python benchmarks/accuracy.py [--data DIR] --modes        every attention mode
    python benchmarks/accuracy.py [--data DIR] --coverage     intervals of 90 %
    python benchmarks/accuracy.py --drift                     detectors on synthetic drifts

All take ``--rows N`` (only the first rows), ``--only NAME ...`` and ``--json FILE``. Set
OPENBLAS_NUM_THREADS=1: the matrices are small and the processes many.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from river import base, conf, drift, dummy, stats, time_series
from river.datasets import synth

from river_attention import RLSRegressor, StreamingAttentionRegressor
from river_attention._baselines import (
    FAST_SETTINGS,
    LastTarget,
    OneStepForecast,
    baseline_models,
)
from river_attention._progress import ProgressBar
from river_attention.core import MemoryFeatures, Step
from river_attention.demo import load_streams
from river_attention.layers.retrieval import READS
from river_attention.modes import NAMED
from river_attention.moments import Limit, running_rate
from river_attention.readout.robust import RobustMean

Array = NDArray[np.float64]
Stream = list[tuple[dict[Any, Any], float]]

OURS = "StreamingAttentionRegressor"
REFERENCE = "persistence"


class Model(NamedTuple):
    """How to make a model, and the module constants to change while it runs."""

    build: Callable[[], base.Regressor]
    patches: Mapping[str, Any] = {}


class Job(NamedTuple):
    """One model on one stream."""

    name: str
    model: Model
    stream: str
    rows: Stream
    intervals: bool = False


class Run(NamedTuple):
    """What a job gave; intervals [T, 2] by their kind where they were asked for."""

    name: str
    stream: str
    truth: Array
    predictions: Array
    intervals: dict[str, Array]
    alarms: int
    seconds: float

    @property
    def errors(self) -> Array:
        """Absolute errors of all rows but the first."""
        return np.abs(self.truth - self.predictions)[1:]

    @property
    def mae(self) -> float:
        """Mean absolute error."""
        return float(self.errors.mean())

    @property
    def rmse(self) -> float:
        """Root of the mean squared error."""
        return float(np.sqrt(np.mean(self.errors**2)))


Runs = dict[str, dict[str, Run]]


class _Forecast(OneStepForecast):
    """A forecaster that has nothing to say at first: the last target until then."""

    _last = 0.0

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        super().learn_one(x, y)
        self._last = y

    def predict_one(self, x: dict[Any, Any]) -> float:
        try:
            return super().predict_one(x)
        except IndexError:  # of Holt-Winters, before the first season is over
            return self._last


def _baseline(name: str) -> base.Regressor:
    return baseline_models()[name]


def _holt_winters(**settings: Any) -> base.Regressor:
    return _Forecast(time_series.HoltWinters(**settings))


def _running_mean() -> base.Regressor:
    return dummy.StatisticRegressor(stats.Mean())


def _rls() -> base.Regressor:
    return LastTarget(RLSRegressor())


def ours(patches: Mapping[str, Any] | None = None, **settings: Any) -> Model:
    """The default model with these settings and patches."""
    return Model(partial(StreamingAttentionRegressor, **settings), patches or {})


def compared() -> dict[str, Model]:
    """The models of the main table, persistence first."""
    return {
        **{name: Model(partial(_baseline, name)) for name in baseline_models()},
        "running mean": Model(_running_mean),
        # Without a season, the best single setting for all streams of nine that were tried. With
        # one: river's example, but additive, for targets that are 0 or negative.
        "HoltWinters": Model(partial(_holt_winters, alpha=0.95, beta=0.01)),
        "HoltWinters, season 12": Model(
            partial(_holt_winters, alpha=0.3, beta=0.1, gamma=0.6, seasonality=12)
        ),
        "RLSRegressor": Model(_rls),
        OURS: ours(),
        f"{OURS}, trees=500": ours(trees=500),
        f'{OURS}, readout="rls"': ours(readout="rls"),
        f"{OURS}, fast settings": ours(**FAST_SETTINGS),
    }


class _WithoutReads(MemoryFeatures):
    """The reads of retrieval are no features: one that is always 0 keeps the weight 0."""

    def propose(self, *args: Any, **kwargs: Any) -> Step:
        step = super().propose(*args, **kwargs)
        step.evidence["full"][: len(READS)] = 0.0
        return step


class _PlainMean(RobustMean):
    """A mean that nothing is too far from."""

    def update(self, size: float) -> None:
        self.n += 1
        self.value += running_rate(self.n) * (size - self.value)


SETTINGS: tuple[dict[str, Any], ...] = (
    {"seed": 1},
    {"seed": 2},
    {"readout": "rls"},
    {"trees": 500},
    {"window": 0},
    {"window": 500},
    {"window": 2000},
    {"memory": 0},
    {"mode": None},
    {"mode": None, "memory": 0},
    {"mode": None, "memory": 0, "window": 0},
    {"n_heads": 8, "d_key": 8, "d_value": 8, "memory": 32},
    {"long_lags": 0},
    {"n_lags": 0},
    {"prior": "mean"},
    {"prior": "zero"},
    {"huber": False},
    {"forgetting_factor": 0.99},
    {"forgetting_factor": 0.995},
    {"forgetting_factor": 0.999},
    {"forgetting_factor": 1.0},
    {"forgetting_factor": (0.99, 0.998, 1.0)},
    {"drift_detector": drift.ADWIN()},
    {"drift_detector": drift.PageHinkley()},
)

# Constants that are no parameters of the model, by module and name below river_attention.
PATCHES: dict[str, dict[str, Any]] = {
    "target scale: the deviation alone": {"core.target.STEPS_PER_SCALE": 1e12},
    "mixture: scale not winsorised": {"readout.regression.RobustMean": _PlainMean},
    "mixture: no fixed share": {"readout.shares.SHARE": 0.0},
    "mixture: η = 0.1": {"estimators.regressor.ETA": 0.1},
    "mixture: η = 1": {"estimators.regressor.ETA": 1.0},
    "mixture: no faster expert on the input": {"readout.regression.FASTER": 1.0},
    "retrieval: reads as features only": {"estimators.regressor.READS": ()},
    "retrieval: reads as experts only": {"estimators.regressor.MemoryFeatures": _WithoutReads},
    "running means remember everything": {"moments.FORGETTING_RATE": 1e-12},
    "reads clipped at 3, not 5": {"core.features.READ_LIMIT": Limit(3.0)},
    "reads clipped at 10, not 5": {"core.features.READ_LIMIT": Limit(10.0)},
    "input clipped at 5, not 3": {"core.features.INPUT_LIMIT": Limit(5.0)},
    "RLS without leak": {"readout.regression.LEAK": 0},
}


def _label(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name}={type(value).__name__}()"
        if isinstance(value, base.Base)
        else f"{name}={json.dumps(value) if isinstance(value, str) else repr(value)}"
        for name, value in settings.items()
    )


def ablated() -> dict[str, Model]:
    """The default model with one part changed, and what to compare it with."""
    return {
        REFERENCE: compared()[REFERENCE],
        OURS: ours(),
        **{_label(settings): ours(**settings) for settings in SETTINGS},
        **{label: ours(patches) for label, patches in PATCHES.items()},
    }


def in_modes() -> dict[str, Model]:
    """The default model in every attention mode."""
    return {
        REFERENCE: compared()[REFERENCE],
        **{name: ours(mode=name) for name in NAMED},
        "no heads": ours(mode=None),
    }


def load(folder: Path, rows: int | None = None) -> dict[str, Stream]:
    """Read the streams of a folder.

    Parameters
    ----------
    folder
        Holds NAME.npz with X [T, d], y [T] and names [d].
    rows
        Keep only the first rows of each; None keeps all.

    Returns
    -------
    dict
        Rows (x, y) by name, in alphabetical order. With d = 0 every x is empty.
    """
    streams = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            names = [str(name) for name in arrays["names"]]
            X, y = arrays["X"][:rows].tolist(), arrays["y"][:rows].tolist()
        streams[path.stem] = [
            (dict(zip(names, x, strict=True)), target) for x, target in zip(X, y, strict=True)
        ]
    return streams


@contextmanager
def patched(patches: Mapping[str, Any]) -> Iterator[None]:
    """Replace module constants for a while; a name that does not exist is an error.

    Parameters
    ----------
    patches
        Values by module and name below ``river_attention``, such as
        ``{"readout.shares.SHARE": 0.0}``. The name must be the one that the code looks up when it
        runs: a constant imported from another module is patched where it was imported to.
    """
    with ExitStack() as stack:
        # what is patched is NumPy code
        ours = {"backend._core": None} if patches else {}
        for name, value in {**patches, **ours}.items():
            stack.enter_context(mock.patch(f"river_attention.{name}", value))
        yield


LEVEL = 0.9
ADAPTIVE, NORMAL, JACKKNIFE = "predict_interval_one", "with_dist=True", "RegressionJackknife"


def _intervals(model: Any, x: dict[Any, Any]) -> tuple[float, dict[str, tuple[float, float]]]:
    """A prediction and its intervals of 90 %, by their kind."""
    if isinstance(model, conf.RegressionJackknife):
        # a number before there are two residuals
        answer: Any = model.predict_one(x, with_interval=True)
        low = getattr(answer, "lower", answer)
        high = getattr(answer, "upper", answer)
        return (low + high) / 2, {JACKKNIFE: (low, high)}
    normal = model.predict_one(x, with_dist=True)
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * normal.sigma
    return normal.mu, {
        ADAPTIVE: model.predict_interval_one(x, LEVEL),
        NORMAL: (normal.mu - half, normal.mu + half),
    }


def validate(job: Job) -> Run:
    """Predict and learn every row in turn."""
    predictions, intervals = np.empty(len(job.rows)), []
    with patched(job.model.patches):
        model: Any = job.model.build()
        start = time.perf_counter()
        for i, (x, y) in enumerate(job.rows):
            if job.intervals:
                predictions[i], by_kind = _intervals(model, x)
                intervals.append(by_kind)
            else:
                predictions[i] = model.predict_one(x)
            model.learn_one(x, y)
        seconds = time.perf_counter() - start
    truth = np.array([y for _, y in job.rows])
    kinds = {kind: np.array([each[kind] for each in intervals]) for kind in (intervals or [{}])[0]}
    alarms = getattr(model, "n_drifts_", 0)
    return Run(job.name, job.stream, truth, predictions, kinds, alarms, seconds)


def run(jobs: Sequence[Job], workers: int | None = None) -> Runs:
    """Run all jobs in parallel, the longest streams first; results by model and stream."""
    results: Runs = {job.name: {} for job in jobs}
    queue = sorted(jobs, key=lambda job: -len(job.rows))
    with (
        ProgressBar(total=sum(len(job.rows) for job in jobs)) as bar,
        ProcessPoolExecutor(workers or os.cpu_count()) as pool,
    ):
        n_streams = len({job.stream for job in jobs})
        bar.label(f"{len(results)} models, {n_streams} streams")
        for future in as_completed([pool.submit(validate, job) for job in queue]):
            done = future.result()
            results[done.name][done.stream] = done
            bar.advance(len(done.truth))
    order = list(dict.fromkeys(job.stream for job in jobs))
    return {name: {stream: by[stream] for stream in order} for name, by in results.items()}


def _jobs(models: Mapping[str, Model], streams: Mapping[str, Stream]) -> list[Job]:
    return [
        Job(name, model, stream, rows)
        for name, model in models.items()
        for stream, rows in streams.items()
    ]


def diebold_mariano(a: Array, b: Array, lags: int | None = None) -> float:
    r"""T statistic for the hypothesis that two forecasts have equal mean loss.

    .. math::

        t = \frac{\bar d}{\sqrt{\hat\omega / n}}, \quad d_i = a_i - b_i, \quad
        \hat\omega = \gamma_0 + 2 \sum_{l=1}^{L} \Bigl(1 - \frac{l}{L + 1}\Bigr) \gamma_l

    γ are the autocovariances of d, with 1/n. ω is the long-run variance of Newey and West, never
    negative because of its weights: losses of neighbouring rows go up and down together, and with
    γ_0 alone t would be too large. Negative: a is better. Beyond ±1.96 the difference is
    significant at 5 %, for one comparison looked at alone. Of limited use on short streams.

    Diebold, Mariano 1995, *Comparing predictive accuracy*; Newey, West 1987 and 1994 for the lags.

    Parameters
    ----------
    a, b
        Losses of the two forecasts on the same rows [n].
    lags
        L; by default the usual ``floor(4 (n / 100)^(2/9))``, which grows slowly: 4 for 100 rows,
        12 for 20 000.

    Returns
    -------
    0 where all losses are equal, ±inf where all differ by the same amount.
    """
    d = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    n = len(d)
    if lags is None:
        lags = math.floor(4 * (n / 100) ** (2 / 9))
    mean = float(d.mean())
    centred = d - mean
    variance = float(centred.dot(centred)) / n
    for lag in range(1, min(lags, n - 1) + 1):
        covariance = float(centred[lag:].dot(centred[:-lag])) / n
        variance += 2 * (1 - lag / (lags + 1)) * covariance
    if variance <= 0.0:
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / math.sqrt(variance / n)


def relative(runs: Runs, name: str) -> dict[str, float]:
    """MAE as a multiple of that of persistence, by stream; NaN where that is 0."""
    reference = runs[REFERENCE]
    return {
        stream: done.mae / reference[stream].mae if reference[stream].mae else math.nan
        for stream, done in runs[name].items()
    }


def geometric_mean(values: Sequence[float]) -> float:
    """Geometric mean of the values that are numbers; 0 if one is 0, NaN if there are none."""
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers or min(numbers) <= 0.0:
        return 0.0 if numbers else math.nan
    return math.exp(sum(map(math.log, numbers)) / len(numbers))


def _average(runs: Runs, name: str) -> float:
    return geometric_mean(list(relative(runs, name).values()))


def _cell(value: float | str) -> str:
    if isinstance(value, str):
        return value.replace("|", "\\|")
    return "–" if math.isnan(value) else f"{value:#.4g}" if abs(value) < 1e4 else f"{value:.1e}"


def _table(header: Sequence[str], rows: Sequence[Sequence[float | str]]) -> str:
    lines = [" | ".join(header), " | ".join(["---", *(["---:"] * (len(header) - 1))])]
    lines += [" | ".join(map(_cell, row)) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _fixed(values: Sequence[float], digits: int = 3) -> list[float | str]:
    return [f"{value:.{digits}f}" if abs(value) < 1e3 else value for value in values]


Report = tuple[str, dict[str, Any]]


def accuracy(models: Mapping[str, Model], streams: Mapping[str, Stream]) -> Report:
    """The models on every stream: errors, and how sure it is that the default is better."""
    runs = run(_jobs(models, streams))
    names = list(streams)
    sections = []
    for title, of in (("MAE", "mae"), ("RMSE", "rmse")):
        rows = [[name, *(getattr(runs[name][stream], of) for stream in names)] for name in runs]
        sections.append(_table([title, *names], rows))

    rows, result = [], {}
    for name, by_stream in runs.items():
        ratios = relative(runs, name)
        n_rows = sum(len(done.truth) for done in by_stream.values())
        per_row = 1e6 * sum(done.seconds for done in by_stream.values()) / n_rows
        rows.append(
            [
                name,
                *_fixed([ratios[stream] for stream in names]),
                *_fixed([_average(runs, name)]),
                f"{per_row:.0f}",
            ]
        )
        result[name] = {
            "geometric mean": _average(runs, name),
            "µs per row": per_row,
            "streams": {
                stream: {"mae": done.mae, "rmse": done.rmse, "relative": ratios[stream]}
                for stream, done in by_stream.items()
            },
        }
    header = ["MAE / persistence", *names, "geometric mean", "µs per row"]
    sections.append(_table(header, rows))

    rows = []
    for name in runs:
        if name == OURS:
            continue
        ts = [diebold_mariano(runs[OURS][s].errors, runs[name][s].errors) for s in names]
        better = [runs[OURS][s].mae < runs[name][s].mae for s in names]
        significant = sum(t < -1.96 for t in ts), sum(t > 1.96 for t in ts)
        rows.append(
            [name, *_fixed(ts, 1), f"{sum(better)} of {len(names)}", "{} : {}".format(*significant)]
        )
        result[name]["t of the default against it"] = dict(zip(names, ts, strict=True))
        result[name]["streams where the default is better"] = sum(better)
    header = ["t of the default against", *names, "default better", "significant, for : against"]
    sections.append(_table(header, rows))
    return "\n\n".join(sections), result


def ablation(models: Mapping[str, Model], streams: Mapping[str, Stream]) -> Report:
    """Relative errors with one part of the default changed."""
    runs = run(_jobs(models, streams))
    default, names = _average(runs, OURS), list(streams)
    settings = set(map(_label, SETTINGS))
    rows, result = [], {}
    for name in runs:
        if name == REFERENCE:
            continue
        ratios, average = relative(runs, name), _average(runs, name)
        change = f"{100 * (average / default - 1):+z.1f} %"
        label = f"`{name}`" if name in settings else "the default" if name == OURS else name
        cells = _fixed([ratios[s] for s in names])
        rows.append([label, *_fixed([average], 4), "" if name == OURS else change, *cells])
        result[name] = {"geometric mean": average, "streams": ratios}
    header = ["change", "geometric mean", "against the default", *names]
    return _table(header, rows), result


def modes(models: Mapping[str, Model], streams: Mapping[str, Stream]) -> Report:
    """Geometric means of the attention modes."""
    runs = run(_jobs(models, streams))
    result = {name: _average(runs, name) for name in runs if name != REFERENCE}
    rows = [[f"`{name}`" if name in NAMED else name, *_fixed([v], 4)] for name, v in result.items()]
    return _table(["mode", "geometric mean of MAE / persistence"], rows), result


def intervals_compared() -> dict[str, Model]:
    """Whose intervals are compared: ours, and what river puts around ours and around its own."""
    models = {name: model for name, model in compared().items() if name.startswith(OURS)}
    linear = "LinearRegression"
    return {
        **models,
        f"{OURS} in {JACKKNIFE}": Model(partial(_jackknife, StreamingAttentionRegressor)),
        f"{linear} in {JACKKNIFE}": Model(partial(_jackknife, partial(_baseline, linear))),
    }


def _jackknife(build: Callable[[], base.Regressor]) -> base.Regressor:
    return conf.RegressionJackknife(build(), confidence_level=LEVEL)


def winkler(truth: Array, intervals: Array, level: float = LEVEL) -> Array:
    r"""Interval scores: the width, plus 2/(1 - level) times how far the target is outside.

    The less the better; its mean is least for the true quantiles (Gneiting, Raftery 2007, *Strictly
    proper scoring rules, prediction, and estimation*).
    """
    low, high = intervals.T
    outside = np.maximum(low - truth, 0.0) + np.maximum(truth - high, 0.0)
    return high - low + 2.0 / (1.0 - level) * outside


def held(inside: Array, window: int = 500, slack: float = 0.05) -> float:
    """Share of the windows in which the coverage is within ``slack``; NaN with less than one."""
    if len(inside) < window:
        return math.nan
    total = np.concatenate([[0.0], np.cumsum(inside)])
    local = (total[window:] - total[:-window]) / window
    return float(np.mean(np.abs(local - LEVEL) <= slack + 1e-12))


def coverage(models: Mapping[str, Model], streams: Mapping[str, Stream]) -> Report:
    """How often intervals of 90 % hold the target, after the first 20 rows.

    Over all rows; the share of windows of 500 rows with 85 to 95 % inside; the mean width in units
    of the standard deviation of y[t] - y[t-1]; the Winkler score as a multiple of that of the first
    interval.
    """
    start, tables = 20, []
    runs = run([job._replace(intervals=True) for job in _jobs(models, streams)])
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for name, by_stream in runs.items():
        for stream, done in by_stream.items():
            truth, spread = done.truth[start:], float(np.std(np.diff(done.truth)[start - 1 :]))
            for kind, intervals in done.intervals.items():
                label = name if kind == JACKKNIFE else f"{name}: {kind}"
                low, high = intervals[start:].T
                inside = (low <= truth) & (truth <= high)
                figures.setdefault(label, {})[stream] = {
                    "coverage": float(inside.mean()),
                    "windows": held(inside.astype(float)),
                    "width": float(np.mean(high - low)) / spread if spread else math.nan,
                    "Winkler": float(winkler(truth, intervals[start:]).mean()),
                }
    first = next(iter(figures.values()))
    for found in figures.values():
        for stream, of_stream in found.items():
            unit = first[stream]["Winkler"]
            of_stream["relative Winkler"] = of_stream["Winkler"] / unit if unit else math.nan
    for title, of, percent in (
        ("share of targets inside", "coverage", True),
        ("share of windows within 90 ± 5 %", "windows", True),
        ("mean width", "width", False),
        ("Winkler score, relative", "relative Winkler", False),
    ):
        last = "geometric mean" if of == "relative Winkler" else "mean"
        rows = []
        for label, found in figures.items():
            values = [found[stream][of] for stream in streams]
            known = [value for value in values if not math.isnan(value)]
            mean = (
                geometric_mean(known)
                if of == "relative Winkler"
                else float(np.mean(known or [math.nan]))
            )
            cells = [_percent(v) if percent else _fixed([v])[0] for v in (*values, mean)]
            rows.append([label, *cells])
        tables.append(_table([title, *streams, last], rows))
    return "\n\n".join(tables), figures


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"


DRIFTS = {
    "gra": "global, recurring, abrupt",
    "gsg": "global, gradual over 1/20 of the rows",
    "lea": "local, expanding, abrupt",
}
DETECTORS: dict[str, Model] = {
    "None": ours(),
    "ADWIN()": ours(drift_detector=drift.ADWIN()),
    "PageHinkley()": ours(drift_detector=drift.PageHinkley()),
}


def drifting(models: Mapping[str, Model], n_rows: int, n_seeds: int = 3) -> Report:
    """Errors of the default on FriedmanDrift with and without a drift detector; means over seeds.

    Drifts are at a quarter and a half of the rows, and for "lea" at three quarters too.
    """
    positions = tuple(n_rows * quarter // 4 for quarter in (1, 2, 3))
    streams = {}
    for kind in DRIFTS:
        changes = positions if kind == "lea" else positions[:2]
        for seed in range(n_seeds):
            dataset = synth.FriedmanDrift(kind, changes, n_rows // 20, seed)
            streams[f"{kind} {seed}"] = list(dataset.take(n_rows))
    runs = run(_jobs(models, streams))
    after = min(1000, n_rows // 4)
    rows, result = [], {}
    for kind, title in DRIFTS.items():
        changes = positions if kind == "lea" else positions[:2]
        for name, by_stream in runs.items():
            done = [by_stream[f"{kind} {seed}"] for seed in range(n_seeds)]
            # errors start with the second row
            late = [r.errors[start - 1 : start - 1 + after] for r in done for start in changes]
            figures = {
                "MAE": float(np.mean([r.mae for r in done])),
                f"MAE of the {after} rows after each drift": float(np.mean(late)),
                "alarms": float(np.mean([r.alarms for r in done])),
            }
            mae, soon, alarms = figures.values()
            rows.append([f"{kind}: {title}", f"`{name}`", *_fixed([mae, soon]), f"{alarms:.1f}"])
            result[f"{kind}, {name}"] = figures
    header = ["drift", "`drift_detector`", "MAE", f"MAE, {after} rows after each drift", "alarms"]
    return _table(header, rows), result


def _plain(value: Any) -> Any:
    """Numbers that JSON does not know become null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parse(argv: Sequence[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of NAME.npz")
    parser.add_argument("--bundled", action="store_true", help="river's streams beside --data")
    what = parser.add_mutually_exclusive_group()
    for name, text in {
        "ablate": "parts of the default model changed one by one",
        "modes": "all attention modes",
        "coverage": "predictive intervals",
        "drift": "drift detectors on synthetic drifts",
    }.items():
        what.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_argument("--rows", type=int, help="use only the first ROWS rows of each stream")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these models")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    return parser, parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with command-line arguments ``argv``."""
    parser, arguments = _parse(argv)
    if arguments.rows is not None and arguments.rows < 40:
        parser.error(f"--rows={arguments.rows}: must be at least 40")
    always: set[str] = set()
    if arguments.ablate:
        models, always = ablated(), {REFERENCE, OURS}
    elif arguments.modes:
        models, always = in_modes(), {REFERENCE}
    elif arguments.coverage:
        models = intervals_compared()
    elif arguments.drift:
        models = DETECTORS
    else:
        models, always = compared(), {REFERENCE, OURS}
    unknown = set(arguments.only or ()) - set(models)
    if unknown:
        parser.error(f"--only={sorted(unknown)}: must be among {list(models)}")
    if arguments.only:
        kept = always | set(arguments.only)
        models = {name: model for name, model in models.items() if name in kept}

    if arguments.drift:
        text, figures = drifting(models, arguments.rows or 20_000)
    else:
        streams = {} if arguments.data is None else load(arguments.data, arguments.rows)
        if arguments.data is not None and not streams:
            parser.error(f"--data={arguments.data}: no .npz files there")
        if arguments.data is None or arguments.bundled:
            streams |= load_streams(arguments.rows)
        report = (
            ablation
            if arguments.ablate
            else modes
            if arguments.modes
            else coverage
            if arguments.coverage
            else accuracy
        )
        text, figures = report(models, streams)
    print(text)
    if arguments.json:
        arguments.json.write_text(json.dumps(_plain(figures), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
