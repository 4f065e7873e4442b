"""States as plain data, and files: what was saved goes on as if nothing had happened."""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
import itertools
import json
import pickle
import re
import struct
import subprocess
import sys
import tracemalloc
import zlib
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import drift

import river_attention
from river_attention import (
    FileError,
    RLSRegressor,
    StateError,
    StreamingAttentionClassifier,
    StreamingAttentionForecaster,
    StreamingAttentionRegressor,
    from_bytes,
    load,
)
from river_attention._baselines import FAST_SETTINGS
from river_attention.files import MAGIC
from river_attention.modes import GLA, NAMED
from river_attention.naming import from_text, to_text


def same(one, other):
    """Whether two states are equal to the last bit."""

    def exact(value):
        if isinstance(value, np.ndarray):
            return value.shape, value.dtype, value.tobytes()
        return repr(value)

    return one.keys() == other.keys() and all(exact(one[k]) == exact(other[k]) for k in one)


def assert_continues(model, again, rows, answer, learn):
    assert same(again.get_state(), model.get_state())
    for x, y in rows:
        assert answer(again, x) == answer(model, x)
        learn(model, x, y)
        learn(again, x, y)
    assert same(again.get_state(), model.get_state())


# --- the round trip


def test_a_state_is_flat_and_plain_and_makes_the_same_model(make, stream, answer, learn, case):
    rows = stream(90)
    model = make()
    # every model goes on until the next one is made
    for start, stop in itertools.pairwise([0, 1, 2, 25, 60, 90]):
        with case(start):
            state = model.get_state()
            for name, value in state.items():
                assert isinstance(name, str)
                if isinstance(value, list):
                    assert {type(item) for item in value} <= {int, str}
                else:
                    assert type(value) in (np.ndarray, int, float)
            again = type(model).from_config(json.loads(json.dumps(model.get_config())))
            again.set_state(state)
            assert_continues(model, again, rows[start:stop], answer, learn)


def test_bytes_make_the_same_model(make, stream, answer, learn, case):
    rows = stream(110)
    model = make()
    for start, stop in itertools.pairwise([0, 1, 33, 110]):
        with case(start):
            again = from_bytes(model.to_bytes())
            assert again.get_config() == model.get_config()
            assert_continues(model, again, rows[start:stop], answer, learn)


@pytest.mark.parametrize("mode", NAMED)
@pytest.mark.parametrize("readout", ["mixture", "rls"])
def test_every_mode_goes_on_from_its_bytes(mode, readout, stream, train, answer, learn):
    rows = stream(100)
    model = train(StreamingAttentionRegressor(mode=mode, readout=readout), rows[:40])
    assert_continues(model, from_bytes(model.to_bytes()), rows[40:], answer, learn)


@pytest.mark.parametrize("cls", [StreamingAttentionRegressor, StreamingAttentionClassifier])
def test_steps_that_wait_for_their_labels_are_part_of_the_state(cls, stream, label):
    model = cls(advance_on="predict")
    rows = stream(160)
    keys = [("row", i) if i % 3 else None for i in range(len(rows))]

    def tell(model, i):
        model.learn_one(rows[i][0], label(model, rows[i][1]), key=keys[i])

    for i in range(60):
        model.predict_one(rows[i][0], key=keys[i])
        if i >= 12:
            tell(model, i - 12)
    again = from_bytes(model.to_bytes())
    assert again.n_pending_ == model.n_pending_ == 12
    for i in range(60, len(rows)):
        asked = [each.predict_one(rows[i][0], key=keys[i]) for each in (model, again)]
        assert asked[0] == asked[1]
        tell(model, i - 12)
        tell(again, i - 12)
    assert same(model.get_state(), again.get_state())
    assert again.n_unmatched_ == model.n_unmatched_


def test_a_new_process_goes_on_to_the_last_bit(tmp_path, stream):
    """Five hundred rows, features that grow, a class and a forecast beside."""
    script = (
        "import json, sys\n"
        "from river_attention import load\n"
        "model, rows = load(sys.argv[1]), json.load(open(sys.argv[2]))\n"
        "for x, y in rows:\n"
        "    print(repr(model.predict_one(x))); model.learn_one(x, y)\n"
    )
    model, rows = StreamingAttentionRegressor(), stream(900)
    for i, (x, y) in enumerate(rows[:400]):
        model.learn_one(x | ({"late": float(i % 5)} if i > 300 else {}), y)
    model.save(tmp_path / "model.bin")
    ahead = [(x | {f"n{i // 200}": float(i % 7)}, y) for i, (x, y) in enumerate(rows[400:])]
    (tmp_path / "rows.json").write_text(json.dumps(ahead))
    expected = []
    for x, y in ahead:
        expected.append(repr(model.predict_one(x)))
        model.learn_one(x, y)
    answered = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "model.bin"), str(tmp_path / "rows.json")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert answered.stdout.split() == expected


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_copies_and_pickles_have_the_same_state(make, stream, train, copied):
    model = train(make(), stream())
    assert same(copied(model).get_state(), model.get_state())


