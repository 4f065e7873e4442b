"""The path of a sample through an estimator, with its sizes: for notebooks, reports, `info`.

::

    encoder  ->  moments  ->  memories  ->  readout

``path_of(model)`` says it as plain data, before the first sample as well as later. In notebooks the
estimators show it as HTML, alone and inside pipelines, unions and wrappers of river: what river
draws of an estimator, its name and parameters, with the path in between. No script, no network.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import numpy as np
from river.base import viz

from .estimators import RLSRegressor, StreamingAttentionForecaster
from .estimators._stream import Stream
from .layers import MemoryBank, MultiHeadLinearAttention, Retrieval
from .layers.sequence import SequenceMemory
from .spiking.population import Population

__all__ = ["Station", "path_of"]

_MOST_NAMES = 6
_LONGEST_NAME = 24
_MOST_EXPERTS = 20


class Station(NamedTuple):
    """A place on the path of a sample.

    Attributes
    ----------
    title
        What it is, such as "encoder".
    lines
        What is to be said of it, its sizes first.
    """

    title: str
    lines: list[str]


def path_of(model: Any) -> list[Station]:
    """The stations of a sample in an estimator, in order; none if it is no estimator with a path.

    Examples
    --------
    >>> from river_attention import StreamingAttentionRegressor
    >>> from river_attention.path import path_of
    >>> model = StreamingAttentionRegressor(mode="gla", memory=2, readout="rls")
    >>> model.learn_one({"a": 1.0, "b": 2.0}, 3.0)
    >>> for title, lines in path_of(model):
    ...     print(title, "|", lines[0])
    encoder | 2 features: a, b
    moments | 2 inputs and 30 reads, standardised online
    memory: retrieval | 0 of 1,000 labelled steps -> 6 reads
    memory: heads | 4 heads, each 4 × 4 -> 16 reads
    memory: bank | 2 complex units -> 8 reads
    readout | 1 expert on up to 39 inputs
    """
    if isinstance(model, StreamingAttentionForecaster):
        experts = list(model.expert_weights_[0])
        ahead = _counted(model.horizon, "step")
        mixture = Station(
            "mixture over the steps ahead",
            [f"{_counted(len(experts), 'expert')} for each of {ahead}", ", ".join(experts)],
        )
        return [*path_of(model.regressor_), mixture]
    if isinstance(model, RLSRegressor):
        return [
            Station("encoder", _named(list(model.encoder_.names))),
            Station(
                "readout",
                [f"recursive least squares on {_counted(max(model.rls_.n_features, 1), 'input')}"],
            ),
        ]
    if isinstance(model, Stream):
        return _path_of_stream(model)
    return []


def _path_of_stream(model: Any) -> list[Station]:
    features = model.features_
    task = getattr(model, "task_", None)
    names = [name for name in features.encoder.names if not _is_computed(features, name)]
    encoder = _named(names)
    n_lags = features.n_lags_in + len(features.encoder) - len(names)
    if n_lags:
        encoder.append(f"and {_counted(n_lags, 'past label')}")
    stations = [
        Station("encoder", encoder),
        Station(
            "moments",
            [
                f"{_counted(len(features.encoder), 'input')} and "
                f"{_counted(features.n_reads, 'read')}, standardised online"
            ],
        ),
    ]
    for name, memory in features.memories.items():
        title, lines = describe(memory, features.states[name])
        # what reads nothing is asked for votes by the readout
        lines[0] += f" -> {_counted(memory.n_outputs, 'read') if memory.n_outputs else 'votes'}"
        stations.append(Station(f"memory: {title}", lines))
    several = getattr(task, "retrieval", None)
    if several is not None:
        stations.append(
            Station("memory: retrieval", [f"the last {several.window:,} steps of every target"])
        )
    if task is not None:
        stations.append(_readout(task, features))
    if hasattr(model, "transform_one"):
        n = _counted(len(model.transform_one({})), "feature")
        stations.append(Station("what comes out", [n]))
    return stations


def _is_computed(features: Any, name: Any) -> bool:
    computed = features._computed
    return computed is not None and bool(computed(name))


def _readout(task: Any, features: Any) -> Station:
    readout = task.readout
    experts = list(getattr(readout, "experts", ()))
    layout = features.layout(readout.n_answers)
    widest = _width(layout, "full")
    if not experts:
        return Station(
            "readout", [f"trained layers on {_counted(_width(layout, 'token'), 'input')}"]
        )
    n = _counted(len(experts), "expert")
    lines = [f"{n} on up to {_counted(max(widest, _width(layout, 'long')), 'input')}"]
    shares = np.asarray(readout.shares, float)
    # of several targets: their mean
    shares = shares.mean(axis=0) if shares.ndim == 2 and len(shares) else shares.reshape(-1)
    trusted = len(shares) == len(experts) > 1
    order = np.argsort(-shares, kind="stable").tolist() if trusted else range(len(experts))
    for i in list(order)[:_MOST_EXPERTS]:
        expert = experts[i]
        said = f"{expert.name}: " + (
            f"{_counted(_width(layout, expert.part), 'input')}" if expert.learner else "as it is"
        )
        if trusted:
            said += f", share {shares[i]:.0%}".replace("%", " %")
        lines.append(said)
    if len(experts) > _MOST_EXPERTS:
        lines.append(f"and {len(experts) - _MOST_EXPERTS} more")
    return Station("readout", lines)


def _width(layout: Any, part: str) -> int:
    """How many numbers of a row stand in a part of the evidence."""
    place = layout.get(part)
    if not isinstance(place, slice):
        return 0 if place is None else 1
    return (place.stop - place.start) // max(layout.n_rows(part), 1)


@functools.singledispatch
def describe(memory: Any, state: Any) -> tuple[str, list[str]]:
    """What a memory is, and its sizes; for a memory of your own, its class."""
    return type(memory).__name__, ["a memory of its own kind"]


@describe.register
def _(memory: MultiHeadLinearAttention, state: Any) -> tuple[str, list[str]]:
    lines = [
        f"{_counted(memory.n_heads, 'head')}, each {memory.d_key} × {memory.d_value}",
        str(memory.mode),
    ]
    taus = memory.time_constants
    if taus is not None:
        lines.append("time constants " + ", ".join(f"{tau:.3g}" for tau in taus[:8].tolist()))
    return "heads", lines


@describe.register
def _(memory: MemoryBank, state: Any) -> tuple[str, list[str]]:
    return "bank", [_counted(memory.n_units, "complex unit")]


@describe.register
def _(memory: Retrieval, state: Any) -> tuple[str, list[str]]:
    return "retrieval", [f"{state.past.n:,} of {memory.window:,} labelled steps"]


@describe.register
def _(memory: SequenceMemory, state: Any) -> tuple[str, list[str]]:
    sizes = {name: value for name, value in memory.options.items() if value and type(value) is int}
    said = ", ".join(f"{name} {value:,}" for name, value in sizes.items())
    return {"lstm": "LSTM and attention", "latent": "latent attention"}.get(
        memory.kind, "attention over a window"
    ), [said or memory.kind]


@describe.register
def _(memory: Population, state: Any) -> tuple[str, list[str]]:
    return "spiking neurons", [f"{_counted(memory.n_neurons, 'neuron')} of {memory.dim} slots"]


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _named(names: list[Any]) -> list[str]:
    """How many features there are, and the first of their names."""
    if not names:
        return ["no features yet"]
    shown = ", ".join(map(_short, names[:_MOST_NAMES]))
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return [f"{_counted(len(names), 'feature')}: {shown}{more}"]


def _short(name: Any) -> str:
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(name))
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


# --- as HTML

_STYLES: Mapping[str, str] = {
    "path": "display:flex;flex-wrap:wrap;align-items:stretch;gap:0.4em;margin-top:0.8em;"
    "font-family:sans-serif;font-size:85%;color:black",
    "station": "border:1px solid #888;border-radius:4px;padding:0.4em 0.7em;background:#f6f8fa;"
    "max-width:20em",
    "arrow": "align-self:center;color:#888",
    "line": "color:#444;overflow-wrap:anywhere",
}


def _element(tag: str, style: str, text: str = "", *children: ET.Element) -> ET.Element:
    element = ET.Element(tag, {"style": _STYLES[style]})
    element.text = text
    element.extend(children)
    return element


def path_to_html(stations: list[Station]) -> ET.Element:
    """The path as an element of HTML; names are text in it and cannot be anything else."""
    path = ET.Element("div", {"class": "river-attention-path", "style": _STYLES["path"]})
    for i, (title, lines) in enumerate(stations):
        if i:
            path.append(_element("div", "arrow", "→"))
        heading = ET.Element("b")
        heading.text = title
        shown = [_element("div", "line", line.replace("->", "→")) for line in lines[:3]]
        station = _element("div", "station", "", heading, *shown)
        if len(lines) > 3:
            more = ET.SubElement(station, "details")
            summary = ET.SubElement(more, "summary")
            summary.text = f"{len(lines) - 3} more"
            more.extend(_element("div", "line", line) for line in lines[3:])
        path.append(station)
    return path


def _with_path(draw: Any) -> Any:
    """River's drawing of an estimator, which has the path of a sample in it if it has one."""

    @functools.wraps(draw)
    def draw_with_path(estimator: Any) -> ET.Element:
        element: ET.Element = draw(estimator)
        stations = path_of(estimator)
        if stations and len(element):
            element.set("open", "")
            heading, *parameters = element
            folded = ET.Element("details", {"style": "margin-top:0.8em"})
            ET.SubElement(folded, "summary").text = "parameters"
            folded.extend(parameters)
            element[:] = [heading, path_to_html(stations), folded]
        return element

    draw_with_path._has_path = True  # type: ignore[attr-defined]
    return draw_with_path


def show_in_river() -> None:
    """Let river draw the path wherever it draws an estimator of this package.

    River asks nobody how to draw a step of a pipeline, so its function is replaced by one that asks
    here and else does what it did.
    """
    draw = getattr(viz, "estimator_to_html", None)
    if draw is not None and not getattr(draw, "_has_path", False):
        viz.estimator_to_html = _with_path(draw)
