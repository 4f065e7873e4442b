"""The spiking neuron: reference numbers, silence, drift, bad input; populations of them."""

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from river_attention import HybridLinearAttentionNeuron, backend, from_bytes
from river_attention.spiking import Population

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
FILES = sorted(GOLDEN.glob("hybrid_neuron__*.npz"))
needs_golden = pytest.mark.skipif(not FILES, reason="reference vectors not there")


@pytest.fixture(params=["numpy", "compiled"])
def core(request, monkeypatch):
    """Both backends, where the core was built."""
    if request.param == "numpy":
        monkeypatch.setattr(backend, "_core", None)
    elif backend._core is None:
        pytest.skip("the compiled core does not run")


def of_file(path):
    with np.load(path) as archive:
        z = dict(archive)
    neuron = HybridLinearAttentionNeuron(int(z["dim"]), float(z["lam"]), int(z["window"]))
    return z, neuron


@needs_golden
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_outputs_and_spikes_are_the_reference_to_the_bit_also_through_pickle(path, core):
    z, neuron = of_file(path)
    rows = list(zip(z["query"].tolist(), z["key"].tolist(), z["value"].tolist(), strict=True))
    outputs = [neuron.step_qkv(*row) for row in rows[:100]]
    neuron = from_bytes(pickle.loads(pickle.dumps(neuron)).to_bytes())
    outputs += [neuron.step_qkv(*row) for row in rows[100:]]
    assert outputs == z["output"].tolist()
    assert np.array_equal(neuron.state_kv, z["final_S"])
    assert np.array_equal(neuron.window, z["final_window"])
    neuron.reset()
    run = neuron.run(z["query"], z["key"], z["value"])
    assert run.tolist() == outputs
    assert neuron.v == outputs[-1]
    assert np.array_equal(neuron.state_kv, z["final_S"])
    neuron.reset()
    assert [neuron.step(c) for c in z["current"].tolist()] == z["step_spike"].tolist()
    assert np.array_equal(neuron.state_kv, z["step_final_S"])


def test_a_few_steps_by_hand():
    neuron = HybridLinearAttentionNeuron(dim=2, lambda_decay=0.5, window_size=2)
    # phi(1) = 2, slot int(2 * 2) mod 2 = 0: S = [2 * 3, 0], mean 3 / 2
    assert neuron.step_qkv(0.0, 1.0, 3.0) == 0.5 * 6.0 + 0.5 * 1.5
    # phi(.25) = 1.25, slot int(2.5) mod 2 = 0: S = [3 + 1.25 * 4, 0], phi(1) = 2, mean 7 / 2
    assert neuron.step_qkv(1.0, 0.25, 4.0) == 0.5 * 16.0 + 0.5 * 3.5
    assert neuron.state_kv.tolist() == [8.0, 0.0]
    assert neuron.window.tolist() == [3.0, 4.0]


def test_a_potential_at_the_threshold_is_no_spike():
    neuron = HybridLinearAttentionNeuron(dim=1, window_size=1, threshold=0.75)
    assert neuron.step_qkv(0.0, 0.0, 0.75) == 0.75
    neuron.reset()
    # current .5: .5 * 1.5 * .75 + .25 = .8125
    assert HybridLinearAttentionNeuron(1, 0.9, 1, threshold=0.8125).step(0.5) == 0
    assert HybridLinearAttentionNeuron(1, 0.9, 1, threshold=0.8124).step(0.5) == 1


@pytest.mark.slow
def test_the_window_does_not_drift_over_a_million_steps():
    neuron = HybridLinearAttentionNeuron(global_weight=0.0)
    values = np.random.default_rng(0).normal(size=10**6) * 10.0 ** (np.arange(10**6) % 7)
    out = neuron.run(values, values, values)
    sums = [math.fsum(values[t - 15 : t + 1]) / 16 for t in range(15, 10**6, 997)]
    assert np.abs(out[15::997] - sums).max() < 1e-9


