"""Attention modes: what every one of them promises, and what each of them remembers.

``MODES`` is the only list: every named mode, every variant that the signatures tell of, and some
more. Whatever is true of modes in general is tested for every row of it.
"""

from __future__ import annotations

import inspect
import itertools
import json
import pickle
import re

import numpy as np
import pandas as pd
import pytest

from river_attention import StreamingAttentionRegressor, modes
from river_attention import functional as F
from river_attention.layers import MultiHeadLinearAttention
from river_attention.modes import (
    CLASSES,
    GLA,
    HGRN2,
    KDA,
    LRU,
    MLSTM,
    NAMED,
    RWKV,
    RWKV7,
    DeltaNet,
    DeltaProduct,
    GatedDeltaNet,
    Hawk,
    LinearAttention,
    LogLinear,
    Mode,
    RetNet,
    resolve,
)
from river_attention.readout import RecursiveLeastSquares

GAMMAS = (0.5, 0.9, 0.99)
INNER = [RetNet(), GLA(), LinearAttention(normalize=False), DeltaNet(), GatedDeltaNet()]


def with_parameter(name, value):
    """Every named mode that has this parameter, with this value for it."""
    return [
        mode.clone({name: value})
        for mode in NAMED.values()
        if name in inspect.signature(type(mode)).parameters
    ]


MODES = {
    repr(mode): mode
    for mode in [
        *NAMED.values(),
        *with_parameter("read", "before"),
        *with_parameter("tied", True),
        RetNet(rotary=True),
        RetNet(rotary=True, read="before"),
        RetNet(gamma=0.9),
        RetNet(gamma=GAMMAS),
        RetNet(gamma=0.0),
        RetNet(gamma=1.0),
        GatedDeltaNet(beta="static"),
        GatedDeltaNet(beta_scale=2.0),
        DeltaProduct(n_compositions=3, reflections=True),
        DeltaProduct(n_compositions=1, reflections=True, gated=False, beta_gain=20.0),
        *(LogLinear(inner=inner) for inner in INNER),
        LogLinear(max_levels=3),
        LogLinear(max_levels=1),
        LogLinear(lambda_init=(1.0, 0.5, 0.25)),
        LogLinear(inner=RetNet(gamma=GAMMAS)),
        LinearAttention(normalize=False),
        HGRN2(lower_bound=0.0),
        RWKV(initial_decay=0.95),
    ]
}


def label(mode):
    """What sets a mode apart: its class and the parameters that are not the default ones."""
    parts = []
    for name, parameter in inspect.signature(type(mode)).parameters.items():
        value = getattr(mode, name)
        if value != parameter.default:
            parts.append(f"{name}={label(value) if isinstance(value, Mode) else value}")
    return f"{type(mode).__name__}({', '.join(parts)})"


@pytest.fixture(params=MODES.values(), ids=label)
def mode(request):
    """Every mode."""
    return request.param


def reads_before(mode):
    return getattr(mode, "read", "after") == "before"


def n_heads_of(mode, default):
    """As many heads as there are decays, where a mode lists them."""
    gamma = getattr(getattr(mode, "inner", mode), "gamma", None)
    return len(gamma) if isinstance(gamma, tuple) else default


def layer_of(mode, seed=1, **params):
    n_heads = n_heads_of(resolve(mode), 3)
    sizes = {"n_heads": n_heads, "d_key": 4, "d_value": 2, "n_inputs": 5} | params
    return MultiHeadLinearAttention(mode, **sizes, seed=seed)


def inputs(n_steps=12, seed=0):
    return np.random.default_rng(seed).normal(size=(n_steps, 5))


def assert_close(actual, expected, tolerance=1e-12):
    """Relative to the largest value: BLAS adds in another order for a matrix than for a vector."""
    limit = tolerance * np.abs(expected).max(initial=1e-300)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=limit)


# --- Layers of every mode.


def test_a_step_at_a_time_is_the_sequence_at_once(mode):
    layer, X = layer_of(mode), inputs(40)
    reads, final = layer.forward(X, layer.init_state())
    state = layer.init_state()
    steps = []
    for x in X:
        read, state = layer.propose(x, state)
        steps.append(read)
    assert_close(np.array(steps), reads)
    assert_close(state, final)


def test_any_split_of_the_sequence_gives_the_whole(mode, case):
    layer, X = layer_of(mode), inputs(12)
    whole, final = layer.forward(X, layer.init_state())
    for cut in range(13):
        with case(cut):
            first, state = layer.forward(X[:cut], layer.init_state())
            second, state = layer.forward(X[cut:], state)
            assert_close(np.concatenate([first, second]), whole)
            assert_close(state, final)


def test_a_step_leaves_the_state_as_it_was_and_can_be_repeated(mode):
    layer, X = layer_of(mode), inputs()
    _, state = layer.forward(X, layer.init_state())
    before = state.copy()
    state.flags.writeable = X.flags.writeable = False
    read, new = layer.propose(X[0], state)
    again, new_again = layer.propose(X[0], state)
    assert np.array_equal(state, before)
    assert np.array_equal(read, again)
    assert np.array_equal(new, new_again)
    assert not np.shares_memory(new, state)


