"""Softmax attention at its edges: empty rows, added masks, every block size, wrong arguments."""

from __future__ import annotations

import numpy as np
import pytest

from river_attention import functional as F

WAYS = {
    "plain": F.scaled_dot_product_attention,
    "chunked": F.chunked_attention,
    "efficient": F.memory_efficient_attention,
}


def problem(n_q=5, n_k=6, heads=4, n_kv=2, d=3, seed=0):
    rng = np.random.default_rng(seed)
    q, k, v = (rng.normal(size=(n, h, d)) for n, h in ((n_q, heads), (n_k, n_kv), (n_k, n_kv)))
    return q, k, v, rng.normal(size=(n_q, heads, d))


RULES = [
    {},
    {"causal": True},
    {"causal": True, "window": 2},
    {"window": 1},
    {"causal": True, "offset": -3},
    {"causal": True, "window": 2, "offset": 4},
]


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("chunk_size", range(1, 10))
def test_every_block_size_gives_the_same(rules, chunk_size):
    q, k, v, _ = problem()
    rng = np.random.default_rng(1)
    rules = rules | {"mask": rng.random((5, 6)) < 0.8, "bias": rng.normal(size=(4, 5, 6))}
    expected = F.scaled_dot_product_attention(q, k, v, **rules)
    for name in ("chunked", "efficient"):
        found = WAYS[name](q, k, v, chunk_size=chunk_size, **rules)
        np.testing.assert_allclose(found, expected, atol=1e-12, err_msg=name)


EMPTY = {
    "no key is allowed": {"mask": np.arange(5)[:, None] != 2},
    "minus infinity is added": {"mask": np.where(np.arange(5)[:, None] == 2, -np.inf, 0.0)},
    "all keys are later": {"causal": True, "offset": -3},
    "all keys are too old": {"causal": True, "window": 2, "offset": 4},
}


@pytest.mark.parametrize("name", EMPTY)
def test_who_may_look_at_nothing_reads_zero_and_has_no_gradient(name):
    q, k, v, dout = problem()
    rules = {"mask": np.broadcast_to(EMPTY[name]["mask"], (5, 6))} if "mask" in EMPTY[name] else {}
    rules |= {rule: value for rule, value in EMPTY[name].items() if rule != "mask"}
    out, weights = F.scaled_dot_product_attention(q, k, v, return_weights=True, **rules)
    empty = ~weights.any(axis=(0, 2))
    assert 0 < empty.sum() < 5
    dq, dk, dv, ds = F.scaled_dot_product_attention_backward(dout, q, k, v, weights)
    for way in ("chunked", "efficient"):
        for chunk_size in (1, 2, 9):
            found = WAYS[way](q, k, v, chunk_size=chunk_size, **rules)
            np.testing.assert_allclose(found, out, atol=1e-12)
    efficient, lse = F.memory_efficient_attention(q, k, v, return_lse=True, chunk_size=2, **rules)
    again = F.memory_efficient_attention_backward(
        dout, q, k, v, efficient, lse, chunk_size=2, **rules
    )
    assert np.isneginf(lse[:, empty]).all()
    for array in (out[empty], dq[empty], ds[:, empty], again[0][empty]):
        assert (array == 0.0).all()
    # what the empty rows ask for changes nothing for the others
    loud = np.where(empty[:, None, None], 1e6, dout)
    for ours, theirs in zip((dq, dk, dv), again, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-12)
        assert np.abs(ours).max() > 1e-3
    louder = F.scaled_dot_product_attention_backward(loud, q, k, v, weights)
    np.testing.assert_array_equal(louder[2], dv)


def test_numbers_in_a_mask_are_added():
    q, k, v, _ = problem()
    rng = np.random.default_rng(2)
    allowed, bias = rng.random((5, 6)) < 0.7, rng.normal(size=(5, 6))
    expected = F.scaled_dot_product_attention(q, k, v, mask=allowed, bias=bias)
    both = np.where(allowed, bias, -np.inf)
    for way in WAYS.values():
        np.testing.assert_allclose(way(q, k, v, mask=both), expected, atol=1e-12)
    assert np.abs(F.scaled_dot_product_attention(q, k, v, mask=allowed) - expected).max() > 1e-3


def test_scores_of_ten_thousand_are_exact_to_rounding():
    q, k, v, dout = problem()
    q = 1e4 * q / np.abs(np.einsum("ihd,jgd->hgij", q, k)).max() * np.sqrt(3)
    out, weights = F.scaled_dot_product_attention(q, k, v, return_weights=True)
    # one key has it all, or nearly
    assert np.median(weights.max(axis=-1)) > 0.999
    for name in ("chunked", "efficient"):
        np.testing.assert_allclose(WAYS[name](q, k, v, chunk_size=2), out, atol=1e-10)
    for gradient in F.scaled_dot_product_attention_backward(dout, q, k, v, weights):
        assert np.isfinite(gradient).all()


