"""`search`: the best of a grid of parameters, in one reading of a file."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..model_selection import ProgressiveGridSearch
from . import models
from .columns import Columns
from .errors import InputError, reason
from .output import number, print_json, print_table

_SHOWN = 10


def read_grid(path: str) -> list[dict[str, list[Any]]]:
    """Lists of values by the names of parameters, from a YAML file.

    Raises
    ------
    InputError
        If it is no such file.
    """
    import yaml

    try:
        data = yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--grid {path}: cannot be read: {reason(error)}") from None
    except yaml.YAMLError as error:
        raise InputError(f"--grid {path}: is no YAML: {reason(error)}") from None
    grids = data if isinstance(data, list) else [data]
    for grid in grids:
        if not isinstance(grid, dict) or not grid:
            raise InputError(
                f"--grid {path}: must hold names of parameters with lists of values, such as "
                "mode: [gla, hawk]"
            )
        for name, values in grid.items():
            if not isinstance(values, list) or not values:
                raise InputError(f"--grid {path}: {name}: must be a list of values, not {values!r}")
    return [
        {str(name): [models.tupled(value) for value in values] for name, values in grid.items()}
        for grid in grids
    ]


def search(
    columns: Columns,
    given: dict[str, Any],
    grid_path: str,
    *,
    halving: bool,
    n_jobs: int,
    n_rows: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score every candidate of the grid by test-then-train, and print the best ones."""
    roles = columns.roles
    kind = "classifier" if roles.of_classes else "regressor"
    model = models.per_key(models.build(kind, given, columns.categorical), roles.key)
    grid: list[Mapping[str, Any]] = list(read_grid(grid_path))
    if roles.key is not None:
        grid = [{f"model__{name}": values for name, values in part.items()} for part in grid]

    def rows() -> Iterator[tuple[Any, Any]]:
        for sample in itertools.islice(columns, n_rows):
            # a search scores labels: rows without one are left out
            if sample.y is not None:
                yield sample.x, sample.y

    try:
        found = ProgressiveGridSearch(
            model, grid, n_jobs=n_jobs, halving=halving, warmup=1, refit=False, progress=not quiet
        )
        found.fit(rows())
    except (ValueError, TypeError) as error:
        raise InputError(reason(error)) from None
    results = found.cv_results_
    order = sorted(range(len(results["params"])), key=lambda i: results["rank_test_score"][i])
    metric = type(found.metric_).__name__
    short = [
        {name.removeprefix("model__"): value for name, value in p.items()}
        for p in results["params"]
    ]
    if as_json:
        candidates = [
            {
                "params": short[i],
                metric: float(results["mean_test_score"][i]),
                "rows": int(results["n_rows"][i]),
                "error": None if results["error"][i] is None else str(results["error"][i]),
            }
            for i in order
        ]
        print_json({"metric": metric, "best": short[found.best_index_], "candidates": candidates})
        return
    names = list(dict.fromkeys(name for params in short for name in params))
    cells = [
        [
            int(results["rank_test_score"][i]),
            *(short[i].get(name, "") for name in names),
            number(float(results["mean_test_score"][i])),
            f"{int(results['n_rows'][i]):,}",
        ]
        for i in order[:_SHOWN]
    ]
    title = f"{Path(columns.source.name).name}: the best of {len(order)} candidates"
    print_table(title, ["rank", *names, metric, "rows"], cells)
    failed = [i for i in order if results["error"][i] is not None]
    if failed:
        print(f"{len(failed)} failed, the first with: {reason(results['error'][failed[0]])}")
    command = "classify" if roles.of_classes else "evaluate"
    go_on = [command, columns.source.name, "--target", roles.target]
    for option, column in (("--time", roles.time), ("--key", roles.key)):
        go_on += [] if column is None else [option, column]
    for name, value in [*given.items(), *short[found.best_index_].items()]:
        go_on += _option(name, value)
    print(f"Go on with: river-attention {shlex.join(go_on)}")


def _option(name: str, value: Any) -> list[str]:
    if name in ("mode", "readout"):
        return [f"--{name}", str(value)]
    return [
        "--set",
        f"{name}={json.dumps(value)}" if not isinstance(value, str) else f"{name}={value}",
    ]
