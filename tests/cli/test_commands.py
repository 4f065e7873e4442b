"""The command on files: what it prints is what the models do."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import itertools
import json
import sys

import polars as pl
import pytest

import river_attention as ra
from river_attention import cli
from river_attention.cli import forecasting
from river_attention.cli.columns import Roles, sniffed
from river_attention.cli.reading import open_source

TARGET = ("--target", "sold")


def _by_hand(rows, model, skip=("sold",)):
    """The mean absolute error of test-then-train, without the first row."""
    errors = []
    for row in rows:
        x = {name: value for name, value in row.items() if name not in skip and value is not None}
        x["day"] = dt.date.fromisoformat(x["day"])
        errors.append(abs(row["sold"] - model.predict_one(x)))
        model.learn_one(x, row["sold"])
    return sum(errors[1:]) / len(errors[1:])


def test_evaluate_scores_what_the_model_predicts_before_it_learns(told, sales, rows):
    (found,) = told("evaluate", sales, *TARGET, "--time", "day")
    expected = _by_hand(rows, ra.StreamingAttentionRegressor(categorical=("shop",)))
    assert found["models"]["StreamingAttentionRegressor"]["mae"] == pytest.approx(expected)
    assert (found["rows"], found["labels"]) == (90, 90)


def test_evaluate_with_a_key_has_one_model_for_each_value(told, sales, rows):
    (found,) = told("evaluate", sales, *TARGET, "--key", "shop", "--mode", "gla")
    errors = []
    for shop in ("north", "south"):
        mine = [row for row in rows if row["shop"] == shop]
        model = ra.StreamingAttentionRegressor(mode="gla")
        errors.append((len(mine) - 1, _by_hand(mine, model, ("sold", "shop"))))
    expected = sum(n * mae for n, mae in errors) / sum(n for n, _ in errors)
    assert found["models"]["StreamingAttentionRegressor"]["mae"] == pytest.approx(expected)


def test_persistence_predicts_the_last_target(told, sales, rows):
    (found,) = told("evaluate", sales, *TARGET)
    steps = [abs(b["sold"] - a["sold"]) for a, b in itertools.pairwise(rows)]
    assert found["models"]["persistence"]["mae"] == pytest.approx(sum(steps) / len(steps))


def test_compare_brings_the_baselines_of_the_demo(told, command, sales):
    names = ["persistence", "LinearRegression", "BayesianLinearRegression", "ARFRegressor"]
    (found,) = told("evaluate", sales, *TARGET, "--compare", "--rows", "40")
    assert list(found["models"]) == ["StreamingAttentionRegressor", *names, "SNARIMAX"]
    assert not [each for each in found["models"].values() if "error" in each]
    code, out, _ = command("evaluate", sales, *TARGET, "--compare", "--rows", "10")
    assert code == 0
    assert all(name in out for name in names)


def test_a_baseline_that_fails_is_reported_and_the_others_go_on(told, sales, monkeypatch):
    from river_attention._baselines import LastTarget

    def fail(*_, **__):
        raise RuntimeError("no")

    monkeypatch.setattr(LastTarget, "predict_one", fail)
    (found,) = told("evaluate", sales, *TARGET, "--compare", "--rows", "20")
    assert found["models"]["LinearRegression"] == {"error": "RuntimeError: no"}
    assert found["models"]["SNARIMAX"]["mae"] > 0.0


@pytest.mark.parametrize("kind", ["parquet", "arrow", "feather", "jsonl", "csv.gz", "tsv", "-"])
def test_every_kind_of_file_says_the_same(kind, told, sales, rows, write, tmp_path, monkeypatch):
    (expected,) = told("evaluate", sales, *TARGET)
    path = tmp_path / f"same.{kind}"
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if kind == "parquet":
        pl.DataFrame(rows).write_parquet(path)
    elif kind in ("arrow", "feather"):
        pl.DataFrame(rows).write_ipc(path)
    elif kind == "jsonl":
        path.write_text(lines)
    elif kind == "csv.gz":
        with open(sales, "rb") as file:
            path.write_bytes(gzip.compress(file.read()))
    elif kind == "tsv":
        path = write(rows, "same.tsv", delimiter="\t")
    else:
        path = "-"
        stdin = io.TextIOWrapper(io.BytesIO(lines.encode()))
        monkeypatch.setattr(sys, "stdin", stdin)
    (found,) = told("evaluate", path, *TARGET)
    for name, scores in expected["models"].items():
        assert found["models"][name]["mae"] == scores["mae"]


def test_parquet_is_read_by_polars_where_there_is_no_pyarrow(rows, tmp_path, monkeypatch):
    path = tmp_path / "p.parquet"
    pl.DataFrame(rows).write_parquet(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert [row for _, row in open_source(str(path)).rows] == rows
    monkeypatch.setitem(sys.modules, "polars", None)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(cli.InputError, match="pip install pyarrow"):
        open_source(str(path))


class Terminal(io.StringIO):
    """Somebody who looks."""

    def isatty(self):
        return True


def test_progress_is_shown_to_who_looks_and_wiped_at_the_end(command, sales, monkeypatch):
    for option, shows in (((), True), (("--quiet",), False)):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        assert command("evaluate", sales, *TARGET, *option)[0] == 0
        assert ("/90" in terminal.getvalue()) == shows
        assert terminal.getvalue() == "" or "\x1b[2K" in terminal.getvalue()


def test_columns_are_numbers_dates_or_categories(write):
    made = [
        {
            "when": "2024-01-01T10:00",
            "code": "7",
            "size": "1.5",
            "open": "true",
            "id": "x",
            "y": 1,
        },
        {"when": "2024-01-02T10:00", "code": "A1", "size": "", "open": "NA", "id": "", "y": 2},
    ]
    columns = sniffed(open_source(write(made)), Roles("y", drop=("id",)))
    assert (columns.categorical, columns.dates) == (("code",), ("when",))
    one, two = columns
    assert one.x["when"].hour == 10
    assert {name: one.x[name] for name in ("code", "size", "open")} == {
        "code": 7,
        "size": 1.5,
        "open": True,
    }
    assert set(two.x) == {"when", "code"}


def test_a_number_for_a_time_is_no_feature_and_other_formats_can_be_named(write):
    made = [{"t": 1, "y": 1.0}, {"t": 2, "y": 2.0}]
    assert [each.x for each in sniffed(open_source(write(made)), Roles("y", time="t"))] == [{}, {}]
    made = [{"t": "31.01.2024", "y": 1.0}, {"t": "01.02.2024", "y": 2.0}]
    roles = Roles("y", time="t", time_format="%d.%m.%Y")
    assert [each.x["t"].month for each in sniffed(open_source(write(made)), roles)] == [1, 2]


def test_time_passes_where_the_target_is_missing(told, write, rows):
    rows[50]["sold"] = None
    (found,) = told("evaluate", write(rows), *TARGET, "--drop", "shop", "--drop", "temperature")
    assert (found["rows"], found["labels"]) == (90, 89)


def test_classes_are_scored_beside_the_last_class(told, command, sales):
    (found,) = told("classify", sales, "--target", "shop", "--compare")
    scores = found["models"]
    assert list(scores)[:2] == ["StreamingAttentionClassifier", "last class"]
    # the same shop as before: once in three days
    assert scores["last class"]["accuracy"] == pytest.approx(1 / 3, abs=0.02)
    assert scores["StreamingAttentionClassifier"]["accuracy"] > 0.5
    assert not [each for each in scores.values() if "error" in each]
    code, out, _ = command("classify", sales, "--target", "shop")
    assert (code, "log loss" in out) == (0, True)


def test_forecast_says_when_what_and_how_sure(told, sales, rows, tmp_path, command):
    found = told("forecast", sales, *TARGET, "--horizon", "3", "--season", "7", "--time", "day")
    assert [each["step"] for each in found] == [1, 2, 3]
    assert [each["time"] for each in found] == ["2024-03-31", "2024-04-01", "2024-04-02"]
    assert all(each["low"] < each["forecast"] < each["high"] for each in found)
    pytest.importorskip("matplotlib")
    picture = tmp_path / "f.png"
    code, out, _ = command("forecast", sales, *TARGET, "--horizon", "2", "--plot", picture)
    assert (code, "Picture" in out) == (0, True)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_rows_without_a_target_at_the_end_are_the_steps_ahead(told, write, rows):
    for row in rows[-2:]:
        row["sold"] = None
    found = told("forecast", write(rows), *TARGET, "--horizon", "3", "--time", "day")
    assert [each["time"] for each in found] == ["2024-03-29", "2024-03-30", "2024-03-31"]
    model = ra.StreamingAttentionForecaster(horizon=3, categorical=("shop",))
    xs = []
    for row in rows:
        x = {name: value for name, value in row.items() if name != "sold" and value is not None}
        x["day"] = dt.date.fromisoformat(x["day"])
        if row["sold"] is None:
            xs.append(x)
        else:
            model.learn_one(row["sold"], x)
    xs.append({"day": dt.date(2024, 3, 31)})
    assert [each["forecast"] for each in found] == model.forecast(3, xs)


def test_gaps_in_a_series_are_bridged(command, write, rows):
    rows[40]["sold"] = None
    code, out, _ = command("forecast", write(rows), *TARGET, "--horizon", "2", "--key", "shop")
    assert code == 0
    assert out.count("missing targets bridged") == 1
    assert "sold of north" in out
    assert "sold of south" in out


def test_uneven_times_are_not_made_up():
    assert forecasting.next_times([1.0, 2.0, 4.0], 2) == []
    assert forecasting.next_times([3], 2) == []


def test_search_ranks_the_grid_and_says_how_to_go_on(told, command, sales, tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text("mode: [gla, hawk]\nforgetting_factor: [0.99, [0.9, 0.99]]\n")
    (found,) = told("search", sales, *TARGET, "--grid", grid, "--quiet")
    scores = [each["MAE"] for each in found["candidates"]]
    assert len(scores) == 4
    assert scores == sorted(scores)
    assert found["best"] == found["candidates"][0]["params"]
    code, out, _ = command("search", sales, *TARGET, "--grid", grid, "--quiet", "--key", "shop")
    assert code == 0
    assert f"Go on with: river-attention evaluate {sales} --target sold" in out
    (found,) = told("search", sales, "-t", "shop", "--classes", "--grid", grid, "--quiet")
    assert found["metric"] == "Accuracy"


def test_a_kept_model_is_told_of(command, told, sales, tmp_path):
    path = tmp_path / "model.bin"
    code, out, _ = command("evaluate", sales, *TARGET, "--mode", "gla", "--save", path)
    assert (code, f"Model: {path}" in out) == (0, True)
    (found,) = told("info", path)
    assert found["class"] == "StreamingAttentionRegressor"
    assert found["parameters that are not the default"]["mode"] == "gla"
    code, out, _ = command("info", path)
    assert code == 0
    assert "    memory: heads: 4 heads, each 4 × 4 -> 16 reads" in out


def test_a_kept_model_is_what_serve_goes_on_with(told, command, sales, rows, tmp_path, monkeypatch):
    path = tmp_path / "model.bin"
    told("evaluate", sales, *TARGET, "--save", path)
    row = {**rows[0], "day": "2024-03-31"}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(row).encode())))
    expected = ra.load(path).predict_one(
        {"day": dt.date(2024, 3, 31), "shop": row["shop"], "temperature": row["temperature"]}
    )
    code, out, err = command("serve", *TARGET, "--save", path)
    assert (code, json.loads(out)["prediction"]) == (0, expected)
    assert err == f"river-attention: going on with the model in {path}\n"


GOOD = ("evaluate", "sales.csv", "-t", "sold")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("evaluate", "nowhere.csv", "-t", "y"), "nowhere.csv: there is no such file"),
        (("evaluate", ".", "-t", "y"), "is a folder"),
        (("evaluate", "empty.csv", "-t", "y"), "empty.csv: is empty"),
        (("evaluate", "heading.csv", "-t", "y"), "has no rows"),
        (("evaluate", "blank.csv", "-t", "y"), "the first line must name the columns"),
        (("evaluate", "twice.csv", "-t", "y"), "two columns are named 'a'"),
        (("evaluate", "ragged.csv", "-t", "y"), "line 3: has 3 values, the heading names 2"),
        (("evaluate", "quotes.csv", "-t", "y"), "quotes.csv: line"),
        (("evaluate", "latin.csv", "-t", "y"), "--encoding latin-1"),
        (("evaluate", "sales.csv", "-t", "sold", "--encoding", "klingon"), "no such encoding"),
        (("evaluate", "broken.parquet", "-t", "y"), "broken.parquet: cannot be read"),
        (("evaluate", "broken.csv.gz", "-t", "y"), "broken.csv.gz: cannot be read"),
        (("evaluate", "model.pkl", "-t", "y"), "must end in .csv"),
        (("evaluate", "broken.jsonl", "-t", "y"), "broken.jsonl: line 2: is no JSON"),
        (("evaluate", "array.json", "-t", "y"), "wanted is an object on each line"),
        (("evaluate", "nested.jsonl", "-t", "y"), "line 1: 'a' is a list"),
        (("evaluate", "sales.csv", "-t", "price"), "no column 'price' (--target); it has day"),
        ((*GOOD, "--key", "till"), "no column 'till' (--key)"),
        ((*GOOD, "--time", "sold"), "--target and --time are both 'sold'"),
        (("evaluate", "sales.csv", "-t", "shop"), "'shop' is 'south', no number; for classes"),
        (("evaluate", "words.csv", "-t", "y"), "line 3: 'y' is 'many', no number"),
        (("evaluate", "infinite.csv", "-t", "y"), "'y' is inf, not finite"),
        (("evaluate", "order.csv", "-t", "y", "--time", "t"), "rows are out of time order"),
        (("evaluate", "gap.csv", "-t", "y", "--time", "t"), "line 3: the time 't' is missing"),
        ((*GOOD, "--time", "shop"), "no date such as 2024-03-01T12:30"),
        (("evaluate", "late.csv", "-t", "y"), "--categorical a"),
        (("evaluate", "single.csv", "-t", "y"), "at least two rows with a 'y'"),
        ((*GOOD, "--mode", "lstm"), "mode='lstm': must be a mode object or one of 'retnet'"),
        ((*GOOD, "--readout", "tree"), "readout='tree': must be"),
        ((*GOOD, "--set", "windows=5"), "windows: a regressor has no such parameter; it has mode"),
        ((*GOOD, "--set", "window=-1"), "window=-1: must be an integer"),
        ((*GOOD, "--set", "window"), "--set window: must be NAME=VALUE"),
        ((*GOOD, "--report", "no/where.html"), "--report no/where.html: there is no folder"),
        ((*GOOD, "--report", "folder"), "--report folder: Is a directory"),
        ((*GOOD, "--save", "folder"), "--save folder: Is a directory"),
        ((*GOOD, "--save", "m.bin", "--key", "shop"), "one model per key is kept by `serve"),
        (("evaluate", "sales.csv"), "Missing option '--target'"),
        ((*GOOD, "--rows", "0"), "--rows"),
        (("evaluates",), "No such command 'evaluates'"),
        (("forecast", "sales.csv", "-t", "sold", "--horizon", "2", "--level", "2"), "--level 2.0"),
        (("forecast", "none.csv", "-t", "y", "--horizon", "2"), "no row has a 'y'"),
        (("search", "sales.csv", "-t", "sold", "--grid", "no.yaml"), "--grid no.yaml: cannot"),
        (("search", "sales.csv", "-t", "sold", "--grid", "bad.yaml"), "is no YAML"),
        (("search", "sales.csv", "-t", "sold", "--grid", "flat.yaml"), "must be a list of values"),
        (("search", "sales.csv", "-t", "sold", "--grid", "list.yaml"), "must hold names"),
        (("search", "sales.csv", "-t", "sold", "--grid", "odd.yaml"), "lambda"),
        (("info", "nowhere.bin"), "nowhere.bin: No such file or directory"),
        (("info", "sales.csv"), "this is no model of river-attention"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(
    argv, message, command, sales, tmp_path, monkeypatch
):
    for name, text in {
        "empty.csv": "",
        "heading.csv": "a,y\n",
        "blank.csv": "\n1,2\n",
        "twice.csv": "a,a\n1,2\n",
        "ragged.csv": "a,y\n1,2\n1,2,3\n",
        "quotes.csv": 'a,y\n1,"2"x\n',
        "broken.parquet": "PAR1 not at all",
        "broken.csv.gz": "not gzipped",
        "model.pkl": "x",
        "broken.jsonl": '{"y": 1}\n{"y": \n',
        "array.json": '[\n{"y": 1},\n{"y": 2}\n]\n',
        "nested.jsonl": '{"a": [1], "y": 1}\n',
        "words.csv": "a,y\n1,2\n1,many\n",
        "infinite.csv": "a,y\n1,inf\n",
        "order.csv": "t,y\n2024-01-02,1\n2024-01-01,2\n",
        "gap.csv": "t,y\n2024-01-02,1\n,2\n",
        "late.csv": "a,y\n" + "1,2\n" * 1000 + "big,3\n",
        "single.csv": "a,y\n1,2\n",
        "none.csv": "a,y\n1,\n2,\n",
        "bad.yaml": "mode: [gla\n",
        "flat.yaml": "mode: gla\n",
        "list.yaml": "- gla\n",
        "odd.yaml": "lambda: [1]\n",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.csv").write_bytes("a,y\nMüller,1\n".encode("latin-1"))
    monkeypatch.chdir(tmp_path)
    code, out, err = command(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("river-attention: ")
    assert err.count("\n") == 1
    assert message in err


def test_latin_text_is_read_when_it_is_named(told, tmp_path):
    path = tmp_path / "latin.csv"
    text = "name,y\n" + "Müller,1\nMaier,2\n" * 5
    path.write_bytes(text.encode("latin-1"))
    (found,) = told("evaluate", path, "-t", "y", "--encoding", "latin-1")
    assert found["rows"] == 10


@pytest.mark.parametrize("encoding", [(), ("--encoding", "UTF8")])
def test_a_mark_in_front_and_line_breaks_in_quotes_are_no_part_of_the_names(
    encoding, told, tmp_path
):
    path = tmp_path / "excel.csv"
    text = '"y";"the\nplace"\r\n' + '1;"a\nb"\r\n2;"c"\r\n\r\n' * 3
    path.write_bytes(text.encode("utf-8-sig"))
    (found,) = told("evaluate", path, "-t", "y", "--categorical", "the\nplace", *encoding)
    assert (found["rows"], found["labels"]) == (6, 6)


def test_warnings_are_single_lines(command, write):
    wide = [{f"f{i}": i * t for i in range(300)} | {"y": t} for t in range(3)]
    code, out, err = command("evaluate", write(wide), "-t", "y")
    assert (code, bool(out)) == (0, True)
    assert err.startswith("river-attention: warning: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["evaluate", "classify", "forecast", "search", "serve", "info"])
def test_help_has_examples(name, command):
    code, out, err = command(name, "--help")
    assert (code, err) == (0, "")
    assert f"river-attention {name}" in out.split("Options:")[0].replace("Usage: ", "", 1)
    code, out, _ = command("--help")
    assert f"river-attention {name}" in out


def test_no_arguments_show_the_help(command):
    assert command() == command("--help")


def test_an_interrupt_is_no_traceback(command, sales, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ra.StreamingAttentionRegressor, "learn_one", interrupt)
    code, out, err = command("evaluate", sales, *TARGET)
    assert (code, out, err.strip()) == (130, "", "")


def test_without_the_extra_one_line_names_it(capsys, monkeypatch):
    for module in [name for name in sys.modules if name.startswith("river_attention.cli.")]:
        if module not in ("river_attention.cli.errors", "river_attention.cli.reading"):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "typer", None)
    assert cli.main(["--help"]) == 2
    err = capsys.readouterr().err
    assert err == 'river-attention: needs typer: pip install "river-attention[cli]"\n'


@pytest.mark.parametrize(("target", "code"), [("sold", 0), ("nothing", 2)])
def test_the_process_ends_with_the_exit_code(target, code, sales, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["river-attention", "evaluate", sales, "-t", target])
    with pytest.raises(SystemExit) as end:
        cli.run()
    assert end.value.code == code
    assert ("persistence" in capsys.readouterr().out) == (code == 0)
