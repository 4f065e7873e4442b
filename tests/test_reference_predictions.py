"""Predictions are those of the last time they were meant to change, to the last bit."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from river_attention import backend

SCRIPT = Path(__file__).with_name("reference") / "make_predictions.py"

# The cases are parameters of the tests, so the script is needed before any fixture.
_spec = importlib.util.spec_from_file_location("make_predictions", SCRIPT)
reference = importlib.util.module_from_spec(_spec)
sys.modules["make_predictions"] = reference
_spec.loader.exec_module(reference)


@pytest.fixture(scope="module")
def kept():
    with np.load(reference.FILE) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def same_arithmetic(kept):
    # the compiled core adds up in another order
    return (
        not backend.is_compiled()
        and reference.arithmetic().tobytes() == kept["arithmetic"].tobytes()
    )


def test_there_is_a_reference_for_every_case_and_no_other(kept):
    assert kept.keys() == {*reference.CASES, "arithmetic"}


@pytest.mark.parametrize("name", reference.CASES)
def test_predictions_are_those_of_the_reference(name, kept, same_arithmetic):
    now, then = reference.sample(reference.CASES[name](reference.N_ROWS)), kept[name]
    assert now.shape == then.shape
    if same_arithmetic:
        assert now.tobytes() == then.tobytes()
    else:
        # on another processor sums are rounded otherwise, and a few rows at a threshold may follow
        assert np.median(np.abs(now - then)) <= 1e-9 * np.abs(then).max()
