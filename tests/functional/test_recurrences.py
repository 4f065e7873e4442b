"""Every function of ``functional`` against its equation, written out token by token.

The references below are the equations and nothing else: loops over time and heads, vectors. The
cases are one table; every promise that all functions make is tested for every row of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from river_attention import functional as F

# d_k and d_v differ, so that no axis can take the place of another
T, H, D_K, D_V = 11, 2, 3, 4
N_LEVELS = 6
N_BEFORE = 6


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def phi(x):
    return np.array([e + 1 if e > 0 else np.exp(e) for e in x])


# --- One token of one head: the state and the vectors of the token to the new state and the read.


def retention(S, q, k, v, gamma):
    S = gamma * S + np.outer(k, v)
    return S, S.T @ q


def gated_linear_attention(S, q, k, v, log_gate):
    S = np.diag(np.exp(log_gate) * np.ones(D_K)) @ S + np.outer(k, v)
    return S, S.T @ q


def delta_rule(S, q, k, v, beta):
    S = S + beta * np.outer(k, v - S.T @ k)
    return S, S.T @ q


def gated_delta_rule(S, q, k, v, beta, log_gate):
    decayed = np.diag(np.exp(log_gate) * np.ones(D_K)) @ S
    S = decayed + beta * np.outer(k, v - decayed.T @ k)
    return S, S.T @ q


def gated_delta_product(S, q, k, v, beta, log_gate=0.0):
    S = np.exp(log_gate) * S
    for j in range(len(k)):
        S = S + beta[j] * np.outer(k[j], v[j] - S.T @ k[j])
    return S, S.T @ q


def rwkv6(S, r, k, v, log_decay, bonus):
    o = (S + np.diag(bonus) @ np.outer(k, v)).T @ r
    return np.diag(np.exp(log_decay)) @ S + np.outer(k, v), o


def rwkv7(S, r, k, v, log_decay, kk, a):
    S = np.diag(np.exp(log_decay)) @ S - np.outer(a * kk, kk @ S) + np.outer(k, v)
    return S, S.T @ r


def dplr(S, q, k, v, log_decay, alpha, beta):
    S = np.diag(np.exp(log_decay)) @ S + np.outer(beta, alpha @ S) + np.outer(k, v)
    return S, S.T @ q


def hgrn2(S, q, v, forget):
    S = np.diag(forget) @ S + np.outer(1 - forget, v)
    return S, S.T @ q


def hgrn(h, x, log_gate):
    h = np.exp(log_gate) * h + x
    return h, h


def rg_lru(h, x, rec_gate_pre, input_gate_pre, recurrent_param, position_ids=1):
    r, i = sigmoid(rec_gate_pre), sigmoid(input_gate_pre)
    a = np.exp(-8 * r * np.log(1 + np.exp(recurrent_param)))
    h = i * x if position_ids == 0 else a * h + np.sqrt(1 - a**2) * (i * x)
    return h, h


def mlstm(state, q, k, v, i_pre, f_pre, forget="sigmoid", eps=1e-6):
    C, n, m = state
    lf = np.log(sigmoid(f_pre)) if forget == "sigmoid" else f_pre
    m_new = max(lf + m, i_pre)
    C = np.exp(lf + m - m_new) * C + np.exp(i_pre - m_new) * np.outer(k, v)
    n = np.exp(lf + m - m_new) * n + np.exp(i_pre - m_new) * k
    return (C, n, m_new), (C.T @ q) / (max(abs(n @ q), np.exp(-m_new)) + eps)


def kernel_normalized(state, q, k, v, eps=0.0):
    S, z = state
    S, z = S + np.outer(phi(k), v), z + phi(k)
    return (S, z), (S.T @ phi(q)) / (z @ phi(q) + eps)


def kernel_sum(S, q, k, v, decay=1.0, normalize=False):
    S = decay * S + np.outer(phi(k), v)
    return S, S.T @ phi(q)


def token_by_token(token):
    """The reference of a whole sequence: ``token`` for every step and head."""

    def reference(state, sequences, constants, scale, **keywords):
        states = state if isinstance(state, tuple) else (state,)
        n_heads = len(states[0])
        outputs, finals = [], []
        for h in range(n_heads):
            now = tuple(part[h] for part in states)
            now = now if isinstance(state, tuple) else now[0]
            reads = []
            for t in range(len(next(iter(sequences.values())))):
                # the head stands after the sub-step in [T, n, H, ...], and positions have none
                vectors = {
                    name: array[t]
                    if array.ndim == 1
                    else array[t, :, h]
                    if token is gated_delta_product and name in ("k", "v", "beta")
                    else array[t, h]
                    for name, array in sequences.items()
                }
                for name in ("q", "r"):
                    if name in vectors:
                        vectors[name] = (1.0 if scale is None else scale) * vectors[name]
                vectors |= {name: array[h] for name, array in constants.items()}
                now, read = token(now, **vectors, **keywords)
                reads.append(read)
            outputs.append(reads)
            finals.append(now if isinstance(now, tuple) else (now,))
        final = tuple(np.array(parts) for parts in zip(*finals, strict=True))
        output = np.moveaxis(np.array(outputs), 0, 1)
        return output, final if isinstance(state, tuple) else final[0]

    return reference


def level_of(t, s):
    """Level of position s at position t: t in binary cuts [0, t) into blocks, the oldest first."""
    if s == t:
        return 0
    end = 0
    for bit in reversed(range(t.bit_length())):
        if t & (1 << bit):
            end += 1 << bit
            if s < end:
                return bit + 1
    raise AssertionError("s is after t")


def log_linear_by_definition(state, sequences, constants, scale):
    """Sum over all past tokens, each with the product of transitions since and its level's weight.

    What a level holds at the start moves as one token of its block would.
    """
    q, k, v, weights = (sequences[name] for name in ("q", "k", "v", "level_weights"))
    gates = sequences.get("log_gate", np.zeros((len(q), H)))
    betas = sequences.get("beta")
    levels, n_before = state
    last = weights.shape[2] - 1

    def transition(t, h):
        decay = np.diag(np.exp(gates[t, h]) * np.ones(D_K))
        if betas is None:
            return decay
        return (np.eye(D_K) - betas[t, h] * np.outer(k[t, h], k[t, h])) @ decay

    def tokens(t, h):
        """Position and faded matrix of everything that was written up to step t."""
        for s in range(-n_before, t + 1):
            position = n_before + s
            if s >= 0:
                matrix = (1.0 if betas is None else betas[s, h]) * np.outer(k[s, h], v[s, h])
            else:
                level = min(level_of(n_before - 1, position), last)
                same = [p for p in range(n_before) if min(level_of(n_before - 1, p), last) == level]
                if position != same[0]:
                    continue
                matrix = levels[level, h]
            for u in range(max(s + 1, 0), t + 1):
                matrix = transition(u, h) @ matrix
            yield position, matrix

    output = np.zeros((len(q), H, D_V))
    final = np.zeros_like(levels)
    for t in range(len(q)):
        for h in range(H):
            for position, matrix in tokens(t, h):
                level = min(level_of(n_before + t, position), last)
                output[t, h] += weights[t, h, level] * scale * matrix.T @ q[t, h]
                if t == len(q) - 1:
                    final[level, h] += matrix
    return output, (final, n_before + len(q))


# --- The table of cases.


@dataclass(frozen=True)
class Case:
    """A function and the shapes of what it takes.

    ``sequences`` (without T) and ``constants`` per argument, ``state`` for each part of the state;
    ``scale`` is the documented default, None where there is no such argument.
    """

    function: Callable[..., Any]
    reference: Callable[..., Any]
    sequences: dict[str, tuple[int, ...]]
    constants: dict[str, tuple[int, ...]] = field(default_factory=dict)
    state: tuple[tuple[int, ...], ...] = ((H, D_K, D_V),)
    scale: float | None = D_K**-0.5
    keywords: dict[str, Any] = field(default_factory=dict)


KEY, VALUE, GATE, CHANNELS = (H, D_K), (H, D_V), (H,), (5,)
QKV = {"q": KEY, "k": KEY, "v": VALUE}
RKV = {"r": KEY, "k": KEY, "v": VALUE}
RG_LRU = dict.fromkeys(("x", "rec_gate_pre", "input_gate_pre"), CHANNELS)
MLSTM_STATE = ((H, D_K, D_V), (H, D_K), (H,))
KERNEL_STATE = ((H, D_K, D_V), (H, D_K))


def case(function, token, sequences, constants=None, **fields):
    return Case(function, token_by_token(token), sequences, constants or {}, **fields)


def product(n, **more):
    sequences = {"q": KEY, "k": (n, *KEY), "v": (n, *VALUE), "beta": (n, H)} | more
    return case(F.gated_delta_product, gated_delta_product, sequences, scale=1.0)


def log_linear(n_levels=N_LEVELS, **more):
    sequences = QKV | {"level_weights": (H, n_levels)} | more
    return Case(
        F.log_linear_attention,
        log_linear_by_definition,
        sequences,
        state=((n_levels, H, D_K, D_V),),
        scale=1.0,
    )


def kernel(token, constants=None, state=((H, D_K, D_V),), **keywords):
    return case(
        F.kernel_linear_attention,
        token,
        QKV,
        constants,
        state=state,
        scale=None,
        keywords=keywords,
    )


def lru(**more):
    constants = {"recurrent_param": CHANNELS}
    return case(F.rg_lru, rg_lru, RG_LRU | more, constants, state=(CHANNELS,), scale=None)


def xlstm(**keywords):
    sequences = QKV | {"i_pre": GATE, "f_pre": GATE}
    return case(F.mlstm, mlstm, sequences, state=MLSTM_STATE, keywords=keywords)


def gla(log_gate):
    sequences = QKV | {"log_gate": log_gate}
    return case(F.gated_linear_attention, gated_linear_attention, sequences)


def gated_delta(log_gate):
    sequences = QKV | {"beta": GATE, "log_gate": log_gate}
    return case(F.gated_delta_rule, gated_delta_rule, sequences)


CASES = {
    "retention": case(F.retention, retention, QKV, {"gamma": GATE}),
    "gated_linear_attention scalar": gla(GATE),
    "gated_linear_attention vector": gla(KEY),
    "delta_rule": case(F.delta_rule, delta_rule, QKV | {"beta": GATE}),
    "gated_delta_rule scalar": gated_delta(GATE),
    "gated_delta_rule vector": gated_delta(KEY),
    "gated_delta_product n=3": product(3, log_gate=GATE),
    "gated_delta_product n=2 ungated": product(2),
    "rwkv6": case(F.rwkv6, rwkv6, RKV | {"log_decay": KEY}, {"bonus": KEY}, scale=1.0),
    "rwkv7": case(F.rwkv7, rwkv7, RKV | {"log_decay": KEY, "kk": KEY, "a": KEY}, scale=1.0),
    "dplr": case(F.dplr, dplr, QKV | {"log_decay": KEY, "alpha": KEY, "beta": KEY}),
    "hgrn2": case(F.hgrn2, hgrn2, {"q": KEY, "v": VALUE, "forget": KEY}),
    "hgrn": case(
        F.hgrn, hgrn, {"x": CHANNELS, "log_gate": CHANNELS}, state=(CHANNELS,), scale=None
    ),
    "mlstm sigmoid": xlstm(),
    "mlstm exp": xlstm(forget="exp", eps=0.01),
    "rg_lru": lru(),
    "rg_lru with resets": lru(position_ids=()),
    "log_linear": log_linear(),
    "log_linear scalar": log_linear(log_gate=GATE),
    "log_linear vector": log_linear(log_gate=KEY),
    "log_linear delta": log_linear(beta=GATE),
    "log_linear scalar delta": log_linear(log_gate=GATE, beta=GATE),
    "log_linear vector delta": log_linear(log_gate=KEY, beta=GATE),
    # 17 positions need six levels: with fewer, merges stay in the last one
    "log_linear 3 levels": log_linear(3, log_gate=GATE),
    "log_linear 2 levels": log_linear(2, log_gate=GATE, beta=GATE),
    "log_linear 1 level": log_linear(1, log_gate=GATE, beta=GATE),
    "kernel_linear_attention": kernel(kernel_normalized, state=KERNEL_STATE),
    "kernel_linear_attention eps": kernel(kernel_normalized, state=KERNEL_STATE, eps=0.1),
    "kernel_linear_attention sum": kernel(kernel_sum, normalize=False),
    "kernel_linear_attention decay": kernel(kernel_sum, {"decay": GATE}, normalize=False),
}
ARGUMENTS = [
    pytest.param(name, argument, id=f"{name}-{argument}")
    for name, one in CASES.items()
    for argument in one.sequences | one.constants
]
# positions are compared, not computed with
NUMBERS = [row for row in ARGUMENTS if row.values[1] != "position_ids"]
RANGES = {
    "log_gate": (1e-6, np.inf, np.nan),
    "log_decay": (1e-6, np.inf, np.nan),
    "gamma": (1.001, -1e-6, np.nan),
    "forget": (1.001, -1e-6, np.nan),
    "decay": (1.001, -1e-6, np.nan),
}
DECAYING = [name for name, one in CASES.items() if {"log_gate", "log_decay"} & one.sequences.keys()]


@dataclass
class Run:
    """A case with numbers."""

    case: Case
    inputs: dict[str, np.ndarray]
    state: Any

    def steps(self, start, stop):
        """The same case on a part of the sequence."""
        return replace(
            self,
            inputs={
                name: array[start:stop] if name in self.case.sequences else array
                for name, array in self.inputs.items()
            },
        )

    def converted(self, dtype):
        return replace(self, inputs=convert(self.inputs, dtype), state=convert(self.state, dtype))

    def __call__(self, **more):
        keywords = {"initial_state": self.state} | self.case.keywords | more
        return self.case.function(**self.inputs, **keywords)


def draw(name, shape, rng):
    """Random values within the range of the argument ``name``."""
    if name in ("log_gate", "log_decay"):
        return -rng.exponential(0.5, shape)
    if name in ("gamma", "forget", "decay", "a"):
        return rng.uniform(0, 1, shape)
    if name == "position_ids":
        return np.array([7, 8, 9, 0, 1, 2, 3, 0, 0, 1, 2])
    return rng.normal(size=shape)


def run_of(name):
    case = CASES[name]
    rng = np.random.default_rng(list(CASES).index(name))
    inputs = {name: draw(name, (T, *shape), rng) for name, shape in case.sequences.items()}
    inputs |= {name: draw(name, shape, rng) for name, shape in case.constants.items()}
    parts = tuple(rng.normal(size=shape) for shape in case.state)
    if case.function is F.log_linear_attention:
        # levels that hold no block after so many tokens are empty
        last = len(parts[0]) - 1
        used = {min(level_of(N_BEFORE - 1, s), last) for s in range(N_BEFORE)}
        parts[0][[level for level in range(last + 1) if level not in used]] = 0.0
        return Run(case, inputs, (parts[0], N_BEFORE))
    if case.state == KERNEL_STATE:
        parts = (parts[0], np.abs(parts[1]))
    return Run(case, inputs, parts if len(parts) > 1 else parts[0])


@pytest.fixture(params=CASES)
def run(request):
    """Every case, with an initial state."""
    return run_of(request.param)


def parts_of(state):
    """The arrays and numbers that a state is made of."""
    return state if isinstance(state, tuple) else (state,)


def arrays_of(state):
    return [part for part in parts_of(state) if isinstance(part, np.ndarray)]


def map_arrays(function, value):
    """``function`` of every floating-point array in a dict, a tuple or alone."""
    if isinstance(value, dict):
        return {name: map_arrays(function, item) for name, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map_arrays(function, item) for item in value)
    floating = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return function(value) if floating else value


def convert(value, dtype):
    return map_arrays(lambda array: array.astype(dtype), value)


def fresh(run):
    """The state that ``initial_state=None`` stands for."""
    zeros = map_arrays(np.zeros_like, run.state)
    return (zeros[0], 0) if run.case.function is F.log_linear_attention else zeros


def assert_close(actual, expected, tolerance=1e-10):
    """Relative to the largest value."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    limit = tolerance * np.abs(expected).max(initial=1e-300)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=limit)