@pytest.mark.parametrize("dt", [0.25, 2.0])
def test_a_step_decays_by_its_length(dt):
    neuron = HybridLinearAttentionNeuron(dim=1, dt=dt)
    neuron.step_qkv(0.0, 0.0, 1.0)
    neuron.step_qkv(0.0, 0.0, 0.0)
    assert neuron.state_kv[0] == 0.95**dt


@pytest.mark.parametrize("n_silent", [0, 1, 3, 15, 16, 40])
@pytest.mark.parametrize("dt", [1.0, 0.5])
@pytest.mark.parametrize("target_rate", [None, 0.2])
def test_an_event_after_a_silence_is_stepping_through_it(n_silent, dt, target_rate):
    sparse, dense = (
        HybridLinearAttentionNeuron(dim=4, dt=dt, target_rate=target_rate, threshold_rate=0.1)
        for _ in range(2)
    )
    currents = np.random.default_rng(0).normal(size=50).tolist()
    for current in currents:
        for _ in range(n_silent):
            fired = dense.step(0.0)
            if target_rate is not None:
                dense.threshold_ -= 0.1 * fired  # who is not asked does not fire
        expected = dense.step(current)
        assert sparse.step(current, dt=dt * (n_silent + 1)) == expected
        assert sparse.v == pytest.approx(dense.v, rel=1e-12, abs=1e-12)
        assert sparse.threshold_ == pytest.approx(dense.threshold_, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(sparse.state_kv, dense.state_kv, rtol=1e-12, atol=1e-12)
    assert np.array_equal(sparse.window, dense.window)


BAD = [None, "x", math.nan, math.inf, -math.inf, 10**400]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", range(3))
def test_what_is_no_finite_number_is_an_error_and_changes_nothing(bad, place):
    neuron = HybridLinearAttentionNeuron(dim=2)
    neuron.step(0.7)
    before = pickle.dumps(neuron)
    row = [1.0, 1.0, 1.0]
    row[place] = bad
    with pytest.raises(ValueError, match=("query", "key", "value")[place]):
        neuron.step_qkv(*row)
    with pytest.raises(ValueError, match=("queries", "keys", "values")[place]):
        neuron.run(*([1.0, value] for value in row))
    with pytest.raises(ValueError, match="dt="):
        neuron.step(1.0, dt=0.0)
    assert pickle.dumps(neuron) == before


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("dim", 0),
        ("window_size", 1.5),
        ("lambda_decay", 1.1),
        ("lambda_decay", math.nan),
        ("dt", 0.0),
        ("threshold", math.inf),
        ("global_weight", -0.1),
        ("target_rate", 1.0),
        ("threshold_rate", 0.0),
    ],
)
def test_a_bad_parameter_is_an_error_that_names_it(name, bad):
    with pytest.raises(ValueError, match=f"^{name}="):
        HybridLinearAttentionNeuron(**{name: bad})


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=30))
def test_no_input_overflows(currents):
    neuron = HybridLinearAttentionNeuron(dim=2, lambda_decay=1.0, window_size=2)
    outputs = [neuron.step_qkv(current, current, current) for current in currents]
    assert np.isfinite(outputs).all()
    again = HybridLinearAttentionNeuron(dim=2, lambda_decay=1.0, window_size=2)
    assert again.run(currents, currents, currents).tolist() == outputs


def test_homeostasis_brings_the_rate_to_the_target():
    neuron = HybridLinearAttentionNeuron(target_rate=0.1, threshold=50.0)
    spikes = [neuron.step(c) for c in np.random.default_rng(0).normal(size=60_000).tolist()]
    assert np.mean(spikes[50_000:]) == pytest.approx(0.1, abs=0.02)
    neuron = HybridLinearAttentionNeuron()
    neuron.step(3.0)
    assert neuron.threshold_ == neuron.threshold


# --- populations


