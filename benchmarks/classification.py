r"""How good classifications are: test-then-train on streams of classes, beside river's own models.

Streams are river's Phishing, ImageSegments and Bananas, whose rows come in no order, a synthetic
one whose order matters, and with ``--data DIR`` also every `DIR/*.npz` with arrays ``X`` [T, d]
(known before y), ``y`` [T], the classes, and ``names`` [d].

*Markov switching*: a hidden regime s = ±1 changes with probability 0.02 a step and moves the
boundary between the classes; features a, b, c are standard normal, and

.. math:: P(y = 1) = \sigma\bigl(3 (a + b/2 + 1.5\, s)\bigr).

Only the past labels tell where the boundary is. *Markov flipping* is the same with
:math:`\sigma(5 s a + 2 b)`: the regime turns the boundary around.

Accuracy, log loss (probabilities at least 1e-6; before the first label it is that of an unknown
class), area under the ROC curve (two classes only) and expected calibration error

.. math:: \mathrm{ECE} = \sum_{b=1}^{10} \frac{n_b}{n} \,|\mathrm{acc}_b - \mathrm{conf}_b|

over ten bins of the probability of the predicted class; all over all rows but the first. "lag"
means that a model of river was given the last label one-hot as more features. Times are those of
the processor, so that models that run side by side do not disturb each other much.

    python benchmarks/classification.py [--data DIR] [--rows N] [--only NAME ...] [--json FILE]
                                        [--jobs 2] [--quiet]

Set OPENBLAS_NUM_THREADS=1: the matrices are small.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from river import base, datasets, forest, linear_model, metrics, multiclass, preprocessing

from river_attention import StreamingAttentionClassifier
from river_attention._progress import ProgressBar

Rows = list[tuple[dict[Any, Any], Any]]

OURS = "StreamingAttentionClassifier"
SMALLEST = 1e-6
N_BINS = 10


class LastLabel(base.Wrapper, base.Classifier):
    """Give a classifier the last label, one-hot, as more features.

    Parameters
    ----------
    classifier
        The classifier to wrap.
    """

    def __init__(self, classifier: base.Classifier) -> None:
        self.classifier = classifier
        self._seen: dict[Any, float] = {}

    @property
    def _wrapped_model(self) -> base.Classifier:
        return self.classifier

    @property
    def _multiclass(self) -> bool:
        return self.classifier._multiclass

    def _with_label(self, x: dict[Any, Any]) -> dict[Any, Any]:
        return {**x, **self._seen}

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        self.classifier.learn_one(self._with_label(x), y)
        self._seen = dict.fromkeys(self._seen, 0.0)
        self._seen[f"y[t-1]={y}"] = 1.0

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        return self.classifier.predict_proba_one(self._with_label(x))


def _linear(multi: bool) -> Any:
    model: Any = linear_model.LogisticRegression()
    model = multiclass.OneVsRestClassifier(model) if multi else model
    return preprocessing.StandardScaler() | model


def _softmax(multi: bool) -> Any:
    return preprocessing.StandardScaler() | linear_model.SoftmaxRegression()


def _forest(multi: bool) -> base.Classifier:
    return forest.ARFClassifier(seed=42)


MODELS: dict[str, Callable[[bool], base.Classifier]] = {
    OURS: lambda multi: StreamingAttentionClassifier(),
    f"{OURS}, trees=500": lambda multi: StreamingAttentionClassifier(trees=500),
    "LogisticRegression": _linear,
    "LogisticRegression, lag": lambda multi: LastLabel(_linear(multi)),
    "SoftmaxRegression": _softmax,
    "SoftmaxRegression, lag": lambda multi: LastLabel(_softmax(multi)),
    "ARFClassifier": _forest,
    "ARFClassifier, lag": lambda multi: LastLabel(_forest(multi)),
}
"""How to make each model, told whether there are more than two classes."""


class Run(NamedTuple):
    """What one model gave on one stream; ``auc`` is NaN for more than two classes."""

    model: str
    stream: str
    accuracy: float
    log_loss: float
    auc: float
    calibration_error: float
    microseconds: float


def markov(turns: bool, n_rows: int = 10_000, seed: int = 0) -> Rows:
    """Return a stream whose boundary between two classes follows a hidden regime."""
    rng = np.random.default_rng(seed)
    regime, rows = 1.0, []
    for _ in range(n_rows):
        if rng.random() < 0.02:
            regime = -regime
        a, b, c = rng.normal(size=3).tolist()
        z = 5.0 * regime * a + 2.0 * b if turns else 3.0 * (a + 0.5 * b + 1.5 * regime)
        rows.append(({"a": a, "b": b, "c": c}, bool(rng.random() < 1.0 / (1.0 + math.exp(-z)))))
    return rows


def bundled_streams() -> dict[str, Rows]:
    """Return river's streams and the synthetic ones."""
    return {
        "Phishing": list(datasets.Phishing()),
        "Bananas": list(datasets.Bananas()),
        "ImageSegments": list(datasets.ImageSegments()),
        "Markov switching": markov(turns=False),
        "Markov flipping": markov(turns=True),
    }


