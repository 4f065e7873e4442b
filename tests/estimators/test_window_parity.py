"""Estimators with softmax attention: equal with and without the core, and flat in memory."""

from __future__ import annotations

import gc
import pickle
import sys
from unittest import mock

import numpy as np
import pytest

from river_attention import (
    LatentAttention,
    LatentAttentionRegressor,
    LSTMAttention,
    LSTMAttentionRegressor,
    SlidingWindowAttention,
    SlidingWindowAttentionClassifier,
    SlidingWindowAttentionRegressor,
    backend,
)
from river_attention.layers import (
    LSTM,
    GroupedQueryAttention,
    MultiHeadLatentAttention,
    TransformerBlock,
)

SMALL = {"window_size": 4, "n_heads": 2, "head_dim": 3}
CASES = [
    (cls, more)
    for cls in (SlidingWindowAttentionRegressor, LSTMAttentionRegressor, LatentAttentionRegressor)
    for more in ({}, {"readout": "rls"}, {"readout": "sgd"}, {"advance_on": "predict"})
] + [
    (SlidingWindowAttentionClassifier, {}),
    (SlidingWindowAttentionClassifier, {"readout": "sgd"}),
    (SlidingWindowAttentionClassifier, {"advance_on": "predict"}),
    (SlidingWindowAttention, {}),
    (LSTMAttention, {}),
    (LatentAttention, {}),
]


def rows(n):
    rng = np.random.default_rng(0)
    for t in range(n):
        x = {"a": rng.normal(), "b": None if t % 9 == 5 else rng.normal()}
        # a name that comes late
        yield x | ({"c": float(t % 4)} if t > 30 else {}), float(rng.normal() + t % 3)


@pytest.mark.skipif(backend._core is None, reason="the compiled core does not run")
@pytest.mark.parametrize(("cls", "more"), CASES, ids=str)
def test_both_backends_say_the_same_and_know_the_same(cls, more):
    compiled = cls(**SMALL, **more)
    with mock.patch.object(backend, "_core", None):
        plain = cls(**SMALL, **more)
    assert plain._twin is None
    for x, y in rows(80):
        label = y > 1.0 if cls is SlidingWindowAttentionClassifier else y
        answers = []
        for model in (compiled, plain):
            if hasattr(model, "transform_one"):
                answers.append(model.transform_one(x))
            elif hasattr(model, "predict_proba_one"):
                answers.append(model.predict_proba_one(x))
            else:
                answers.append({"y": model.predict_one(x)})
            model.learn_one(x, label)
        assert answers[0] == pytest.approx(answers[1], rel=1e-9, abs=1e-9)
    ours, theirs = compiled.get_state(), plain.get_state()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        if isinstance(value, (float, np.ndarray)):
            np.testing.assert_allclose(value, theirs[name], rtol=1e-7, atol=1e-9, err_msg=name)


LAYERS = {
    "ring": lambda: GroupedQueryAttention(4, 2, window_size=8, seed=1),
    "pages": lambda: GroupedQueryAttention(4, 2, window_size=8, cache="paged", page_size=3, seed=1),
    "latent": lambda: MultiHeadLatentAttention(4, 2, 2, 2, 2, window_size=8, seed=1),
    "lstm": lambda: LSTM(4, 3, seed=1),
    "block": lambda: TransformerBlock(
        GroupedQueryAttention(4, 2, window_size=8, seed=1), ffn_dim=4, seed=1
    ),
}


def grown_by(layer, n):
    """Objects, and bytes of the state, that n steps leave behind once the window is full."""
    X = np.random.default_rng(0).normal(size=(64, layer.d_in))
    state = layer.init_state()

    def walk(n):
        nonlocal state
        for t in range(n):
            _, state = layer.step(X[t % 64], state)
        gc.collect()
        return sys.getallocatedblocks(), len(pickle.dumps(state))

    walk(64)
    before, after = walk(64), walk(n)
    return after[0] - before[0], after[1] - before[1]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("n", [600, pytest.param(102_400, marks=pytest.mark.slow)])
def test_the_memory_of_a_layer_is_flat(name, n):
    n_objects, n_bytes = grown_by(LAYERS[name](), n)
    assert n_objects < 500
    # integers of the position may get longer, and a page more or less may be in use
    assert n_bytes < 500


def test_what_is_kept_of_every_step_would_be_seen():
    layer, kept = LAYERS["ring"](), []
    step = layer.step
    with mock.patch.object(layer, "step", lambda x, s: (kept.append(x.copy()), step(x, s))[1]):
        assert grown_by(layer, 600)[0] > 580
