"""Layers and caches in float32: half the memory, no float64 in between, nearly the same reads."""

from __future__ import annotations

import copy
import pickle
import warnings

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
    Ring,
    RingKVCache,
    RMSNorm,
    Sequential,
    TransformerBlock,
    mla_from_gqa,
)

SINGLE = np.dtype("float32")


def attention(**more):
    options = {"n_kv_heads": 2, "head_dim": 4, "window_size": 4, "seed": 1} | more
    return GroupedQueryAttention(6, 4, **options)


def latent(**more):
    return MultiHeadLatentAttention(6, 2, 3, 4, 2, **{"window_size": 4, "seed": 1} | more)


LAYERS = {
    "rope": attention,
    "yarn": lambda **d: attention(
        rope_scaling={"scaling": "yarn", "factor": 2.0, "original_length": 64}, **d
    ),
    "relative": lambda **d: attention(position="relative", qk_norm="layer", **d),
    "alibi": lambda **d: attention(position="alibi", qk_norm="rms", bias=False, **d),
    "pages": lambda **d: attention(cache="paged", page_size=3, **d),
    "keys as values": lambda **d: attention(share_kv=True, position=None, **d),
    "latent": latent,
    "latent queries": lambda **d: latent(q_lora_dim=3, rope_interleaved=True, **d),
    "latent plain": lambda **d: latent(latent_norm=False, cache="paged", page_size=2, **d),
    "lstm": lambda **d: LSTM(6, 5, n_layers=2, seed=1, **d),
    "dense": lambda **d: Dense(6, 3, seed=1, **d),
    "relu": lambda **d: Activation(6, "relu", **d),
    "rms": lambda **d: RMSNorm(6, **d),
    "block": lambda **d: TransformerBlock(attention(**d), ffn_dim=7, seed=2),
    "post": lambda **d: TransformerBlock(latent(**d), "post", 7, seed=2),
    "keys of another": lambda **d: Sequential(
        (
            attention(window_size=5, **d),
            LayerNorm(6, **d),
            TransformerBlock(attention(kv_from=0, seed=2, **d)),
        )
    ),
}


@pytest.fixture(params=LAYERS)
def pair(request):
    """A layer in float32 and the same in float64."""
    make = LAYERS[request.param]
    return make(dtype="float32"), make(dtype="float64")


@pytest.fixture
def X():
    return np.random.default_rng(7).normal(size=(21, 6))


