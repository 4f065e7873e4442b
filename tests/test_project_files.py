"""What is written down twice says the same: hooks and targets, Pythons, versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import river_attention

PROJECT = Path(__file__).resolve().parent.parent


def text(path: str) -> str:
    return (PROJECT / path).read_text(encoding="utf-8")


def pythons() -> list[str]:
    """The versions of Python that the classifiers name."""
    return re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text("pyproject.toml"))


def test_hooks_before_a_commit_run_what_make_check_runs():
    recipe = text("Makefile").partition("\ncheck:")[2].partition("\n\n")[0]
    commands = re.findall(r"\$\(PY\) -m (.+)", recipe)
    hooks = re.findall(r"entry: \.venv/bin/python -m (.+)", text(".pre-commit-config.yaml"))
    assert len(commands) == 3
    assert hooks == commands


def test_every_python_is_tested_and_gets_a_wheel():
    matrix = re.search(r"python: \[(.+)\]", text(".github/workflows/ci.yml"))
    assert matrix is not None
    assert re.findall(r"3\.\d+", matrix[1]) == pythons()
    wheels = tomllib.loads(text("pyproject.toml"))["tool"]["cibuildwheel"]["build"]
    assert wheels.split() == [f"cp{version.replace('.', '')}-*" for version in pythons()]


def test_the_version_is_the_same_everywhere():
    declared = tomllib.loads(text("pyproject.toml"))["project"]["version"]
    cited = re.search(r"^version: (.+)$", text("CITATION.cff"), re.MULTILINE)
    assert cited is not None
    assert {declared, cited[1]} == {river_attention.__version__}


def test_benchmark_target_runs_scripts_that_are_there():
    recipe = text("Makefile").partition("\nbenchmarks:")[2].partition("\n\n")[0]
    scripts = re.findall(r"\$\(PY\) ((?:benchmarks|docs)/\w+\.py)", recipe)
    assert len(scripts) > 10
    assert [script for script in scripts if not (PROJECT / script).is_file()] == []
