"""What has to hold for windows and caches of any size: parity, stacks, forks, memory, errors."""

from __future__ import annotations

import itertools
import pickle
import tracemalloc

import numpy as np
import pytest

from river_attention.layers import (
    LSTM,
    Activation,
    Dense,
    GroupedQueryAttention,
    LayerNorm,
    MultiHeadLatentAttention,
    PagedKVCache,
    PagePool,
    RingKVCache,
    Sequential,
    TransformerBlock,
)


def attention(d_model=6, n_heads=2, **more):
    options = {"head_dim": 4, "window_size": 5, "seed": 1} | more
    return GroupedQueryAttention(d_model, n_heads, **options)


def latent(d_model=6, n_heads=2, **more):
    return MultiHeadLatentAttention(
        d_model, n_heads, 4, 3, 2, **{"window_size": 5, "seed": 1} | more
    )


def steps(layer, X, state=None):
    state, reads = layer.init_state() if state is None else state, []
    for x in X:
        read, state = layer.step(x, state)
        reads.append(read)
    return np.array(reads), state


def rows(n, d=6, seed=7):
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize("page_size", [1, 3, 16])
@pytest.mark.parametrize("window", [1, 2, 16, 20])
@pytest.mark.parametrize("make", [attention, latent])
def test_pages_equal_a_ring(make, window, page_size):
    X = rows(50)
    ring, last = steps(make(window_size=window), X)
    pages, paged = steps(make(window_size=window, cache="paged", page_size=page_size), X)
    # a page apart is a sum of its own, so rounding may differ
    np.testing.assert_allclose(pages, ring, atol=1e-13)
    kept = max(window - 1, 1)
    assert len(last) == len(paged) == kept
    for field in last.fields:
        mine = np.concatenate([part[field] for part in paged.segments()])
        np.testing.assert_array_equal(mine, last.view()[field])


HEADS = [(q, k) for q in range(1, 7) for k in range(1, q + 1) if q % k == 0]


