"""How far ahead the forecaster sees: error against horizon, beside river's own forecasters.

Every model learns a stream step by step and, once two seasons (of WaterFlow a week) have passed, is
asked at every step for the next `--horizon` targets, with the features that will come with them.
Then it learns the next step. Models that take features get river's dates as calendar features. The
season is told to all models but "season not told".

`river.evaluate.evaluate` asks one step too early: it compares what a model forecasts h steps ahead
with the target h + 1 steps ahead. Here they are compared with each other.

    python benchmarks/forecasting.py [--horizon 24] [--rows N] [--out PNG] [--json FILE] [--quiet]
                                     [--data DIR] [--season NAME=STEPS ...]

`--data` adds streams: every NAME.npz in a folder, with X [T, d], y [T] and the names [d] of its
columns. Their season is 24 steps unless `--season` says otherwise.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import datasets, linear_model, optim, preprocessing, time_series
from river.time_series.base import Forecaster

from river_attention import StreamingAttentionForecaster, calendar_features
from river_attention._progress import ProgressBar

Array = NDArray[np.float64]
Rows = list[tuple[dict[Any, Any], float]]

PICTURE = "river_attention_forecasts.png"
AVERAGED = 12
DEFAULT_SEASON = 24
TOLD = "ours, season told"
NOT_TOLD = "ours, season not told"
COLOURS = {
    TOLD: "#d62728",
    NOT_TOLD: "#ff9896",
    "last value": "#7f7f7f",
    "seasonal naive": "#2ca02c",
    "SNARIMAX": "#9467bd",
    "HoltWinters": "#1f77b4",
}


class Stream(NamedTuple):
    """Rows, the number of steps in a season, and how many steps pass before the first forecast."""

    rows: Rows
    season: int
    warm_up: int


class Run(NamedTuple):
    """One model on one stream: mean absolute error by step ahead, seconds per call."""

    model: str
    stream: str
    mae: Array
    learn: float
    forecast: float

    @property
    def average(self) -> float:
        """Mean over the first steps ahead."""
        return float(self.mae[:AVERAGED].mean())


class LastValue(Forecaster):
    """The last target, or that of a season ago, again and again."""

    def __init__(self, season: int = 1) -> None:
        self.season = season
        self._past: list[float] = []

    def learn_one(self, y: float, x: dict[Any, Any] | None = None) -> None:
        self._past = [*self._past[1 - self.season :], y] if self.season > 1 else [y]

    def forecast(self, horizon: int, xs: Any = None) -> list[float]:
        return [self._past[h % len(self._past)] for h in range(horizon)]


def _snarimax(season: int) -> Forecaster:
    return time_series.SNARIMAX(
        p=0,
        d=0,
        q=0,
        m=season,
        sp=3,
        sq=6,
        regressor=preprocessing.StandardScaler()
        | linear_model.LinearRegression(
            optimizer=optim.SGD(0.01), intercept_init=110, intercept_lr=0.3
        ),
    )


def _holt_winters(season: int) -> Forecaster:
    return time_series.HoltWinters(
        alpha=0.3, beta=0.1, gamma=0.6, seasonality=season, multiplicative=False
    )


MODELS: dict[str, Callable[[int], Forecaster]] = {
    TOLD: lambda season: StreamingAttentionForecaster(season=season),
    NOT_TOLD: lambda season: StreamingAttentionForecaster(),
    "last value": lambda season: LastValue(),
    "seasonal naive": LastValue,
    "SNARIMAX": _snarimax,
    "HoltWinters": _holt_winters,
}


def bundled_streams() -> dict[str, Stream]:
    """Return river's own time series, with calendar features."""

    def rows(dataset: Any) -> Rows:
        return [(calendar_features(x), float(y)) for x, y in dataset]

    return {
        "AirlinePassengers": Stream(rows(datasets.AirlinePassengers()), 12, 24),
        "WaterFlow": Stream(rows(datasets.WaterFlow()), 24, 7 * 24),
    }


def load_streams(folder: Path, seasons: dict[str, int]) -> dict[str, Stream]:
    """Return the streams of a folder by name."""
    streams = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            names = [str(name) for name in arrays["names"]]
            X, y = arrays["X"].tolist(), arrays["y"].tolist()
        rows = [
            (dict(zip(names, row, strict=True)), float(target))
            for row, target in zip(X, y, strict=True)
        ]
        season = seasons.get(path.stem, DEFAULT_SEASON)
        streams[path.stem] = Stream(rows, season, 2 * season)
    return streams