def test_the_state_is_one_contiguous_array_of_constant_size(mode):
    layer, X = layer_of(mode), inputs(70)
    first = layer.init_state()
    _, after_one = layer.propose(X[0], first)
    _, after_many = layer.forward(X, first)
    for state in (first, after_one, after_many):
        assert isinstance(state, np.ndarray)
        assert state.flags.c_contiguous
        assert state.dtype in (np.float64, np.complex128)
        assert (state.dtype, state.shape) == (first.dtype, first.shape)


def test_a_read_is_a_real_number_for_each_value_dimension(mode):
    layer = layer_of(mode)
    reads, _ = layer.forward(inputs(), layer.init_state())
    assert reads.shape == (12, layer.n_outputs) == (12, layer.n_heads * 2)
    assert reads.dtype == np.float64


def test_the_same_seed_gives_the_same_reads_and_another_seed_others(mode):
    X = inputs()
    one, same, other = (layer_of(mode, seed=seed) for seed in (1, 1, 2))
    reads, _ = one.forward(X, one.init_state())
    assert np.array_equal(reads, same.forward(X, same.init_state())[0])
    assert not np.allclose(reads, other.forward(X, other.init_state())[0])


def test_the_past_has_an_influence_on_the_reads(mode):
    layer, X = layer_of(mode), inputs()
    reads, _ = layer.forward(X, layer.init_state())
    later, _ = layer.forward(X[1:], layer.init_state())
    without_memory = mode == RetNet(gamma=0.0)
    assert np.allclose(reads[2:], later[1:], rtol=1e-6, atol=0) == without_memory


EXTREMES = {
    "large": lambda X: 10.0 * X,
    "zeros": lambda X: 0.0 * X,
    "constant": np.ones_like,
    "spike": lambda X: spiked(X, 1e6),
    "negative spike": lambda X: spiked(X, -1e6),
}