@pytest.mark.parametrize(("n_heads", "n_kv"), HEADS)
def test_grouped_heads_are_all_heads_with_weights_repeated(n_heads, n_kv):
    X = rows(12)
    grouped = attention(n_heads=n_heads, n_kv_heads=n_kv, qk_norm="rms")
    full = attention(n_heads=n_heads, qk_norm="rms")
    group, params = n_heads // n_kv, dict(grouped.parameters())

    def per_head(weights):
        return weights.reshape(n_kv, 4, -1)

    for name in ("Wk", "Wv", "bk", "bv"):
        repeated = np.repeat(per_head(params[name]), group, axis=0)
        params[name] = repeated.reshape(full.p[name].shape)
    full.set_parameters(params)
    reads, _, context = grouped.forward(X, ctx=True)
    expected, _, wanted = full.forward(X, ctx=True)
    np.testing.assert_allclose(reads, expected, atol=1e-13)
    d_reads = np.cos(np.arange(reads.size)).reshape(reads.shape)
    dX, grads = grouped.backward(d_reads, context)
    d_expected, other = full.backward(d_reads, wanted)
    np.testing.assert_allclose(dX, d_expected, atol=1e-12)
    for name, gradient in grads.items():
        goal = other[name]
        if name in ("Wk", "Wv", "bk", "bv"):
            # those of a group add up
            goal = goal.reshape(n_kv, group, 4, -1).sum(axis=1).reshape(gradient.shape)
        np.testing.assert_allclose(gradient, goal, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("n_layers", [1, 2, 3, 4])
@pytest.mark.parametrize("page_size", [None, 3])
def test_a_deep_stack_in_steps_equals_the_sequence(n_layers, page_size):
    paged = {} if page_size is None else {"cache": "paged", "page_size": page_size}
    layer = Sequential(
        tuple(
            TransformerBlock(attention(seed=i, n_kv_heads=1, **paged), ffn_dim=5, seed=i)
            for i in range(n_layers)
        )
    )
    X = rows(25)
    whole, _ = layer.forward(X)
    np.testing.assert_allclose(steps(layer, X)[0], whole, atol=1e-11)
    # it sees L (w - 1) + 1 steps: the control of the above
    seen = n_layers * 4 + 1
    for row, moves in ((24 - seen, False), (25 - seen, True)):
        changed = X.copy()
        if row >= 0:
            changed[row, 0] += 3.0
            moved = np.abs(steps(layer, changed)[0][24] - whole[24]).max()
            assert bool(moved > 1e-12) is moves, (row, moved)


@pytest.mark.parametrize("make", [attention, latent])
@pytest.mark.parametrize("cache", ["ring", "paged"])
def test_a_window_longer_than_the_stream_is_no_window(make, cache):
    X = rows(9)
    long, _ = steps(make(window_size=500, cache=cache), X)
    exact, _ = steps(make(window_size=9, cache=cache), X)
    np.testing.assert_allclose(long, exact, atol=1e-13)
    np.testing.assert_allclose(long, make(window_size=500).forward(X)[0], atol=1e-12)
    shorter, _ = steps(make(window_size=8, cache=cache), X)
    np.testing.assert_allclose(shorter[:8], long[:8], atol=1e-13)
    assert np.abs(shorter[8] - long[8]).max() > 1e-4


@pytest.mark.parametrize("make", [attention, latent])
def test_a_window_of_one_looks_at_itself_only(make):
    X = rows(6)
    layer = make(window_size=1)
    alone = [layer.forward(x[None])[0][0] for x in X]
    if make is attention:  # its own value, whatever the position
        np.testing.assert_allclose(steps(layer, X)[0], alone, atol=1e-12)
    assert (layer.attention_weights(X[3], steps(layer, X[:3])[1]) == 1.0).all()


@pytest.mark.parametrize("make", [attention, latent])
@pytest.mark.parametrize("cache", ["ring", "paged"])
def test_what_was_taken_back_never_was(make, cache):
    """Truncate to go back: the stream goes on as if the steps had not been."""
    X, layer = rows(20), make(cache=cache, page_size=2, window_size=50)
    _, state = steps(layer, X[:8])
    fork = layer.branch(state)
    _, state = steps(layer, -X[:6], state)
    state.truncate(8)
    again, _ = steps(layer, X[8:], state)
    straight, _ = steps(layer, X)
    np.testing.assert_allclose(again, straight[8:], atol=1e-13)
    forked, _ = steps(layer, X[8:], fork)
    np.testing.assert_allclose(forked, again, atol=1e-13)


@pytest.mark.parametrize("make", [attention, latent])
def test_a_step_that_is_proposed_leaves_no_trace(make):
    X, layer = rows(40), make()
    for x in X[:15]:
        _, state = layer.step(x, layer.init_state())
    _, state = layer.forward(X)
    before = pickle.dumps((layer, state))
    layer.propose(X[0], state)
    layer.forward(X, state, ctx=True)
    layer.attention_weights(X[0], state)
    assert pickle.dumps((layer, state)) == before


def room(window, width):
    """Bytes for the scores of 2 heads, three times over, and some vectors."""
    return 8 * (3 * 2 * window + 10 * width)


def peak_of_a_step(layer, n_before):
    """The largest number of bytes that a step held at once beyond what was there before."""
    X = rows(64, layer.d_in)
    state = layer.init_state()
    for t in range(n_before):
        _, state = layer.step(X[t % 64], state)
    peaks = []
    tracemalloc.start()
    try:
        for x in X[:16]:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            _, state = layer.step(x, state)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    return np.median(peaks)


@pytest.mark.parametrize("make", [attention, latent])
@pytest.mark.parametrize("more", [{}, {"cache": "paged", "page_size": 64}], ids=str)
def test_a_step_needs_room_for_its_scores_and_no_more(make, more):
    """O(w) numbers at once: not w², not w times the length of a vector, not the stream."""
    width = 64
    peaks = {}
    for window, n_before in itertools.product((400, 800), (850, 1700)):
        layer = make(d_model=width, n_heads=2, window_size=window, **more)
        peaks[window, n_before] = peak_of_a_step(layer, n_before)
    for window in (400, 800):
        assert peaks[window, 850] < room(window, width)
        assert peaks[window, 1700] == pytest.approx(peaks[window, 850], abs=1000)


def test_a_copy_of_the_window_would_be_seen():
    layer = attention(d_model=64, window_size=400)
    step = layer.propose
    layer.propose = lambda x, state: (state.view()["k"].copy(), step(x, state))[1]
    assert peak_of_a_step(layer, 850) > room(400, 64)


def test_scores_beyond_the_range_of_exp_are_no_trouble():
    layer = attention(position=None)
    layer.theta *= 100.0
    X = 10.0 * rows(12)
    reads, _ = steps(layer, X)
    whole, _, context = layer.forward(X, ctx=True)
    assert np.abs(np.einsum("thd,shd->hts", context["q"], context["kv"].k)).max() > 1e4
    np.testing.assert_allclose(reads, whole, rtol=1e-10)
    dX, _ = layer.backward(np.ones_like(reads), context)
    assert np.isfinite(dX).all()
    assert np.isfinite(layer.gradient).all()


BAD = [
    (lambda: attention(d_model=0), "d_model=0"),
    (lambda: attention(n_heads=0), "n_heads=0"),
    (lambda: attention(n_kv_heads=0), "n_kv_heads=0"),
    (lambda: attention(n_kv_heads=3), "n_kv_heads=3"),
    (lambda: attention(head_dim=0, position=None), "head_dim=0"),
    (lambda: attention(window_size=2.5), "window_size=2.5"),
    (lambda: attention(window_size=None, max_context=0), "max_context=0"),
    (lambda: attention(page_size=0), "page_size=0"),
    (lambda: attention(causal=1), "causal=1"),
    (lambda: attention(bias="no"), "bias='no'"),
    (lambda: attention(out_proj=None), "out_proj=None"),
    (lambda: attention(rope_interleaved=0), "rope_interleaved=0"),
    (lambda: attention(rope_base=0.0), "base=0.0"),
    (lambda: attention(rope_dim=3), "dim=3"),
    (lambda: attention(rope_dim=6), "rope_dim=6"),
    (lambda: attention(rope_scaling={"colour": 1}), "rope_scaling has 'colour'"),
    (lambda: attention(rope_scaling={"factor": 0.5}), "factor=0.5"),
    (lambda: attention(position="alibi", rope_dim=2), "position='alibi': rope_dim=2"),
    (lambda: attention(position=None, rope_interleaved=True), "rope_interleaved=True"),
    (lambda: attention(position="relative", causal=False), "position='relative'"),
    (lambda: attention(seed="one"), "seed='one'"),
    (lambda: attention(position="relative").lock_lags(-1.0), "strength=-1.0"),
    (lambda: attention().propose(np.ones((6, 1)), attention().init_state()), "x has shape"),
    (lambda: latent(n_heads=0), "n_heads=0"),
    (lambda: MultiHeadLatentAttention(6, 2, 0, 3, 2), "head_dim=0"),
    (lambda: MultiHeadLatentAttention(6, 2, 4, 3, -2), "dim=-2"),
    (lambda: latent(v_head_dim=0), "v_head_dim=0"),
    (lambda: latent(q_lora_dim=0), "q_lora_dim=0"),
    (lambda: latent(window_size=0), "window_size=0"),
    (lambda: latent(latent_norm=1), "latent_norm=1"),
    (lambda: latent(rope_base=-1.0), "base=-1.0"),
    (lambda: latent(cache="list"), "cache='list'"),
    (lambda: latent().propose(np.ones(5), latent().init_state()), "x has shape"),
    (lambda: LSTM(0, 2), "d_in=0"),
    (lambda: LSTM(2, 2, n_layers=0), "n_layers=0"),
    (lambda: LSTM(2, 2, layer_norm=1), "layer_norm=1"),
    (lambda: LSTM(2, 2).propose(np.ones(3), np.zeros((2, 1, 2))), "x has shape"),
    (lambda: TransformerBlock(attention(), ffn_dim=0), "ffn_dim=0"),
    (lambda: TransformerBlock(attention(), activation="tanh"), "activation='tanh'"),
    (lambda: Activation(3, "tanh"), "kind='tanh'"),
    (lambda: Dense(2, 0), "d_out=0"),
    (lambda: LayerNorm(2, eps=-1.0), "eps=-1.0"),
    (lambda: PagedKVCache(PagePool(1, 1, {"k": ()}), 0), "capacity=0"),
    (lambda: PagedKVCache(PagePool(1, 1, {"k": ()})).evict_oldest(2), "n=2"),
    (lambda: RingKVCache(1, {"k": ()}).truncate(-1), "n=-1"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
