"""What the transformer shows, what it takes labels for, and what it is worth to a model behind."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from river_attention import AttentionTransformer

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "transformer.py"


@pytest.fixture(scope="module")
def benchmark():
    """The benchmark as a module, which is not part of the package."""
    spec = importlib.util.spec_from_file_location("transformer_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def streams(benchmark):
    """The streams that river ships."""
    return benchmark.bundled()


# --- what is shown


def of_classes(rows, n=2):
    return [(x, f"class {int(abs(y)) % n}") for x, y in rows]


def test_numbers_are_foreseen_and_remembered(stream, train):
    model = train(AttentionTransformer(), stream())
    assert list(model.transform_one(stream()[-1][0])) == [
        *("a", "b", "c", "attn_next"),
        *(f"attn_lag_{i}" for i in range(1, 7)),
        *(f"attn_retrieved_{i}" for i in range(1, 7)),
        *(f"attn_head_{i}" for i in range(1, 5)),
    ]


@pytest.mark.parametrize(
    ("n_classes", "odds", "lags"), [(2, (1,), ("1_1", "2_1")), (3, range(3), None)]
)
def test_classes_are_foreseen_and_remembered(stream, train, n_classes, odds, lags):
    model = train(AttentionTransformer(n_lags=2), of_classes(stream(), n_classes))
    lags = lags or [f"{lag}_{k}" for lag in (1, 2) for k in range(3)]
    # a lag of a class enters when the class is known
    assert sorted(model.transform_one(stream()[-1][0])) == sorted(
        [
            *("a", "b", "c"),
            *(f"attn_odds_{k}" for k in odds),
            *(f"attn_lag_{lag}" for lag in lags),
            *(f"attn_head_{i}" for i in range(1, 5)),
        ]
    )


def test_without_labels_there_are_heads_and_the_input(stream):
    model = AttentionTransformer()
    for x, _ in stream():
        model.learn_one(x)
    assert list(model.transform_one({})) == [
        "a",
        "b",
        "c",
        *(f"attn_head_{i}" for i in range(1, 5)),
    ]


def test_the_input_can_be_left_to_others(stream, train):
    model = train(AttentionTransformer(keep_inputs=False), stream())
    assert not {"a", "b", "c"} & model.transform_one(stream()[-1][0]).keys()


def test_the_forecast_follows_the_target(streams):
    model = AttentionTransformer()
    errors, steps, last = [], [], 0.0
    for x, y in streams["WaterFlow"][:600]:
        forecast = model.transform_one(x).get("attn_next", 0.0) * model.unit_.value / 2.0
        model.learn_one(x, y)
        errors.append(abs(y - forecast))
        steps.append(abs(y - last))
        last = y
    assert np.mean(errors[200:]) < np.mean(steps[200:])


def test_the_squared_norm_is_of_order_one_on_every_stream(streams):
    for name, rows in streams.items():
        model, norms = AttentionTransformer(), []
        for x, y in rows[:400]:
            norms.append(sum(value**2 for value in model.transform_one(x).values()))
            model.learn_one(x, y)
        assert max(norms) < 20.0, name
        assert np.mean(norms) < 10.0, name


# --- what labels are


@pytest.mark.parametrize("labels", [(True, False), ("a", "b"), ((1, 2), (3, 4)), (b"x", b"y")])
def test_bools_and_what_is_no_number_are_classes(labels):
    model = AttentionTransformer()
    for t in range(10):
        model.learn_one({"a": float(t)}, labels[t % 2])
    assert model.task_.classes == list(labels)


@pytest.mark.parametrize("labels", [(0, 1), (np.int64(0), np.float32(1.5)), (0.0, 1.0)])
def test_numbers_are_numbers(labels):
    model = AttentionTransformer()
    for t in range(10):
        model.learn_one({"a": float(t)}, labels[t % 2])
    assert model.task_.target.n == 10


def test_integers_are_classes_where_it_is_said():
    model = AttentionTransformer(target="class")
    for t in range(10):
        model.learn_one({"a": float(t)}, t % 3)
    assert model.task_.classes == [0, 1, 2]


def test_what_labels_are_is_not_decided_by_a_missing_one():
    model = AttentionTransformer()
    for label in (None, float("nan"), "a", "b"):
        model.learn_one({"a": 1.0}, label)
    assert model.task_.classes == ["a", "b"]


def test_a_bad_first_row_of_classes_leaves_the_transformer_as_it_was(fingerprint):
    model = AttentionTransformer()
    before = fingerprint(model)
    with pytest.raises(TypeError):
        model.learn_one({"a": "blue"}, "class")
    assert fingerprint(model) == before


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_transformer_of_classes_goes_on_from_its_state(stream, fingerprint, n_classes):
    rows = of_classes(stream(), n_classes)
    model = AttentionTransformer()
    for x, y in rows[:40]:
        model.learn_one(x, y)
    other = AttentionTransformer()
    other.set_state(copy.deepcopy(model.get_state()))
    for x, y in rows[40:]:
        assert other.transform_one(x) == model.transform_one(x)
        other.learn_one(x, y)
        model.learn_one(x, y)


def test_a_state_of_classes_is_refused_where_labels_are_numbers(stream):
    model = AttentionTransformer()
    for x, y in of_classes(stream()):
        model.learn_one(x, y)
    with pytest.raises(ValueError, match="of_classes"):
        AttentionTransformer(target="number").set_state(model.get_state())


# --- what it is worth: the error as a share of that of the same model behind a StandardScaler

HALF = {"TrumpApproval": 0.5, "WaterFlow": 0.5, "AirlinePassengers": 0.8, "ChickWeights": 1.02}


@pytest.mark.parametrize("name", HALF)
@pytest.mark.parametrize(
    "model",
    [
        "LinearRegression",
        pytest.param("BayesianLinearRegression", marks=pytest.mark.slow),
        pytest.param("HoeffdingTreeRegressor", marks=pytest.mark.slow),
    ],
)
def test_a_model_of_numbers_is_better_with_it(benchmark, streams, model, name):
    errors = {way: benchmark.error(model, way, streams[name]) for way in ("without", "alone")}
    assert errors["alone"] <= HALF[name] * errors["without"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Phishing", "Bananas", "ImageSegments"])
@pytest.mark.parametrize("model", ["LogisticRegression", "HoeffdingTreeClassifier"])
def test_a_model_of_classes_is_not_worse_with_it(benchmark, streams, model, name):
    errors = {way: benchmark.error(model, way, streams[name]) for way in ("without", "alone")}
    assert errors["alone"] <= 1.02 * errors["without"]