def spiked(X, size):
    X = X.copy()
    X[len(X) // 3] = size
    return X


def assert_finite_for_ever(mode, kind, n_steps):
    # the seed is one where a spike closes both gates of a head of mLSTM at once
    layer = layer_of(mode, seed=2)
    X = EXTREMES[kind](inputs(n_steps))
    state = layer.init_state()
    n_bytes = state.nbytes
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        reads, state = layer.forward(X, state)
    assert np.isfinite(reads).all()
    assert np.isfinite(state).all()
    assert state.nbytes == n_bytes


@pytest.mark.parametrize("kind", EXTREMES)
def test_reads_and_state_are_finite_after_thousands_of_steps(mode, kind):
    assert_finite_for_ever(mode, kind, 2_000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXTREMES)
def test_reads_and_state_are_finite_after_a_hundred_thousand_steps(mode, kind):
    assert_finite_for_ever(mode, kind, 10**5)


# --- The regressor with every mode.


def make(mode, **params):
    sizes = {"n_heads": n_heads_of(mode, 2), "d_key": 4, "d_value": 2, "memory": 4, "n_lags": 2}
    return StreamingAttentionRegressor(mode=mode, **(sizes | params))


def stream(n_rows, seed=0):
    """An autoregressive target that depends on two inputs and their past."""
    rng = np.random.default_rng(seed)
    level = 0.0
    for _ in range(n_rows):
        a, b, noise = rng.normal(size=3).tolist()
        level = 0.9 * level + a
        yield {"a": 10.0 + 3.0 * a, "b": b}, 50.0 + level + 2.0 * b + 0.1 * noise


def learned(model, n_rows=60):
    for x, y in stream(n_rows):
        model.learn_one(x, y)
    return model


def progressive(model, n_rows=60, seed=0):
    predictions = []
    for x, y in stream(n_rows, seed):
        predictions.append(model.predict_one(x))
        model.learn_one(x, y)
    return predictions


@pytest.mark.parametrize("saved_between", [False, True], ids=["directly", "saved between"])
def test_learning_trains_on_exactly_the_features_predicted_with(
    mode, saved_between, monkeypatch, numpy_only
):
    predicted, trained = [], []
    plain_predict, plain_update = RecursiveLeastSquares.predict, RecursiveLeastSquares.update

    def predict(self, phi):
        predicted.append(phi.tobytes())
        return plain_predict(self, phi)

    def update(self, phi, y, w=1.0):
        trained.append(phi.tobytes())
        return plain_update(self, phi, y, w)

    monkeypatch.setattr(RecursiveLeastSquares, "predict", predict)
    monkeypatch.setattr(RecursiveLeastSquares, "update", update)
    model = make(mode)
    n_trained = 0
    for x, y in stream(20):
        predicted.clear()
        trained.clear()
        model.predict_one(x)
        if saved_between:
            model = pickle.loads(pickle.dumps(model))
        model.learn_one(x, y)
        n_experts = len(model.task_.readout.least_squares)
        assert trained in ([], predicted[:n_experts])
        n_trained += len(trained)
    # nothing can be learned before two targets are known
    assert n_trained == 18 * n_experts


def test_predictions_leave_the_model_as_it_was(mode):
    model = learned(make(mode))
    before = pickle.dumps(model)
    rows = [x for x, _ in stream(5, seed=1)]
    first = [model.predict_one(x) for x in rows]
    assert len(set(first)) == 5
    model.predict_many(pd.DataFrame(rows))
    model.debug_one(rows[0])
    assert pickle.dumps(model) == before
    assert [model.predict_one(x) for x in rows] == first


def test_many_rows_are_learned_and_predicted_as_one_by_one(mode):
    rows, targets = zip(*stream(60), strict=True)
    X, y = pd.DataFrame(rows), pd.Series(targets)
    one, many = make(mode), make(mode)
    for start in range(0, 60, 20):
        many.learn_many(X[start : start + 20], y[start : start + 20])
    for x, target in zip(rows, targets, strict=True):
        one.learn_one(x, target)
    assert np.array_equal(one.state_, many.state_)
    assert np.array_equal(one.bank_state_, many.bank_state_)
    expected = [one.predict_one(x) for x in rows]
    assert [many.predict_one(x) for x in rows] == expected
    assert many.predict_many(X).tolist() == expected


def test_a_saved_model_continues_bit_by_bit(mode):
    model = learned(make(mode))
    copy = pickle.loads(pickle.dumps(model))
    assert progressive(copy, seed=1) == progressive(model, seed=1)


def test_a_clone_is_a_fresh_model_of_the_same_kind(mode):
    model = learned(make(mode))
    before = pickle.dumps(model)
    clone = model.clone()
    assert clone.get_config() == model.get_config()
    assert progressive(clone) == progressive(make(mode))
    assert pickle.dumps(model) == before


def test_a_model_does_not_grow(mode):
    model = make(mode)
    sizes = []
    for x, y in stream(600):
        model.learn_one(x, y)
        sizes.append(len(pickle.dumps(model)) if len(sizes) in (299, 599) else 0)
    assert abs(sizes[599] - sizes[299]) < 200


def test_the_same_seed_gives_the_same_predictions_and_another_seed_others(mode):
    predictions = progressive(make(mode))
    assert progressive(make(mode)) == predictions
    assert progressive(make(mode, seed=43)) != predictions


def test_a_configuration_as_json_makes_the_same_model(mode):
    model = make(mode)
    config = json.loads(json.dumps(model.get_config()))
    again = StreamingAttentionRegressor.from_config(config)
    assert repr(again) == repr(model)
    assert again.mode == mode
    assert progressive(again) == progressive(model)


# --- Modes as objects.


def test_the_repr_of_a_mode_makes_it_again(mode):
    assert eval(repr(mode), vars(modes).copy()) == mode
    assert str(mode) == repr(mode)


def test_a_mode_equals_its_copies_and_no_other(mode):
    for copy in (mode.clone(), pickle.loads(pickle.dumps(mode))):
        assert copy is not mode
        assert copy == mode
        assert hash(copy) == hash(mode)
    assert [other for other in MODES.values() if other == mode] == [mode]
    assert mode != repr(mode)


def test_copies_of_a_mode_do_the_same(mode):
    layer, X = layer_of(mode), inputs()
    reads, _ = layer.forward(X, layer.init_state())
    for copy in (mode.clone(), pickle.loads(pickle.dumps(mode))):
        other = layer_of(copy)
        assert np.array_equal(reads, other.forward(X, other.init_state())[0])


def test_a_mode_given_with_numpy_numbers_is_the_same_mode():
    pairs = [
        (RetNet(gamma=np.float64(0.9)), RetNet(gamma=0.9)),
        (RetNet(gamma=tuple(np.array(GAMMAS))), RetNet(gamma=GAMMAS)),
        (RWKV(initial_decay=np.float64(0.9)), RWKV(initial_decay=0.9)),
        (HGRN2(lower_bound=np.float64(0.5)), HGRN2(lower_bound=0.5)),
        (LogLinear(max_levels=np.int64(8)), LogLinear(max_levels=8)),
        (LogLinear(lambda_init=tuple(np.ones(2))), LogLinear(lambda_init=(1.0, 1.0))),
    ]
    assert [one for one, other in pairs if one != other] == []


@pytest.mark.parametrize("name", NAMED)
def test_a_name_stands_for_its_mode_object(name):
    assert resolve(name) is NAMED[name]
    assert resolve(NAMED[name]) is NAMED[name]


@pytest.mark.parametrize("unknown", ["gpt", "GLA", "", None, 3, ["gla"], GLA])
def test_an_unknown_name_is_an_error_that_lists_the_names(unknown):
    with pytest.raises(ValueError, match=f"^mode={re.escape(repr(unknown))}") as error:
        resolve(unknown)
    assert [name for name in NAMED if repr(name) not in str(error.value)] == []


def test_all_documented_names_are_there():
    documented = (
        "retnet hawk gla gla_vector delta_net gated_delta_net rwkv mlstm delta_product rwkv7 hgrn2 "
        "log_linear"
    )
    assert set(documented.split()) <= set(NAMED)


@pytest.mark.parametrize("name", CLASSES)
def test_a_mode_is_documented_with_equation_parameters_reference_and_example(name):
    text = inspect.getdoc(CLASSES[name])
    assert ".. math::" in text
    assert "References\n----------" in text
    assert re.search(r"arXiv:\d{4}\.\d{5}", text)
    assert f">>> from river_attention.modes import {name}" in text
    for parameter in inspect.signature(CLASSES[name]).parameters:
        assert f"\n{parameter}\n    " in text


# --- Hyper-parameters.

NAN = float("nan")
NOT_BOOL = (1, "yes", None)
NOT_READ = ("during", "", None, True)
BAD_PARAMETERS = {
    RetNet: {
        "gamma": (1.1, -0.1, NAN, "0.9", True, (), [0.9], (0.9, 1.1), (0.9, NAN), (0.9, "x")),
        "rotary": NOT_BOOL,
        "read": NOT_READ,
    },
    Hawk: {},
    GLA: {"gate": ("matrix", "", None, 1), "read": NOT_READ},
    DeltaNet: {"tied": NOT_BOOL, "read": NOT_READ},
    GatedDeltaNet: {
        "beta": ("per_head", None, 0.5),
        "beta_scale": (0.0, -1.0, 2.1, NAN, "1", None, True),
        "tied": NOT_BOOL,
        "read": NOT_READ,
    },
    RWKV: {"initial_decay": (0.0, 1.0, -0.5, 1.5, NAN, "0.9", True)},
    MLSTM: {},
    DeltaProduct: {
        "n_compositions": (0, -1, 1.5, "2", None, True),
        "reflections": NOT_BOOL,
        "gated": NOT_BOOL,
        "beta_gain": (0.0, -1.0, NAN, float("inf"), "1", None),
        "tied": NOT_BOOL,
        "read": NOT_READ,
    },
    RWKV7: {},
    HGRN2: {"lower_bound": (1.0, -0.1, 1.5, NAN, "0.9", None), "read": NOT_READ},
    LogLinear: {
        "inner": ("gla", 3, GLA),
        "max_levels": (0, -1, 1.5, "3", None, True),
        "lambda_init": (1.0, (), [1.0], (1.0, NAN), ("x",), (1.0,) * 33, "1"),
    },
    KDA: {"tied": NOT_BOOL, "read": NOT_READ},
    LinearAttention: {"normalize": NOT_BOOL},
    LRU: {},
}


@pytest.mark.parametrize(
    ("cls", "parameter", "value"),
    [
        pytest.param(cls, parameter, value, id=f"{cls.__name__}({parameter}={value!r})")
        for cls, parameters in BAD_PARAMETERS.items()
        for parameter, values in parameters.items()
        for value in values
    ],
)
def test_a_bad_hyper_parameter_is_an_error_that_names_it_and_its_value(cls, parameter, value):
    with pytest.raises(ValueError, match=f"^{parameter}=") as error:
        cls(**{parameter: value})
    # of a tuple, the number that is wrong will do
    shown = [repr(item) for item in value] if isinstance(value, tuple) else []
    assert any(text in str(error.value) for text in [repr(value), *shown])


def test_every_hyper_parameter_of_every_mode_has_bad_values_to_test():
    signatures = {cls: set(inspect.signature(cls).parameters) for cls in CLASSES.values()}
    assert {cls: set(parameters) for cls, parameters in BAD_PARAMETERS.items()} == signatures


@pytest.mark.parametrize("mode", [RetNet(gamma=(0.5, 0.9)), LogLinear(RetNet(gamma=(0.5, 0.9)))])
def test_a_number_of_decays_other_than_of_heads_is_an_error(mode):
    with pytest.raises(ValueError, match=r"^gamma=\(0\.5, 0\.9\)"):
        MultiHeadLinearAttention(mode, n_heads=3)


def test_an_odd_key_dimension_cannot_rotate():
    with pytest.raises(ValueError, match=r"^d_key=3"):
        MultiHeadLinearAttention(RetNet(rotary=True), d_key=3)


# --- What the modes mean.


class Recorder:
    """A mode that shows what a layer gives it."""

    def __init__(self, mode):
        self.mode = mode

    def __getattr__(self, name):
        return getattr(self.mode, name)

    def token(self, *blocks):
        self.blocks = blocks
        self.last_token = self.mode.token(*blocks)
        return self.last_token


def recorded(layer):
    """What the layer's mode is given from now on: ``blocks`` and ``last_token``."""
    layer.mode = Recorder(layer.mode)
    return layer.mode


def token_at_rest(mode, n_heads=4):
    """The token that an input of 0 makes."""
    layer = layer_of(mode, n_heads=n_heads)
    seen = recorded(layer)
    layer.propose(np.zeros(5), layer.init_state())
    return seen.last_token


# --- Every mode by its function: the blocks that a layer projects, to the output [T, H, d_v].


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def query_and_keys(mode, rows):
    """Of length one; the query is the last row, the first key where they are tied."""
    rows = unit(rows)
    return (rows[..., 0, :], rows) if mode.tied else (rows[..., -1, :], rows[..., :-1, :])


def by_retention(mode, decay, k, v, q):
    return F.retention(q, k, v, decay[0, :, 0], scale=1.0)


def by_gated_linear_attention(mode, gate, k, v, q):
    log_gate = np.log(sigmoid(gate))
    log_gate = log_gate if mode.gate == "vector" else log_gate[..., 0]
    return F.gated_linear_attention(q, k, v, log_gate, scale=1.0)


def by_delta_rule(mode, decay, beta, rows, v):
    q, k = query_and_keys(mode, rows)
    return F.delta_rule(q, k[..., 0, :], v, sigmoid(beta[..., 0]), scale=1.0)


def by_gated_delta_rule(mode, gate, beta, rows, v):
    q, k = query_and_keys(mode, rows)
    beta = mode.beta_scale * (0.5 if mode.beta == "static" else sigmoid(beta)) + 0 * beta
    log_gate = np.log(sigmoid(gate[..., 0]))
    return F.gated_delta_rule(q, k[..., 0, :], v, beta[..., 0], log_gate, scale=1.0)


def by_kimi_delta_attention(mode, gate, beta, rows, v):
    q, k = query_and_keys(mode, rows)
    log_gate = np.log(sigmoid(gate))
    return F.gated_delta_rule(q, k[..., 0, :], v, sigmoid(beta[..., 0]), log_gate, scale=1.0)


def by_gated_delta_product(mode, gate, beta, rows, v):
    q, k = query_and_keys(mode, rows)
    beta = (2 if mode.reflections else 1) * sigmoid(beta)
    k, v, beta = (array.swapaxes(1, 2) for array in (k, v, beta))
    log_gate = np.log(sigmoid(gate[..., 0])) if mode.gated else None
    return F.gated_delta_product(q, k, v, beta, log_gate)


def by_rwkv6(mode, log_rate, k, v, r, bonus):
    return F.rwkv6(r, k, v, -np.exp(log_rate), bonus[0])


def by_rwkv7(mode, decay, a, k, v, r):
    a = sigmoid(a)
    return F.rwkv7(r, a * k, v, -np.exp(-0.5) * sigmoid(decay), unit(k), a)


def by_hgrn2(mode, forget, v, q):
    floor = mode.lower_bound
    return F.hgrn2(q, v, floor + (1 - floor) * sigmoid(forget), scale=1.0)


def by_rg_lru(mode, x, rec_gate, input_gate, rate):
    # the rate is 8 softplus(Λ)
    recurrent_param = np.log(np.expm1(rate[0].ravel() / 8))
    flat = (array.reshape(len(x), -1) for array in (x, rec_gate, input_gate))
    output, final = F.rg_lru(*flat, recurrent_param)
    return output.reshape(x.shape), final


def by_mlstm(mode, forget, log_input, k, v, q):
    return F.mlstm(q, k, v, log_input[..., 0], forget[..., 0])


def by_kernel_linear_attention(mode, decay, k, v, q):
    return F.kernel_linear_attention(q, k, v, normalize=mode.normalize)


def by_definition_of_lru(mode, decay, angle, v, real, imaginary):
    poles = (decay * np.exp(1j * angle))[..., None]
    written = np.sqrt(1 - np.abs(poles) ** 2) * v[:, :, None, :]
    states = [np.zeros_like(written[0])]
    for pole, new in zip(poles, written, strict=True):
        states.append(pole * states[-1] + new)
    reading = (real + 1j * imaginary)[..., None]
    return (reading * np.array(states[1:])).sum(axis=2).real, states[-1]


FUNCTIONS = {
    RetNet: by_retention,
    Hawk: by_rg_lru,
    GLA: by_gated_linear_attention,
    DeltaNet: by_delta_rule,
    GatedDeltaNet: by_gated_delta_rule,
    RWKV: by_rwkv6,
    MLSTM: by_mlstm,
    DeltaProduct: by_gated_delta_product,
    RWKV7: by_rwkv7,
    HGRN2: by_hgrn2,
    KDA: by_kimi_delta_attention,
    LinearAttention: by_kernel_linear_attention,
    LRU: by_definition_of_lru,
}
# blocks of several rows: the keys of the delta family, the values of DeltaProduct
SEVERAL_ROWS = {DeltaNet: {2}, GatedDeltaNet: {2}, KDA: {2}, DeltaProduct: {2, 3}}
IN_ITS_OWN_WAY = [
    mode
    for mode in MODES.values()
    if isinstance(mode, LogLinear) or getattr(mode, "rotary", False) or reads_before(mode)
]


def vectors(mode, blocks):
    """The blocks without the axis of length 1 of a column [d, 1] or a row [1, d]."""
    several = SEVERAL_ROWS.get(type(mode), set())
    return [
        block if i in several else block[..., 0] if block.shape[-1] == 1 else block[..., 0, :]
        for i, block in enumerate(blocks)
    ]


@pytest.mark.parametrize(
    "mode", [mode for mode in MODES.values() if mode not in IN_ITS_OWN_WAY], ids=label
)
def test_reads_of_a_mode_are_those_of_its_function(mode):
    layer, X = layer_of(mode), inputs(30)
    recorder = recorded(layer)
    reads, _ = layer.forward(X, layer.init_state())
    expected, _ = FUNCTIONS[type(mode)](mode, *vectors(mode, recorder.blocks))
    assert_close(reads, expected.reshape(reads.shape), 1e-10)


def test_every_mode_has_a_function():
    assert set(FUNCTIONS) | {LogLinear} == set(CLASSES.values())


@pytest.mark.parametrize("n_levels", [2, 4, 8])
@pytest.mark.parametrize("inner", [GLA(), GatedDeltaNet(beta_scale=2.0)], ids=label)
def test_reads_of_log_linear_attention_are_those_of_its_function(inner, n_levels):
    weights = tuple(0.7**level for level in range(n_levels))
    layer = layer_of(LogLinear(inner, max_levels=n_levels, lambda_init=weights))
    recorder, X = recorded(layer), inputs(30)
    reads, _ = layer.forward(X, layer.init_state())
    level_weights = np.broadcast_to(weights, (30, 3, n_levels))
    blocks = vectors(inner, recorder.blocks)
    if isinstance(inner, GLA):
        gate, k, v, q = blocks
        beta = None
    else:
        gate, beta, rows, v = blocks
        q, k = query_and_keys(inner, rows)
        k, beta = k[..., 0, :], 2 * sigmoid(beta[..., 0])
    log_gate = np.log(sigmoid(gate[..., 0]))
    expected, _ = F.log_linear_attention(q, k, v, level_weights, log_gate, beta)
    assert_close(reads, expected.reshape(reads.shape), 1e-10)


# --- What the projections are drawn from.

MANY = 1000
CONSTANT_DECAY = {"retnet", "delta_net", "linear", "lru"}
GATES = {"decay", "forget", "log rate", "recurrence gate"}
BIASED = {"k", "q", "k, q", "r"}
UNBIASED = {"v", "x", "beta"}


def projected(name, u):
    """The blocks of a thousand heads for an input, by name."""
    layer = layer_of(NAMED[name], n_heads=MANY)
    recorder = recorded(layer)
    layer.propose(u, layer.init_state())
    names = [block.name for block in NAMED[name].projections(4, 2)]
    return dict(zip(names, recorder.blocks, strict=True))


@pytest.mark.parametrize("name", NAMED)
def test_keys_and_queries_have_a_standard_normal_bias_and_values_none(name):
    blocks = projected(name, np.zeros(5))
    assert blocks.keys() & UNBIASED
    for block in blocks.keys() & UNBIASED:
        assert not blocks[block].any(), block
    for block in blocks.keys() & BIASED:
        # of 4 000 numbers: mean and deviation are off by 1.6 % and 1.1 % (standard deviation)
        assert abs(blocks[block].mean()) < 0.08, block
        assert blocks[block].std() == pytest.approx(1.0, rel=0.06), block


@pytest.mark.parametrize("name", NAMED)
def test_weights_have_a_variance_of_one_over_the_number_of_inputs_and_gates_are_half_as_steep(name):
    at_rest, blocks = projected(name, np.zeros(5)), projected(name, np.eye(5)[2])
    for block in blocks.keys() & (GATES | BIASED | UNBIASED):
        column = np.sqrt(5) * (blocks[block] - at_rest[block])
        steepness = 0.5 if block in GATES else 1.0
        if block == "decay" and name in CONSTANT_DECAY:
            steepness = 0.0
        # of at least 1 000 numbers: the deviation is off by 2.2 % (standard deviation)
        assert column.std() == pytest.approx(steepness, rel=0.1), block


# --- Time constants.

WITHOUT_GATE = {"delta_net", "linear"}
WITH_FLOOR = {"hgrn2": 0.9, "rwkv7": np.exp(-np.exp(-0.5))}
LOGARITHMS = {"mlstm"}


@pytest.mark.parametrize("name", [n for n in NAMED if n not in WITHOUT_GATE | set(WITH_FLOOR)])
def test_decays_at_rest_are_those_of_time_constants_from_1_to_64(name):
    decay = token_at_rest(NAMED[name])[0]
    decay = np.exp(decay) if name in LOGARITHMS else np.abs(decay)
    expected = np.exp(-1.0 / np.array([1.0, 4.0, 16.0, 64.0]))
    rows = decay.reshape(4, -1)
    assert_close(rows, np.repeat(expected[:, None], rows.shape[1], axis=1), 1e-10)


@pytest.mark.parametrize("name", WITH_FLOOR)
def test_decays_at_rest_above_a_floor_are_spread_from_there(name):
    floor = WITH_FLOOR[name]
    rows = token_at_rest(NAMED[name])[0].reshape(4, -1)
    taus = np.geomspace(-1.0 / np.log(floor), 64.0, 4)
    # the fastest head would sit on the floor, where its gate could not move: it stays off by the
    # sigmoid of -4 of the way from there to 1
    assert_close(rows[1:], np.exp(-1.0 / taus[1:])[:, None] + 0 * rows[1:], 1e-10)
    assert (rows[0] > floor).all()
    assert (rows[0] < floor + 0.019 * (1 - floor)).all()


def test_hgrn2_without_floor_has_the_time_constants_of_the_others():
    rows = token_at_rest(HGRN2(lower_bound=0.0))[0].reshape(4, -1)
    taus = np.array([1.0, 4.0, 16.0, 64.0])
    # the gate of the slowest head is kept below the sigmoid of 4
    expected = np.minimum(np.exp(-1.0 / taus), 1 / (1 + np.exp(-4.0)))
    assert_close(rows, expected[:, None] + 0 * rows, 1e-10)


@pytest.mark.parametrize("name", sorted(WITHOUT_GATE))
def test_modes_without_gate_do_not_decay(name):
    mode = NAMED[name]
    layer, X = layer_of(mode), inputs(50)
    recorder = recorded(layer)
    layer.forward(X, layer.init_state())
    decay = recorder.blocks[0]
    assert np.array_equal(decay, np.ones_like(decay))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (RetNet(gamma=0.9), [0.9, 0.9, 0.9]),
        (RetNet(gamma=GAMMAS), GAMMAS),
        (RetNet(gamma=GAMMAS, rotary=True), GAMMAS),
        (RWKV(initial_decay=0.95), [0.95, 0.95, 0.95]),
        (DeltaProduct(gated=False), [1.0, 1.0, 1.0]),
    ],
    ids=repr,
)
def test_decays_that_are_given_are_taken(mode, expected):
    rows = np.abs(token_at_rest(mode, n_heads=3)[0]).reshape(3, -1)
    assert_close(rows, np.array(expected)[:, None] + 0 * rows)