def test_a_branch_has_the_same_state(make_attention, stream, train):
    task = train(make_attention(), stream()).task_
    assert same(task.branch().get_state(), task.get_state())


def test_a_state_is_a_copy(make, stream, train, fingerprint):
    model = train(make(), stream())
    before = fingerprint(model)
    state = model.get_state()
    again = make()
    again.set_state(state)
    for value in state.values():
        if isinstance(value, np.ndarray):
            value[...] = 7.0
    assert fingerprint(model) == before
    assert same(again.get_state(), model.get_state())


def test_without_a_seed_the_drawn_one_is_part_of_the_state(stream, train, answer, learn):
    model = train(StreamingAttentionRegressor(seed=None), stream())
    again = StreamingAttentionRegressor(seed=None)
    again.set_state(model.get_state())
    late = [({"new": x["a"], **x}, y) for x, y in stream(seed=1)]
    assert_continues(model, again, late, answer, learn)


# --- states that do not fit


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_bad_state_leaves_the_model_as_it_was(make, stream, train, every, case):
    """Every entry is spoiled: in every way that there is, or in one of them, in turn."""
    model = train(make(), stream())
    before, state = pickle.dumps(model), model.get_state()
    for i, (name, value) in enumerate(state.items()):
        spoiled = [None, "text", {}]
        if isinstance(value, np.ndarray):
            spoiled += [value[..., None], value.astype(str), np.zeros(value.shape, int)]
            # what trees see may be missing, and is NaN then
            missing = name.endswith(("came_before", "trees.rows"))
            if value.size and "x" not in name and "evidence" not in name and not missing:
                spoiled.append(np.full_like(value, np.nan))
        elif isinstance(value, list):
            spoiled += [[*value, None], [*value, 1.5], 3.0]
        else:
            spoiled += [np.array(value), -1 if name.endswith(".n") else "3", True]
        for bad in spoiled if every else [spoiled[i % len(spoiled)]]:
            with case(name, bad), pytest.raises(StateError, match=re.escape(name)):
                model.set_state(state | {name: bad})
        with pytest.raises(StateError, match="has no"):
            model.set_state({key: item for key, item in state.items() if key != name})
    with pytest.raises(StateError, match="unknown entry 'more'"):
        model.set_state(state | {"more": 1})
    for no_state in (None, [], "x"):
        with pytest.raises(StateError, match="expected a dict"):
            model.set_state(no_state)
    assert pickle.dumps(model) == before


def test_a_state_of_another_configuration_is_refused(stream, train):
    model = train(StreamingAttentionRegressor(), stream())
    for other in ({"n_lags": 3}, {"window": 0}, {"mode": "gla", "d_value": 2}, {"memory": 4}):
        with pytest.raises(StateError):
            StreamingAttentionRegressor(**other).set_state(model.get_state())


def test_a_drift_detector_is_refused_by_name(stream, train):
    model = train(StreamingAttentionRegressor(drift_detector=drift.ADWIN()), stream())
    with pytest.raises(StateError, match="drift_detector=ADWIN"):
        model.to_bytes()


def test_a_mode_of_ones_own_is_refused_by_name(stream, train):
    class Own(GLA):
        pass

    model = train(StreamingAttentionRegressor(mode=Own()), stream())
    with pytest.raises(StateError, match=r"mode=.*Own"):
        model.to_bytes()


# --- names

plain_names = st.recursive(
    st.one_of(
        st.text(st.characters(categories=None), max_size=4),
        *(st.integers(), st.booleans(), st.floats(), st.none(), st.binary(max_size=4)),
        *(
            st.dates(),
            st.datetimes(),
            st.timedeltas(),
            st.fractions(),
            st.decimals(allow_nan=False),
        ),
    ),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
)


