"""What ``AttentionTransformer`` is worth to river's own models.

Every model is run three ways, test then train, on every stream:

    StandardScaler() | Model()                                                      without it
    AttentionTransformer() | Model()                                                alone
    (StandardScaler() + AttentionTransformer(keep_inputs=False)) | Model()          beside a scaler

Printed is the error without it, and the other two as a share of that: the mean absolute error, for
classes the share of wrong predictions, both without the first fifth of the stream, in which
gradient descent looks for the level of the target. At the end stand the cells beyond what the
transformer promises: 1.02 times the error without it (nearest neighbours 1.10). Dates are calendar
features for all of them. A dash is a model that cannot be run without features.

    python benchmarks/transformer.py [--data DIR] [--rows N] [--only NAME ...] [--json FILE]

With ``--data DIR`` the streams are every `DIR/*.npz` with arrays X [T, d], y [T] and names [d], the
targets numbers, instead of those that river ships. ``--models NAME ...`` runs only some.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from river import base, datasets, forest, linear_model, multiclass, neighbors, preprocessing, tree

from river_attention import AttentionTransformer, calendar_features
from river_attention._progress import ProgressBar
from river_attention.demo import load_streams

Rows = list[tuple[dict[Any, Any], Any]]


def logistic(n_classes: int) -> base.Classifier:
    """Logistic regression, one against rest for more than two classes."""
    model: Any = linear_model.LogisticRegression()
    return model if n_classes == 2 else multiclass.OneVsRestClassifier(model)


REGRESSORS: dict[str, Callable[[], Any]] = {
    "LinearRegression": linear_model.LinearRegression,
    "BayesianLinearRegression": linear_model.BayesianLinearRegression,
    "HoeffdingTreeRegressor": tree.HoeffdingTreeRegressor,
    "KNNRegressor": lambda: neighbors.KNNRegressor(engine=neighbors.SWINN(seed=42)),
    "ARFRegressor": lambda: forest.ARFRegressor(seed=42),
}
CLASSIFIERS: dict[str, Callable[[int], Any]] = {
    "LogisticRegression": logistic,
    "HoeffdingTreeClassifier": lambda n_classes: tree.HoeffdingTreeClassifier(),
}
WAYS: dict[str, Callable[[], Any]] = {
    "without": preprocessing.StandardScaler,
    "alone": AttentionTransformer,
    "beside a scaler": lambda: (
        preprocessing.StandardScaler() + AttentionTransformer(keep_inputs=False)
    ),
}
PROMISED = 1.02
PROMISED_OF_NEIGHBOURS = 1.10


class Run(NamedTuple):
    """A model on a stream: its error each way, NaN where it cannot be run."""

    model: str
    stream: str
    errors: dict[str, float]

    def ratio(self, way: str) -> float:
        """The error as a share of that without the transformer."""
        without = self.errors["without"]
        return self.errors[way] / without if without > 0.0 else math.nan

    @property
    def promised(self) -> float:
        """The largest ratio that is promised."""
        return PROMISED_OF_NEIGHBOURS if self.model == "KNNRegressor" else PROMISED


def bundled() -> dict[str, Rows]:
    """The streams that river ships, numbers first."""
    streams: dict[str, Rows] = dict(load_streams())
    streams["ChickWeights"] = [(calendar_features(x), float(y)) for x, y in datasets.ChickWeights()]
    for dataset in (datasets.Phishing(), datasets.Bananas(), datasets.ImageSegments()):
        streams[type(dataset).__name__] = list(dataset)
    return streams


def load(folder: Path) -> dict[str, Rows]:
    """The streams of a folder; see the module."""
    streams = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as archive:
            names = [str(name) for name in archive["names"]]
            X, y = archive["X"].tolist(), archive["y"].tolist()
        streams[path.stem] = [
            (dict(zip(names, row, strict=True)), target) for row, target in zip(X, y, strict=True)
        ]
    return streams


def of_numbers(rows: Rows) -> bool:
    """Whether the labels of a stream are numbers."""
    return isinstance(rows[0][1], float)


def error(name: str, way: str, rows: Rows) -> float:
    """Mean absolute error or share of wrong classes, without the first fifth of the rows."""
    if of_numbers(rows):
        model = WAYS[way]() | REGRESSORS[name]()
        # river's Bayesian regression fails where there is nothing to learn from
        if way == "without" and name == "BayesianLinearRegression" and not rows[0][0]:
            return math.nan
    else:
        model = WAYS[way]() | CLASSIFIERS[name](len({y for _, y in rows}))
    errors = []
    for x, y in rows:
        prediction = model.predict_one(x)
        model.learn_one(x, y)
        errors.append(abs(prediction - y) if of_numbers(rows) else float(prediction != y))
    return float(np.mean(errors[len(rows) // 5 :]))


def measure(
    streams: dict[str, Rows],
    models: Sequence[str],
    n_jobs: int = 2,
    quiet: bool = False,
) -> list[Run]:
    """Every model on every stream that it suits."""
    pairs = [
        (name, label)
        for table in (REGRESSORS, CLASSIFIERS)
        for name in table
        if name in models
        for label, rows in streams.items()
        if of_numbers(rows) == (name in REGRESSORS)
    ]
    errors: dict[tuple[str, str, str], float] = {}
    with (
        ProgressBar(len(pairs) * len(WAYS), quiet=quiet) as bar,
        ProcessPoolExecutor(n_jobs) as pool,
    ):
        jobs = {
            pool.submit(error, name, way, streams[label]): (name, label, way)
            for name, label in pairs
            for way in WAYS
        }
        for job in as_completed(jobs):
            bar.label(": ".join(jobs[job][:2]))
            errors[jobs[job]] = job.result()
            bar.advance()
    return [
        Run(name, label, {way: errors[name, label, way] for way in WAYS}) for name, label in pairs
    ]


def table(runs: Sequence[Run]) -> str:
    """A Markdown table, a line for every model and way, a column for every stream."""
    parts = []
    for models in (REGRESSORS, CLASSIFIERS):
        cells = {(run.model, run.stream): run for run in runs if run.model in models}
        if not cells:
            continue
        labels = list(dict.fromkeys(label for _, label in cells))
        lines = [f"| model | | {' | '.join(labels)} |", "| --- | --- |" + " ---: |" * len(labels)]
        for name in dict.fromkeys(name for name, _ in cells):
            for way in WAYS:
                row = [
                    _cell(run.errors[way], "#.3g")
                    if way == "without"
                    else _cell(run.ratio(way), ".3f")
                    for run in (cells[name, label] for label in labels)
                ]
                first = name if way == "without" else ""
                lines.append(f"| {first} | {way} | {' | '.join(row)} |")
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, _beyond(runs)])


def _cell(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)


def _beyond(runs: Sequence[Run]) -> str:
    worse = [
        f"{run.model} on {run.stream} {way} {run.ratio(way):.3f}"
        for run in runs
        for way in list(WAYS)[1:]
        if run.ratio(way) > run.promised
    ]
    return "Beyond what is promised: " + ("; ".join(worse) or "none") + "."


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with command-line arguments ``argv``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="a folder of NAME.npz with X, y and names")
    parser.add_argument("--rows", type=int, help="only the first ROWS rows of each stream")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these streams")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="only these models")
    parser.add_argument("--json", type=Path, help="also write the errors to this file")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    arguments = parser.parse_args(argv)
    if arguments.rows is not None and arguments.rows < 5:
        parser.error(f"--rows={arguments.rows}: must be at least 5")
    if arguments.jobs < 1:
        parser.error(f"--jobs={arguments.jobs}: must be at least 1")
    streams = bundled() if arguments.data is None else load(arguments.data)
    if not streams:
        parser.error(f"--data={arguments.data}: there is no .npz file")
    models = [*REGRESSORS, *CLASSIFIERS]
    for option, given, known in (
        ("only", arguments.only, list(streams)),
        ("models", arguments.models, models),
    ):
        unknown = [name for name in given or () if name not in known]
        if unknown:
            parser.error(f"--{option}={' '.join(unknown)}: must be of {', '.join(known)}")
    streams = {
        name: rows[: arguments.rows]
        for name, rows in streams.items()
        if not arguments.only or name in arguments.only
    }
    runs = measure(streams, arguments.models or models, arguments.jobs, arguments.quiet)
    print(table(runs))
    if arguments.json:
        results = [run._asdict() for run in runs]
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
