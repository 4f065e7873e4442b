"""Layers of every mode: a step at a time and a sequence at once, seeds, inputs that come later."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from river_attention import functional as F
from river_attention.layers import MultiHeadLinearAttention
from river_attention.layers.linear_attention import time_constants
from river_attention.modes import CLASSES, GLA, NAMED, Mode, resolve


@pytest.fixture(params=NAMED)
def mode(request):
    return request.param


@pytest.fixture(params=["gla", "gla_vector"])
def gla(request):
    return request.param


def layer_of(mode, seed=1, **params):
    return MultiHeadLinearAttention(
        mode, **({"n_heads": 3, "d_key": 4, "d_value": 2, "n_inputs": 5} | params), seed=seed
    )


def gains(layer):
    """The factor on the drawn weights of every row; 0 for rows that see no input."""
    blocks = layer.mode.projections(layer.d_key, layer.d_value)
    sizes = [layer.n_heads * math.prod(block.shape) for block in blocks]
    return np.repeat([block.gain for block in blocks], sizes)


def inputs(n_steps=40, n_inputs=5, seed=0):
    return np.random.default_rng(seed).normal(size=(n_steps, n_inputs))


def assert_close(actual, expected, tolerance=1e-12):
    """Relative to the largest value: BLAS adds in another order for a matrix than for a vector."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_a_step_at_a_time_is_the_sequence_at_once(mode):
    layer, X = layer_of(mode), inputs()
    reads, final = layer.forward(X, layer.init_state())
    state = layer.init_state()
    for x, expected in zip(X, reads, strict=True):
        read, state = layer.propose(x, state)
        assert_close(read, expected)
    assert_close(state, final)


@pytest.mark.parametrize("cut", [0, 1, 17, 40])
def test_any_split_of_the_sequence_gives_the_whole(mode, cut):
    layer, X = layer_of(mode), inputs()
    whole, final = layer.forward(X, layer.init_state())
    first, state = layer.forward(X[:cut], layer.init_state())
    second, state = layer.forward(X[cut:], state)
    assert_close(np.concatenate([first, second]), whole)
    assert_close(state, final)


def test_the_read_is_that_of_the_recurrence_on_the_projections(gla):
    layer, X = layer_of(gla), inputs()
    projected = X @ layer.weights.T + layer.bias
    n_gates = 4 if gla == "gla_vector" else 1
    gate, k, v, q = np.split(projected, np.cumsum([3 * n_gates, 12, 6]), axis=1)
    heads = [block.reshape(40, 3, -1) for block in (q, k, v)]
    log_gate = -np.log1p(np.exp(-gate)).reshape(40, 3, -1)
    reads, state = F.gated_linear_attention(
        *heads, log_gate if n_gates > 1 else log_gate[..., 0], scale=1.0
    )
    actual, final = layer.forward(X, layer.init_state())
    assert_close(actual, reads.reshape(40, 6), 1e-10)
    assert_close(final, state, 1e-10)


def test_neither_input_nor_state_is_written_to(mode):
    layer, X = layer_of(mode), inputs()
    _, state = layer.forward(X, layer.init_state())
    state.flags.writeable = X.flags.writeable = False
    before = state.copy()
    layer.propose(X[0], state)
    layer.forward(X, state)
    assert np.array_equal(state, before)


def test_a_layer_holds_no_state(mode):
    layer, X = layer_of(mode), inputs()
    before = pickle.dumps(layer)
    first = layer.forward(X, layer.init_state())
    layer.propose(X[0], layer.init_state())
    assert pickle.dumps(layer) == before
    for one, other in zip(first, layer.forward(X, layer.init_state()), strict=True):
        assert np.array_equal(one, other)


def test_shapes_are_those_of_the_parameters(mode):
    layer = layer_of(mode)
    assert layer.n_inputs == 5
    assert layer.n_outputs == 6
    assert not layer.init_state().any()
    read, state = layer.propose(inputs()[0], layer.init_state())
    assert read.shape == (6,)
    assert state.shape == layer.init_state().shape
    assert state.dtype == layer.init_state().dtype
    reads, _ = layer.forward(inputs(0), layer.init_state())
    assert reads.shape == (0, 6)


def test_the_same_seed_draws_the_same_layer(mode):
    one, other = layer_of(mode), layer_of(mode)
    assert np.array_equal(one.weights, other.weights)
    assert np.array_equal(one.bias, other.bias)


def test_another_seed_draws_another_layer(mode):
    one, other = layer_of(mode, seed=1), layer_of(mode, seed=2)
    drawn = gains(one) != 0.0
    assert not np.isclose(one.weights[drawn], other.weights[drawn]).any()
    assert not one.weights[~drawn].any()