def evaluate(name: str, label: str, stream: Stream, horizon: int, bar: ProgressBar) -> Run:
    """Let a fresh model learn and forecast a stream."""
    model = MODELS[name](stream.season)
    rows, n_origins = stream.rows, 0
    errors = np.zeros(horizon)
    learning = forecasting = 0.0
    truth = np.array([y for _, y in rows])
    for t, (x, y) in enumerate(rows):
        if stream.warm_up <= t <= len(rows) - horizon:
            xs = [features for features, _ in rows[t : t + horizon]]
            start = time.perf_counter()
            forecasts = model.forecast(horizon, xs=xs)
            forecasting += time.perf_counter() - start
            errors += np.abs(np.array(forecasts) - truth[t : t + horizon])
            n_origins += 1
        start = time.perf_counter()
        model.learn_one(y, x)
        learning += time.perf_counter() - start
        bar.advance()
    return Run(name, label, errors / n_origins, learning / len(rows), forecasting / n_origins)


def measure(streams: dict[str, Stream], horizon: int, quiet: bool = False) -> list[Run]:
    """Return the run of every model on every stream."""
    total = len(MODELS) * sum(len(stream.rows) for stream in streams.values())
    runs = []
    with ProgressBar(total, quiet=quiet) as bar:
        for label, stream in streams.items():
            for name in MODELS:
                bar.label(f"{label}: {name}")
                runs.append(evaluate(name, label, stream, horizon, bar))
    return runs


def table(runs: Sequence[Run]) -> str:
    """Return a Markdown table of each stream, the smallest error of each column in bold."""
    lines = []
    for label in dict.fromkeys(run.stream for run in runs):
        here = [run for run in runs if run.stream == label]
        horizon = len(here[0].mae)
        shown = [h for h in (1, 2, 3, 6, 9, 12, 18, 24, 36, 48) if h <= horizon]
        columns = np.array([[run.average, *run.mae[np.array(shown) - 1]] for run in here])
        header = [label, f"mean of 1-{min(AVERAGED, horizon)}", *(f"+{h}" for h in shown)]
        header += ["µs / learn", "µs / forecast"]
        lines += [f"| {' | '.join(header)} |", "| --- |" + " ---: |" * (len(header) - 1)]
        for run, row in zip(here, columns, strict=True):
            cells = [
                f"**{value:.2f}**" if value == best else f"{value:.2f}"
                for value, best in zip(row, columns.min(axis=0), strict=True)
            ]
            cells += [f"{1e6 * run.learn:.0f}", f"{1e6 * run.forecast:.0f}"]
            lines.append(f"| {run.model} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def plot(runs: Sequence[Run], path: Path) -> None:
    """Draw the error against the horizon, one panel for each stream.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    labels = list(dict.fromkeys(run.stream for run in runs))
    layout = ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.1)
    figure = Figure(figsize=(6.5 * len(labels), 4.6), layout=layout)
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(labels), squeeze=False)[0]
    for axes, label in zip(panels, labels, strict=True):
        here = [run for run in runs if run.stream == label]
        for run in here:
            ours = run.model in (TOLD, NOT_TOLD)
            axes.plot(
                np.arange(1, len(run.mae) + 1),
                run.mae,
                label=run.model,
                color=COLOURS[run.model],
                linewidth=2.2 if ours else 1.2,
                zorder=3 if ours else 2,
            )
        axes.set(title=label, xlabel="steps ahead", ylabel="mean absolute error")
        # one model that is far off must not flatten the others
        axes.set_ylim(0.0, 2.0 * float(np.median([run.mae.max() for run in here])))
        axes.grid(alpha=0.3)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=120)


def _season(text: str) -> tuple[str, int]:
    name, _, steps = text.partition("=")
    return name, int(steps)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with command-line arguments `argv`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--horizon", type=int, default=24, help="number of steps ahead")
    parser.add_argument("--rows", type=int, help="use only the first ROWS rows of each stream")
    parser.add_argument("--data", type=Path, help="folder with more streams, as npz files")
    parser.add_argument(
        "--season", type=_season, nargs="*", default=[], metavar="NAME=STEPS", help="their seasons"
    )
    parser.add_argument("--out", type=Path, default=Path(PICTURE), help="the PNG to write")
    parser.add_argument("--json", type=Path, help="also write all errors to this file")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    arguments = parser.parse_args(argv)
    if arguments.horizon < 1:
        parser.error(f"--horizon={arguments.horizon}: must be at least 1")
    streams = bundled_streams()
    if arguments.data:
        streams |= load_streams(arguments.data, dict(arguments.season))
    if arguments.rows is not None:
        streams = {
            name: stream._replace(rows=stream.rows[: arguments.rows])
            for name, stream in streams.items()
        }
    for name, stream in streams.items():
        needed = stream.warm_up + arguments.horizon
        if len(stream.rows) < needed:
            parser.error(f"{name} has {len(stream.rows)} rows: at least {needed} are needed")
    runs = measure(streams, arguments.horizon, quiet=arguments.quiet)
    print(table(runs))
    print()
    if arguments.json:
        results = [run._asdict() | {"mae": run.mae.round(4).tolist()} for run in runs]
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    try:
        plot(runs, arguments.out)
    except ImportError:
        print('No picture without matplotlib: pip install "river-attention[plot]"')
    else:
        print(f"Picture: {arguments.out}")


if __name__ == "__main__":
    main()
