"""Models from names, keyword arguments, configurations, clones and grids."""

from __future__ import annotations

import copy
import inspect
import json

import numpy as np
import pytest
from river import compose, preprocessing, utils

import river_attention
from river_attention import (
    AttentionTransformer,
    RLSRegressor,
    StreamingAttentionRegressor,
    delta_net,
    gated_delta_net,
    gla,
    hawk,
    ret_net,
    streaming_attention,
)
from river_attention.config import from_plain, to_plain
from river_attention.modes import (
    GLA,
    NAMED,
    DeltaNet,
    GatedDeltaNet,
    Hawk,
    LogLinear,
    RetNet,
)

SETTINGS = [
    pytest.param(cls, params, id="-".join([cls.__name__, *(f"{k}={v}" for k, v in params.items())]))
    for cls, more in {
        StreamingAttentionRegressor: [
            {"mode": RetNet(gamma=(0.5, 0.9)), "n_heads": 2, "prior": "mean"},
            {"mode": LogLinear(inner=GatedDeltaNet(beta="static"), lambda_init=(1.0, 0.5))},
            {"seed": None},
        ],
        AttentionTransformer: [{"mode": LogLinear(inner=RetNet(gamma=0.9), max_levels=8)}],
        RLSRegressor: [],
    }.items()
    for params in [*cls._unit_test_params(), *more]
]
MEMORIES = [StreamingAttentionRegressor, AttentionTransformer]


def progressive(model, n_rows=40):
    """What a model says of each row before it learns it."""
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(n_rows):
        a, b = rng.normal(size=2).tolist()
        x = {"a": a, "b": b}
        answers.append(
            model.transform_one(x) if hasattr(model, "transform_one") else model.predict_one(x)
        )
        model.learn_one(x, a + 2.0 * b)
    return answers


# --- Factories.


@pytest.mark.parametrize(
    ("factory", "params", "mode"),
    [
        (gla, {}, GLA()),
        (gla, {"gate": "vector"}, GLA(gate="vector")),
        (delta_net, {}, DeltaNet()),
        (gated_delta_net, {}, GatedDeltaNet()),
        (
            gated_delta_net,
            {"beta": "static", "beta_scale": 2.0},
            GatedDeltaNet(beta="static", beta_scale=2.0),
        ),
        (hawk, {}, Hawk()),
        (ret_net, {}, RetNet()),
        (ret_net, {"gamma": 0.9, "rotary": True}, RetNet(gamma=0.9, rotary=True)),
        (streaming_attention, {"mode": "hgrn2"}, "hgrn2"),
        (streaming_attention, {"mode": LogLinear()}, LogLinear()),
        (streaming_attention, {"mode": None}, None),
    ],
)
def test_a_factory_makes_a_regressor_with_its_mode_and_passes_the_rest_on(factory, params, mode):
    plain = StreamingAttentionRegressor(mode=mode)
    assert type(factory(**params)) is StreamingAttentionRegressor
    assert factory(**params).get_config() == plain.get_config()

    rest = {"n_heads": 2, "d_key": 2, "memory": 3, "prior": "mean", "seed": 7}
    model, expected = factory(**params, **rest), StreamingAttentionRegressor(mode=mode, **rest)
    assert model.get_config() == expected.get_config()
    assert progressive(model) == progressive(expected)


@pytest.mark.parametrize("factory", [gla, delta_net, gated_delta_net, hawk, ret_net])
@pytest.mark.parametrize("wrong", ["n_head", "mode", "d_model"])
def test_an_unknown_keyword_of_a_factory_is_a_type_error_that_names_it(factory, wrong):
    with pytest.raises(TypeError, match=f"'{wrong}'"):
        factory(**{wrong: 2})


def test_an_unknown_keyword_beside_a_mode_is_a_type_error_that_names_it():
    with pytest.raises(TypeError, match="'n_head'"):
        streaming_attention("gla", n_head=2)