def assert_states_close(actual, expected, tolerance=1e-10):
    assert isinstance(actual, tuple) == isinstance(expected, tuple)
    for one, other in zip(parts_of(actual), parts_of(expected), strict=True):
        assert_close(one, other, tolerance)


# --- What the functions compute.


def test_every_function_has_a_case():
    # softmax attention has no state, and tests of its own
    recurrences = {
        n for n in F.__all__ if "initial_state" in inspect.signature(vars(F)[n]).parameters
    }
    assert {case.function.__name__ for case in CASES.values()} == recurrences
    assert len(recurrences) == 14


@pytest.mark.parametrize("start", ["given", "fresh"])
def test_output_and_final_state_are_those_of_the_equation(run, start):
    state = run.state if start == "given" else fresh(run)
    scale = {} if run.case.scale is None else {"scale": 0.7}
    output, final = run(initial_state=state if start == "given" else None, **scale)
    sequences = {name: run.inputs[name] for name in run.case.sequences}
    constants = {name: run.inputs[name] for name in run.case.constants}
    expected, expected_final = run.case.reference(
        state, sequences, constants, scale.get("scale"), **run.case.keywords
    )
    assert_close(output, expected)
    assert_states_close(final, expected_final)


def test_the_scale_left_out_is_the_documented_one(run):
    has_scale = "scale" in inspect.signature(run.case.function).parameters
    assert has_scale == (run.case.scale is not None)
    if has_scale:
        assert_close(run()[0], run(scale=run.case.scale)[0], 0.0)
        assert_close(run(scale=None)[0], run(scale=D_K**-0.5)[0], 0.0)


