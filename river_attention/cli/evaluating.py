"""`evaluate` and `classify`: test-then-train over a file, beside other models."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..report import ClassWatch, NumberWatch, Watch, check_can_draw, write_report
from ..report.page import score_cells, score_heading
from . import models
from .columns import Columns
from .errors import InputError, reason
from .output import print_json, print_table, progress


def validate(
    columns: Columns,
    given: Mapping[str, Any],
    *,
    compare: bool,
    report: str | None,
    save: str | None,
    n_rows: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Let models predict and learn every row, print how they did, write the report."""
    roles = columns.roles
    if report is not None:
        _check_writable(report, "--report")
        try:
            check_can_draw()
        except ImportError as error:
            raise InputError(f"--report: {error}") from None
    if save is not None:
        _check_writable(save, "--save")
        if roles.key is not None:
            raise InputError("--save: one model per key is kept by `serve --key ... --save ...`")
    ours = models.build(
        "classifier" if roles.of_classes else "regressor", given, columns.categorical
    )
    compared = {type(ours).__name__: models.per_key(ours, roles.key)}
    compared |= models.compared(columns, roles.of_classes, compare)
    kind = ClassWatch if roles.of_classes else NumberWatch
    watch: Watch = kind(compared, detailed=report is not None, key=roles.key)
    total = columns.source.n_rows
    if n_rows is not None and total is not None:
        total = min(total, n_rows)
    with progress(columns.source.name, total, quiet) as advance:
        for sample in itertools.islice(columns, n_rows):
            try:
                watch.step(sample.x, sample.y)
            except (ValueError, TypeError) as error:
                raise InputError(f"{sample.where}: {reason(error)}") from None
            advance()
    if not watch.scores[watch.main].n:
        raise InputError(
            f"{columns.source.name}: nothing to score: at least two rows with a {roles.target!r} "
            "are needed"
        )
    title = Path(columns.source.name).name
    _written("--save", save, lambda path: ours.save(path))
    _written("--report", report, lambda path: write_report(watch, path, title))
    if as_json:
        print_json(_as_data(watch, columns))
        return
    _print(watch, columns)
    for what, path in (("Report", report), ("Model", save)):
        if path is not None:
            print(f"{what}: {path}")


def _print(watch: Watch, columns: Columns) -> None:
    n_missing = watch.n_rows - watch.n_labels
    title = f"{Path(columns.source.name).name}: {watch.n_rows:,} rows"
    if n_missing:
        title += f", {n_missing:,} of them without {columns.roles.target}"
    print_table(title, score_heading(watch), score_cells(watch))


def _as_data(watch: Watch, columns: Columns) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    for name, score in watch.scores.items():
        if score.failed is not None:
            found[name] = {"error": score.failed}
        elif isinstance(watch, NumberWatch):
            rmse = math.sqrt(score.mean_second)
            found[name] = {"mae": score.mean, "rmse": rmse, "microseconds": score.microseconds}
        else:
            found[name] = {
                "accuracy": score.mean,
                "log_loss": score.mean_second,
                "microseconds": score.microseconds,
            }
    return {
        "file": columns.source.name,
        "rows": watch.n_rows,
        "labels": watch.n_labels,
        "models": found,
    }


def _written(option: str, path: str | None, write: Callable[[str], None]) -> None:
    """Write a file that was asked for, or say why that cannot be."""
    if path is None:
        return
    try:
        write(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{option} {path}: {reason(error)}") from None


def _check_writable(path: str, option: str) -> None:
    if not Path(path).resolve().parent.is_dir():
        raise InputError(f"{option} {path}: there is no folder {Path(path).parent}")
