"""Linear attention with a window: its equation, against the function and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from river_attention import functional as F
from river_attention.layers import HybridLinearAttention


def inputs(n_steps=20, seed=0):
    return np.random.default_rng(seed).normal(size=(n_steps, 3))


def test_without_decay_and_window_it_is_kernel_linear_attention():
    layer, X = HybridLinearAttention(4, 5, 3, 1.0, global_weight=1.0, n_inputs=3), inputs()
    q, k, v = np.split(X @ layer.weights.T, [4, 8], axis=1)
    expected, _ = F.kernel_linear_attention(q[:, None], k[:, None], v[:, None])
    reads, _ = layer.forward(X, layer.init_state())
    np.testing.assert_allclose(reads, expected[:, 0], rtol=1e-10)


@pytest.mark.parametrize("dt", [1.0, 0.5])
def test_a_read_is_that_of_the_equation(dt):
    layer, X = HybridLinearAttention(4, 2, 3, 0.9, dt, 0.3, n_inputs=3), inputs()
    q, k, v = np.split(X @ layer.weights.T, [4, 8], axis=1)

    def phi(x):
        return np.where(x > 0, x + 1, np.exp(x))

    reads, _ = layer.forward(X, layer.init_state())
    for t, read in enumerate(reads):
        weights = [0.9 ** (dt * (t - s)) * phi(q[t]) @ phi(k[s]) for s in range(t + 1)]
        whole = weights @ v[: t + 1] / sum(weights)
        local = v[max(t - 2, 0) : t + 1].sum(axis=0) / 3
        np.testing.assert_allclose(read, 0.3 * whole + 0.7 * local, rtol=1e-10)


def test_a_step_leaves_the_state_as_it_was():
    layer, X = HybridLinearAttention(n_inputs=3), inputs()
    _, state = layer.forward(X, layer.init_state())
    state.flags.writeable = False
    read, new = layer.propose(X[0], state)
    again, _ = layer.propose(X[0], state)
    assert np.array_equal(read, again)
    assert not np.array_equal(new, state)


def test_keys_that_vanish_read_nothing():
    layer = HybridLinearAttention(2, 1, 1, global_weight=1.0)
    read, _ = layer.attend(np.array([-1e3, -1e3, -1e3, -1e3, 5.0]), layer.init_state())
    assert read == 0.0