def load_streams(folder: Path) -> dict[str, Rows]:
    """Return the streams of a folder by name."""
    streams = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            names = [str(name) for name in arrays["names"]]
            X, y = arrays["X"].tolist(), arrays["y"].tolist()
        rows = [
            (dict(zip(names, row, strict=True)), label) for row, label in zip(X, y, strict=True)
        ]
        streams[path.stem] = rows
    return streams


def calibration_error(confidence: Sequence[float], correct: Sequence[bool]) -> float:
    """Return the expected calibration error of the predicted classes."""
    bins = np.minimum((np.array(confidence) * N_BINS).astype(int), N_BINS - 1)
    gaps = np.array(correct, dtype=float) - np.array(confidence)
    return float(np.abs(np.bincount(bins, gaps, minlength=N_BINS)).sum() / len(gaps))


def evaluate(name: str, label: str, rows: Rows) -> Run:
    """Test, then train, a fresh model on a stream."""
    classes = {y for _, y in rows}
    model = MODELS[name](len(classes) > 2)
    auc = metrics.ROCAUC(n_thresholds=100, pos_val=max(classes)) if len(classes) == 2 else None
    losses, confidence, correct = [], [], []
    seconds = 0.0
    for t, (x, y) in enumerate(rows):
        start = time.process_time()
        probabilities = model.predict_proba_one(x)
        model.learn_one(x, y)
        seconds += time.process_time() - start
        if t == 0:
            continue
        # a model of river may know classes but no probabilities: all of them are 0
        best: Any = max(probabilities, key=probabilities.__getitem__, default=None)
        losses.append(-math.log(max(probabilities.get(y, 0.0), SMALLEST)))
        confidence.append(probabilities.get(best, 0.0))
        correct.append(best == y)
        if auc is not None:
            auc.update(y, probabilities)
    return Run(
        name,
        label,
        float(np.mean(correct)),
        float(np.mean(losses)),
        math.nan if auc is None else auc.get(),
        calibration_error(confidence, correct),
        1e6 * seconds / len(rows),
    )


def measure(streams: dict[str, Rows], n_jobs: int = 2, quiet: bool = False) -> list[Run]:
    """Return the run of every model on every stream."""
    jobs = [(name, label) for label in streams for name in MODELS]
    # one that would only repeat another for two classes
    jobs = [
        (name, label)
        for name, label in jobs
        if "Softmax" not in name or len({y for _, y in streams[label]}) > 2
    ]
    runs = {}
    with ProgressBar(len(jobs), quiet=quiet) as bar, ProcessPoolExecutor(n_jobs) as pool:
        futures = {
            pool.submit(evaluate, name, label, streams[label]): (name, label)
            for name, label in jobs
        }
        for future in as_completed(futures):
            name, label = futures[future]
            bar.label(f"{label}: {name}")
            runs[name, label] = future.result()
            bar.advance()
    return [runs[job] for job in jobs]


def table(runs: Sequence[Run]) -> str:
    """Return a Markdown table of each stream, the best of each column in bold."""
    lines: list[str] = []
    for label in dict.fromkeys(run.stream for run in runs):
        here = [run for run in runs if run.stream == label]
        header = [label, "accuracy", "log loss", "ROC AUC", "calibration error", "µs"]
        lines += [f"| {' | '.join(header)} |", "| --- |" + " ---: |" * (len(header) - 1)]
        columns = [
            _cells([100.0 * run.accuracy for run in here], "{:.2f} %", max),
            _cells([run.log_loss for run in here], "{:.3f}", min),
            _cells([run.auc for run in here], "{:.3f}", max),
            _cells([run.calibration_error for run in here], "{:.3f}", min),
            [f"{run.microseconds:.0f}" for run in here],
        ]
        lines += [
            f"| {run.model} | {' | '.join(cells)} |"
            for run, cells in zip(here, zip(*columns, strict=True), strict=True)
        ]
        lines.append("")
    return "\n".join(lines).rstrip()


def _cells(values: list[float], text: str, best_of: Callable[[list[float]], float]) -> list[str]:
    cells = ["" if math.isnan(value) else text.format(value) for value in values]
    best = text.format(best_of(values))
    return [f"**{cell}**" if cell == best else cell for cell in cells]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with command-line arguments `argv`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, help="use only the first ROWS rows of each stream")
    parser.add_argument("--data", type=Path, help="folder with more streams, as npz files")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="only these streams")
    parser.add_argument("--json", type=Path, help="also write all results to this file")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    arguments = parser.parse_args(argv)
    if arguments.rows is not None and arguments.rows < 2:
        parser.error(f"--rows={arguments.rows}: must be at least 2")
    if arguments.jobs < 1:
        parser.error(f"--jobs={arguments.jobs}: must be at least 1")
    streams = bundled_streams()
    if arguments.data:
        streams |= load_streams(arguments.data)
    if arguments.only is not None:
        unknown = [name for name in arguments.only if name not in streams]
        if unknown or not arguments.only:
            parser.error(f"--only={' '.join(unknown)}: must be of {', '.join(streams)}")
        streams = {name: streams[name] for name in arguments.only}
    streams = {name: rows[: arguments.rows] for name, rows in streams.items()}
    runs = measure(streams, n_jobs=arguments.jobs, quiet=arguments.quiet)
    print(table(runs))
    if arguments.json:
        results = [{k: v for k, v in run._asdict().items() if v == v} for run in runs]
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