def test_one_step_and_one_key():
    q, k, v, _ = problem(n_q=1, n_k=1)
    for way in WAYS.values():
        np.testing.assert_allclose(way(q, k, v, causal=True, window=1), np.repeat(v, 2, axis=1))


def test_masks_are_lower_triangles_and_bands():
    np.testing.assert_array_equal(F.causal_mask(4), np.tri(4, dtype=bool))
    np.testing.assert_array_equal(F.sliding_window_mask(4, 9), np.tri(4, dtype=bool))
    np.testing.assert_array_equal(F.sliding_window_mask(6, 3), np.tri(6) - np.tri(6, k=-3) > 0)
    np.testing.assert_array_equal(F.sliding_window_mask(4, 1), np.eye(4, dtype=bool))


def test_the_worked_example_of_a_window():
    n = np.arange(16.0).reshape(4, 1, 4)
    q, k, v = np.sin(1 + n), np.cos(1 + n), np.sin(2 + 3 * n)
    whole = F.scaled_dot_product_attention(q, k, v, causal=True)
    np.testing.assert_allclose(
        whole[2, 0], [0.8900585347, -0.8958823116, 0.8837749979, -0.8539789217], atol=1e-9
    )
    near = F.scaled_dot_product_attention(q, k, v, causal=True, window=2)
    np.testing.assert_allclose(
        near[2, 0], [0.8566905819, -0.7865422710, 0.7006513112, -0.6007368106], atol=1e-9
    )


X = np.ones((3, 4, 4))
A = np.ones((4, 3, 3))
efficient_backward = F.memory_efficient_attention_backward
BAD = [
    (lambda: F.scaled_dot_product_attention(X, X, X, window=1.5), "window=1.5"),
    (lambda: F.scaled_dot_product_attention(X, X, X, offset=0.5), "offset=0.5"),
    (lambda: F.scaled_dot_product_attention(X, X, X, scale=np.nan), "scale=nan"),
    (lambda: F.scaled_dot_product_attention(X, X, X, mask=A.astype(int)), "mask has dtype int64"),
    (lambda: F.scaled_dot_product_attention(X, X, X, bias=A[:, :2]), "bias has shape"),
    (lambda: F.scaled_dot_product_attention(X + 0j, X, X), "q has dtype complex128"),
    (lambda: F.scaled_dot_product_attention(X[..., :0], X[..., :0], X), "q has shape"),
    (lambda: F.scaled_dot_product_attention(X, X[:, :0], X[:, :0]), "k has 0 heads"),
    (lambda: F.scaled_dot_product_attention([X, X], [X] * 3, X), "q, k and v have shapes"),
    (lambda: F.chunked_attention(X, X, X, chunk_size=1.5), "chunk_size=1.5"),
    (lambda: F.scaled_dot_product_attention_backward(X[:1], X, X, X, A), "dout has shape"),
    (
        lambda: F.scaled_dot_product_attention_backward(X, X, X, X, A, bias_shape=(7,)),
        "bias_shape=",
    ),
    (lambda: efficient_backward(X[:1], X, X, X, X, A[..., 0]), "dout has shape"),
    (lambda: efficient_backward(X, X, X, X, X[:1], A[..., 0]), "out has shape"),
    (lambda: efficient_backward(X, X, X, X, X, A), "lse has shape"),
    (lambda: F.causal_mask(-1), "n_q=-1"),
    (lambda: F.sliding_window_mask(3, 2, offset="a"), "offset='a'"),
    (lambda: F.rope_frequencies(4.0), "dim=4.0"),
    (lambda: F.rope_frequencies(4, base=np.nan), "base=nan"),
    (lambda: F.rope_frequencies(2, scaling="ntk"), "dim=2"),
    (
        lambda: F.rope_frequencies(4, scaling="dynamic_ntk", original_length=0),
        "original_length=0",
    ),
    (
        lambda: F.rope_frequencies(4, scaling="yarn", original_length=9, beta_fast=1.0),
        "beta_fast=1.0",
    ),
    (lambda: F.apply_rope(X[0], [1], [1.0]), "x has shape"),
    (lambda: F.apply_rope(X, [1], [1.0] * 3), "x has shape"),
    (lambda: F.sinusoidal_encoding([1], 0), "dim=0"),
    (lambda: F.alibi_slopes(1.5), "n_heads=1.5"),
    (lambda: F.relative_bias([1.0], [0]), "table has shape"),
    (lambda: F.relative_bias_backward(A[0], [[0]], 2), "dbias has shape"),
    (lambda: F.relative_bias_backward(A, np.zeros((3, 3)), 0), "window=0"),
    (lambda: F.qk_norm(X[..., :0]), "x has shape"),
    (lambda: F.qk_norm(X, bias=np.ones(9)), "bias has shape"),
    (lambda: F.qk_norm(X, eps=-1.0), "eps=-1.0"),
    (lambda: F.qk_norm_backward(X[:1], X), "dy has shape"),
    (lambda: F.split_heads(X, 0), "n_heads=0"),
    (lambda: F.merge_heads(np.ones(3)), "x has shape"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
