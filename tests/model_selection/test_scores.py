"""Scores of blocks are those of their rows, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from river import metrics

from river_attention.model_selection.scores import Score


@pytest.mark.parametrize("metric", [metrics.MAE(), metrics.RMSE(), metrics.R2()])
@pytest.mark.parametrize("warmup", [0, 70])
def test_a_block_is_scored_as_its_rows(metric, warmup):
    rng = np.random.default_rng(0)
    labels = rng.normal(size=3000) * np.exp(3.0 * rng.normal(size=3000))
    answers = labels + rng.normal(size=3000)
    one, many = Score(metric, warmup), Score(metric, warmup)
    for y, answer in zip(labels.tolist(), answers.tolist(), strict=True):
        one.update(y, answer)
    for begin, end in [(0, 1), (1, 64), (64, 64), (64, 1700), (1700, 3000)]:
        block = labels[begin:end]
        many.update_block(block.tolist(), block, answers[begin:end])
    for score in (one, many):
        score.finish()
    assert many.value == one.value
    assert many.metric.get() == one.metric.get()
    for ours, theirs in zip(many.curve(), one.curve(), strict=True):
        assert ours.tolist() == theirs.tolist()
    # and goes on alike
    for score in (one, many):
        score.update(1.0, 3.0)
    assert many.value == one.value