# --- What sets one mode apart.


def test_normalised_linear_attention_reads_a_weighted_mean_of_the_values():
    layer, X = layer_of(LinearAttention()), inputs(200)
    recorder = recorded(layer)
    reads, _ = layer.forward(X, layer.init_state())
    values = recorder.blocks[2].reshape(200, -1)
    low, high = np.minimum.accumulate(values), np.maximum.accumulate(values)
    assert (reads > low - 1e-9).all()
    assert (reads < high + 1e-9).all()
    # the first read is the only value there is
    assert_close(reads[0], values[0], 1e-10)


@pytest.mark.parametrize("mode", [mode for mode in MODES.values() if reads_before(mode)], ids=label)
def test_reading_before_writing_is_reading_the_state_that_was_found(mode):
    X = inputs(8)
    before, after = layer_of(mode), layer_of(mode.clone({"read": "after"}))
    read, state = before.propose(X[0], before.init_state())
    assert not read.any()
    for x in X[1:]:
        _, new = after.propose(x, state)
        read, state = before.propose(x, state)
        assert np.array_equal(state, new)
        assert read.any()


def test_rwkv_reads_its_own_token_by_the_bonus_alone():
    layer = layer_of(RWKV())
    recorder = recorded(layer)
    read, _ = layer.propose(inputs(1)[0], layer.init_state())
    _, k, v, q, bonus = recorder.blocks
    expected = (q[:, 0] * bonus[..., 0] * k[..., 0]).sum(axis=1, keepdims=True) * v[:, 0]
    assert_close(read, expected.ravel())


