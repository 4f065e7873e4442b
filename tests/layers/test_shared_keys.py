"""Keys that do for values, and layers that read the keys and values of another."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from river_attention.functional import apply_rope, rope_frequencies
from river_attention.layers import (
    LSTM,
    Dense,
    GroupedQueryAttention,
    PagePool,
    Sequential,
    TransformerBlock,
)


def attention(**more):
    options = {"n_kv_heads": 2, "head_dim": 4, "window_size": 4, "seed": 1} | more
    return GroupedQueryAttention(6, 4, **options)


def stack(*readers, **more):
    """Attention and layers that read its keys, with no weight left at 0 or 1."""
    layer = Sequential((attention(**more), *readers))
    layer.theta += 0.3 * np.random.default_rng(0).normal(size=len(layer.theta))
    return layer


def steps(layer, X, state):
    reads = []
    for x in X:
        read, state = layer.step(x, state)
        reads.append(read)
    return np.array(reads), state


@pytest.fixture
def X():
    return np.random.default_rng(7).normal(size=(21, 6))


OPTIONS = [
    {},
    {"qk_norm": "rms"},
    {"position": "relative", "bias": False},
    {"position": "alibi", "qk_norm": "layer"},
    {"position": None, "cache": "paged", "page_size": 3},
    {"rope_scaling": {"scaling": "yarn", "factor": 2.0, "original_length": 64}},
]


@pytest.mark.parametrize("more", OPTIONS, ids=str)
def test_keys_as_values_are_the_layer_with_equal_weights(more, X):
    """Values are keys as projected: what turns and normalises keys leaves them alone."""
    layer = attention(share_kv=True, **more)
    p = layer.parameters()
    assert not {"Wv", "bv"} & p.keys()
    same = {"Wv": p["Wk"]} | ({"bv": p["bk"]} if "bk" in p else {})
    twin = attention(**more)
    twin.set_parameters(dict(p) | same)
    reads, final, context = layer.forward(X, ctx=True)
    expected, _, wanted = twin.forward(X, ctx=True)
    np.testing.assert_allclose(reads, expected, atol=1e-13)
    np.testing.assert_allclose(steps(layer, X, layer.init_state())[0], expected, atol=1e-12)
    # the gradient of a matrix that serves twice is the sum
    d_reads = np.cos(np.arange(reads.size)).reshape(reads.shape)
    dX, grads = layer.backward(d_reads, context)
    d_expected, other = twin.backward(d_reads, wanted)
    np.testing.assert_allclose(dX, d_expected, atol=1e-12)
    for name, gradient in grads.items():
        total = other[name] + (other[name.replace("k", "v")] if name in ("Wk", "bk") else 0.0)
        np.testing.assert_allclose(gradient, total, atol=1e-12, err_msg=name)
    one = "rope" not in (more.get("position", "rope"),) and "qk_norm" not in more
    assert set(final.segments()[0]) == ({"k"} if one else {"k", "v"})


def test_a_reader_attends_to_the_keys_and_values_of_the_other(X):
    first, reader = attention(qk_norm="rms"), attention(kv_from=0, qk_norm="rms", seed=2)
    rng = np.random.default_rng(1)
    for layer in (first, reader):
        layer.theta += 0.3 * rng.normal(size=len(layer.theta))
    # a block that gives its input on: queries are made of X, keys of X normalised
    first.p["Wo"][:] = first.p["bo"][:] = 0.0
    layer = Sequential((TransformerBlock(first), reader))
    own, inner = reader.parameters(), X - X.mean(axis=1, keepdims=True)
    inner /= np.sqrt(np.square(inner).mean(axis=1, keepdims=True) + 1e-5)
    _, _, context = first.forward(inner, ctx=True)
    k, v = context["kv"].k, context["kv"].v
    q = (X @ own["Wq"].T + own["bq"]).reshape(-1, 4, 4)
    q = q / np.sqrt(np.square(q).mean(axis=-1, keepdims=True) + 1e-6) * own["q_norm"]
    q = apply_rope(q, np.arange(len(X)), rope_frequencies(4)[0])
    out = np.zeros((len(X), 16))
    for t in range(len(X)):
        seen = slice(max(t - 3, 0), t + 1)
        for h in range(4):
            scores = k[seen, h // 2] @ q[t, h] / 2.0
            weights = np.exp(scores - scores.max())
            out[t, 4 * h : 4 * h + 4] = weights @ v[seen, h // 2] / weights.sum()
    expected = out @ own["Wo"].T + own["bo"]
    np.testing.assert_allclose(layer.forward(X)[0], expected, atol=1e-12)
    np.testing.assert_allclose(steps(layer, X, layer.init_state())[0], expected, atol=1e-12)


@pytest.mark.parametrize("cache", [{}, {"cache": "paged", "page_size": 2}])
def test_branches_read_the_keys_of_their_own_past(cache, X):
    layer = stack(attention(kv_from=0, seed=2), TransformerBlock(attention(kv_from=0)), **cache)
    _, state = steps(layer, X[:9], layer.init_state())
    fork = layer.branch(state)
    before, _ = layer.propose(X[9], state)
    other, _ = steps(layer, -X[9:15], fork)
    again, _ = layer.propose(X[9], state)
    np.testing.assert_array_equal(again, before)
    ours, _ = steps(layer, X[9:15], pickle.loads(pickle.dumps(state)))
    whole, _ = layer.forward(X[:15])
    np.testing.assert_allclose(ours, whole[9:], atol=1e-12)
    flipped, _ = layer.forward(np.concatenate([X[:9], -X[9:15]]))
    np.testing.assert_allclose(other, flipped[9:], atol=1e-12)


def test_each_reader_has_the_keys_of_its_own_lender(X):
    """Of two lenders, which give their input on, only one matters to the last layer."""
    first, second, reader = (attention(seed=i, kv_from=1 if i == 3 else None) for i in (1, 2, 3))
    blocks = [TransformerBlock(layer) for layer in (first, second, reader)]
    layer = Sequential((*blocks, attention(kv_from=0, seed=4)))
    for block in layer.layers[:3]:
        block.attention.p["Wo"][:] = 0.0
    before, _ = layer.forward(X)
    for number, moves in ((1, False), (0, True)):
        for name in ("Wk", "Wv"):
            weights = layer.layers[number].attention.p[name]
            weights *= -1.0
            after = [layer.forward(X)[0], steps(layer, X, layer.init_state())[0]]
            weights *= -1.0
            for reads in after:
                assert bool(np.abs(reads - before).max() > 1e-3) is moves, (number, name)


def test_inside_the_windows_matters_and_outside_does_not(X):
    """A reader of the first layer's keys sees one window, not two."""
    layer = stack(attention(kv_from=0, seed=2))
    before, _ = steps(layer, X[:12], layer.init_state())
    for row, moves in ((7, False), (8, True), (11, True)):
        changed = X[:12].copy()
        changed[row] += 1.0
        after, _ = steps(layer, changed, layer.init_state())
        assert bool(np.abs(after[11] - before[11]).max() > 1e-6) is moves, row