def arrays(value):
    """All arrays within a state, a proposal or a context."""
    if isinstance(value, np.ndarray):
        yield value
    elif hasattr(value, "segments"):
        yield from arrays([value.segments(), value.looked])
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from arrays(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            # positions are angles to be
            yield from () if key == "positions" else arrays(one)
    elif hasattr(value, "__dict__"):
        yield from arrays(vars(value))


def kinds(*values):
    return {array.dtype for array in arrays(values)}


def test_nothing_is_computed_in_float64(pair, X):
    layer, _ = pair
    assert kinds(layer.theta, layer.gradient, layer.parameters(), layer.grads) == {SINGLE}
    state, row = layer.init_state(), X.astype(np.float32)
    # inputs of either kind
    for x in [*X[:7], *row[7:14]]:
        read, proposal = layer.propose(x, state)
        state = layer.commit(state, proposal)
        assert kinds(read, proposal) == {SINGLE}
        assert kinds(state) <= {SINGLE}
    reads, final, context = layer.forward(X, state, ctx=True)
    assert kinds(reads, context) == {SINGLE}
    assert kinds(final, layer.forward(X, state)) <= {SINGLE}
    dX, grads = layer.backward(np.ones(reads.shape), context)
    assert kinds(dX, grads) == {SINGLE}


def test_reads_and_gradients_are_those_of_float64(pair, X):
    single, double = pair
    np.testing.assert_array_equal(single.theta, double.theta.astype(np.float32))
    reads, _, context = single.forward(X, ctx=True)
    expected, _, wanted = double.forward(X, ctx=True)
    # 24 bits of numbers of about 1, through up to three layers
    np.testing.assert_allclose(reads, expected, atol=1e-5)
    assert np.abs(reads - expected).max() > 0.0 or type(single) is Activation
    state, stepped = single.init_state(), []
    for x in X:
        read, state = single.step(x, state)
        stepped.append(read)
    np.testing.assert_allclose(stepped, expected, atol=1e-5)
    d_reads = np.cos(np.arange(expected.size)).reshape(expected.shape)
    dX, _ = single.backward(d_reads, context)
    d_expected, _ = double.backward(d_reads, wanted)
    np.testing.assert_allclose(dX, d_expected, atol=2e-5)
    scale = max(1.0, np.abs(double.gradient).max(initial=0.0))
    np.testing.assert_allclose(single.gradient, double.gradient, atol=1e-5 * scale)


def test_copies_keep_the_dtype(pair, X):
    layer, double = pair
    _, state = layer.forward(X[:9], layer.init_state())
    goal, _ = layer.forward(X[9:], state)
    for twin, past in (pickle.loads(pickle.dumps((layer, state))), copy.deepcopy((layer, state))):
        reads, _ = twin.forward(X[9:], past)
        np.testing.assert_array_equal(reads, goal)
        assert kinds(twin.theta, twin.gradient, reads) == {SINGLE}
    again = type(layer).from_config(layer.get_config(), double.parameters())
    assert again.dtype == "float32"
    np.testing.assert_array_equal(again.forward(X)[0], layer.forward(X)[0])
    assert layer.clone().theta.dtype == SINGLE


@pytest.mark.parametrize("make", [attention, latent])
def test_angles_are_exact_far_along_a_stream(make, X):
    """An angle of float32 would be off by 1 at position 10^7."""
    layer = make(dtype="float32")
    expected, _ = layer.forward(X)
    state = layer.init_state()
    state.n_appended = 10**7
    reads, _ = layer.forward(X, state)
    np.testing.assert_allclose(reads, expected, atol=1e-5)
    for x in X:
        read, state = layer.step(x, state)
    np.testing.assert_allclose(read, expected[-1], atol=1e-5)


@pytest.mark.parametrize("cache", ["ring", "paged"])
def test_a_cache_takes_half_the_memory(cache, X):
    sizes = {}
    for dtype in ("float32", "float64"):
        layer = attention(cache=cache, page_size=2, dtype=dtype)
        _, state = layer.forward(X, layer.init_state())
        sizes[dtype] = state.nbytes
        rows = [array.nbytes for part in state.segments() for array in part.values()]
        assert sum(rows) == 3 * 2 * 2 * 4 * np.dtype(dtype).itemsize
        if cache == "paged":
            assert state.nbytes <= state.pool.nbytes
    assert sizes["float64"] == 2 * sizes["float32"] > 0


def test_rings_keep_their_dtype():
    ring = Ring(2, dtype="float32", key=(2,), value=())
    for t in range(9):
        ring.append(key=np.full(2, t / 3), value=t)
        branch = ring.branch()
        branch.append(key=np.zeros(2), value=0.0)
        assert ring["key"].dtype == branch["key"].dtype == branch["value"].dtype == SINGLE
    ring.widen("key", 3)
    twin = Ring(2, dtype="float32", key=(3,), value=())
    twin.set_state(ring.get_state())
    assert twin["key"].dtype == ring.get_state()["key"].dtype == SINGLE
    np.testing.assert_array_equal(twin["key"], ring["key"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_pages_of_halves_are_read_by_any_layer(dtype, X):
    layer = attention(dtype=dtype, window_size=8)
    fields = {"k": (2, 4), "v": (2, 4)}
    half, full = (PagePool(8, 4, fields, dtype=kind) for kind in ("float16", dtype))
    states, reads = [layer.init_state(half), layer.init_state(full)], []
    for x in X:
        for i in (0, 1):
            read, states[i] = layer.step(x, states[i])
            reads.append(read)
    assert {read.dtype.name for read in reads} == {dtype}
    error = np.abs(np.array(reads[::2]) - np.array(reads[1::2])).max()
    # 11 bits of numbers of about 1
    assert 0.0 < error < 5e-3
    assert np.dtype(dtype).itemsize * half.nbytes == 2 * full.nbytes
    assert layer.forward(X, states[0])[0].dtype == dtype
    # what is stored as halves comes back as halves
    twin = PagedKVCache(PagePool(8, 4, fields, dtype="float16"), 7)
    twin.set_state(states[0].get_state())
    np.testing.assert_array_equal(layer.propose(x, twin)[0], layer.propose(x, states[0])[0])


def test_the_state_of_pages_changes_hands():
    pool = PagePool(8, 2, {"k": (1,)}, on_full="evict", dtype="float32")
    caches = [PagedKVCache(pool, 4) for _ in range(2)]
    for t in range(7):
        caches[0].append(k=[t])
    state = caches[0].get_state()
    caches[1].append(k=[9])
    caches[1].set_state(state)
    assert caches[1].segments()[0]["k"].ravel().tolist() == [3, 4, 5, 6]
    assert (caches[1].n_seen, pool.used) == (7, 5)
    for bad in (state | {"n_appended": 1}, state | {"more": 1}, {}, None):
        with pytest.raises(ValueError, match=r"n_appended|more|no 'k'|expected a dict"):
            caches[1].set_state(bad)
        assert (len(caches[1]), pool.used) == (4, 5)
    # it is known to the pool as one that may lose its pages
    for t in range(3):
        caches[0].append(k=[t])
    other = PagedKVCache(pool)
    for t in range(9):
        other.append(k=[t])
    assert [len(cache) for cache in (*caches, other)] == [4, 0, 9]
    del caches, other
    assert pool.used == 0


def test_halves_are_cut_where_they_end():
    cache = PagedKVCache(PagePool(1, 2, {"k": (2,)}, dtype="float16"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.append(k=[1e30, -1e30])
    assert cache.segments()[0]["k"].tolist() == [[65504.0, -65504.0]]


def test_latents_of_a_layer_have_its_dtype(X):
    layer = GroupedQueryAttention(6, 2, position=None, bias=False, dtype="float32", seed=1)
    assert mla_from_gqa(layer, 3).forward(X)[0].dtype == SINGLE


BAD = [
    (lambda: attention(dtype="float16"), "dtype='float16'"),
    (lambda: latent(dtype=np.float32), "dtype=<class"),
    (lambda: LSTM(2, 2, dtype="single"), "dtype='single'"),
    (lambda: Dense(2, 2, dtype=None), "dtype=None"),
    (lambda: LayerNorm(2, dtype="int8"), "dtype='int8'"),
    (lambda: Activation(2, dtype="int8"), "dtype='int8'"),
    (lambda: RingKVCache(2, {"k": ()}, dtype="float16"), "dtype='float16'"),
    (lambda: PagePool(2, 2, {"k": ()}, dtype="int8"), "dtype='int8'"),
    (lambda: Sequential((Dense(2, 2, dtype="float32"), Dense(2, 2))), "1 has dtype='float64'"),
    (
        lambda: attention().init_state(PagePool(2, 2, {"k": (2, 4), "v": (2, 4)}, dtype="float32")),
        "pool has dtype='float32'",
    ),
    (
        lambda: Dense.from_params({"W": [[1e200]]}, dtype="float32"),
        "W holds values that are not finite",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
