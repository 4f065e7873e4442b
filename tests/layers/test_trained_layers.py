"""Layers of the softmax family: one protocol, exact caches, gradients, reference files."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from river_attention.layers import (
    LSTM,
    Dense,
    GroupedQueryAttention,
    LayerNorm,
    MultiHeadLatentAttention,
    PagePool,
    RMSNorm,
    Sequential,
    TransformerBlock,
    mla_from_gqa,
)
from river_attention.layers.grouped_query import locked_lags

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="reference vectors not there")


def attention(n_heads=4, **more):
    options = {"n_kv_heads": 2, "head_dim": 4, "window_size": 4, "seed": 1} | more
    return GroupedQueryAttention(6, n_heads, **options)


def latent(**more):
    return MultiHeadLatentAttention(6, 2, 3, 4, 2, **{"window_size": 4, "seed": 1} | more)


LAYERS = {
    "rope": attention,
    "relative": lambda: attention(position="relative", n_kv_heads=None, qk_norm="layer"),
    "alibi": lambda: attention(position="alibi", qk_norm="rms", bias=False),
    "no position": lambda: attention(position=None, window_size=1, out_proj=False),
    "partial rope": lambda: attention(
        rope_dim=2, rope_interleaved=True, rope_scaling={"scaling": "linear", "factor": 2.0}
    ),
    "global": lambda: attention(window_size=None, max_context=8, n_kv_heads=1),
    "yarn": lambda: attention(
        rope_scaling={"scaling": "yarn", "factor": 2.0, "original_length": 64}
    ),
    "paged": lambda: attention(cache="paged", page_size=3),
    "latent": latent,
    "latent queries": lambda: latent(q_lora_dim=3, v_head_dim=5, rope_interleaved=True),
    "latent plain": lambda: latent(latent_norm=False, out_proj=False, cache="paged", page_size=2),
    "lstm": lambda: LSTM(6, 5, n_layers=2, seed=1),
    "lstm plain": lambda: LSTM(6, 3, layer_norm=False, seed=1),
    "pre": lambda: TransformerBlock(attention(), ffn_dim=7, seed=2),
    "post": lambda: TransformerBlock(attention(), "post", 7, "relu", seed=2),
    "no ffn": lambda: TransformerBlock(latent(), "post"),
    "sequence": lambda: Sequential((Dense(6, 6, seed=1), attention(), LayerNorm(6), RMSNorm(6))),
    "keys as values": lambda: attention(share_kv=True, qk_norm="rms"),
    "one array for both": lambda: attention(share_kv=True, position="alibi", cache="paged"),
    "keys of another": lambda: Sequential(
        (
            attention(qk_norm="layer", window_size=5),
            TransformerBlock(attention(kv_from=0, qk_norm="rms", seed=2), ffn_dim=5, seed=2),
            attention(kv_from=0, n_heads=2, window_size=3, bias=False, seed=3),
        )
    ),
    "keys of a block": lambda: Sequential(
        (
            Dense(6, 6, seed=1),
            TransformerBlock(attention(share_kv=True, position=None, cache="paged", page_size=2)),
            attention(kv_from=1, position="relative", seed=2),
        )
    ),
    "two windows": lambda: Sequential((attention(), LSTM(6, 6, seed=2), attention(seed=3))),
}


def randomised(name):
    """A layer with no weight left at 0 or 1."""
    layer = LAYERS[name]()
    rng = np.random.default_rng(0)
    layer.theta += 0.3 * rng.normal(size=len(layer.theta))
    return layer


def plain(state):
    """A state as data that can be compared."""
    if isinstance(state, list):
        return [plain(one) for one in state]
    if hasattr(state, "segments"):
        rows = [{f: v.tolist() for f, v in part.items()} for part in state.segments()]
        return [state.n_appended, *rows]
    return None if state is None else np.asarray(state).tolist()


def steps(layer, X, state):
    reads = []
    for x in X:
        read, state = layer.step(x, state)
        reads.append(read)
    return np.array(reads), state


@pytest.fixture(params=LAYERS)
def layer(request):
    return randomised(request.param)


@pytest.fixture
def X():
    return np.random.default_rng(7).normal(size=(21, 6))


def test_steps_equal_the_sequence(layer, X):
    whole, final = layer.forward(X, layer.init_state())
    one_by_one, state = steps(layer, X, layer.init_state())
    np.testing.assert_allclose(one_by_one, whole, atol=1e-11)
    again, _ = layer.forward(X[:3], final)
    after, _ = layer.forward(X[:3], state)
    np.testing.assert_allclose(after, again, atol=1e-11)
    assert whole.shape == (21, layer.n_outputs)


@pytest.mark.parametrize("cuts", [(1,), (5, 6), (3, 10, 17), (20,)])
def test_any_cut_of_a_sequence_gives_the_same(layer, X, cuts):
    whole, _ = layer.forward(X, layer.init_state())
    state, parts = layer.init_state(), []
    for rows in np.split(X, cuts):
        reads, state = layer.forward(rows, state)
        parts.append(reads)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-11)


def test_only_commit_changes_a_state(layer, X):
    _, state = layer.forward(X[:9], layer.init_state())
    before = copy.deepcopy(plain(state))
    first, _ = layer.propose(X[9], state)
    layer.forward(X[9:], state, ctx=True)
    branch = layer.branch(state)
    steps(layer, X[9:], branch)
    second, _ = layer.propose(X[9], state)
    assert plain(state) == before
    np.testing.assert_array_equal(first, second)


def test_states_and_layers_survive_pickle(layer, X):
    _, state = layer.forward(X[:9], layer.init_state())
    twin, copied = pickle.loads(pickle.dumps((layer, state)))
    a, _ = steps(layer, X[9:], state)
    b, _ = steps(twin, X[9:], copied)
    np.testing.assert_array_equal(a, b)
    for name, weights in twin.parameters().items():
        assert np.shares_memory(weights, twin.theta), name


def test_gradients_equal_central_differences(layer, X):
    _, state = layer.forward(X[:5], layer.init_state())
    rows = X[5:12]
    reads, _, context = layer.forward(rows, state, ctx=True)
    np.testing.assert_allclose(reads, layer.forward(rows, state)[0], atol=1e-13)
    d_reads = np.random.default_rng(8).normal(size=reads.shape)
    layer.zero_grads()
    dX, grads = layer.backward(d_reads, context)
    assert grads.keys() == layer.parameters().keys()

    def loss(rows):
        return (layer.forward(rows, state)[0] * d_reads).sum()

    rng, scale = np.random.default_rng(9), np.abs(layer.gradient).max()
    assert scale > 1e-3
    assert np.abs(dX).max() > 1e-3
    # single entries of every array, and one direction through all of them
    for name, weights in layer.parameters().items():
        for i in map(tuple, rng.integers(0, weights.shape, size=(3, weights.ndim))):
            kept = weights[i]
            weights[i] = kept + 1e-5
            high = loss(rows)
            weights[i] = kept - 1e-5
            low = loss(rows)
            weights[i] = kept
            assert grads[name][i] == pytest.approx((high - low) / 2e-5, abs=2e-7 * scale), name
    direction = rng.normal(size=len(layer.theta))
    layer.theta += 1e-5 * direction
    high = loss(rows)
    layer.theta -= 2e-5 * direction
    low = loss(rows)
    layer.theta += 1e-5 * direction
    expected = (high - low) / 2e-5
    assert layer.gradient @ direction == pytest.approx(expected, rel=1e-6, abs=1e-7)
    direction = rng.normal(size=rows.shape)
    expected = (loss(rows + 1e-5 * direction) - loss(rows - 1e-5 * direction)) / 2e-5
    assert (dX * direction).sum() == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_gradients_add_up(layer, X):
    reads, _, context = layer.forward(X, layer.init_state(), ctx=True)
    layer.zero_grads()
    layer.backward(np.ones_like(reads), context)
    once = layer.gradient.copy()
    layer.backward(np.ones_like(reads), context)
    np.testing.assert_allclose(layer.gradient, 2 * once, rtol=1e-12)


def test_a_configuration_makes_the_same_layer(layer, X):
    config = layer.get_config()
    twin = type(layer).from_config(config, layer.parameters())
    assert twin.get_config() == config
    np.testing.assert_array_equal(twin.forward(X)[0], layer.forward(X)[0])
    with pytest.raises(ValueError, match="unknown key 'colour'"):
        type(layer).from_config(config | {"colour": 1})


def test_wrong_parameters_change_nothing(layer):
    before, params = layer.theta.copy(), layer.parameters()
    name = list(params)[-1]
    bad = {
        "missing": {k: v + 1.0 for k, v in params.items() if k != name},
        "unknown": params | {"colour": np.ones(1)},
        "has shape": params | {name: np.ones((9, 9))},
        "not finite": params | {name: params[name] * np.nan},
    }
    for message, wrong in bad.items():
        with pytest.raises(ValueError, match=message):
            layer.set_parameters(wrong)
        np.testing.assert_array_equal(layer.theta, before)


def test_wrong_inputs_are_named(layer):
    with pytest.raises(ValueError, match="X has shape"):
        layer.forward(np.ones((3, 5)))


@pytest.mark.parametrize("name", ["rope", "relative", "alibi", "latent", "paged"])
def test_inside_the_window_matters_and_outside_does_not(name, X):
    layer = randomised(name)
    before, _ = steps(layer, X[:9], layer.init_state())
    for row, moves in ((4, False), (5, True), (8, True)):
        changed = X[:9].copy()
        changed[row] += 1.0
        after, _ = steps(layer, changed, layer.init_state())
        whole, _ = layer.forward(changed)
        np.testing.assert_allclose(after, whole, atol=1e-11)
        assert bool(np.abs(after[8] - before[8]).max() > 1e-6) is moves, row


def test_two_layers_see_two_windows(X):
    layer = Sequential((attention(), attention(seed=2)))
    before, _ = layer.forward(X[:12])
    for row, moves in ((4, False), (5, True)):
        changed = X[:12].copy()
        changed[row] += 1.0
        assert bool(np.abs(layer.forward(changed)[0] - before)[11].max() > 1e-9) is moves


@pytest.mark.parametrize("name", ["rope", "latent", "paged", "yarn"])
def test_steps_are_exact_far_along_a_stream(name, X):
    """Rotation depends on distances only, so a shifted stream reads the same."""
    layer = randomised(name)
    expected, _ = layer.forward(X)
    state = layer.init_state()
    state.n_appended = 10**7
    reads, _ = steps(layer, X, state)
    np.testing.assert_allclose(reads, expected, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 30),
    st.sampled_from([(1, 1), (2, 1), (2, 2), (4, 2), (6, 3)]),
    st.sampled_from([None, "rope", "relative", "alibi"]),
    st.sampled_from([None, 1, 3, 16]),
)
def test_caches_equal_a_masked_softmax_over_everything(window, n, heads, position, page_size):
    paged = {} if page_size is None else {"cache": "paged", "page_size": page_size}
    options = {"head_dim": 2, "position": position, "seed": 3}
    layer = GroupedQueryAttention(3, *heads, window_size=window, **options, **paged)
    X = np.random.default_rng(n).normal(size=(n, 3))
    reads, _ = steps(layer, X, layer.init_state())
    whole, _, context = layer.forward(X, ctx=True)
    np.testing.assert_allclose(reads, whole, atol=1e-11)
    weights = context["weights"]
    age = np.arange(n)[:, None] - np.arange(n)
    assert not weights[:, (age < 0) | (age >= window)].any()
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-12)


def test_a_shared_pool_serves_two_sequences(X):
    layer = attention(window_size=5)
    pool = PagePool(8, 2, {"k": (2, 4), "v": (2, 4)})
    states = [layer.init_state(pool), layer.init_state(pool)]
    alone = [layer.forward(rows)[0] for rows in (X, X[::-1])]
    for t in range(len(X)):
        for i, rows in enumerate((X, X[::-1])):
            read, states[i] = layer.step(rows[t], states[i])
            np.testing.assert_allclose(read, alone[i][t], atol=1e-11)
    with pytest.raises(ValueError, match="pool has fields"):
        latent().init_state(pool)


@pytest.mark.parametrize("make", [attention, latent])
def test_weights_by_age_are_those_of_the_step(make, X):
    layer = make()
    _, state = layer.forward(X[:9])
    weights = layer.attention_weights(X[9], state)
    _, _, context = layer.forward(X[:10], ctx=True)
    np.testing.assert_allclose(weights, context["weights"][:, -1, :5:-1], atol=1e-12)


def test_a_latent_without_rotation_is_plain_attention(X):
    layer = MultiHeadLatentAttention(6, 2, 3, 4, 0, window_size=5, latent_norm=False, seed=4)
    p = layer.parameters()
    both = p["Wkv_b"].reshape(2, 6, 4)
    expanded = np.concatenate([both[:, :3].reshape(6, 4), both[:, 3:].reshape(6, 4)])
    params = {"Wq": p["Wq"], "Wo": p["Wo"]}
    params["Wk"], params["Wv"] = np.split(expanded @ p["Wkv_a"], 2)
    plain_layer = GroupedQueryAttention.from_params(params, n_heads=2, window_size=5, position=None)
    np.testing.assert_allclose(layer.forward(X)[0], plain_layer.forward(X)[0], atol=1e-12)


def test_locked_lags_look_at_one_age(X):
    layer = attention(position="relative", n_kv_heads=None)
    layer.lock_lags(60.0)
    _, state = layer.forward(X)
    weights = layer.attention_weights(X[0], state)
    assert weights.argmax(axis=1).tolist() == [0, 1, 2, 3]
    assert weights.max(axis=1).min() > 0.99
    for n_heads in range(1, 40):
        for window in range(2, 40):
            lags = locked_lags(n_heads, window)
            assert len(lags) == n_heads
            assert len(set(lags)) == min(n_heads, window)
            assert 0 <= min(lags) <= max(lags) < window


def relative_error(actual, expected):
    assert np.shape(actual) == np.shape(expected)
    return np.abs(actual - expected).max() / np.abs(expected).max()


def load(path):
    with np.load(path) as archive:
        return dict(archive)


@needs_golden
@pytest.mark.parametrize("case", ["gqa_layer__t12", "gqa_layer__t64"])
def test_attention_equals_the_reference(case):
    z = load(GOLDEN / f"{case}.npz")
    layer = GroupedQueryAttention.from_params(
        {name: z[name] for name in ("Wq", "Wk", "Wv", "Wo")},
        n_heads=int(z["n_heads"]),
        rope_base=float(z["rope_base"]),
    )
    check_reference(layer, z)


@needs_golden
@pytest.mark.parametrize("case", ["mla_layer__t12", "mla_layer__t12_half", "mla_layer__t64"])
def test_latent_attention_equals_the_reference(case):
    z = load(GOLDEN / f"{case}.npz")
    names = ("Wq", "Wq_a", "q_a_norm", "Wq_b", "Wkv_a", "kv_a_norm", "Wkv_b", "Wo")
    layer = MultiHeadLatentAttention.from_params(
        {name: z[name] for name in names if name in z},
        n_heads=int(z["n_heads"]),
        head_dim=int(z["qk_nope_head_dim"]),
        rope_interleaved=bool(z["rope_interleave"]),
        rope_base=float(z["rope_base"]),
    )
    final = check_reference(layer, z)
    assert relative_error(final.view()["c"], z["c_kv"]) < 1e-10
    assert relative_error(final.view()["kr"], z["k_rope"]) < 1e-10


def check_reference(layer, z):
    state = layer.init_state()
    state.n_appended = int(z["position_offset"])
    reads, final, context = layer.forward(z["x"], state, ctx=True)
    assert relative_error(reads, z["output"]) < 1e-10
    by_step, _ = steps(layer, z["x"], layer.branch(state))
    assert relative_error(by_step, z["output"]) < 1e-10
    layer.zero_grads()
    dX, grads = layer.backward(z["dout"], context)
    assert relative_error(dX, z["dx"]) < 1e-9
    expected = {name[1:] for name in z if name.startswith("d") and name not in ("dx", "dout")}
    assert expected == grads.keys()
    for name in grads:
        assert relative_error(grads[name], z[f"d{name}"]) < 1e-9, name
    return final


@needs_golden
@pytest.mark.parametrize("case", ["l1_t12", "l1_t64", "l2_t12", "l2_t64"])
def test_lstm_equals_the_reference(case):
    z = load(GOLDEN / f"lstm__{case}.npz")
    params = {name: z[name] for name in z if name.startswith(("weight", "bias"))}
    layer = LSTM.from_params(params)
    state = layer.init_state()
    if "initial_h" in z:
        state = np.stack([z["initial_h"], z["initial_c"]])
    reads, final = layer.forward(z["x"], state)
    assert relative_error(reads, z["output"]) < 1e-10
    assert relative_error(final, np.stack([z["final_h"], z["final_c"]])) < 1e-10


BAD = [
    (lambda: GroupedQueryAttention(6, 4), "n_heads=4"),
    (lambda: GroupedQueryAttention(6, 3, 2), "n_kv_heads=2"),
    (lambda: GroupedQueryAttention(6, 2, head_dim=3), "dim=3"),
    (lambda: GroupedQueryAttention(6, 2, head_dim=2, rope_dim=4), "rope_dim=4"),
    (lambda: GroupedQueryAttention(6, 2, window_size=0), "window_size=0"),
    (lambda: GroupedQueryAttention(6, 3, position="learned"), "position='learned'"),
    (lambda: GroupedQueryAttention(6, 3, position="alibi", causal=False), "position='alibi'"),
    (lambda: GroupedQueryAttention(6, 3, qk_norm="batch"), "qk_norm='batch'"),
    (lambda: GroupedQueryAttention(6, 3, cache="list"), "cache='list'"),
    (lambda: GroupedQueryAttention(6, 3).lock_lags(), "position='rope'"),
    (lambda: MultiHeadLatentAttention(6, 2, 4, 3, 1), "dim=1"),
    (lambda: MultiHeadLatentAttention(6, 2, 4, 0, 2), "kv_lora_dim=0"),
    (lambda: LSTM(3, 0), "d_hidden=0"),
    (lambda: LSTM(3, 2).forward(np.ones((1, 3)), np.ones(2)), "state has shape"),
    (lambda: Sequential((Dense(2, 3), Dense(2, 3))), "Dense gives 3"),
    (lambda: Sequential(()), "layers is empty"),
    (lambda: TransformerBlock(LSTM(3, 2)), "attention gives 2"),
    (lambda: TransformerBlock(LSTM(3, 3), norm="none"), "norm='none'"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_looking_ahead_is_for_sequences_only(X):
    layer = GroupedQueryAttention(6, 3, causal=False, seed=1)
    before, _ = layer.forward(X)
    changed = X.copy()
    changed[-1] += 1.0
    assert np.abs(layer.forward(changed)[0] - before)[0].max() > 1e-6
    with pytest.raises(ValueError, match="causal=False"):
        layer.propose(X[0], layer.init_state())


@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
def test_latents_of_full_rank_are_the_layer_with_grouped_heads(n_kv_heads):
    plain = {"position": None, "bias": False, "window_size": 4, "seed": 1}
    layer = GroupedQueryAttention(6, 4, n_kv_heads, 2, **plain)
    X = np.random.default_rng(0).normal(size=(9, 6))
    expected, _ = layer.forward(X)
    full = min(6, 4 * n_kv_heads)
    np.testing.assert_allclose(mla_from_gqa(layer, full).forward(X)[0], expected, atol=1e-12)
    assert np.abs(mla_from_gqa(layer, full - 1).forward(X)[0] - expected).max() > 1e-3
    with pytest.raises(ValueError, match=f"rank={full + 1}"):
        mla_from_gqa(layer, full + 1)


@pytest.mark.parametrize("more", [{"position": "rope"}, {"bias": True}, {"qk_norm": "rms"}])
def test_what_latents_have_not_is_refused(more):
    layer = GroupedQueryAttention(6, 2, head_dim=4, **{"position": None, "bias": False} | more)
    with pytest.raises(ValueError, match=next(iter(more))):
        mla_from_gqa(layer, 2)


@pytest.mark.parametrize("name", LAYERS)
def test_an_empty_sequence_changes_nothing(name):
    layer = LAYERS[name]()
    X = np.random.default_rng(0).normal(size=(3, layer.d_in))
    before, state = layer.forward(X, layer.init_state())
    reads, final = layer.forward(X[:0], layer.branch(state))
    assert reads.shape == (0, before.shape[1])
    ours, theirs = (layer.forward(X, layer.branch(each))[0] for each in (final, state))
    np.testing.assert_array_equal(ours, theirs)