@given(name=plain_names)
def test_names_come_back_as_what_they_were(name):
    try:
        text = to_text(name)
    except TypeError:
        assert "NaN" in repr(name) or "nan" in repr(name)  # not equal to themselves
        return
    back = from_text(text)
    assert back == name or name != name
    assert to_text(back) == text
    json.loads(text)


@pytest.mark.parametrize(
    "name",
    [
        *("load", 1, True, 1.5, float("inf"), None, b"\x00", ("a", ("b", 2)), frozenset({"a", 1})),
        *(dt.date(2024, 5, 1), dt.datetime(2024, 5, 1, 3, tzinfo=dt.UTC), Fraction(1, 3)),
        *(Decimal("1.10"), np.str_("a"), np.int8(3), np.float32(0.5), "\ud800", 2 + 1j),
    ],
)
def test_features_and_classes_of_any_plain_kind_are_saved(name):
    model = StreamingAttentionClassifier(memory=2, mode=None)
    for i in range(20):
        model.learn_one({name: float(i), "other": 1.0}, (name, "class") if i % 2 else "not it")
    again = from_bytes(model.to_bytes())
    asked = {name: 3.0}
    assert again.predict_proba_one(asked) == model.predict_proba_one(asked)
    assert again.classes_ == model.classes_


class Named:
    def __repr__(self):
        return "Named()"


def test_a_name_that_is_no_plain_data_is_refused_by_name():
    model = RLSRegressor()
    model.learn_one({Named(): 1.0}, 1.0)
    with pytest.raises(StateError, match=r"Named\(\)"):
        model.to_bytes()


# --- files


@pytest.fixture(scope="module")
def files(stream):
    """The bytes of three estimators, and what they answer."""
    models = [
        StreamingAttentionRegressor(window=20, memory=2),
        StreamingAttentionClassifier(mode=None, memory=2, n_lags=1),
        StreamingAttentionForecaster(horizon=3, memory=2, window=20, mode=None, long_lags=0),
    ]
    for x, y in stream(40):
        models[0].learn_one(x, y)
        models[1].learn_one(x, int(y) % 3)
        models[2].learn_one(y, x)
    return [(model.to_bytes(), model.get_state()) for model in models]


def damaged(data, rng):
    kind, i = rng.integers(5), int(rng.integers(len(data)))
    spoiled = bytearray(data)
    if kind == 0:
        spoiled[i] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del spoiled[i:]
    elif kind == 2:
        j = int(rng.integers(len(data)))
        i, j = min(i, j), max(i, j)
        spoiled = spoiled[:i] + spoiled[j:] + spoiled[i:j]
    elif kind == 3:
        at = int(rng.choice([12, 20]))
        spoiled[at : at + 8] = int(rng.integers(2**63)).to_bytes(8, "little")
    else:
        spoiled[i:i] = rng.bytes(int(rng.integers(1, 30)))
    return bytes(spoiled)


def test_two_thousand_damaged_files_are_refused_or_equal(files):
    rng = np.random.default_rng(0)
    refused = 0
    tracemalloc.start()
    try:
        for t in range(2000):
            data, state = files[t % 3]
            spoiled = damaged(data, rng)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try:
                model = from_bytes(spoiled)
            except FileError:
                refused += 1
                assert tracemalloc.get_traced_memory()[1] - before <= 2 * len(spoiled) + 4096
            else:
                assert same(model.get_state(), state)
    finally:
        tracemalloc.stop()
    assert refused > 1900


def rewritten(data, change):
    """A file whose header was changed on purpose, checksum and all."""
    n_header = int.from_bytes(data[12:20], "little")
    content = json.loads(zlib.decompress(data[44 : 44 + n_header]))
    change(content)
    header, arrays = zlib.compress(json.dumps(content).encode()), data[44 + n_header :]
    lengths = struct.pack("<B3xQQ", 1, len(header), len(arrays))
    check = hashlib.sha256(lengths + header + arrays).digest()[:16]
    return MAGIC + lengths + check + header + arrays


