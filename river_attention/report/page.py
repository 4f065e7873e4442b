"""The report as HTML: numbers as text, pictures inline, no script, nothing to fetch."""

from __future__ import annotations

import base64
import datetime as dt
import html
import io
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

from .._figure import new_figure
from ..files import write_whole
from ..path import path_of, path_to_html
from . import pictures
from .watch import LEVELS, ClassWatch, NumberWatch, Watch

_CSS = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 68em; margin: 2em auto;
       padding: 0 1em; }
h1 { margin-bottom: 0; } h2 { margin-top: 2em; border-bottom: 1px solid #ddd; }
img { max-width: 100%; height: auto; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: 0.25em 0.9em; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
tr.main { font-weight: bold; }
.numbers { display: flex; flex-wrap: wrap; gap: 0.8em; margin: 1.2em 0; padding: 0; }
.numbers div { background: #f6f8fa; border: 1px solid #ddd; border-radius: 4px;
               padding: 0.4em 1em; }
.numbers b { display: block; font-size: 150%; }
.note { color: #555; }
"""


def check_can_draw() -> None:
    """Raise ``ImportError``, which names the extra, if there is no Matplotlib."""
    new_figure()


def write_report(watch: Watch, path: str | os.PathLike[str], title: str = "") -> None:
    """Write the report of what was watched to a file, all of it or nothing.

    Raises
    ------
    ImportError
        Without Matplotlib; the message names the extra.
    ValueError
        If no row counts yet: the first label of a stream is known to nobody.
    """
    page = report_html(watch, title)
    write_whole(Path(path), page.encode("utf-8", "replace"))


def report_html(watch: Watch, title: str = "") -> str:
    """The report of what was watched, as a page.

    Parameters
    ----------
    watch
        What went through a stream.
    title
        What the stream is called.
    """
    if not watch.scores[watch.main].n:
        raise ValueError("nothing to report: at least two labelled rows are needed")
    heading = title or "a stream"
    parts = [
        f"<h1>{_text(watch.main)}</h1>",
        f"<p class=note>on {_text(heading)}, {dt.datetime.now():%Y-%m-%d %H:%M}; every row was "
        "predicted before it was learned</p>",
        _numbers(_headline(watch)),
        _score_table(watch),
    ]
    for name, note, figure in _sections(watch):
        parts.append(f'<h2 id="{name.lower().replace(" ", "-")}">{_text(name)}</h2>')
        parts += [f"<p>{_text(note)}</p>"] if note else []
        parts += [_image(name, figure)] if figure is not None else []
    path = path_of(watch.inside)
    if path:
        drawn = ET.tostring(path_to_html(path), encoding="unicode")
        parts.append(f"<h2 id=path>The path of a sample</h2>{drawn}")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{_text(watch.main)} on {_text(heading)}</title><style>{_CSS}</style></head>\n"
        "<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _text(value: Any) -> str:
    return html.escape(str(value))


def _number(value: float, digits: int = 4) -> str:
    return "–" if not math.isfinite(value) else f"{value:.{digits}g}"


def _microseconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100.0 else _number(value, 3)


def _percent(value: float) -> str:
    return "–" if not math.isfinite(value) else f"{100 * value:.1f} %"


def _numbers(pairs: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<div>{_text(name)}<b>{_text(value)}</b></div>" for name, value in pairs)
    return f"<div class=numbers>{cells}</div>"


def _headline(watch: Watch) -> list[tuple[str, str]]:
    score = watch.scores[watch.main]
    pairs = [("rows", f"{watch.n_rows:,}"), ("labels", f"{watch.n_labels:,}")]
    others = [other for name, other in watch.scores.items() if name != watch.main]
    if isinstance(watch, NumberWatch):
        pairs.append(("mean absolute error", _number(score.mean)))
        if others and others[0].n and others[0].mean > 0.0:
            first = next(name for name in watch.models if name != watch.main)
            pairs.append((f"of that of {first}", _percent(score.mean / others[0].mean)))
        pairs.append(("R²", _number(watch.r_squared, 3)))
        if watch.n_intervals:
            pairs.append(("inside intervals of 90 %", _percent(_coverage(watch)[2])))
    else:
        pairs.append(("accuracy", _percent(score.mean)))
        pairs.append(("log loss", _number(score.mean_second)))
    pairs.append(("time for a row", f"{_microseconds(score.microseconds)} µs"))
    return pairs


def _coverage(watch: NumberWatch) -> list[float]:
    return [float(n) / watch.n_intervals for n in watch.n_inside]


def _score_table(watch: Watch) -> str:
    rows = "".join(
        f"<tr{' class=main' if cells[0] == watch.main else ''}>"
        + "".join(f"<td>{_text(cell)}</td>" for cell in cells)
        + "</tr>"
        for cells in score_cells(watch)
    )
    heading = "".join(f"<th>{_text(cell)}</th>" for cell in score_heading(watch))
    return f"<table><thead><tr>{heading}</tr></thead><tbody>{rows}</tbody></table>"


def score_heading(watch: Watch) -> list[str]:
    """The names of what ``score_cells`` says."""
    if isinstance(watch, NumberWatch):
        return ["model", "MAE", "RMSE", "MAE / persistence", "µs / row"]
    return ["model", "accuracy", "log loss", "µs / row"]


def score_cells(watch: Watch) -> list[list[str]]:
    """A row for every model: its name, and its scores as text."""
    table = []
    reference = watch.scores.get("persistence")
    for name, score in watch.scores.items():
        if score.failed is not None:
            cells = [f"failed: {score.failed:.80}", *[""] * (len(score_heading(watch)) - 2)]
        elif isinstance(watch, NumberWatch):
            beside = (
                score.mean / reference.mean
                if reference is not None and reference.n and reference.mean > 0.0
                else math.nan
            )
            rmse = math.sqrt(score.mean_second) if score.n else math.nan
            cells = [_number(score.mean), _number(rmse), _number(beside, 3)]
            cells.append(_microseconds(score.microseconds))
        else:
            cells = [_percent(score.mean), _number(score.mean_second)]
            cells.append(_microseconds(score.microseconds))
        table.append([name, *cells])
    return table


def _sections(watch: Watch) -> Iterator[tuple[str, str, Any]]:
    """Name, note and picture of each section."""
    if isinstance(watch, NumberWatch):
        yield (
            "Predictions against truth",
            f"The last {len(watch.last)} rows that count, and a sample of "
            f"{len(watch.sampled.values):,} of all {watch.sampled.n:,}.",
            pictures.predictions(watch),
        )
    elif isinstance(watch, ClassWatch):
        yield (
            "Classes",
            "What was predicted where each class came, and how often the most probable class was "
            "right when it was so probable.",
            pictures.classes(watch),
        )
    width = pictures.SMOOTHED * watch.rolling[watch.main].width
    what = "absolute error" if isinstance(watch, NumberWatch) else "accuracy"
    yield (
        "Rolling error",
        f"Mean {what} over the last {width:,} labelled rows.",
        pictures.rolling(watch),
    )
    whose = "" if watch.key is None else f" These are of the model of {watch.looked_at!r}."
    experts = pictures.experts(watch)
    yield (
        "Experts over time",
        f"The share of each expert in the prediction.{whose}"
        if experts is not None
        else "This model has no mixture of experts.",
        experts,
    )
    retrieval = pictures.retrieval(watch)
    yield (
        "What retrieval looked back to",
        "Above for the last row, every labelled step before it; below over time the five steps "
        f"looked at most, larger where they had a larger share.{whose}"
        if retrieval is not None
        else "This model has no retrieval over stored steps, or none are stored yet.",
        retrieval,
    )
    memory = pictures.memory(watch)
    yield (
        "What the memory holds",
        "The norm of the state of each head, unit of the bank or neuron by its time constant in "
        f"steps, now and over time.{whose}"
        if memory is not None
        else "This model has no recurrent memory.",
        memory,
    )
    if isinstance(watch, NumberWatch):
        if watch.n_intervals:
            said = ", ".join(
                f"{100 * level:g} %: {_percent(share)}"
                for level, share in zip(LEVELS, _coverage(watch), strict=True)
            )
            median = _number(float(np.median(watch.widths.values)))
            note = f"Inside intervals of {said}. Half of those of 90 % are less than {median} wide."
            yield "Interval coverage", note, pictures.intervals(watch)
        else:
            yield "Interval coverage", "This model gives no intervals.", None
        yield (
            "Residuals",
            f"Truth minus prediction of {len(watch.sampled.values):,} rows, and how they hang "
            f"together over the last {len(watch.residuals):,}: bars outside of the band say that "
            "something could still be learned from the errors before.",
            pictures.residuals(watch),
        )


def _image(name: str, figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{_text(name)}" src="data:image/png;base64,{data}">'