def test_a_split_sequence_with_carried_state_is_one_call(run, case):
    whole, final = run()
    for cut in range(T + 1):
        with case(cut):
            first, state = run.steps(0, cut)()
            second, state = run.steps(cut, T)(initial_state=state)
            assert_close(np.concatenate([first, second]), whole)
            assert_states_close(state, final)


@pytest.mark.parametrize("start", ["given", "fresh"])
def test_no_steps_give_an_empty_output_and_the_initial_state(run, start):
    given = start == "given"
    output, final = run.steps(0, 0)(initial_state=run.state if given else None)
    assert output.shape == (0, *run()[0].shape[1:])
    assert_states_close(final, run.state if given else fresh(run), 0.0)


@pytest.mark.parametrize("name", [name for name in DECAYING if name not in ("rwkv7", "dplr")])
def test_a_log_gate_of_minus_infinity_forgets_everything(name):
    run = run_of(name)
    gate = "log_gate" if "log_gate" in run.inputs else "log_decay"
    run.inputs[gate][4] = -np.inf
    _, final = run()
    _, other = run(initial_state=map_arrays(np.zeros_like, run.state))
    assert_states_close(final, other, 0.0)


def test_a_reset_of_rg_lru_forgets_everything():
    run = run_of("rg_lru with resets")
    run.inputs["position_ids"] = np.arange(T) - 4
    output, final = run()
    assert_close(output[4], sigmoid(run.inputs["input_gate_pre"][4]) * run.inputs["x"][4])
    assert_close(final, run(initial_state=None)[1], 0.0)