@pytest.mark.parametrize("inner", INNER, ids=label)
def test_log_linear_attention_with_unit_weights_is_its_inner_mode(inner):
    X = inputs(100)
    plain, levels = layer_of(inner), layer_of(LogLinear(inner=inner))
    expected, _ = plain.forward(X, plain.init_state())
    assert_close(levels.forward(X, levels.init_state())[0], expected, 1e-10)


def test_level_weights_beyond_the_given_ones_are_the_last():
    X = inputs(100)
    short = layer_of(LogLinear(max_levels=8, lambda_init=(1.0, 0.5)))
    long = layer_of(LogLinear(max_levels=8, lambda_init=(1.0, *[0.5] * 7)))
    reads, _ = short.forward(X, short.init_state())
    assert np.array_equal(reads, long.forward(X, long.init_state())[0])


def test_level_weights_count_the_age_of_a_token_by_powers_of_two():
    X = inputs(8)
    weights = (0.0, 0.0, 0.0, 1.0)
    layer = layer_of(LogLinear(GLA(), max_levels=8, lambda_init=(*weights, 0.0)))
    reads, _ = layer.forward(X, layer.init_state())
    # the block of four older tokens is there at positions 4 to 7
    assert not reads[:4].any()
    assert (np.abs(reads[4:]).max(axis=1) > 0).all()


