"""The loop over time in C gives what the one of NumPy gives, for every step it knows."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from river_attention import backend
from river_attention.functional import recurrence
from river_attention.layers import MultiHeadLinearAttention
from river_attention.modes import NAMED

pytestmark = pytest.mark.skipif(not backend.is_compiled(), reason="the compiled core is not here")

H, K, V, N, L = 3, 5, 4, 2, 4
MATRIX = {"k": (H, K, 1), "v": (H, 1, V), "q": (H, 1, K), "r": (H, K, 1), "b": (H, 1, K)}


def draw(rng, n_steps, *names, subs=()):
    shapes = [(*(() if name == "q" else subs), *MATRIX[name]) for name in names]
    return [0.5 * rng.normal(size=(n_steps, *shape)) for shape in shapes]


def decays(rng, n_steps, kind):
    if kind == "none":
        return np.broadcast_to(np.ones((1, H, 1, 1)), (n_steps, H, 1, 1))
    if kind == "of a head, constant":
        return np.broadcast_to(rng.uniform(size=(H, 1, 1)), (n_steps, H, 1, 1))
    return rng.uniform(size=(n_steps, H, 1 if kind == "of a head" else K, 1))


def cases(rng, n_steps):
    for kind in ("none", "of a head, constant", "of a head", "of a key"):
        decay, state = decays(rng, n_steps, kind), rng.normal(size=(H, K, V))
        yield recurrence.linear_step, state, (decay, *draw(rng, n_steps, "k", "v", "q"))
        for step in (recurrence.linear_step, recurrence.dplr_step):
            yield step, state, (decay, *draw(rng, n_steps, "k", "v", "q", "r", "b"))
        products = draw(rng, n_steps, "k", "v", "q", "r", "b", subs=(N,))
        yield recurrence.product_step, state, (decay, *products)
        bonus = partial(recurrence.bonus_step, bonus=rng.normal(size=(H, K, 1)))
        yield bonus, state, (decay, *draw(rng, n_steps, "k", "v", "q"))
        weights = rng.uniform(size=(n_steps, H, L)).transpose(0, 2, 1)[..., None, None]
        for n_tokens, names in ((0, "kvq"), (5, "kvqrb"), (1000, "kvqrb")):
            k, v, q, *removal = draw(rng, n_steps, *names)
            levels = rng.normal(size=(L, H, K, V)) if n_tokens else np.zeros((L, H, K, V))
            tokens = (decay, k, v, q, weights, *removal)
            yield recurrence.log_linear_step, (levels, n_tokens), tokens
    gates = 3.0 * rng.normal(size=(2, n_steps, H, 1, 1))
    mlstm = partial(recurrence.mlstm_step, eps=1e-4)
    state = rng.normal(size=(H, K + 1, V + 1))
    yield mlstm, state, (*gates, *draw(rng, n_steps, "k", "v", "q"))
    k, v, q = (abs(token) for token in draw(rng, n_steps, "k", "v", "q"))
    v[..., -1] = 1.0
    yield recurrence.normalized_step, np.zeros((H, K, V)), (k, v, q)
    for shape in ((7,), (2, 3)):
        state, x = rng.normal(size=shape), rng.normal(size=(n_steps, *shape))
        yield recurrence.diagonal_step, state, (rng.uniform(size=x.shape), x)


def to(dtype, state):
    return (state[0].astype(dtype), state[1]) if isinstance(state, tuple) else state.astype(dtype)


def name_of(case):
    return getattr(case[0], "func", case[0]).__name__


CASES = [*cases(np.random.default_rng(0), 40)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("number", range(len(CASES)), ids=[name_of(case) for case in CASES])
def test_both_loops_agree(number, dtype):
    step, state, tokens = CASES[number]
    tokens = tuple(token.astype(dtype) for token in tokens)
    if isinstance(step, partial):
        step = partial(
            step.func,
            **{
                name: value.astype(dtype) if isinstance(value, np.ndarray) else value
                for name, value in step.keywords.items()
            },
        )
    state = to(dtype, state)
    before = [np.array(part) for part in (state if isinstance(state, tuple) else (state,))]
    found = recurrence._compiled(step, state, tokens)
    assert found is not None
    reads, final = found
    wanted, last = recurrence._scan(step, state, *tokens)
    assert reads.shape == wanted.shape
    assert reads.dtype == wanted.dtype == dtype
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    np.testing.assert_allclose(reads, wanted, rtol=tolerance, atol=tolerance * abs(wanted).max())
    for one, other in zip(
        final if isinstance(final, tuple) else (final,),
        last if isinstance(last, tuple) else (last,),
        strict=True,
    ):
        size = np.abs(other).max()
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * size)
    # the state that was given stays
    for old, now in zip(before, state if isinstance(state, tuple) else (state,), strict=True):
        np.testing.assert_array_equal(old, now)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[name_of(case) for case in CASES])
def test_tokens_may_lie_anywhere(number):
    step, state, tokens = CASES[number]
    wanted, _ = recurrence._compiled(step, state, tokens)
    scattered = tuple(np.asfortranarray(np.repeat(token, 2, axis=0)[::2]) for token in tokens)
    reads, _ = recurrence._compiled(step, state, scattered)
    np.testing.assert_array_equal(reads, wanted)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[name_of(case) for case in CASES])
def test_a_nan_comes_out_where_numpy_lets_it_out(number):
    step, state, tokens = CASES[number]
    broken = [np.array(token) for token in tokens]
    broken[0][20] = np.nan
    reads, _ = recurrence._compiled(step, state, tuple(broken))
    with np.errstate(invalid="ignore"):
        wanted, _ = recurrence._scan(step, state, *broken)
    np.testing.assert_array_equal(np.isnan(reads), np.isnan(wanted))
    assert np.isnan(reads).any()


@pytest.mark.parametrize("name", NAMED)
def test_layers_with_any_mode_go_forward_as_step_by_step(name):
    layer = MultiHeadLinearAttention(name, n_heads=2, d_key=4, d_value=4, n_inputs=3)
    X = np.random.default_rng(1).normal(size=(30, 3))
    reads, final = layer.forward(X, layer.init_state())
    state, rows = layer.init_state(), []
    for x in X:
        row, state = layer.propose(x, state)
        rows.append(row)
    np.testing.assert_allclose(reads, rows, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(final, state, rtol=1e-12, atol=1e-13)


def own_step(state, x):
    return state + x, state


def test_what_is_not_known_is_left_to_numpy():
    X, a, state = np.ones((4, 3)), np.full((4, 3), 0.5), np.zeros(3)
    unknown = (
        (own_step, state, (X,)),
        (recurrence.diagonal_step, state, (a, X[:3])),
        (recurrence.diagonal_step, state, (a, X.astype(complex))),
        (recurrence.diagonal_step, state, (a.astype(np.float32), X)),
        (recurrence.diagonal_step, state, (a[:0], X[:0])),
        (recurrence.diagonal_step, state, (a[:, :1], X)),
        (recurrence.linear_step, np.zeros((H, K, V)), (a, X, X, X)),
    )
    for step, start, tokens in unknown:
        assert recurrence._compiled(step, start, tokens) is None
    reads, final = recurrence.scan(own_step, state, X)
    np.testing.assert_array_equal(reads[:, 0], [0.0, 1.0, 2.0, 3.0])
    np.testing.assert_array_equal(final, 4.0)