def test_rg_lru_without_positions_never_resets():
    run = run_of("rg_lru")
    output, _ = run()
    run.inputs["position_ids"] = np.arange(1, T + 1)
    assert_close(output, run()[0], 0.0)


@pytest.mark.parametrize("i_pre", [-1e6, 0.0, 1e6])
@pytest.mark.parametrize("f_pre", [-1e6, 0.0, 1e6])
@pytest.mark.parametrize("name", ["mlstm sigmoid", "mlstm exp"])
def test_mlstm_is_finite_for_gates_of_any_size(name, i_pre, f_pre):
    run = run_of(name)
    run.inputs["i_pre"][4], run.inputs["f_pre"][4] = i_pre, f_pre
    output, final = run()
    assert all(np.isfinite(array).all() for array in [output, *final])


# --- Types.


def test_float32_in_gives_float32_out_close_to_float64(run):
    output, final = run.converted(np.float32)()
    assert {array.dtype for array in [output, *arrays_of(final)]} == {np.dtype(np.float32)}
    expected, expected_final = run()
    # a dozen steps of rounding at 6e-8, in sums that partly cancel
    assert_close(output, expected, 1e-5)
    assert_states_close(final, expected_final, 1e-5)


@pytest.mark.parametrize(("name", "argument"), NUMBERS)
def test_one_argument_of_float64_makes_the_result_float64(name, argument):
    single = run_of(name).converted(np.float32)
    single.inputs[argument] = single.inputs[argument].astype(np.float64)
    output, final = single()
    assert {array.dtype for array in [output, *arrays_of(final)]} == {np.dtype(np.float64)}
    expected, expected_final = single.converted(np.float64)()
    assert_close(output, expected)
    assert_states_close(final, expected_final)


