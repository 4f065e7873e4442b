"""What tests of several estimators share."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
from hypothesis.errors import HypothesisWarning

from river_attention import load


@pytest.fixture
def copies_of(tmp_path):
    """Copies of a model, by every way there is to make one."""

    def make(model):
        restored = model.clone()
        restored.set_state(model.get_state())
        model.save(tmp_path / "model.bin")
        return {
            "deepcopy": copy.deepcopy(model),
            "pickle": pickle.loads(pickle.dumps(model)),
            "state": restored,
            "file": load(tmp_path / "model.bin"),
        }

    return make


@pytest.fixture
def nothing_warns():
    """Every warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", HypothesisWarning)
        yield