UNFIT = {
    "use .*GLA": [
        NAMED[name]
        for name in NAMED
        if type(NAMED[name]) not in {type(inner) for inner in INNER} | {LogLinear}
    ],
    "levels of levels": [LogLinear(), LogLinear(inner=RetNet(), max_levels=3)],
    "gate='scalar'": [GLA(gate="vector")],
    "normalize=False": [LinearAttention()],
    "rotary=False": [RetNet(rotary=True)],
    "read='after'": [inner.clone({"read": "before"}) for inner in INNER if hasattr(inner, "read")],
}


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        pytest.param(inner, reason, id=label(inner))
        for reason, unfit in UNFIT.items()
        for inner in unfit
    ],
)
def test_a_mode_that_levels_cannot_hold_is_an_error_that_says_why(inner, reason):
    with pytest.raises(ValueError, match=f"^inner={re.escape(repr(inner))}: .*{reason}"):
        LogLinear(inner=inner)


def test_every_mode_is_either_fit_for_levels_or_not():
    tested = {type(mode) for mode in itertools.chain(INNER, *UNFIT.values())}
    assert tested == set(CLASSES.values())


def test_scalar_and_vector_gates_have_states_of_the_same_shape():
    scalar, vector = layer_of(GLA(gate="scalar")), layer_of(GLA(gate="vector"))
    assert scalar.init_state().shape == vector.init_state().shape == (3, 4, 2)