def test_an_initial_state_of_float64_makes_the_result_float64(run):
    single = run.converted(np.float32)
    output, final = single(initial_state=run.state)
    assert {array.dtype for array in [output, *arrays_of(final)]} == {np.dtype(np.float64)}
    expected, expected_final = single.converted(np.float64)(initial_state=run.state)
    assert_close(output, expected)
    assert_states_close(final, expected_final)


def test_integers_are_numbers_too(run):
    rounded = replace(
        run, inputs=map_arrays(np.rint, run.inputs), state=map_arrays(np.rint, run.state)
    )
    output, final = rounded.converted(np.int64)()
    assert {array.dtype for array in [output, *arrays_of(final)]} == {np.dtype(np.float64)}
    expected, expected_final = rounded()
    assert_close(output, expected, 0.0)
    assert_states_close(final, expected_final, 0.0)


def test_lists_are_arrays_too(run):
    output, _ = run.case.function(
        **{name: array.tolist() for name, array in run.inputs.items()},
        **run.case.keywords,
        initial_state=run.state,
    )
    assert_close(output, run()[0], 0.0)


# --- What they leave alone.


def test_nothing_that_is_given_is_written_to(run):
    given = [*run.inputs.values(), *arrays_of(run.state)]
    before = [array.copy() for array in given]
    for array in given:
        array.flags.writeable = False
    run()
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("n_steps", [0, 1, T])
def test_the_final_state_shares_no_memory_with_what_is_given(run, n_steps):
    part = run.steps(0, n_steps)
    given = [*part.inputs.values(), *arrays_of(part.state)]
    before = [array.copy() for array in given]
    output, final = part()
    output_before = output.copy()
    for array in arrays_of(final):
        array += 1.0
    for array, copy in zip([*given, output], [*before, output_before], strict=True):
        np.testing.assert_array_equal(array, copy)