@pytest.mark.parametrize("target_rate", [None, 0.2])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (7, 16, 16), (5, 3, 2)])
def test_a_population_is_its_neurons_one_by_one_to_the_bit(sizes, target_rate, core):
    n, dim, size = sizes
    population = Population(n, dim, size, target_rate=target_rate, n_inputs=3)
    neurons = [
        HybridLinearAttentionNeuron(dim, decay, size, target_rate=target_rate)
        for decay in population.decays.tolist()
    ]
    state, traces = population.init_state(), np.zeros(n)
    for t, x in enumerate(np.random.default_rng(0).normal(size=(80, 3))):
        currents = population.weights.dot(x).reshape(3, n)
        dt = 3.5 if t % 9 == 8 else None
        read, proposal = population.propose(x, state, dt)
        before = state.buffer.copy()
        assert np.array_equal(population.propose(x, state, dt)[0], read)
        assert np.array_equal(state.buffer, before)
        state = population.commit(state, proposal)
        fires = []
        for neuron, current in zip(neurons, currents.T.tolist(), strict=True):
            threshold = neuron.threshold_
            if dt and target_rate:
                threshold -= neuron.threshold_rate * target_rate * 3  # round(3.5) - 1 silent steps
            fires.append(neuron.step_qkv(*current, dt) > threshold)
        assert read[:n].tolist() == [neuron.v for neuron in neurons]
        assert read[n : 2 * n].tolist() == fires
        traces = population.trace_decay ** (dt or 1.0) * traces + fires
        np.testing.assert_allclose(read[2 * n :], traces, rtol=1e-12)
        assert state.thresholds.tolist() == [neuron.threshold_ for neuron in neurons]
    assert np.array_equal(state.slots, [neuron.state_kv for neuron in neurons])
    assert np.array_equal(state.ring.T, [neuron.window for neuron in neurons])


def test_a_branch_leaves_the_original_as_it_is_and_copies_share_nothing(core):
    population = Population(4, n_inputs=2)
    X = np.random.default_rng(0).normal(size=(20, 2))
    _, state = population.forward(X, population.init_state())
    before = state.buffer.copy()
    for other in (
        population.branch(state),
        copy.deepcopy(state),
        pickle.loads(pickle.dumps(state)),
    ):
        assert np.array_equal(other.buffer, before)
        _, proposal = population.propose(X[0], other)
        population.commit(other, proposal)
        assert not np.array_equal(other.buffer, before)
        assert np.array_equal(state.buffer, before)


def test_resting_is_silence(core):
    population = Population(4, n_inputs=2, target_rate=0.1)
    X = np.random.default_rng(0).normal(size=(20, 2))
    _, state = population.forward(X, population.init_state())
    slept = population.rest(state, 5.0)
    one, proposal = population.propose(X[0], slept)
    slept = population.commit(slept, proposal)
    two, proposal = population.propose(X[0], state, dt=6.0)
    state = population.commit(state, proposal)
    np.testing.assert_allclose(one, two, rtol=1e-12)
    np.testing.assert_allclose(slept.buffer, state.buffer, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("target", [0.05, 0.1, 0.3])
def test_homeostasis_brings_every_neuron_of_a_population_to_the_target(target, core):
    # a threshold too high for most to begin with, where without homeostasis some never fire
    population, free = (
        Population(12, 8, 8, threshold=3.0, target_rate=rate, threshold_rate=0.02, n_inputs=3)
        for rate in (target, None)
    )
    X = np.random.default_rng(0).normal(size=(8_000, 3))
    _, early = population.forward(X[:4_000], population.init_state())
    reads, late = population.forward(X[4_000:], early)
    rates = reads[:, 12:24].mean(axis=0)
    assert np.abs(rates - target).max() < 0.03
    assert rates.mean() == pytest.approx(target, abs=0.005)
    # what a rate misses is what its threshold has moved meanwhile, and nothing else
    moved = (late.thresholds - early.thresholds) / (0.02 * 4_000)
    np.testing.assert_allclose(rates - target, moved, atol=1e-10)
    alone, state = free.forward(X[4_000:], free.init_state())
    assert np.abs(alone[:, 12:24].mean(axis=0) - target).max() > 0.08
    assert np.array_equal(state.thresholds, np.full(12, 3.0))
