"""The commands and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from . import evaluating, forecasting, inspecting, models, searching, serving
from .columns import Columns, Roles, sniffed
from .errors import InputError
from .keeping import Kept
from .reading import open_source

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    # paragraphs are wrapped, lines after a backslash b are kept
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="""Temporal memory for streams of numbers and classes, on your own files.

A FILE is .csv, .tsv, .jsonl (also .gz), .parquet or .arrow, or - for JSON lines on standard input.
Rows are learned in their order, each after it was predicted. Columns of strings are categories,
those of ISO dates calendar features, empty cells are missing.

\b
    river-attention evaluate flow.csv --target flow --time time --compare --report flow.html
    river-attention forecast sales.csv --target sales --time month --horizon 12 --season 12
    river-attention classify spam.csv --target is_spam
    river-attention search flow.csv --target flow --grid grid.yaml
    tail -f rows.jsonl | river-attention serve --target flow --save model.bin
    river-attention info model.bin
""",
)

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="CSV, JSON lines, Parquet or Arrow; - for JSON lines on stdin."
    ),
]
Target = Annotated[
    str, typer.Option("--target", "-t", metavar="COLUMN", help="The column to predict.")
]
Time = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="The column of the time: rows must be in its order; dates become features.",
    ),
]
TimeFormat = Annotated[
    str | None,
    typer.Option(metavar="FORMAT", help="How times are written, such as '%d.%m.%Y %H:%M'."),
]
Key = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="The column that tells series apart: one model for each value."
    ),
]
Mode = Annotated[
    str | None,
    typer.Option(
        metavar="MODE", help="Attention mode, such as gla, hawk or gated_delta_net; or none."
    ),
]
Readout = Annotated[
    str | None,
    typer.Option(metavar="READOUT", help="mixture; or rls, which is several times faster."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any other parameter of the model."),
]
Categorical = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="A column that is a category though it holds numbers."),
]
Drop = Annotated[
    list[str] | None, typer.Option(metavar="COLUMN", help="A column that is no feature.")
]
Encoding = Annotated[str, typer.Option(metavar="NAME", help="How the text of the file is encoded.")]
Rows = Annotated[int | None, typer.Option(min=1, metavar="ROWS", help="Only the first ROWS rows.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Compare = Annotated[bool, typer.Option("--compare", help="Beside models of river.")]
Report = Annotated[
    str | None,
    typer.Option(metavar="OUT.html", help="Write a page of numbers and pictures (extra plot)."),
]
Save = Annotated[str | None, typer.Option(metavar="MODEL.bin", help="Keep the model in a file.")]
Level = Annotated[float, typer.Option(metavar="LEVEL", help="Level of the intervals, in (0, 1).")]
Season = Annotated[
    int | None, typer.Option(metavar="STEPS", help="Number of steps in a season, if there is one.")
]
Jobs = Annotated[int, typer.Option(metavar="N", help="Number of workers; -1 for all processors.")]


def _level(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise InputError(f"--level {level}: must be between 0 and 1")
    return level


def _columns(
    file: str,
    encoding: str,
    target: str,
    time: str | None,
    time_format: str | None,
    key: str | None,
    categorical: list[str] | None,
    drop: list[str] | None,
    of_classes: bool = False,
) -> Columns:
    roles = Roles(
        target, time, key, tuple(categorical or ()), tuple(drop or ()), time_format, of_classes
    )
    return sniffed(open_source(file, encoding), roles)


@app.command()
def evaluate(
    file: File,
    target: Target,
    time: Time = None,
    time_format: TimeFormat = None,
    key: Key = None,
    mode: Mode = None,
    readout: Readout = None,
    set_: Set = None,
    compare: Compare = False,
    report: Report = None,
    save: Save = None,
    categorical: Categorical = None,
    drop: Drop = None,
    encoding: Encoding = "utf-8",
    rows: Rows = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """How well a number is predicted: every row is predicted, then learned.

    The table has the mean absolute error (MAE) beside that of persistence, which predicts the last
    target; with --compare also beside linear models, a forest and SNARIMAX of river. The rows
    before the first label of a series do not count.

    \b
        river-attention evaluate flow.csv --target flow --time time
        river-attention evaluate flow.csv -t flow --compare --report flow.html
        river-attention evaluate sales.parquet -t sales --key store --mode gla --set window=300
        cat rows.jsonl | river-attention evaluate - -t flow --json
    """
    columns = _columns(file, encoding, target, time, time_format, key, categorical, drop)
    evaluating.validate(
        columns,
        models.settings(mode, readout, set_ or ()),
        compare=compare,
        report=report,
        save=save,
        n_rows=rows,
        as_json=as_json,
        quiet=quiet,
    )


@app.command()
def classify(
    file: File,
    target: Target,
    time: Time = None,
    time_format: TimeFormat = None,
    key: Key = None,
    mode: Mode = None,
    set_: Set = None,
    compare: Compare = False,
    report: Report = None,
    save: Save = None,
    categorical: Categorical = None,
    drop: Drop = None,
    encoding: Encoding = "utf-8",
    rows: Rows = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """How well a class is predicted: every row is predicted, then learned.

    Classes are strings, numbers or booleans, as many as come. The table has accuracy and log loss,
    beside predicting the last class; with --compare also beside models of river.

    \b
        river-attention classify spam.csv --target is_spam
        river-attention classify machine.csv -t state --time time --compare --report machine.html
    """
    columns = _columns(file, encoding, target, time, time_format, key, categorical, drop, True)
    evaluating.validate(
        columns,
        models.settings(mode, None, set_ or ()),
        compare=compare,
        report=report,
        save=save,
        n_rows=rows,
        as_json=as_json,
        quiet=quiet,
    )


@app.command()
def forecast(
    file: File,
    target: Target,
    horizon: Annotated[int, typer.Option(min=1, metavar="STEPS", help="Number of steps ahead.")],
    season: Season = None,
    level: Level = 0.9,
    plot: Annotated[
        str | None, typer.Option(metavar="OUT.png", help="Draw the forecast (extra plot).")
    ] = None,
    time: Time = None,
    time_format: TimeFormat = None,
    key: Key = None,
    mode: Mode = None,
    readout: Readout = None,
    set_: Set = None,
    categorical: Categorical = None,
    drop: Drop = None,
    encoding: Encoding = "utf-8",
    rows: Rows = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """What comes next: learn the whole file, then forecast with intervals.

    Rows at the end without a target are the steps ahead: what is known of them is used. Targets
    that are missing in between are bridged by what was expected. Learning takes about HORIZON times
    as long as for one step ahead.

    \b
        river-attention forecast sales.csv --target sales --horizon 12 --season 12 --time month
        river-attention forecast load.parquet -t load --horizon 24 --plot load.png
        river-attention forecast sales.csv -t sales --key store --horizon 7 --json
    """
    _level(level)
    columns = _columns(file, encoding, target, time, time_format, key, categorical, drop)
    given = models.settings(mode, readout, set_ or ())
    given |= {"horizon": horizon} | ({} if season is None else {"season": season})
    found = forecasting.learned(columns, given, rows, quiet)
    forecasting.show(found, columns, horizon=horizon, level=level, plot=plot, as_json=as_json)


@app.command()
def search(
    file: File,
    target: Target,
    grid: Annotated[
        str, typer.Option(metavar="GRID.yaml", help="Names of parameters with lists of values.")
    ],
    classes: Annotated[bool, typer.Option("--classes", help="The target is a class.")] = False,
    halving: Annotated[
        bool, typer.Option("--halving", help="Drop the worse half three times on the way.")
    ] = False,
    jobs: Jobs = 1,
    time: Time = None,
    time_format: TimeFormat = None,
    key: Key = None,
    mode: Mode = None,
    readout: Readout = None,
    set_: Set = None,
    categorical: Categorical = None,
    drop: Drop = None,
    encoding: Encoding = "utf-8",
    rows: Rows = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """The best of a grid of parameters, by test-then-train in one reading of the file.

    A grid is YAML: lists of values by the names of parameters, or a list of such grids.

    \b
        mode: [gla, gated_delta_net, hawk]
        window: [0, 1000]
        forgetting_factor: [0.99, 0.998]

    \b
        river-attention search flow.csv --target flow --grid grid.yaml
        river-attention search spam.csv -t is_spam --classes --grid grid.yaml --halving --jobs -1
    """
    columns = _columns(file, encoding, target, time, time_format, key, categorical, drop, classes)
    given = models.settings(mode, readout, set_ or ())
    searching.search(
        columns,
        given,
        grid,
        halving=halving,
        n_jobs=jobs,
        n_rows=rows,
        as_json=as_json,
        quiet=quiet,
    )


@app.command()
def serve(
    target: Target,
    key: Key = None,
    id_: Annotated[
        str | None,
        typer.Option("--id", metavar="NAME", help="The name of what late labels are matched by."),
    ] = None,
    classes: Annotated[bool, typer.Option("--classes", help="The target is a class.")] = False,
    save: Annotated[
        str | None,
        typer.Option(metavar="MODEL.bin", help="Keep the model here, and go on with it."),
    ] = None,
    every: Annotated[
        int, typer.Option(min=1, metavar="N", help="Save after so many events.")
    ] = 1000,
    level: Level = 0.9,
    mode: Mode = None,
    readout: Readout = None,
    set_: Set = None,
    categorical: Categorical = None,
) -> None:
    """Predict and learn rows as they come: JSON lines in, JSON lines out.

    A row with a target is predicted, then learned; one without is predicted, and time passes. With
    --id such a row waits for its label, which comes as another line with the same id (and key).
    Every line has one answer, written at once; a line that is wrong is answered with an "error" and
    changes nothing.

    \b
        {"temperature": 21.5, "flow": 3.2}    ->  {"prediction": 3.1, "low": 2.7, "high": 3.6}
        {"id": 7, "temperature": 21.5}        ->  {"id": 7, "prediction": 3.1, ...}
        {"id": 7, "flow": 3.2}                ->  {"id": 7, "learned": true}

    With --save the model is kept at the end, after --every events, and when the process is told to
    stop; the next start goes on with it. A process that is killed loses no more than --every
    events, and the file is always whole.

    \b
        tail -f rows.jsonl | river-attention serve --target flow --save model.bin
        consume | river-attention serve -t sales --key store --id order --save models.db | publish
    """
    given = models.settings(mode, readout, set_ or ())
    kind = "classifier" if classes else "regressor"
    names = [name for name in (target, key, id_) if name is not None]
    if len(set(names)) < len(names):
        raise InputError("--target, --key and --id must be different names")
    kept = Kept(kind, given, save, key, tuple(categorical or ()), late=id_ is not None)
    serving.serve(kept, target, id_, every, _level(level))


@app.command()
def info(
    model: Annotated[str, typer.Argument(metavar="MODEL.bin", help="A model that was saved.")],
    as_json: AsJson = False,
) -> None:
    """What a saved model is and holds.

    \b
        river-attention info model.bin
        river-attention info model.bin --json
    """
    inspecting.info(model, as_json)