# --- Errors.


def wrong_shapes(run, argument):
    """Arrays like the argument, but of shapes that fit nothing else."""
    array = run.inputs[argument]
    yield array[..., None]
    # the first argument decides what T, H and d_k are, so its sizes cannot be wrong
    if argument != next(iter(run.inputs)):
        yield array[:-1]
        yield np.concatenate([array, array])
        # nor that of the keys of DeltaProduct, which decide how many sub-steps there are
        if array.ndim > 1 and (run.case.function, argument) != (F.gated_delta_product, "k"):
            yield array[:, :-1]


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_a_wrong_shape_is_an_error_that_names_the_argument(name, argument):
    run = run_of(name)
    right = run.inputs[argument]
    for wrong in wrong_shapes(run, argument):
        run.inputs[argument] = wrong
        with pytest.raises(ValueError, match=rf"^{argument} has shape"):
            run(initial_state=None)
    run.inputs[argument] = right
    run(initial_state=None)


def test_a_wrong_shape_of_the_state_is_an_error_that_names_it(run):
    parts = parts_of(run.state)
    for i, part in enumerate(parts):
        if isinstance(part, np.ndarray):
            for wrong in (part[..., None], part[:-1], part[..., :-1]):
                state = (*parts[:i], wrong, *parts[i + 1 :])
                with pytest.raises(ValueError, match="initial_state"):
                    run(initial_state=state if isinstance(run.state, tuple) else wrong)


@pytest.mark.parametrize("name", ["mlstm sigmoid", "kernel_linear_attention", "log_linear"])
@pytest.mark.parametrize("n_parts", [1, 4])
def test_a_state_of_too_few_or_too_many_parts_is_an_error_that_names_it(name, n_parts):
    run = run_of(name)
    with pytest.raises(ValueError, match="initial_state"):
        run(initial_state=(run.state * 2)[:n_parts])


@pytest.mark.parametrize(
    ("name", "argument", "bad"),
    [
        pytest.param(name, argument, bad, id=f"{name}-{argument}={bad}")
        for name, one in CASES.items()
        for argument in one.sequences | one.constants
        for bad in RANGES.get(argument, ())
    ],
)
def test_a_gate_out_of_range_is_an_error_that_names_it(name, argument, bad):
    run = run_of(name)
    run.inputs[argument].flat[-1] = bad
    with pytest.raises(ValueError, match=rf"^{argument} "):
        run()


@pytest.mark.parametrize(("name", "argument"), NUMBERS)
def test_complex_numbers_are_an_error_that_names_the_argument(name, argument):
    run = run_of(name)
    run.inputs[argument] = run.inputs[argument] * 1j
    with pytest.raises(ValueError, match=rf"^{argument} has dtype complex128"):
        run()


@pytest.mark.parametrize("forget", ["tanh", "", None])
def test_an_unknown_forget_gate_of_mlstm_is_an_error_that_names_it(forget):
    with pytest.raises(ValueError, match=f"^forget={forget!r}"):
        run_of("mlstm sigmoid")(forget=forget)


def test_a_decay_with_normaliser_is_an_error():
    run = run_of("kernel_linear_attention")
    with pytest.raises(ValueError, match=r"^decay=.*normalize=True"):
        run(decay=np.full(H, 0.5))


def test_a_negative_number_of_tokens_is_an_error():
    run = run_of("log_linear")
    with pytest.raises(ValueError, match=r"initial_state.*-1"):
        run(initial_state=(run.state[0], -1))