# what says "do not decay" in the first block
TIED = [(DeltaNet, 1.0), (GatedDeltaNet, 50.0), (KDA, 50.0)]


@pytest.mark.parametrize(
    ("cls", "open_gate"), TIED, ids=lambda value: getattr(value, "__name__", "")
)
def test_the_delta_rule_with_tied_keys_recalls_the_last_value_of_a_key(cls, open_gate):
    mode = cls(tied=True, read="before")
    rng = np.random.default_rng(0)
    keys = 3.0 * np.linalg.qr(rng.normal(size=(4, 4)))[0][:3]
    decided = np.full((1, 1, 1), 50.0)

    def step(state, key, value):
        gates = np.full((1, 4 if cls is KDA else 1, 1), open_gate), decided
        return mode.step(state, *mode.token(*gates, key[None, None], value[None, None]))

    state = mode.init_state(1, 4, 2)
    last = {}
    for i in rng.integers(3, size=20):
        last[i] = rng.normal(size=2)
        state, _ = step(state, keys[i], last[i])
    assert len(last) == 3
    for i, value in last.items():
        _, read = step(state, keys[i], np.zeros(2))
        assert_close(read.ravel(), value, 1e-10)


def test_a_reflection_turns_the_state_around():
    mode = DeltaProduct(n_compositions=1, reflections=True, gated=False, beta_gain=20.0, tied=True)
    key, decided = np.array([[[0.0, 2.0, 0.0, 0.0]]]), np.full((1, 1, 1), 50.0)
    token = mode.token(np.full((1, 1, 1), np.inf), decided, key, np.zeros((1, 1, 2)))
    state = np.random.default_rng(0).normal(size=(1, 4, 2))
    new, _ = mode.step(state, *token)
    signs = np.array([1.0, -1.0, 1.0, 1.0])[:, None]
    assert_close(new[0], signs * state[0], 1e-10)
    assert_close(mode.step(new, *token)[0], state, 1e-10)