def test_readers_need_no_memory(X):
    layer = stack(attention(kv_from=0, seed=2), attention(kv_from=0, seed=3))
    _, state = steps(layer, X, layer.init_state())
    assert state[1:] == [None, None]
    pool = PagePool(8, 2, {"k": (2, 4), "v": (2, 4)})
    assert attention(kv_from=0).init_state(pool) is None
    assert pool.used == 0
    assert set(attention(kv_from=0).parameters()) == {"Wq", "bq", "Wo", "bo"}


def test_sizes_come_from_weights(X):
    layer = attention(share_kv=True, seed=5)
    twin = GroupedQueryAttention.from_params(layer.parameters(), n_heads=4, window_size=4)
    assert twin.share_kv
    np.testing.assert_array_equal(twin.forward(X)[0], layer.forward(X)[0])
    reader = attention(kv_from=0, seed=5)
    again = GroupedQueryAttention.from_params(
        reader.parameters(), n_heads=4, n_kv_heads=2, kv_from=0, window_size=4
    )
    assert again.get_config() | {"seed": 5} == reader.get_config()


BAD = [
    (lambda: attention(share_kv=True, kv_from=0), "share_kv=True"),
    (lambda: attention(share_kv=1), "share_kv=1"),
    (lambda: attention(kv_from=-1), "kv_from=-1"),
    (lambda: attention(kv_from=True), "kv_from=True"),
    (lambda: Sequential((attention(kv_from=0),)), "kv_from=0: must be below 0"),
    (lambda: Sequential((Dense(6, 6), attention(kv_from=0))), "kv_from=0: that layer has no keys"),
    (lambda: Sequential((LSTM(6, 6), attention(kv_from=0))), "kv_from=0: that layer has no keys"),
    (lambda: stack(attention(kv_from=0), attention(kv_from=1)), "kv_from=1: that layer has no"),
    (lambda: stack(attention(kv_from=0, window_size=5)), "a window of 5 steps, and 4"),
    (lambda: stack(attention(kv_from=0, n_kv_heads=1)), "n_kv_heads is 1, and 2"),
    (lambda: stack(attention(kv_from=0, head_dim=2)), "head_dim is 2, and 4"),
    (lambda: stack(attention(kv_from=0, position=None)), "position='rope' is False, and True"),
    (lambda: stack(attention(kv_from=0, rope_base=9.0)), "rope_base is 9.0, and 10000.0"),
    (lambda: attention(kv_from=0).forward(np.ones((2, 6))), "put both into a Sequential"),
    (lambda: attention(kv_from=0).propose(np.ones(6), None), "put both into a Sequential"),
    (
        lambda: GroupedQueryAttention.from_params({"Wq": np.eye(6)}, n_heads=3),
        "Wk is missing",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