def test_a_file_made_on_purpose_is_refused_before_it_is_believed(files):
    data = files[0][0]
    name = "readout.full 0.998.P"

    def shape(*sizes, kind="f8"):
        return lambda content: content["arrays"].update({name: [kind, *sizes]})

    changes = [
        shape(10**12),
        shape(10**12, kind="f8z40"),
        shape(3, kind="f8z-40"),
        shape(3, kind="f8z999999999"),
        shape(3, kind="f8zz"),
        lambda content: content["arrays"].update({"readout.full 0.998.prior": ["f8z13", 10**6]}),
        shape(-1),
        shape(2.5),
        shape(3, kind="O8"),
        shape(3, kind=["f8"]),
        lambda content: content.update({"class": "Popen"}),
        lambda content: content.update({"class": 3}),
        lambda content: content["config"].update(window=10**12),
        lambda content: content["config"].update(mode={"class": "river.drift.ADWIN"}),
        lambda content: content["config"].update(surprise=1),
        lambda content: content["state"].update({"target.n": -3}),
        lambda content: content["state"].update({"target.n": [1]}),
        lambda content: content.pop("arrays"),
        lambda content: content["state"].update({"features.encoder.names": ["{"]}),
        lambda content: content["state"].update({"pending.shapes": [10**9] * 3}),
    ]
    assert same(from_bytes(rewritten(data, lambda content: None)).get_state(), files[0][1])
    tracemalloc.start()
    try:
        for change in changes:
            with pytest.raises(FileError):
                from_bytes(rewritten(data, change))
        assert tracemalloc.get_traced_memory()[1] < 20 * len(data)
    finally:
        tracemalloc.stop()


def test_what_is_wrong_with_a_file_is_named(files, tmp_path):
    data = files[0][0]
    future = data[:8] + bytes([2]) + data[9:]
    for spoiled, message in [
        (b"", "no model of river-attention"),
        (pickle.dumps({}), "no model of river-attention"),
        (data[:30], "cut off after 30 bytes"),
        (data[:-1], "cut off"),
        (data + b"x", "too long"),
        (future, "format 2.*upgrade"),
        (data[:-1] + bytes([data[-1] ^ 1]), "checksum"),
    ]:
        path = tmp_path / "model.bin"
        path.write_bytes(spoiled)
        with pytest.raises(FileError, match=rf"model\.bin: .*{message}"):
            load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.bin")
    with pytest.raises(FileError, match="hold a StreamingAttentionRegressor, no RLSRegressor"):
        RLSRegressor.from_bytes(data)
    with pytest.raises(ValueError, match="dtype='int8'"):
        RLSRegressor().to_bytes("int8")


def test_a_file_is_replaced_as_a_whole(tmp_path, stream, train):
    path = tmp_path / "model.bin"
    model = train(RLSRegressor(), stream(5))
    model.save(path)
    before = path.read_bytes()
    broken = train(RLSRegressor(), [({Named(): 1.0}, 1.0)])
    with pytest.raises(StateError):
        broken.save(path)
    assert path.read_bytes() == before
    train(model, stream(5))
    model.save(str(path))
    assert path.read_bytes() == model.to_bytes() != before
    assert [item.name for item in tmp_path.iterdir()] == ["model.bin"]


@pytest.mark.slow
def test_killed_while_saving_the_file_is_the_old_or_the_new_one(tmp_path, killed):
    script = (
        "from river_attention import RLSRegressor\n"
        "model, t = RLSRegressor(), 0\n"
        "while True:\n"
        "    t += 1; model.learn_one({f'x{i}': float(i * t % 7) for i in range(60)}, float(t))\n"
        "    model.save(path); print(flush=True)\n"
    )
    for path in killed(script, tmp_path / "model.bin", 200):
        assert load(path).rls_.n_updates >= 1


def test_a_compact_copy_answers_almost_the_same(make_regressor, stream, train):
    model = train(make_regressor(), stream(200))
    data = model.to_bytes("float32")
    assert len(data) < len(model.to_bytes())
    again = from_bytes(data)
    for x, y in stream(100, seed=1):
        assert again.predict_one(x) == pytest.approx(model.predict_one(x), rel=1e-3, abs=1e-3)
        model.learn_one(x, y)
        again.learn_one(x, y)


def test_the_fast_settings_take_six_kilobytes():
    rng = np.random.default_rng(0)
    model, level = StreamingAttentionRegressor(**FAST_SETTINGS), 0.0
    for row in rng.normal(size=(2000, 10)).tolist():
        level = 0.9 * level + row[0]
        model.learn_one({f"x{i}": value for i, value in enumerate(row)}, level)
    assert len(model.to_bytes()) <= 6000
    assert len(model.to_bytes("float32")) <= 4000


def test_every_estimator_can_be_saved(estimator):
    assert {"get_state", "set_state", "save", "to_bytes", "from_bytes"} <= set(dir(estimator))
    assert type(from_bytes(estimator().to_bytes())) is estimator
    assert estimator.__name__ in vars(river_attention)
