"""Progressive validation on river's own streams, beside river's own models.

Run as `python -m river_attention.demo`. Every model predicts each row before it learns from it. All
get the same calendar features; river's models also get the last target and a scaler for it (see
`river_attention._baselines`), the attention model remembers and scales by itself. The error is the
mean absolute error over all rows but the first, before which nobody can know anything.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from river import base, datasets, evaluate, metrics

from river_attention import StreamingAttentionRegressor, calendar_features
from river_attention._baselines import baseline_models
from river_attention._figure import new_figure
from river_attention._progress import ProgressBar
from river_attention.plot import plot_predictions, plot_rolling_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Run", "load_streams", "main", "plot", "run", "table"]

Stream = list[tuple[dict[Any, Any], float]]

OURS = "StreamingAttentionRegressor"
REFERENCE = "persistence"
PICTURE = "river_attention_demo.png"

_SHOWN_ROWS = 120
_COLOURS = {
    OURS: "#d62728",
    REFERENCE: "#7f7f7f",
    "LinearRegression": "#1f77b4",
    "BayesianLinearRegression": "#2ca02c",
    "ARFRegressor": "#ff7f0e",
    "SNARIMAX": "#9467bd",
}


@dataclass(frozen=True)
class Run:
    """One model on one stream: the targets, what was predicted for them, and how long it took."""

    model: str
    stream: str
    truth: np.ndarray
    predictions: np.ndarray
    seconds: float

    @property
    def errors(self) -> np.ndarray:
        """Absolute errors of all rows but the first."""
        return np.abs(self.truth - self.predictions)[1:]

    @property
    def mae(self) -> float:
        return float(self.errors.mean())


class _Timed(base.Wrapper, base.Regressor):
    """Add up the time spent in `predict_one` and `learn_one`, and in nothing else."""

    def __init__(self, regressor: base.Regressor) -> None:
        self.regressor = regressor
        self.seconds = 0.0

    @property
    def _wrapped_model(self) -> base.Regressor:
        return self.regressor

    def predict_one(self, x: dict[Any, Any], **kwargs: Any) -> Any:
        start = time.perf_counter()
        y_pred = self.regressor.predict_one(x, **kwargs)
        self.seconds += time.perf_counter() - start
        return y_pred

    def learn_one(self, x: dict[Any, Any], y: Any, **kwargs: Any) -> None:
        start = time.perf_counter()
        self.regressor.learn_one(x, y, **kwargs)
        self.seconds += time.perf_counter() - start


def load_streams(rows: int | None = None) -> dict[str, Stream]:
    """Return river's bundled regression streams with their dates as calendar features.

    Parameters
    ----------
    rows
        Keep only so many rows of each stream; `None` keeps all.
    """
    if rows is not None and rows < 2:
        raise ValueError(f"rows={rows}: the first row is not scored, so at least 2 are needed")
    bundled = (datasets.WaterFlow(), datasets.TrumpApproval(), datasets.AirlinePassengers())
    return {
        type(dataset).__name__: [
            (calendar_features(x), float(y)) for x, y in dataset.take(rows or dataset.n_samples)
        ]
        for dataset in bundled
    }


def models() -> dict[str, base.Regressor]:
    """Return the compared models by name, none of which has learned anything."""
    return {**baseline_models(), OURS: StreamingAttentionRegressor()}


def validate(name: str, model: base.Regressor, stream: str, rows: Stream, bar: ProgressBar) -> Run:
    """Validate `model` progressively on `rows`, counting them off on `bar`."""
    timed = _Timed(model)
    predictions = np.empty(len(rows))
    steps = evaluate.iter_progressive_val_score(
        dataset=rows, model=timed, metric=metrics.MAE(), yield_predictions=True
    )
    for i, step in enumerate(steps):
        predictions[i] = step["Prediction"]
        bar.advance()
    return Run(name, stream, np.array([y for _, y in rows]), predictions, timed.seconds)


def run(rows: int | None = None, quiet: bool = False) -> list[Run]:
    """Validate every model on every stream.

    Parameters
    ----------
    rows
        Use only the first rows of each stream; `None` uses all.
    quiet
        Show no progress.

    Returns
    -------
    list of Run
        Model by model, the streams in the same order for each.
    """
    streams = load_streams(rows)
    compared = models()
    runs = []
    total = len(compared) * sum(map(len, streams.values()))
    with ProgressBar(total, quiet=quiet) as bar:
        for name, model in compared.items():
            bar.label(name)
            for stream, data in streams.items():
                # The streams have nothing to do with each other: each gets a fresh model.
                runs.append(validate(name, model.clone(), stream, data, bar))
    return runs


def _by_model(runs: Sequence[Run]) -> dict[str, list[Run]]:
    grouped: dict[str, list[Run]] = {}
    for result in runs:
        grouped.setdefault(result.model, []).append(result)
    return grouped


def _geometric_mean(ratios: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if min(ratios) > 0 else math.nan


def table(runs: Sequence[Run]) -> str:
    """Return the results as a Markdown table, the smallest number of each error column in bold.

    The last columns are the geometric mean over the streams of the error as a multiple of that of
    persistence, and the time of one predict and one learn together, averaged over all rows.
    """
    grouped = _by_model(runs)
    reference = [result.mae for result in grouped[REFERENCE]]
    errors = {}
    for model, results in grouped.items():
        maes = [result.mae for result in results]
        # A constant stream has no error of persistence to compare with.
        ratios = [a / b if b > 0 else math.nan for a, b in zip(maes, reference, strict=True)]
        errors[model] = [*maes, _geometric_mean(ratios)]
    best = [min(column) for column in zip(*errors.values(), strict=True)]

    streams = [result.stream for result in grouped[REFERENCE]]
    header = ["model", *(f"MAE {stream}" for stream in streams), "MAE / persistence", "µs / sample"]
    lines = [header, ["---", *(["---:"] * (len(header) - 1))]]
    for model, values in errors.items():
        cells = [
            f"**{value:#.4g}**" if value == low else f"{value:#.4g}"
            for value, low in zip(values, best, strict=True)
        ]
        seconds = sum(result.seconds for result in grouped[model])
        samples = sum(len(result.truth) for result in grouped[model])
        lines.append([model, *cells, f"{1e6 * seconds / samples:.0f}"])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "| " + " | ".join(map(_pad, line, widths, range(len(line)))) + " |" for line in lines
    )


def _pad(cell: str, width: int, column: int) -> str:
    if set(cell) <= set("-:"):
        return cell.rjust(width, "-")
    return cell.rjust(width) if column else cell.ljust(width)


def plot(runs: Sequence[Run], path: Path) -> None:
    """Draw predictions (the last rows of each stream) and rolling errors into the PNG `path`.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    grouped = _by_model(runs)
    streams = list(dict.fromkeys(result.stream for result in runs))
    figure = new_figure(14, 3.6 * len(streams) + 0.6)
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.1)
    axes = figure.subplots(len(streams), 2, squeeze=False)
    for (left, right), stream in zip(axes, streams, strict=True):
        here = [result for results in grouped.values() for result in results]
        here = [result for result in here if result.stream == stream]
        _plot_predictions(left, here)
        _plot_rolling_errors(right, here)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=120)


