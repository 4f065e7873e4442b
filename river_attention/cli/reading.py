"""Files as streams of rows: CSV, JSON lines, Parquet and Arrow, and rows from standard input.

A row is a dict of what stands in it: numbers, booleans, dates and strings; what is missing (an
empty cell, ``NA``, ``NaN``, ``null``, ``None``) is None. Rows are read one by one, so a file may be
larger than memory. CSV and JSON lines need nothing but Python, also when gzipped; Parquet and Arrow
need pyarrow, polars or pandas.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .._validation import is_missing
from .errors import InputError, reason

Row = dict[str, Any]

STDIN = "-"
MISSING = {"", "na", "n/a", "nan", "null", "none"}
_BOOLEANS = {"true": True, "false": False}
_DELIMITERS = ",;\t|"
_LONGEST_LINE = 1 << 24


@dataclass
class Source:
    """A stream of rows.

    Attributes
    ----------
    name
        What messages call it.
    rows
        Pairs: where a row stands ("line 7"), and the row.
    names
        The columns; None where only the rows tell.
    n_rows
        About how many rows there are; None where that is not known.
    """

    name: str
    rows: Iterator[tuple[str, Row]]
    names: list[str] | None = None
    n_rows: int | None = None


def open_source(path: str, encoding: str = "utf-8") -> Source:
    """The rows of a file, by what its name ends in; of standard input for "-".

    Raises
    ------
    InputError
        If the file cannot be read, or is of a kind that cannot be.
    """
    if path == STDIN:
        return Source("standard input", _json_rows("standard input", sys.stdin.buffer, encoding))
    file = Path(path)
    if not file.exists():
        raise InputError(f"{path}: there is no such file")
    if file.is_dir():
        raise InputError(f"{path}: is a folder, not a file")
    kinds = [kind.lower() for kind in file.suffixes[-2:]]
    packed = bool(kinds) and kinds[-1] == ".gz"
    kind = (kinds[-2] if len(kinds) > 1 else "") if packed else (kinds[-1] if kinds else "")
    try:
        if file.stat().st_size == 0:
            raise InputError(f"{path}: is empty")
        if kind in (".parquet", ".pq", ".arrow", ".feather", ".ipc") and not packed:
            return _table(path, kind)
        if kind in (".csv", ".tsv", ".txt"):
            return _csv(path, _open(file, packed), encoding, _n_lines(file, packed, 1))
        if kind in (".jsonl", ".ndjson", ".json"):
            rows = _json_rows(path, _open(file, packed), encoding)
            return Source(path, rows, n_rows=_n_lines(file, packed, 0))
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from None
    raise InputError(
        f"{path}: must end in .csv, .tsv, .jsonl, .parquet or .arrow, or be - for JSON lines on "
        "standard input"
    )


def _open(file: Path, packed: bool) -> BinaryIO:
    return gzip.open(file) if packed else open(file, "rb")  # type: ignore[return-value]


def _n_lines(file: Path, packed: bool, n_heading: int) -> int | None:
    """About how many rows a file of lines has, for a progress bar."""
    if packed:
        return None
    with open(file, "rb") as lines:
        blocks = iter(lambda: lines.read(1 << 20), b"")
        return max(sum(block.count(b"\n") for block in blocks) - n_heading, 1)


# --- lines of text


def _lines(name: str, file: BinaryIO, encoding: str) -> Iterator[str]:
    """The lines of a file as text."""
    try:
        # what some programs put in front of UTF-8 is no part of the first name
        exact = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
        text = io.TextIOWrapper(file, exact, newline="")
    except LookupError:
        raise InputError(f"--encoding {encoding}: there is no such encoding") from None
    with text:
        n = 0
        while True:
            try:
                line = text.readline(_LONGEST_LINE)
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{name}: is not written in {encoding} (after line {n}: {error.reason}); name "
                    "its encoding, such as --encoding latin-1"
                ) from None
            except (OSError, EOFError) as error:
                raise InputError(f"{name}: cannot be read: {reason(error)}") from None
            if not line:
                return
            n += 1
            yield line


def _csv(path: str, file: BinaryIO, encoding: str, n_rows: int | None) -> Source:
    lines = _lines(path, file, encoding)
    first = next(lines, "")
    # the one that stands most often in the heading
    delimiter = max(_DELIMITERS, key=first.count)
    table = csv.reader(_chained(first, lines), delimiter=delimiter, strict=True)
    try:
        heading = [name.strip() for name in next(table, [])]
    except csv.Error as error:
        raise InputError(f"{path}: the heading is no CSV: {reason(error)}") from None
    if not any(heading):
        raise InputError(f"{path}: the first line must name the columns, but is empty")
    twice = sorted({name for name in heading if heading.count(name) > 1})
    if twice:
        raise InputError(f"{path}: two columns are named {twice[0]!r}")

    def rows() -> Iterator[tuple[str, Row]]:
        while True:
            try:
                cells = next(table, None)
            except csv.Error as error:
                raise InputError(f"{path}: line {table.line_num}: {reason(error)}") from None
            if cells is None:
                return
            if not cells:
                continue
            where = f"line {table.line_num}"
            if len(cells) != len(heading):
                raise InputError(
                    f"{path}: {where}: has {len(cells)} values, the heading names {len(heading)} "
                    "columns"
                )
            yield where, dict(zip(heading, map(parsed, cells), strict=True))

    return Source(path, rows(), heading, n_rows)


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from rest


def parsed(cell: str) -> Any:
    """What a cell of a CSV file says: a number, a boolean, None if it is missing, else a string.

    Examples
    --------
    >>> [parsed(cell) for cell in ("7", "-2.5e3", " true", "NA", "", "north", "1_000", "inf")]
    [7, -2500.0, True, None, None, 'north', '1_000', inf]
    """
    text = cell.strip()
    low = text.lower()
    if low in MISSING:
        return None
    if low in _BOOLEANS:
        return _BOOLEANS[low]
    if low.lstrip("+-") in ("inf", "infinity"):
        return float(text)
    if text[0] in "+-.0123456789" and "_" not in text:
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _json_rows(name: str, file: BinaryIO, encoding: str) -> Iterator[tuple[str, Row]]:
    for n, line in enumerate(_lines(name, file, encoding), 1):
        if n == 1 and line.lstrip().startswith("["):
            raise InputError(
                f"{name}: is an array of JSON; wanted is an object on each line, which "
                f"`jq -c '.[]' {name}` makes of it"
            )
        if line.strip():
            try:
                row = parsed_json(line)
            except ValueError as error:
                raise InputError(f"{name}: line {n}: {reason(error)}") from None
            yield f"line {n}", row


def parsed_json(line: str) -> Row:
    """A row from a line of JSON, an object of plain values.

    Raises
    ------
    ValueError
        If it is something else.

    Examples
    --------
    >>> parsed_json('{"a": 1.5, "shop": "north", "b": null}')
    {'a': 1.5, 'shop': 'north', 'b': None}
    """
    try:
        row = json.loads(line.strip())
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error.msg} at character {error.pos + 1}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {reason(error)}") from None
    if not isinstance(row, dict):
        raise ValueError(f'must be a JSON object such as {{"a": 1.5}}, not {_kind(row)}')
    for name, value in row.items():
        if isinstance(value, (dict, list)):
            raise ValueError(f"{name!r} is {_kind(value)}: values must be numbers, strings or null")
        if isinstance(value, float) and math.isnan(value):
            row[name] = None
    return row


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return kinds.get(type(value), "a number")


# --- tables


def _table(path: str, kind: str) -> Source:
    readers: list[tuple[str, Callable[[str, str], Source]]] = [
        ("pyarrow", _by_pyarrow),
        ("polars", _by_polars),
        ("pandas", _by_pandas),
    ]
    for _, read in readers:
        try:
            return read(path, kind)
        except ImportError:
            continue
        except Exception as error:
            # each library has errors of its own for files that it cannot read
            raise InputError(f"{path}: cannot be read: {reason(error)}") from None
    raise InputError(
        f"{path}: reading {kind} files needs pyarrow, polars or pandas: pip install pyarrow"
    )


def _by_pyarrow(path: str, kind: str) -> Source:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if kind in (".parquet", ".pq"):
        file = pq.ParquetFile(path)
        batches, schema = file.iter_batches(batch_size=1024), file.schema_arrow
        n_rows: int | None = file.metadata.num_rows
    else:
        memory = pa.memory_map(path)
        try:
            reader = pa.ipc.open_file(memory)
            batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        except pa.ArrowInvalid:
            reader = pa.ipc.open_stream(pa.memory_map(path))
            batches = iter(reader)
        schema, n_rows = reader.schema, None
    records = (row for batch in batches for row in batch.to_pylist())
    return Source(path, _numbered(path, records), list(map(str, schema.names)), n_rows)


def _by_polars(path: str, kind: str) -> Source:
    import polars as pl

    read = pl.read_parquet if kind in (".parquet", ".pq") else pl.read_ipc
    frame = read(path)
    return Source(path, _numbered(path, frame.iter_rows(named=True)), frame.columns, len(frame))


def _by_pandas(path: str, kind: str) -> Source:
    import pandas as pd

    read = pd.read_parquet if kind in (".parquet", ".pq") else pd.read_feather
    frame = read(path)
    names = list(map(str, frame.columns))
    records = (
        dict(zip(names, values, strict=True)) for values in frame.itertuples(index=False, name=None)
    )
    return Source(path, _numbered(path, records), names, len(frame))


def _numbered(path: str, records: Iterator[Row]) -> Iterator[tuple[str, Row]]:
    n = 0
    while True:
        try:
            row = next(records, None)
        except Exception as error:
            raise InputError(f"{path}: after row {n}: {reason(error)}") from None
        if row is None:
            return
        n += 1
        yield (
            f"row {n}",
            {str(name): None if is_missing(value) else value for name, value in row.items()},
        )


def closed_quietly(stream: Any) -> None:
    """Let Python not complain at exit that nobody reads what was written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