def test_rotary_retention_reads_by_distance():
    n_steps, d_key = 15, 4
    layer, X = layer_of(RetNet(gamma=GAMMAS, rotary=True), d_key=d_key), inputs(n_steps)
    recorder = recorded(layer)
    reads, _ = layer.forward(X, layer.init_state())
    _, k, v, q, _ = recorder.blocks
    k, q = k[..., 0], q[..., 0, :]
    k, q = k[..., 0::2] + 1j * k[..., 1::2], q[..., 0::2] + 1j * q[..., 1::2]
    theta = 10000.0 ** (-np.arange(d_key // 2) / (d_key // 2))
    expected = np.zeros((n_steps, 3, 2))
    for t in range(n_steps):
        for h, gamma in enumerate(GAMMAS):
            for s in range(t + 1):
                turned = q[t, h] * np.conj(k[s, h]) * np.exp(1j * theta * (t - s))
                expected[t, h] += gamma ** (t - s) * turned.sum().real * v[s, h, 0]
    assert_close(reads, expected.reshape(n_steps, -1), 1e-10)


def test_units_of_lru_turn_at_frequencies_spread_evenly():
    decay = token_at_rest(LRU())[0]
    assert_close(np.angle(decay[:, :, 0]), np.pi * (np.arange(4) + 0.5) / 4 * np.ones((4, 1)))
