"""`serve`: every line has an answer, labels may come late, a kill loses no more than it says."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys

import pytest

import river_attention as ra
from river_attention.cli.keeping import Kept
from river_attention.cli.serving import LONGEST_LINE, Server
from river_attention.keyed import KeyedModel, SqliteStore

ROWS = [{"a": float(t % 7), "b": (t * t) % 5, "y": float((t % 7) * 2 + t % 3)} for t in range(60)]
SMALL = {"window": 0, "memory": 0, "readout": "rls", "n_lags": 2}


def _kept(path=None, key=None, late=False, kind="regressor", given=None, categorical=()):
    return Kept(kind, SMALL if given is None else given, path, key, categorical, late)


def _serve(lines, kept=None, id_name=None, every=1000, level=0.9):
    """The answers to lines, which are text or rows."""
    out = io.StringIO()
    text = "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)
    server = Server(kept or _kept(late=id_name is not None), "y", id_name, every, level)
    server.run(io.BytesIO(text.encode()), out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def _by_hand(model, rows):
    found = []
    for row in rows:
        x = {name: value for name, value in row.items() if name != "y"}
        low, high = model.predict_interval_one(x)
        found.append({"prediction": model.predict_one(x), "low": low, "high": high})
        model.learn_one(x, row["y"])
    return found


def test_rows_with_a_label_are_predicted_then_learned():
    model = ra.StreamingAttentionRegressor(**SMALL)
    assert _serve(ROWS) == _by_hand(model, ROWS)


def test_rows_without_a_label_let_time_pass():
    model = ra.StreamingAttentionRegressor(**SMALL)
    _by_hand(model, ROWS[:20])
    x = {"a": 1.0, "b": 2}
    model.advance_one(x)
    after = model.predict_one(x)
    assert _serve([*ROWS[:20], x, {**x, "y": None}])[-1]["prediction"] == after


def test_late_labels_are_matched_by_their_id(fingerprint):
    asked = [{"id": t, "a": row["a"], "b": row["b"]} for t, row in enumerate(ROWS)]
    lines = []
    for t, x in enumerate(asked):
        lines.append(x)
        if t >= 3:
            lines.append({"id": t - 3, "y": ROWS[t - 3]["y"]})
    kept = _kept(late=True)
    answers = _serve(lines, kept, "id")
    model = ra.StreamingAttentionRegressor(**SMALL, advance_on="predict")
    expected = []
    for t, x in enumerate(asked):
        rest = {"a": x["a"], "b": x["b"]}
        expected.append(model.predict_one(rest, key=t))
        if t >= 3:
            model.learn_one({}, ROWS[t - 3]["y"], key=t - 3)
    assert [each["prediction"] for each in answers if "prediction" in each] == expected
    assert [each["id"] for each in answers if each.get("learned")] == list(range(57))
    assert fingerprint(kept.model) == fingerprint(model)


def test_a_label_nobody_waits_for_is_an_error_unless_it_has_a_row():
    lines = [{"id": 9, "y": 1.0}, {"id": 9, "a": 1.0, "y": 1.0}, {"id": 9, "y": 1.0}]
    first, second, third = _serve(lines, id_name="id")
    assert first == {"id": 9, "error": "line 1: no row with id 9 waits for a label"}
    assert second["prediction"] == 0.0
    assert "waits" in third["error"]


def test_keys_have_models_of_their_own():
    lines = [{**row, "shop": "ns"[t % 2]} for t, row in enumerate(ROWS)]
    answers = _serve(lines, _kept(key="shop"))
    for shop, start in (("n", 0), ("s", 1)):
        mine = [each for each in answers if each["shop"] == shop]
        expected = _by_hand(ra.StreamingAttentionRegressor(**SMALL), ROWS[start::2])
        assert [each["prediction"] for each in mine] == [each["prediction"] for each in expected]
        # a model that is not there yet says nothing of how sure it is
        assert mine[0]["low"] is None
        assert [each["low"] for each in mine[1:]] == [each["low"] for each in expected[1:]]


def test_late_labels_of_keys():
    lines = [{"id": 1, "shop": "n", "a": 1.0}, {"id": 1, "shop": "s", "a": 2.0}]
    lines += [{"id": 1, "shop": "s", "y": 5.0}, {"id": 1, "shop": "s", "y": 5.0}]
    answers = _serve(lines, _kept(key="shop", late=True), "id")
    assert answers[2] == {"id": 1, "shop": "s", "learned": True}
    assert "waits" in answers[3]["error"]


def test_classes_have_probabilities():
    lines = [{"a": t % 2, "y": "ab"[t % 2]} for t in range(60)]
    kept = _kept(kind="classifier", given={"window": 0})
    answers = _serve(lines, kept)
    assert answers[0] == {"prediction": None, "probabilities": {}}
    assert answers[-1]["prediction"] == "b"
    assert answers[-1]["probabilities"]["b"] > 0.8


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "is no JSON"),
        ('{"a": 1', "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1, 2]", "not a list"),
        ('{"a": {"b": 1}}', "'a' is an object"),
        ('{"a": "north", "y": 1}', "--categorical a"),
        ('{"a": 1, "y": "much"}', "the label 'much' is no number; for classes start with"),
        ('{"a": 1, "y": Infinity}', "the label inf is not finite"),
        ('{"a": 1, "y": [1]}', "'y' is a list"),
        ("x" * (LONGEST_LINE + 5), "is longer than"),
    ],
)
def test_a_wrong_line_is_answered_and_changes_nothing(line, message, fingerprint):
    kept = _kept()
    answers = _serve([*ROWS[:9], line, "", *ROWS[9:12]], kept)
    assert list(answers[9]) == ["error"]
    assert answers[9]["error"].startswith("line 10: ")
    assert message in answers[9]["error"]
    right = _kept()
    assert answers[:9] + answers[10:] == _serve(ROWS[:12], right)
    assert fingerprint(kept.model) == fingerprint(right.model)


def test_bytes_that_are_no_text_are_answered():
    out = io.StringIO()
    Server(_kept(), "y", None, 1000, 0.9).run(io.BytesIO(b'{"a": "\xff"}\n{"a": 1}\n'), out)
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first == {"error": "line 1: is no UTF-8"}
    assert second["prediction"] == 0.0


def test_numbers_json_does_not_have_are_missing_or_beyond():
    (answer,) = _serve(['{"a": NaN, "b": 1e999, "c": null, "y": 1.0}'])
    assert answer["prediction"] == 0.0


def test_dates_are_calendar_features_and_categories_have_to_be_named():
    kept = _kept(categorical=("shop",))
    _serve([{"when": "2024-01-01T10:00", "shop": "n", "y": 1.0}], kept)
    names = kept.model.features_.encoder.names
    assert "when_hour_sin" in names
    assert "shop=n" in map(str, names)


def test_answers_are_written_at_once():
    read, write = os.pipe()
    out, seen = io.StringIO(), []

    class Lines:
        """Looks at what was answered before it gives the next line."""

        def __init__(self):
            self.left = [json.dumps(row).encode() + b"\n" for row in ROWS[:3]]

        def readline(self, _):
            seen.append(len(out.getvalue().splitlines()))
            return self.left.pop(0) if self.left else b""

    os.close(read)
    os.close(write)
    Server(_kept(), "y", None, 1000, 0.9).run(Lines(), out)
    assert seen == [0, 1, 2, 3]


# --- keeping


def test_the_end_of_the_input_keeps_the_model(tmp_path):
    path = str(tmp_path / "model.bin")
    first = _serve(ROWS[:30], _kept(path))
    again = _kept(path)
    assert again.resumed
    assert first + _serve(ROWS[30:], again) == _serve(ROWS)


@pytest.mark.parametrize("late", [False, True])
def test_models_of_keys_are_kept_in_one_file(tmp_path, late, command):
    path = str(tmp_path / "models.db")
    lines = [{**row, "shop": "ns"[t % 2]} for t, row in enumerate(ROWS)]
    if late:
        lines = [{**row, "id": t} for t, row in enumerate(lines)]
    id_name = "id" if late else None
    first = _serve(lines[:30], _kept(path, "shop", late), id_name)
    second = _serve(lines[30:], _kept(path, "shop", late), id_name)
    assert first + second == _serve(lines, _kept(key="shop", late=late), id_name)
    assert os.listdir(tmp_path) == ["models.db"]
    code, out, _ = command("info", path)
    assert code == 0
    assert "one for each: shop\nmodels: 2\n" in out
    assert 'first keys: "n", "s"' in out


def test_snapshots_come_every_so_many_events(tmp_path):
    path = tmp_path / "model.bin"
    kept = _kept(str(path))
    saved = []
    original = kept.save
    kept.save = lambda: (original(), saved.append(kept.model.predict_one({"a": 1.0})))
    _serve([*ROWS[:10], "nonsense", *ROWS[10:20]], kept, every=5)
    # four times five events and at the end; a line that is wrong is no event
    assert len(saved) == 5
    assert len(set(saved)) == 4


def test_a_snapshot_that_fails_is_said_and_the_next_one_tried(tmp_path, capsys):
    kept = _kept(str(tmp_path / "model.bin"))
    answers = []
    calls = iter([OSError(28, "No space left on device")])

    def save():
        answers.append(1)
        error = next(calls, None)
        if error is not None:
            raise error

    kept.save = save
    assert len(_serve(ROWS[:4], kept, every=2)) == 4
    # after two events in vain, after the third, and at the end
    assert len(answers) == 3
    assert capsys.readouterr().err.count("No space left on device") == 1


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({}, {"given": {**SMALL, "n_lags": 3}}, "has n_lags=2, not 3"),
        ({}, {"late": True}, "has advance_on='learn', not 'predict'"),
        ({}, {"kind": "classifier", "given": {}}, "holds a StreamingAttentionRegressor"),
        ({}, {"key": "shop"}, "holds no models by key"),
        ({"key": "shop"}, {}, "holds one model per key"),
        ({"key": "shop"}, {"key": "till"}, "its models are of --key shop"),
        ({"key": "shop"}, {"key": "shop", "given": {"n_lags": 9}}, "has n_lags=2, not 9"),
    ],
)
def test_a_kept_model_goes_on_as_it_was_made(first, second, message, tmp_path):
    from river_attention.cli.errors import InputError

    path = str(tmp_path / "model.bin")
    rows = ROWS[:5] if not first else [{**row, "shop": "n"} for row in ROWS[:5]]
    _serve(rows, _kept(path, **first))
    with open(path, "rb") as file:
        before = file.read()
    if "key" in first:
        second = {"key": None, **second}
    with pytest.raises(InputError, match=message):
        _kept(path, **second)
    with open(path, "rb") as file:
        assert file.read() == before


def test_a_kept_model_needs_no_options_again(tmp_path):
    path = str(tmp_path / "model.bin")
    _serve(ROWS[:5], _kept(path))
    assert _kept(path, given={}).model.n_lags == 2
    path = str(tmp_path / "models.db")
    _serve([{**row, "shop": "n"} for row in ROWS[:5]], _kept(path, "shop"))
    kept = _kept(path, "shop", given={})
    assert isinstance(kept.model, KeyedModel)
    assert kept.model.model_of("n").n_lags == 2
    kept.close()


KILLED = """
import io, json, time
from river_attention.cli.keeping import Kept
from river_attention.cli.serving import Server