@pytest.mark.parametrize(
    ("factory", "params", "name"),
    [
        (gla, {"gate": "matrix"}, "gate"),
        (gated_delta_net, {"beta_scale": 3.0}, "beta_scale"),
        (ret_net, {"gamma": 2.0}, "gamma"),
        (streaming_attention, {"mode": "gpt"}, "mode"),
        (hawk, {"n_heads": 0}, "n_heads"),
    ],
)
def test_a_bad_value_given_to_a_factory_is_an_error_that_names_it(factory, params, name):
    with pytest.raises(ValueError, match=f"^{name}={params[name]!r}"):
        factory(**params)


def test_everything_that_is_documented_can_be_imported():
    names = {
        "StreamingAttentionRegressor",
        "AttentionTransformer",
        "RLSRegressor",
        "gla",
        "delta_net",
        "gated_delta_net",
        "hawk",
        "ret_net",
        "streaming_attention",
        "calendar_features",
    }
    assert names <= set(river_attention.__all__)
    assert [name for name in names if not hasattr(river_attention, name)] == []


# --- Configurations.


@pytest.mark.parametrize(("cls", "params"), SETTINGS)
def test_a_configuration_holds_the_constructor_arguments(cls, params):
    config = cls(**params).get_config()
    assert list(config) == list(inspect.signature(cls).parameters)
    assert config == config | {name: to_plain(value) for name, value in params.items()}


@pytest.mark.parametrize(("cls", "params"), SETTINGS)
def test_a_configuration_as_json_makes_the_same_model(cls, params):
    model = cls(**params)
    config = json.loads(json.dumps(model.get_config()))
    before = copy.deepcopy(config)
    again = cls.from_config(config)
    assert config == before
    assert type(again) is cls
    assert repr(again) == repr(model)
    assert again.get_config() == model.get_config()
    if "seed" not in params:
        assert progressive(again) == progressive(model)


@pytest.mark.parametrize("cls", [*MEMORIES, RLSRegressor])
def test_what_a_configuration_leaves_out_takes_its_default(cls):
    assert cls.from_config({}).get_config() == cls().get_config()


def test_a_learned_model_has_the_configuration_of_a_fresh_one():
    model = StreamingAttentionRegressor()
    progressive(model)
    assert model.get_config() == StreamingAttentionRegressor().get_config()


@pytest.mark.parametrize("cls", [*MEMORIES, RLSRegressor])
def test_an_unknown_key_is_an_error_that_names_it(cls):
    config = cls().get_config() | {"n_head": 2}
    with pytest.raises(ValueError, match=r"'n_head'.*" + cls.__name__):
        cls.from_config(config)


@pytest.mark.parametrize("cls", MEMORIES)
@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ({"class": "GLA", "gates": "vector"}, "'gates'"),
        ({"class": "Hawk", "gate": "vector"}, "'gate'"),
        ({"class": "LogLinear", "inner": {"class": "GLA", "level": 1}}, "'level'"),
        ({"class": "LogLinear", "inner": {"class": "Transformer"}}, "'Transformer'"),
        ({"class": "Transformer"}, "'Transformer'"),
        ({"gate": "vector"}, "class=None"),
        ({}, "class=None"),
        ({"class": "GLA", "gate": "matrix"}, "gate='matrix'"),
        ({"class": ["GLA"]}, "class="),
        ("gpt", "mode='gpt'"),
    ],
)
def test_a_bad_mode_in_a_configuration_is_an_error_that_names_what_is_wrong(cls, mode, message):
    with pytest.raises(ValueError, match=message):
        cls.from_config(cls().get_config() | {"mode": mode})


