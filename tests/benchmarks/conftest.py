"""The benchmarks as modules, which are no part of the package."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def load_benchmark():
    """Gives a benchmark by its name; worker processes find it however they are started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        before = set(sys.modules)
        yield importlib.import_module
        for path in BENCHMARKS.glob("*.py"):
            if path.stem not in before:
                sys.modules.pop(path.stem, None)
