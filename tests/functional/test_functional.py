"""The recurrences as functions: what they compute, any split of the sequence, their errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from river_attention import functional as F
from river_attention.functional.recurrence import linear_step, scan

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"


def tokens(n_steps=13, n_heads=2, d_key=3, d_value=4, vector=False, seed=0):
    rng = np.random.default_rng(seed)
    gates = (n_steps, n_heads, d_key) if vector else (n_steps, n_heads)
    return {
        "q": rng.normal(size=(n_steps, n_heads, d_key)),
        "k": rng.normal(size=(n_steps, n_heads, d_key)),
        "v": rng.normal(size=(n_steps, n_heads, d_value)),
        "log_gate": -rng.exponential(size=gates),
    }


def naive(q, k, v, log_gate, scale, state):
    """Gated linear attention, number by number."""
    n_steps, n_heads, d_key = q.shape
    state, output = state.copy(), np.zeros(v.shape)
    for t in range(n_steps):
        for h in range(n_heads):
            for i in range(d_key):
                gate = log_gate[t, h, i] if log_gate.ndim == 3 else log_gate[t, h]
                for j in range(v.shape[2]):
                    state[h, i, j] = np.exp(gate) * state[h, i, j] + k[t, h, i] * v[t, h, j]
                    output[t, h, j] += scale * q[t, h, i] * state[h, i, j]
    return output, state


def assert_close(actual, expected, tolerance=1e-10):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize("scale", [None, 1.0, 0.3])
@pytest.mark.parametrize("fresh", [False, True])
def test_gated_linear_attention_computes_its_equation(vector, scale, fresh):
    inputs = tokens(vector=vector)
    start = np.zeros((2, 3, 4)) if fresh else np.random.default_rng(1).normal(size=(2, 3, 4))
    output, state = F.gated_linear_attention(
        **inputs, scale=scale, initial_state=None if fresh else start
    )
    expected, expected_state = naive(
        **inputs, scale=3**-0.5 if scale is None else scale, state=start
    )
    assert_close(output, expected)
    assert_close(state, expected_state)


@pytest.mark.parametrize("size", ["t12", "t64"])
@pytest.mark.parametrize(("name", "gate"), [("gla", "gk"), ("simple_gla", "g")])
def test_gated_linear_attention_gives_the_numbers_of_the_reference_file(name, gate, size):
    path = GOLDEN / f"{name}__{size}.npz"
    if not path.exists():
        pytest.skip("no reference files beside this repository")
    z = np.load(path)
    output, state = F.gated_linear_attention(
        z["q"],
        z["k"],
        z["v"],
        z[gate],
        scale=float(z["scale"]),
        initial_state=z["initial_state"],
    )
    assert_close(output, z["output"])
    assert_close(state, z["final_state"])


def test_one_gate_per_head_is_the_same_gate_for_every_key_dimension():
    inputs = tokens()
    output, state = F.gated_linear_attention(**inputs)
    inputs["log_gate"] = np.repeat(inputs["log_gate"][..., None], 3, axis=2)
    repeated, repeated_state = F.gated_linear_attention(**inputs)
    assert_close(output, repeated)
    assert_close(state, repeated_state)


def test_a_log_gate_of_zero_forgets_nothing_and_of_minus_infinity_everything():
    inputs = tokens()
    inputs["log_gate"] = np.zeros((13, 2))
    _, state = F.gated_linear_attention(**inputs)
    assert_close(state, np.einsum("thi,thj->hij", inputs["k"], inputs["v"]))
    inputs["log_gate"] = np.full((13, 2), -np.inf)
    _, state = F.gated_linear_attention(**inputs, initial_state=np.ones((2, 3, 4)))
    assert_close(state, np.einsum("hi,hj->hij", inputs["k"][-1], inputs["v"][-1]))


@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize("cuts", [(0,), (1,), (13,), (5,), (3, 4, 9), tuple(range(14))])
def test_any_split_of_the_sequence_gives_the_whole(vector, cuts):
    inputs = tokens(vector=vector)
    whole, final = F.gated_linear_attention(**inputs)
    parts, state = [], None
    for start, end in zip((0, *cuts), (*cuts, 13), strict=True):
        part = {name: array[start:end] for name, array in inputs.items()}
        output, state = F.gated_linear_attention(**part, initial_state=state)
        parts.append(output)
    assert_close(np.concatenate(parts), whole)
    assert_close(state, final)


def test_no_steps_give_no_output_and_leave_the_state():
    inputs = tokens(n_steps=0)
    output, state = F.gated_linear_attention(**inputs)
    assert output.shape == (0, 2, 4)
    assert np.array_equal(state, np.zeros((2, 3, 4)))
    start = np.random.default_rng(0).normal(size=(2, 3, 4))
    output, state = F.gated_linear_attention(**inputs, initial_state=start)
    assert output.shape == (0, 2, 4)
    assert np.array_equal(state, start)


@pytest.mark.parametrize("n_steps", [0, 13])
def test_float32_stays_float32(n_steps):
    inputs = tokens(n_steps)
    single = {name: array.astype(np.float32) for name, array in inputs.items()}
    start = np.ones((2, 3, 4), np.float32)
    output, state = F.gated_linear_attention(**single, initial_state=start)
    assert output.dtype == state.dtype == np.float32
    expected, expected_state = F.gated_linear_attention(**inputs, initial_state=start.astype(float))
    assert expected.dtype == np.float64
    if n_steps:
        # a float32 has 24 bits; a dozen of additions lose a few of them
        assert_close(output, expected, 1e-5)
        assert_close(state, expected_state, 1e-5)


def test_a_float32_decay_keeps_the_kernel_form_in_float32():
    single = {name: array.astype(np.float32) for name, array in tokens().items()}
    decay = np.full(single["q"].shape[1], 0.9, np.float32)
    output, state = F.kernel_linear_attention(
        single["q"], single["k"], single["v"], decay=decay, normalize=False
    )
    assert output.dtype == state.dtype == np.float32


@pytest.mark.parametrize("name", ["q", "k", "v", "log_gate", "initial_state"])
def test_a_single_float64_makes_everything_float64(name):
    arrays = tokens() | {"initial_state": np.ones((2, 3, 4))}
    arrays = {key: a if key == name else a.astype(np.float32) for key, a in arrays.items()}
    output, state = F.gated_linear_attention(**arrays)
    assert output.dtype == state.dtype == np.float64


def test_integers_and_lists_are_numbers_too():
    q = [[[1, 2]], [[3, 4]]]
    output, state = F.gated_linear_attention(q, q, q, [[0], [0]])
    assert output.dtype == np.float64
    assert np.array_equal(state, [[[10, 14], [14, 20]]])


def test_inputs_are_never_written_to():
    inputs = tokens() | {"initial_state": np.ones((2, 3, 4))}
    for array in inputs.values():
        array.flags.writeable = False
    copies = {name: array.copy() for name, array in inputs.items()}
    output, state = F.gated_linear_attention(**inputs)
    output += 1.0
    state += 1.0
    for name, array in inputs.items():
        assert np.array_equal(array, copies[name])


def test_the_state_returned_is_not_the_state_given():
    start = np.ones((2, 3, 4))
    for n_steps in (0, 1):
        _, state = F.gated_linear_attention(**tokens(n_steps), initial_state=start)
        assert not np.shares_memory(state, start)


BAD = {
    "q": [np.ones((13, 3)), np.ones((13, 2, 3, 1)), np.ones(13), np.ones((13, 2, 3)) * 1j],
    "k": [np.ones((13, 2, 4)), np.ones((12, 2, 3)), np.ones((13, 1, 3)), np.ones((13, 2))],
    "v": [np.ones((12, 2, 4)), np.ones((13, 3, 4)), np.ones((13, 4)), np.full((13, 2, 4), "a")],
    "log_gate": [
        np.zeros((12, 2)),
        np.zeros((13, 3)),
        np.zeros((13, 2, 4)),
        np.zeros(13),
        np.zeros((13, 2, 3, 1)),
        np.full((13, 2), 1e-3),
        np.full((13, 2), np.nan),
    ],
    "initial_state": [np.ones((2, 4, 3)), np.ones((3, 4)), np.ones((1, 2, 3, 4))],
}


@pytest.mark.parametrize(("name", "array"), [(name, a) for name in BAD for a in BAD[name]])
def test_an_array_that_does_not_fit_is_refused_by_name(name, array):
    inputs = tokens() | {name: array}
    with pytest.raises(ValueError, match=rf"^{name} "):
        F.gated_linear_attention(**inputs)


def test_the_step_reads_after_it_writes_and_leaves_the_state():
    state, decay = np.ones((1, 2, 2)), np.full((1, 1, 1), 0.5)
    k, v, q = np.array([[[1.0], [2.0]]]), np.array([[[3.0, 4.0]]]), np.array([[[1.0, 1.0]]])
    new, read = linear_step(state, decay, k, v, q)
    assert np.array_equal(new, [[[3.5, 4.5], [6.5, 8.5]]])
    assert np.array_equal(read, [[[10.0, 13.0]]])
    assert np.array_equal(state, np.ones((1, 2, 2)))


def test_scan_applies_any_step_in_turn():
    def add(state, a, b):
        return state + a, state * b

    reads, state = scan(add, np.zeros(2), np.arange(3.0), np.ones((3, 1)))
    assert np.array_equal(reads, [[0, 0], [0, 0], [1, 1]])
    assert np.array_equal(state, [3, 3])
