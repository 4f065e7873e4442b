"""Softmax attention: reference files, worked examples, gradients, and three ways that agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from river_attention import functional as F

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
FILES = sorted(GOLDEN.glob("sdpa_*.npz"))
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="reference vectors not there")


def relative_error(actual, expected):
    assert np.shape(actual) == np.shape(expected)
    return np.abs(np.asarray(actual) - expected).max() / max(np.abs(expected).max(), 1e-300)


def numerical(function, x, step=1e-5):
    """Central differences of a scalar function."""
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        there, back = x.copy(), x.copy()
        there[i] += step
        back[i] -= step
        gradient[i] = (function(there) - function(back)) / (2 * step)
    return gradient


class Reference:
    """What a reference file asks for: norm, rotation, attention, and all of it backwards."""

    def __init__(self, path):
        with np.load(path) as archive:
            self.z = z = dict(archive)
        name = path.stem.split("__")[0]
        self.rules = {"scale": float(z["scale"]), "causal": True}
        if "bidirectional" in name or "attn_mask" in z:
            self.rules["causal"] = False
        if "window" in z:
            self.rules["window"] = int(z["window"])
        if "attn_mask" in z:
            self.rules["mask"] = z["attn_mask"]
        n = len(z["q"])
        if "slopes" in z:
            age = np.arange(n)[:, None] - np.arange(n)
            self.rules["bias"] = -z["slopes"][:, None, None] * age
        self.kind = "layer" if "layernorm" in name else "rms" if "rmsnorm" in name else None
        self.theta = None
        self.interleaved = "interleaved" in name
        if "inv_freq" in z:
            scalings = ("dynamic_ntk", "ntk", "linear")
            scaling = next((s for s in scalings if name.endswith(s)), None)
            self.theta, _ = F.rope_frequencies(
                z["q"].shape[-1],
                float(z["rope_base"]),
                scaling,
                float(z["rope_factor"]),
                original_length=float(z["max_pos"]) or None,
                length=n,
            )
            self.positions = int(z["position_offset"]) + np.arange(n)

    def prepared(self, name):
        z, x = self.z, self.z[name]
        if self.kind:
            bias = z.get(f"{name}_norm_bias")
            x = F.qk_norm(x, self.kind, z[f"{name}_norm_weight"], bias, float(z["eps"]))
        if self.theta is not None:
            x = F.apply_rope(x, self.positions, self.theta, interleaved=self.interleaved)
        return x

    def pulled_back(self, name, dx):
        z = self.z
        if self.theta is not None:
            dx = F.apply_rope(dx, self.positions, self.theta, True, self.interleaved)
        gradients = {}
        if self.kind:
            gain = z[f"{name}_norm_weight"]
            dx, dgain, dbias = F.qk_norm_backward(dx, z[name], self.kind, gain, float(z["eps"]))
            gradients = {f"d{name}_norm_weight": dgain, f"d{name}_norm_bias": dbias}
        return gradients | {f"d{name}": dx}


@needs_golden
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_outputs_and_gradients_equal_the_reference(path):
    reference = Reference(path)
    z, rules = reference.z, reference.rules
    q, k = reference.prepared("q"), reference.prepared("k")
    for name, x in (("q", q), ("k", k)):
        if f"{name}_roped" in z:
            assert relative_error(x, z[f"{name}_roped"]) < 1e-10
    if reference.theta is not None:
        assert relative_error(reference.theta, z["inv_freq"]) < 1e-12
    out, weights = F.scaled_dot_product_attention(q, k, z["v"], return_weights=True, **rules)
    efficient, lse = F.memory_efficient_attention(
        q, k, z["v"], chunk_size=5, return_lse=True, **rules
    )
    chunked = F.chunked_attention(q, k, z["v"], chunk_size=5, **rules)
    for result in (out, efficient, chunked):
        assert relative_error(result, z["output"]) < 1e-10
    *gradients, _ = F.scaled_dot_product_attention_backward(
        z["dout"], q, k, z["v"], weights, scale=rules["scale"]
    )
    again = F.memory_efficient_attention_backward(
        z["dout"], q, k, z["v"], efficient, lse, chunk_size=5, **rules
    )
    for dq, dk, dv in (gradients, again):
        found = reference.pulled_back("q", dq) | reference.pulled_back("k", dk) | {"dv": dv}
        expected = [key for key in z if key.startswith("d") and key != "dout"]
        for key in expected:
            if key == "dk_norm_bias":  # the same for all keys changes no weight
                assert max(np.abs(z[key]).max(), np.abs(found[key]).max()) < 1e-13
            else:
                assert relative_error(found[key], z[key]) < 1e-9, key


@needs_golden
def test_there_are_reference_files():
    assert len(FILES) == 41


n = np.arange(16.0).reshape(4, 1, 4)
Q, K, V, DOUT = np.sin(1 + n), np.cos(1 + n), np.sin(2 + 3 * n), np.cos(n)


def test_worked_examples_of_one_head():
    near = {"atol": 1e-9, "rtol": 0}
    attend = F.scaled_dot_product_attention
    out, weights = attend(Q, K, V, causal=True, return_weights=True)
    np.testing.assert_allclose(
        out[3, 0], [0.7785341291, -0.7270397049, 0.6609935761, -0.5817176564], **near
    )
    np.testing.assert_array_equal(out[0], V[0])
    full = attend(Q, K, V)
    np.testing.assert_allclose(
        full[0, 0], [0.6979781972, -0.6410992958, 0.5713887876, -0.4902419289], **near
    )
    windowed = attend(Q, K, V, causal=True, window=2)
    np.testing.assert_allclose(
        windowed[3, 0], [0.4334068035, -0.3070725701, 0.1745922772, -0.0386175186], **near
    )
    dq, dk, dv, _ = F.scaled_dot_product_attention_backward(DOUT, Q, K, V, weights)
    np.testing.assert_allclose(
        dq[3, 0], [-0.0297213785, 0.0332703297, 0.0656734502, 0.0376967034], **near
    )
    np.testing.assert_allclose(dq[0], 0.0, atol=1e-16)
    np.testing.assert_allclose(
        dk[0, 0], [0.0030079592, 0.0261553559, 0.025255639, 0.0011360041], **near
    )
    np.testing.assert_allclose(
        dv[3, 0], [0.2130405942, 0.2290953305, 0.0345208764, -0.1917919122], **near
    )
    theta, _ = F.rope_frequencies(4)
    roped = (F.apply_rope(x, np.arange(4), theta) for x in (Q, K))
    np.testing.assert_allclose(
        attend(*roped, V, causal=True)[3, 0],
        [0.7536543158, -0.7035220668, 0.6393088188, -0.5622998004],
        **near,
    )


def test_worked_example_of_grouped_heads():
    q_index = np.arange(24.0).reshape(4, 3, 2).transpose(1, 0, 2)
    k_index = np.arange(12.0).reshape(2, 3, 2).transpose(1, 0, 2)
    q, k, v = np.sin(1 + q_index), np.cos(1 + k_index), np.sin(2 + 3 * k_index)
    out, weights = F.scaled_dot_product_attention(q, k, v, causal=True, return_weights=True)
    near = {"atol": 1e-9, "rtol": 0}
    expected = [
        [0.9731341087, -0.9843558277],
        [0.9733323636, -0.9861215266],
        [0.753679353, -0.6560325623],
        [0.7584162334, -0.6614721522],
    ]
    np.testing.assert_allclose(out[2], expected, **near)
    _, dk, dv, _ = F.scaled_dot_product_attention_backward(np.cos(q_index), q, k, v, weights)
    np.testing.assert_allclose(
        dk[0], [[-0.0165313214, -0.0027399977], [0.0516478346, 0.0065945568]], **near
    )
    np.testing.assert_allclose(
        dv[0], [[1.3597151503, 0.316576835], [1.5767212547, 0.8725202398]], **near
    )


def test_positions():
    theta, _ = F.rope_frequencies(4)
    x = np.array([[[1.0, 2, 3, 4]], [[5, 6, 7, 8]]])
    turned = F.apply_rope(x, [0, 1], theta)
    np.testing.assert_array_equal(turned[0], x[0])
    np.testing.assert_allclose(
        F.apply_rope([[[0.5, 0.6, 0.7, 0.8]]], 1, theta, inverse=True).ravel(),
        [0.8591808423, 0.6079698669, -0.0425238783, 0.7939601003],
        atol=1e-9,
    )
    np.testing.assert_allclose(F.apply_rope(turned, [0, 1], theta, inverse=True), x, atol=1e-14)
    plain, _ = F.rope_frequencies(64)
    scaled, factor = F.rope_frequencies(64, scaling="yarn", factor=8.0, original_length=2048)
    np.testing.assert_allclose(
        (scaled / plain)[[0, 8, 12, 16, 20, 24, 31]],
        [1, 1, 0.3877, 0.1888, 0.1259, 0.125, 0.125],
        atol=5e-5,
    )
    assert factor == pytest.approx(1.2079441542, abs=1e-9)
    same, one = F.rope_frequencies(64, scaling="yarn", factor=1.0, original_length=2048)
    np.testing.assert_array_equal(same, plain)
    assert one == 1.0
    np.testing.assert_array_equal(F.alibi_slopes(8), 2.0 ** -np.arange(1.0, 9))


def test_rotated_scores_depend_on_the_distance_only():
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(2, 5, 2, 8))
    theta, _ = F.rope_frequencies(8)

    def scores(start):
        a, b = (F.apply_rope(x, start + np.arange(5), theta) for x in (q, k))
        return np.einsum("ihd,jhd->hij", a, b)

    np.testing.assert_allclose(scores(10**7), scores(0), atol=1e-13)
    np.testing.assert_allclose(scores(10**12), scores(0), atol=1e-13)
    assert np.abs(scores(0) - np.einsum("ihd,jhd->hij", q, k)).max() > 0.1


@st.composite
def problems(draw):
    n_q, n_k = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    n_kv, group = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    d, d_value = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    batch = draw(st.sampled_from([(), (2,), (2, 1)]))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    heads = n_kv * group
    size = draw(st.sampled_from([1.0, 1e4]))
    q = size * rng.normal(size=(*batch, n_q, heads, d))
    k = rng.normal(size=(*batch, n_k, n_kv, d))
    v = rng.normal(size=(*batch, n_k, n_kv, d_value))
    rules = {
        "causal": draw(st.booleans()),
        "window": draw(st.sampled_from([None, 1, 2, 3, 20])),
        "offset": draw(st.sampled_from([None, -2, 0, 1, 3])),
    }
    if draw(st.booleans()):
        rules["mask"] = rng.random((n_q, n_k)) < 0.7
    if draw(st.booleans()):
        rules["bias"] = rng.normal(size=(heads, n_q, n_k))
    return q, k, v, rules, draw(st.integers(1, 10))


def plainly(q, k, v, causal, window, offset, mask=None, bias=None):
    """A loop over everything, with keys and values repeated."""
    n_q, heads, d = q.shape[-3:]
    n_k, n_kv = k.shape[-3:-1]
    offset = n_k - n_q if offset is None else offset
    k, v = (np.repeat(x, heads // n_kv, axis=-2) for x in (k, v))
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for *lead, i, h in np.ndindex(q.shape[:-1]):
        at = tuple(lead)
        scores, seen = [], []
        for j in range(n_k):
            age = i + offset - j
            near = window is None or (age < window if causal else abs(age) <= window)
            if not near or (causal and age < 0) or (mask is not None and not mask[i, j]):
                continue
            more = 0.0 if bias is None else bias[h, i, j]
            scores.append(q[(*at, i, h)] @ k[(*at, j, h)] / np.sqrt(d) + more)
            seen.append(v[(*at, j, h)])
        if seen:
            weights = np.exp(np.array(scores) - max(scores))
            out[(*at, i, h)] = weights @ np.array(seen) / weights.sum()
    return out


@settings(max_examples=60, deadline=None)
@given(problems())
def test_three_ways_equal_a_plain_loop(problem):
    q, k, v, rules, chunk = problem
    expected = plainly(q, k, v, **rules)
    copies = [x.copy() for x in (q, k, v)]
    for result in (
        F.scaled_dot_product_attention(q, k, v, **rules),
        F.chunked_attention(q, k, v, chunk_size=chunk, **rules),
        F.memory_efficient_attention(q, k, v, chunk_size=chunk, **rules),
    ):
        # scores of 1e4 are rounded at 1e-12
        np.testing.assert_allclose(result, expected, atol=1e-10 if abs(q).max() > 50 else 1e-12)
    for before, after in zip(copies, (q, k, v), strict=True):
        np.testing.assert_array_equal(before, after)


@settings(max_examples=15, deadline=None)
@given(problems())
def test_gradients_equal_central_differences(problem):
    q, k, v, rules, chunk = problem
    q = q / max(1.0, np.abs(q).max())
    rng = np.random.default_rng(1)
    out, weights = F.scaled_dot_product_attention(q, k, v, return_weights=True, **rules)
    dout = rng.normal(size=out.shape)

    def loss(q=q, k=k, v=v, **changed):
        return (F.scaled_dot_product_attention(q, k, v, **rules | changed) * dout).sum()

    bias = rules.get("bias", np.zeros(weights.shape[-3:]))
    *first, dbias = F.scaled_dot_product_attention_backward(
        dout, q, k, v, weights, bias_shape=bias.shape
    )
    efficient, lse = F.memory_efficient_attention(
        q, k, v, chunk_size=chunk, return_lse=True, **rules
    )
    second = F.memory_efficient_attention_backward(
        dout, q, k, v, efficient, lse, chunk_size=chunk, **rules
    )
    for name, array, a, b in zip("qkv", (q, k, v), first, second, strict=True):
        expected = numerical(lambda x, name=name: loss(**{name: x}), array)
        np.testing.assert_allclose(a, expected, atol=1e-7)
        np.testing.assert_allclose(b, a, atol=1e-12)
    np.testing.assert_allclose(dbias, numerical(lambda x: loss(bias=x), bias), atol=1e-7)


def test_gradients_checked_above_are_not_all_small():
    rng = np.random.default_rng(2)
    q, k, v, dout = rng.normal(size=(4, 5, 2, 3))
    _, weights = F.scaled_dot_product_attention(q, k, v, causal=True, return_weights=True)
    parts = F.scaled_dot_product_attention_backward(dout, q, k, v, weights)
    assert min(np.linalg.norm(part) for part in parts) > 0.1


@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_gradients_of_norms_equal_central_differences(kind):
    rng = np.random.default_rng(3)
    x, dy = rng.normal(size=(2, 4, 2, 5))
    gain, bias = rng.normal(size=(2, 5))

    def loss(x=x, gain=gain, bias=bias):
        return (F.qk_norm(x, kind, gain, bias) * dy).sum()

    dx, dgain, dbias = F.qk_norm_backward(dy, x, kind, gain)
    np.testing.assert_allclose(dx, numerical(lambda a: loss(x=a), x), atol=1e-8)
    np.testing.assert_allclose(dgain, numerical(lambda a: loss(gain=a), gain), atol=1e-8)
    np.testing.assert_allclose(dbias, numerical(lambda a: loss(bias=a), bias), atol=1e-8)
    expected = {"rms": 0.3651483473, "layer": -1.3416402498}[kind]
    assert F.qk_norm([1.0, 2, 3, 4], kind)[0] == pytest.approx(expected, abs=1e-9)


def test_the_table_of_ages_and_its_gradient():
    rng = np.random.default_rng(4)
    table, age = rng.normal(size=(2, 3)), np.arange(4)[:, None] - np.arange(5) + 1
    ds = rng.normal(size=(2, 4, 5))
    found = F.relative_bias_backward(ds, age, 3)
    expected = numerical(lambda a: (F.relative_bias(a, age) * ds).sum(), table)
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_inside_the_window_matters_and_outside_does_not():
    rng = np.random.default_rng(5)
    q, k, v = rng.normal(size=(3, 9, 2, 4))
    attend = {
        "plain": F.scaled_dot_product_attention,
        "chunked": F.chunked_attention,
        "efficient": F.memory_efficient_attention,
    }
    for function in attend.values():
        before = function(q, k, v, causal=True, window=4)[8]
        for j, moves in ((4, False), (5, True), (8, True)):
            changed = v.copy()
            changed[j] += 1.0
            after = function(q, k, changed, causal=True, window=4)[8]
            assert bool(np.abs(after - before).max() > 1e-6) is moves, j


def test_parts_merge_to_the_whole():
    rng = np.random.default_rng(6)
    scores, values = 30 * rng.normal(size=7), rng.normal(size=(7, 3))
    parts = []
    for rows in (slice(0, 2), slice(2, 3), slice(3, 7)):
        s = scores[rows]
        e = np.exp(s - s.max())
        parts.append((s.max(), e.sum(), e @ values[rows]))
    parts.insert(1, (np.array(-np.inf), np.array(0.0), np.zeros(3)))
    weights = np.exp(scores - scores.max())
    np.testing.assert_allclose(
        F.merge_partial_attention(parts), weights @ values / weights.sum(), atol=1e-13
    )
    nothing = (np.array(-np.inf), np.array(0.0), np.zeros(3))
    np.testing.assert_array_equal(F.merge_partial_attention([nothing, nothing]), np.zeros(3))


def test_float32_stays_float32():
    x = np.ones((3, 2, 4), np.float32)
    rules = {"causal": True, "window": 2, "mask": np.eye(3, dtype=bool), "bias": x[:1, :1, :1]}
    out, weights = F.scaled_dot_product_attention(x, x, x, return_weights=True, **rules)
    efficient, lse = F.memory_efficient_attention(x, x, x, return_lse=True, **rules)
    theta, _ = F.rope_frequencies(4)
    arrays = [out, weights, efficient, lse, F.chunked_attention(x, x, x, **rules)]
    arrays += [F.apply_rope(x, np.arange(3), theta), F.qk_norm(x)]
    assert {array.dtype for array in arrays} == {np.dtype("float32")}


def test_heads_split_and_merge():
    x = np.arange(24.0).reshape(2, 12)
    np.testing.assert_array_equal(F.merge_heads(F.split_heads(x, 3)), x)


BAD = [
    (lambda x: F.scaled_dot_product_attention(x, x, x, window=0), "window=0"),
    (lambda x: F.scaled_dot_product_attention(x[0], x, x), "q has shape"),
    (lambda x: F.scaled_dot_product_attention(x, x[..., :1], x), "k has shape"),
    (lambda x: F.scaled_dot_product_attention(x, x, x[:1]), "v has shape"),
    (lambda x: F.scaled_dot_product_attention(x[:, :3], x[:, :2], x[:, :2]), "k has 2 heads"),
    (lambda x: F.scaled_dot_product_attention(x, x, x, mask=np.ones((7, 7))), "mask has shape"),
    (lambda x: F.chunked_attention(x, x, x, chunk_size=0), "chunk_size=0"),
    (lambda x: F.memory_efficient_attention(x, x, x, chunk_size=0), "chunk_size=0"),
    (lambda x: F.scaled_dot_product_attention_backward(x, x, x, x, x), "weights has shape"),
    (lambda x: F.rope_frequencies(3), "dim=3"),
    (lambda x: F.rope_frequencies(4, scaling="best"), "scaling='best'"),
    (lambda x: F.rope_frequencies(4, scaling="yarn"), "original_length=None"),
    (lambda x: F.rope_frequencies(4, factor=0.5), "factor=0.5"),
    (lambda x: F.apply_rope(x, np.arange(5), [1.0]), "positions has shape"),
    (lambda x: F.qk_norm(x, "batch"), "kind='batch'"),
    (lambda x: F.qk_norm(x, gain=np.ones(9)), "gain has shape"),
    (lambda x: F.sliding_window_mask(4, 0), "window=0"),
    (lambda x: F.split_heads(x, 3), "n_heads=3"),
    (lambda x: F.merge_partial_attention([]), "partials is empty"),
    (lambda x: F.alibi_slopes(0), "n_heads=0"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        call(np.ones((3, 4, 4)))
