"""Retrieval for several targets: each looks back as it would alone."""

from __future__ import annotations

import numpy as np
import pytest

from river_attention.layers import Retrieval
from river_attention.layers.retrieval_of_several import RetrievalOfSeveral
from river_attention.state import StateError


def stream(n_rows=90, m=2):
    rng = np.random.default_rng(5)
    return rng.normal(size=(n_rows, m)), rng.normal(size=(n_rows, 3)), rng.normal(size=(n_rows, m))


def step(retrieval, delta, x, label, known=None):
    reads, proposal = retrieval.propose(delta, x)
    known = np.ones(len(delta)) if known is None else known
    retrieval.learn(delta, x, label, known)
    retrieval.commit(proposal)
    return reads


def test_every_target_reads_what_retrieval_for_it_alone_reads():
    deltas, X, labels = stream()
    several, alone = RetrievalOfSeveral(40), [Retrieval(40), Retrieval(40)]
    several.add_targets(2)
    states = [one.init_state() for one in alone]
    for delta, x, label in zip(deltas, X, labels, strict=True):
        reads = step(several, delta, x, label)
        for j, one in enumerate(alone):
            situation = np.concatenate([delta[j : j + 1], x])
            expected, proposal = one.propose(situation, states[j])
            one.learn(states[j], situation, label[j])
            one.commit(states[j], proposal)
            np.testing.assert_allclose(reads[j], expected, rtol=1e-9, atol=1e-12)


def test_labels_that_are_not_known_do_not_matter():
    deltas, X, labels = stream()
    known = np.ones_like(labels)
    known[10:50:2, 1] = 0.0
    spoiled = np.where(known > 0.0, labels, 9.0)
    right, other = RetrievalOfSeveral(40), RetrievalOfSeveral(40)
    for retrieval in (right, other):
        retrieval.add_targets(2)
    for row in zip(deltas, X, labels, spoiled, known, strict=True):
        delta, x, label, spoiled_label, there = row
        reads = step(right, delta, x, label, there)
        assert reads.tobytes() == step(other, delta, x, spoiled_label, there).tobytes()


def test_a_target_with_gaps_reads_labels_of_its_own_only():
    retrieval = RetrievalOfSeveral(30)
    retrieval.add_targets(2)
    deltas, X, _ = stream(60)
    for t, (delta, x) in enumerate(zip(deltas, X, strict=True)):
        known = np.array([1.0, float(t % 2)])
        reads = step(retrieval, delta, x, np.array([-1.0, 2.0]), known)
    np.testing.assert_allclose(reads, [[-1.0] * 6, [2.0] * 6])


def test_a_target_that_came_late_reads_nothing_before_it_has_five_labels():
    retrieval = RetrievalOfSeveral(30)
    retrieval.add_targets(1)
    deltas, X, labels = stream(30)
    for delta, x, label in zip(deltas[:20], X[:20], labels[:20], strict=True):
        step(retrieval, delta[:1], x, label[:1])
    retrieval.add_targets(1)
    reads = [step(retrieval, *row) for row in zip(deltas[20:], X[20:], labels[20:], strict=True)]
    assert [bool(read[1].any()) for read in reads] == [False] * 5 + [True] * 5
    assert all(read[0].all() for read in reads)


def test_a_state_of_other_targets_is_refused():
    retrieval = RetrievalOfSeveral(5)
    retrieval.add_targets(2)
    step(retrieval, np.ones(2), np.zeros(0), np.ones(2))

    class Owner(RetrievalOfSeveral):
        def transfer(self, io, *_):
            super().transfer(io, 3, 0)

    with pytest.raises(StateError, match="not one of 3 targets"):
        Owner(5).set_state(retrieval.get_state())
