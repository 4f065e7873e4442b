"""Which core runs, and who says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from river_attention import StreamingAttentionRegressor, backend, show_versions

KERNELS = Path(__file__).resolve().parents[2] / "river_attention/compiled/src"
LINE = "import river_attention as ra; ra.show_versions(); print(ra.RLSRegressor())"


def run(**variables):
    return subprocess.run(
        [sys.executable, "-c", LINE],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | variables,
    )


def test_one_line_says_what_runs(capsys):
    show_versions()
    (line,) = capsys.readouterr().out.splitlines()
    assert ("compiled core" in line) == backend.is_compiled()
    assert "river-attention 0." in line


def test_numpy_can_be_forced():
    done = run(**{backend.VARIABLE: "numpy"})
    assert "(NumPy)" in done.stdout


def test_any_other_choice_is_refused():
    done = run(**{backend.VARIABLE: "fortran"})
    assert f"{backend.VARIABLE}='fortran': must be 'numpy' or 'compiled'" in done.stderr


def test_compiled_runs_or_says_that_it_was_not_built():
    done = run(**{backend.VARIABLE: "compiled"})
    built = "(compiled core" in done.stdout
    assert built or "was not built" in done.stderr or "cannot be loaded" in done.stderr


@pytest.mark.skipif(
    os.environ.get(backend.VARIABLE) == "numpy" or shutil.which("cc") is None,
    reason="NumPy is forced, or there is no compiler",
)
def test_it_was_built_where_there_is_a_compiler():
    assert backend.is_compiled()


def test_what_a_twin_does_not_know_is_left_to_numpy():
    model = StreamingAttentionRegressor()
    for t in range(5):
        model.learn_one({"a": float(t % 3)}, float(t))
    model.task_.readout.something_new = 1
    prediction = model.predict_one({"a": 1.0})
    assert prediction == model.task_.value(model._step({"a": 1.0}).evidence)
    if backend.is_compiled():
        assert not model._twin.is_holding


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
@pytest.mark.skipif(not KERNELS.is_dir(), reason="the source tree is not beside the tests")
def test_the_kernels_are_plain_c_where_a_compiler_has_no_vectors_as_types():
    command = ["cc", "-std=c11", "-pedantic-errors", "-Wall", "-Wextra", "-Wvla", "-Werror"]
    command += ["-Wno-unused-function", "-DRA_SCALAR", "-fsyntax-only", "isa_plain.c"]
    done = subprocess.run(command, cwd=KERNELS, capture_output=True, text=True, check=False)
    assert not done.stderr
    assert done.returncode == 0