@pytest.mark.parametrize("mode", NAMED.values(), ids=NAMED)
def test_a_mode_as_data_makes_the_mode_again(mode):
    assert from_plain(json.loads(json.dumps(to_plain(mode)))) == mode


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (StreamingAttentionRegressor, {"n_heads": np.int64(2)}),
        (StreamingAttentionRegressor, {"forgetting_factor": np.float64(0.99)}),
        (StreamingAttentionRegressor, {"delta": np.float32(0.5)}),
        (StreamingAttentionRegressor, {"seed": np.int64(7)}),
        (StreamingAttentionRegressor, {"mode": RetNet(gamma=np.float32(0.5))}),
        (StreamingAttentionRegressor, {"mode": RetNet(gamma=tuple(np.full(4, 0.5, "f4")))}),
        (StreamingAttentionRegressor, {"mode": LogLinear(lambda_init=(np.int64(1),))}),
        (AttentionTransformer, {"memory": np.int64(2)}),
        (RLSRegressor, {"leak": np.int64(8)}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value),
)
def test_numpy_numbers_make_a_configuration_that_json_can_hold(cls, params):
    model = cls(**params)
    again = cls.from_config(json.loads(json.dumps(model.get_config())))
    assert progressive(again) == progressive(model)


# --- Clones and grids.


@pytest.mark.parametrize("cls", MEMORIES)
@pytest.mark.parametrize("first", ["hawk", GLA(), None], ids=str)
@pytest.mark.parametrize("mode", [GLA(gate="vector"), LogLinear(inner=RetNet()), "hgrn2", None])
def test_a_clone_takes_a_new_mode(cls, first, mode):
    model = cls(mode=first, n_heads=2)
    before = model.get_config()
    clone = model.clone({"mode": mode})
    assert clone.get_config() == cls(mode=mode, n_heads=2).get_config()
    assert model.get_config() == before


def test_a_clone_has_a_mode_object_of_its_own():
    mode = RetNet(gamma=(0.5, 0.9))
    model = StreamingAttentionRegressor(mode=mode, n_heads=2)
    clone = model.clone()
    assert clone.mode == model.mode
    assert clone.mode is not mode


@pytest.mark.parametrize("cls", MEMORIES)
def test_a_grid_holds_classes_with_parameters_objects_and_names(cls):
    grid = {
        "mode": [(GLA, {"gate": ["scalar", "vector"]}), "hawk", RetNet(gamma=0.9), None],
        "n_heads": [2, 3],
    }
    models = utils.expand_param_grid(cls(memory=2), grid)
    modes = [GLA(gate="scalar"), GLA(gate="vector"), "hawk", RetNet(gamma=0.9), None]
    expected = [cls(memory=2, mode=mode, n_heads=n) for mode in modes for n in (2, 3)]
    assert [model.get_config() for model in models] == [model.get_config() for model in expected]


def test_a_grid_reaches_into_a_mode():
    grid = {"mode": (LogLinear, {"inner": [(GLA, {"read": ["after"]}), RetNet()]})}
    models = utils.expand_param_grid(StreamingAttentionRegressor(), grid)
    assert [model.mode for model in models] == [LogLinear(inner=GLA()), LogLinear(inner=RetNet())]


def test_a_grid_reaches_into_a_pipeline():
    pipeline = compose.Pipeline(preprocessing.OneHotEncoder(), StreamingAttentionRegressor())
    grid = {"StreamingAttentionRegressor": {"mode": [(GLA, {"gate": ["scalar", "vector"]})]}}
    models = utils.expand_param_grid(pipeline, grid)
    modes = [model["StreamingAttentionRegressor"].mode for model in models]
    assert modes == [GLA(gate="scalar"), GLA(gate="vector")]


def test_models_of_a_grid_learn_independently():
    grid = {"mode": [(GLA, {"gate": ["scalar", "vector"]}), "hawk"]}
    models = utils.expand_param_grid(StreamingAttentionRegressor(), grid)
    expected = [
        progressive(StreamingAttentionRegressor(mode=mode))
        for mode in (GLA(gate="scalar"), GLA(gate="vector"), "hawk")
    ]
    assert [progressive(model) for model in models] == expected