class Lines:
    def __init__(self):
        self.t = 0
    def readline(self, _):
        if self.t == 600:
            time.sleep(60)
        row = {"a": self.t % 7, "y": self.t % 5} | ({"k": self.t % 2} if key else {})
        self.t += 1
        return json.dumps(row).encode()

key = "k" if path.endswith(".db") else None
kept = Kept("regressor", {"window": 0, "memory": 0, "readout": "rls"}, path, key, (), False)
with open(path + ".answers", "a") as answers:
    print(flush=True)
    Server(kept, "y", None, 3, 0.9).run(Lines(), answers)
"""


def _known(n, n_keys):
    """What the models of the keys are after n events, as bytes, for every third n."""
    models = [
        ra.StreamingAttentionRegressor(window=0, memory=0, readout="rls") for _ in range(n_keys)
    ]
    states = {}
    for t in range(n):
        if t % 3 == 0:
            states[tuple(model.to_bytes() for model in models)] = t
        models[t % n_keys].learn_one({"a": t % 7}, t % 5)
    return states


@pytest.mark.parametrize(("name", "n_keys"), [("model.bin", 1), ("models.db", 2)])
def test_a_kill_loses_no_more_than_it_says_and_leaves_a_whole_file(name, n_keys, tmp_path, killed):
    path, answers = tmp_path / name, tmp_path / f"{name}.answers"
    known = _known(600, n_keys)
    fresh = next(iter(known))
    counts = []
    for _ in killed(KILLED, path, 6):
        n_answered = len(answers.read_text().splitlines())
        if n_keys == 1:
            found = (path.read_bytes(),)
        else:
            store = SqliteStore(path)
            found = tuple(store.get(b"%d" % k, fresh[k]) for k in range(n_keys))
            store.close()
        assert n_answered - 3 <= known[found] <= n_answered
        counts.append(known[found])
        for file in tmp_path.iterdir():
            file.unlink()
    assert max(counts) > 0


def _start(path, every):
    command = [sys.executable, "-m", "river_attention", "serve", "-t", "y", "--save", path]
    command += ["--every", str(every), "--set", "window=0", "--set", "memory=0", "--readout", "rls"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, bufsize=1, **pipes)


def _ask(process, row):
    process.stdin.write(json.dumps(row) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())["prediction"]


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_the_command_goes_on_after_a_kill_and_saves_when_it_is_told_to_stop(tmp_path):
    path = str(tmp_path / "model.bin")
    with _start(path, every=4) as process:
        answers = [_ask(process, row) for row in ROWS[:10]]
        process.kill()
    # rows 8 and 9 are lost: eight events are kept
    with _start(path, every=1000) as process:
        again = [_ask(process, row) for row in ROWS[8:20]]
        assert again[:2] == answers[8:]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        err = process.stderr.read()
    assert err == f"river-attention: going on with the model in {path}\n"
    model = ra.StreamingAttentionRegressor(window=0, memory=0, readout="rls")
    expected = [each["prediction"] for each in _by_hand(model, ROWS[:20])]
    assert answers + again[2:] == expected
    assert ra.load(path).to_bytes() == model.to_bytes()


def test_where_nobody_reads_the_answers_it_ends_and_keeps_the_model(tmp_path):
    class Gone(io.FileIO):
        """A pipe whose reader leaves after three answers."""

        n = 0

        def write(self, text):
            self.n += text.endswith("\n")
            if self.n > 3:
                raise BrokenPipeError
            return len(text)

    path = str(tmp_path / "model.bin")
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    with Gone(str(tmp_path / "out"), "w") as out:
        Server(_kept(path), "y", None, 1000, 0.9).run(io.BytesIO(lines.encode()), out)
    model = ra.StreamingAttentionRegressor(**SMALL)
    # the fourth was learned, and nobody heard of it
    _by_hand(model, ROWS[:4])
    assert ra.load(path).to_bytes() == model.to_bytes()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--save", "no/where.bin"), "there is no folder no"),
        (("--save", "text.bin"), "this is no model of river-attention"),
        (("--key", "y"), "must be different names"),
        (("--level", "1"), "--level 1.0: must be between 0 and 1"),
        (("--every", "0"), "--every"),
        (("--mode", "foo"), "mode='foo'"),
    ],
)
def test_a_wrong_start_is_one_line_and_exit_code_2(argv, message, command, tmp_path, monkeypatch):
    (tmp_path / "text.bin").write_text("text")
    monkeypatch.chdir(tmp_path)
    code, out, err = command("serve", "-t", "y", *argv)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
