"""`info`: what a file of a model holds."""

from __future__ import annotations

import inspect
import json
import sqlite3
from pathlib import Path
from typing import Any

from ..files import from_bytes
from ..look import state_norms
from ..path import path_of
from ..state import StateError
from .errors import InputError, reason
from .keeping import ABOUT, SQLITE
from .output import number, print_json

_SHOWN_KEYS = 10
_SHOWN_LINES = 3


def info(path: str, as_json: bool) -> None:
    """Print what a file holds: a model, or one for each key."""
    try:
        with open(path, "rb") as file:
            start = file.read(len(SQLITE))
        data = _keyed(path) if start == SQLITE else _single(path)
    except (OSError, StateError, sqlite3.Error, ValueError, KeyError) as error:
        raise InputError(f"{path}: {reason(error)}") from None
    if as_json:
        print_json(data)
        return
    for name, value in data.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for part, said in value.items():
                text = "; ".join(map(str, said[:_SHOWN_LINES])) if isinstance(said, list) else None
                print(f"    {part}: {_said(said) if text is None else text}")
        else:
            print(f"{name}: {', '.join(value) if isinstance(value, list) else _said(value)}")


def _said(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _single(path: str) -> dict[str, Any]:
    data = Path(path).read_bytes()
    model = from_bytes(data)
    found: dict[str, Any] = {"class": type(model).__name__, "size": f"{len(data):,} bytes"}
    config = model.get_config()
    defaults = inspect.signature(type(model)).parameters
    other = {
        name: value
        for name, value in config.items()
        if name in defaults and value != defaults[name].default
    }
    found["parameters that are not the default"] = other or "none"
    found["path of a sample"] = {title: lines for title, lines in path_of(model)}
    shares = getattr(model, "expert_weights_", None)
    if isinstance(shares, dict) and all(isinstance(each, float) for each in shares.values()):
        best = sorted(shares, key=shares.__getitem__, reverse=True)
        found["shares of the experts"] = {
            name: shares[name] for name in best if shares[name] > 0.01
        }
    if getattr(model, "features_", None) is not None:
        heads = [each for each in state_norms(model) if not each.part.startswith("bank")]
        if heads:
            found["norms of the states"] = {each.part: each.norm for each in heads}
    for name, said in (
        ("n_evicted_", "columns given to another feature"),
        ("n_pending_", "steps that wait for a label"),
        ("n_dropped_", "steps dropped while waiting"),
        ("n_drifts_", "drifts"),
    ):
        value = getattr(model, name, 0)
        if value:
            found[said] = value
    return found


def _keyed(path: str) -> dict[str, Any]:
    # read only: whoever serves may be writing
    connection = sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)
    try:
        about = connection.execute("SELECT state FROM models WHERE key = ?", (ABOUT,)).fetchone()
        (n,) = connection.execute("SELECT count(*) FROM models").fetchone()
        (size,) = connection.execute("SELECT sum(length(state)) FROM models").fetchone()
        keys = connection.execute(
            "SELECT key FROM models WHERE key != ? ORDER BY key LIMIT ?", (ABOUT, _SHOWN_KEYS)
        ).fetchall()
    finally:
        connection.close()
    if about is None:
        raise InputError(f"{path}: is an SQLite file, but not one of `river-attention serve`")
    known = json.loads(bytes(about[0]))
    return {
        "class": known["class"],
        "one for each": known["key"],
        "models": n - 1,
        "size": f"{size:,} bytes",
        "first keys": [bytes(key).decode() for (key,) in keys],
    }