def _style(model: str) -> dict[str, Any]:
    ours = model == OURS
    return {
        "color": _COLOURS.get(model),
        "linewidth": 1.8 if ours else 0.9,
        "alpha": 1.0 if ours else 0.8,
        "zorder": 4 if ours else 2,
    }


def _plot_predictions(axes: Axes, runs: Sequence[Run]) -> None:
    # the first row is not scored
    rows = np.arange(1, len(runs[0].truth))
    predictions = {result.model: result.predictions[1:] for result in runs}
    plot_predictions(runs[0].truth[1:], predictions, rows=rows, last=_SHOWN_ROWS, ax=axes)
    shown = min(_SHOWN_ROWS, len(rows))
    _restyle(axes, f"{runs[0].stream}: the last {shown} rows")


def _plot_rolling_errors(axes: Axes, runs: Sequence[Run]) -> None:
    predictions = {result.model: result.predictions[1:] for result in runs}
    plot_rolling_error(runs[0].truth[1:], predictions, log=True, ax=axes)
    _restyle(axes, f"{runs[0].stream}: {axes.get_title()}")


def _restyle(axes: Axes, title: str) -> None:
    """Colours of the models, and one legend for the whole picture."""
    for line in axes.lines:
        if line.get_label() in _COLOURS:
            line.set(**_style(str(line.get_label())))
    axes.set_title(title)
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m river_attention.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(PICTURE), help="the PNG to write")
    parser.add_argument("--rows", type=int, help="use only the first ROWS rows of each stream")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the demo with command-line arguments `argv` (by default those of the process)."""
    arguments = _parse(argv)
    runs = run(rows=arguments.rows, quiet=arguments.quiet)
    print(table(runs))
    print()
    try:
        plot(runs, arguments.out)
    except ImportError:
        print('No picture without matplotlib: pip install "river-attention[plot]"')
    else:
        print(f"Picture: {arguments.out}")


if __name__ == "__main__":
    main()