def test_the_column_of_an_input_depends_on_its_name_and_no_order(mode):
    names = ["a", "b", "c"]
    together, reverse, single = (layer_of(mode, n_inputs=0) for _ in range(3))
    together.add_inputs(names)
    reverse.add_inputs(names[::-1])
    for name in ("b", "c", "a"):
        single.add_inputs([name])
    assert np.array_equal(together.weights, reverse.weights[:, ::-1])
    by_arrival = single.weights * np.sqrt([1.0, 2.0, 3.0])  # the variance is 1/d at first sight
    np.testing.assert_allclose(
        by_arrival[:, [2, 0, 1]], together.weights * np.sqrt(3.0), rtol=1e-12
    )


def test_inputs_that_come_later_leave_the_others_as_they_were(mode):
    layer = layer_of(mode)
    before, bias = layer.weights.copy(), layer.bias.copy()
    layer.add_inputs(["new"])
    layer.add_inputs([])
    assert layer.n_inputs == 6
    assert np.array_equal(layer.weights[:, :5], before)
    assert np.array_equal(layer.bias, bias)


def test_an_input_of_zero_is_as_good_as_none(mode):
    layer, X = layer_of(mode), inputs()
    reads, _ = layer.forward(X, layer.init_state())
    layer.add_inputs(["new"])
    padded, _ = layer.forward(np.column_stack([X, np.zeros(40)]), layer.init_state())
    assert_close(padded, reads)


def test_weights_have_variance_one_over_d(mode):
    layer = layer_of(mode, n_heads=16, n_inputs=50)
    gain = gains(layer)
    drawn = gain != 0.0
    scaled = layer.weights[drawn] / gain[drawn, None]
    assert np.std(scaled) == pytest.approx(50**-0.5, rel=0.05)


def test_keys_and_queries_have_biases_of_variance_one_and_values_none(gla):
    layer = layer_of(gla, n_heads=16, n_inputs=50)
    n_gates = 16 * (4 if gla == "gla_vector" else 1)
    gate, k, v, q = np.split(layer.bias, n_gates + np.cumsum([0, 64, 32]))
    assert np.std(np.concatenate([k, q])) == pytest.approx(1.0, rel=0.25)
    assert not v.any()
    assert gate.all()


def test_a_head_at_rest_remembers_for_its_time_constant(gla):
    layer = layer_of(gla, n_heads=4)
    _, state = layer.propose(np.zeros(5), np.ones((4, 4, 2)))
    # nothing is written at rest, as v has no bias
    expected = np.exp(-1.0 / np.array([1.0, 4.0, 16.0, 64.0]))
    np.testing.assert_allclose(state, np.broadcast_to(expected[:, None, None], state.shape))


def test_time_constants_are_spread_from_one_to_sixty_four():
    np.testing.assert_allclose(time_constants(7), 2.0 ** np.arange(7))
    assert len(time_constants(1)) == 1
    assert 1.0 <= time_constants(1)[0] <= 64.0


SEQUENCES = {
    "loud noise": lambda rng: rng.normal(0.0, 10.0, size=(10_000, 5)),
    "zeros": lambda rng: np.zeros((10_000, 5)),
    "a constant": lambda rng: np.full((10_000, 5), 3.0),
    "a spike": lambda rng: np.where(np.arange(10_000)[:, None] == 100, 5.0, rng.normal(size=5)),
    "extremes": lambda rng: rng.choice([-3.0, 3.0], size=(10_000, 5)),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_ten_thousand_steps_stay_finite(mode, name):
    layer = layer_of(mode)
    X = SEQUENCES[name](np.random.default_rng(0))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        reads, state = layer.forward(X, layer.init_state())
    assert np.isfinite(reads).all()
    assert np.isfinite(state).all()
    # bounded, not merely finite: 64 steps of the largest product of key and value
    assert np.abs(state).max() < 1e6


@pytest.mark.parametrize("name", ["n_heads", "d_key", "d_value", "n_inputs"])
def test_a_bad_size_is_refused_by_name(mode, name):
    with pytest.raises(ValueError, match=f"{name}=-1"):
        layer_of(mode, **{name: -1})


# --- modes as objects


def test_every_named_mode_is_a_mode_object(mode):
    assert isinstance(resolve(mode), Mode)
    assert resolve(resolve(mode)) is resolve(mode)


def test_the_repr_of_a_mode_makes_the_mode_again(mode):
    made = resolve(mode)
    assert str(made) == repr(made)
    assert eval(repr(made), dict(CLASSES)) == made


def test_a_mode_can_be_cloned_and_pickled(mode):
    made = resolve(mode)
    assert made.clone() == made
    assert pickle.loads(pickle.dumps(made)) == made
    assert hash(made.clone()) == hash(made)


def test_a_mode_by_name_and_as_an_object_are_the_same(mode):
    one, other = layer_of(mode), layer_of(resolve(mode))
    X = inputs()
    assert np.array_equal(
        one.forward(X, one.init_state())[0], other.forward(X, other.init_state())[0]
    )


def test_modes_with_other_parameters_are_different():
    assert GLA("scalar") != GLA("vector")
    assert repr(GLA("vector")) == "GLA(gate='vector', read='after')"
