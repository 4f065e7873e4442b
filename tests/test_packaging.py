"""What is installed is complete, light, and what is under test."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import river_attention

PROJECT = Path(__file__).resolve().parent.parent
SOURCE = PROJECT / "river_attention"
INSTALLED = Path(river_attention.__file__).resolve().parent


def requirement_name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return match[0].lower()


@functools.cache
def modules_after(*statements: str) -> list[set[str]]:
    """What has been imported after each of the statements, in one process."""
    lines = [f"{statement}; print(*sys.modules)" for statement in statements]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(["import sys", *lines])],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
    )
    lines = done.stdout.splitlines()
    return [{name.partition(".")[0] for name in line.split()} for line in lines]


def installed_metadata() -> metadata.PackageMetadata:
    try:
        return metadata.metadata("river-attention")
    except metadata.PackageNotFoundError:
        pytest.skip("runs on the source tree, which carries no metadata")


def test_runtime_dependencies_are_these_seven():
    installed_metadata()
    requirements = metadata.requires("river-attention") or []
    runtime = {requirement_name(r) for r in requirements if "extra ==" not in r}
    assert runtime == {
        "numpy",
        "scipy",
        "river",
        "scikit-learn",
        "narwhals",
        "joblib",
        "threadpoolctl",
    }


def test_metadata_names_licence_and_python():
    found = installed_metadata()
    assert found["License-Expression"] == "BSD-3-Clause"
    assert found["Requires-Python"] == ">=3.11"
    extras = {"test", "cli", "plot", "distributed", "docs", "dev", "spark"}
    assert set(found.get_all("Provides-Extra")) == extras


def test_the_command_is_installed():
    installed_metadata()
    (script,) = (
        entry
        for entry in metadata.distribution("river-attention").entry_points
        if entry.group == "console_scripts"
    )
    assert (script.name, script.value) == ("river-attention", "river_attention.cli:run")


def test_only_the_package_itself_is_installed():
    installed_metadata()
    files = metadata.files("river-attention") or []
    # the command is beside them, where commands are
    top = {file.parts[0] for file in files if file.stem != "river-attention"}
    assert {name for name in top if not name.endswith(".dist-info")} == {"river_attention"}


def test_type_hints_are_announced():
    assert (INSTALLED / "py.typed").is_file()


OPTIONAL = {
    *("matplotlib", "pandas", "typer", "rich", "yaml", "pyspark", "pyarrow", "distributed"),
}


def test_import_brings_nothing_optional():
    # river imports pandas by itself where it finds it, scikit-learn's searches rich; what counts is
    # what is added to that.
    packages = ["river_attention", "river_attention.keyed", "river_attention.model_selection"]
    river, first, keyed, theirs, ours = modules_after(
        "from river import base, compose, linear_model, preprocessing, stats",
        *(f"import {package}" for package in packages[:2]),
        "import sklearn.model_selection",
        f"import {packages[2]}",
    )
    added = dict(zip(packages, (first - river, keyed - first, ours - theirs), strict=True))
    assert "river_attention" in added["river_attention"]
    for package, names in added.items():
        assert not names & OPTIONAL, package


def test_import_warns_of_nothing():
    # river's own warnings are not ours
    modules = "base, compose, linear_model, preprocessing, stats, time_series, evaluate"
    script = f"from river import {modules}\nimport warnings\nwarnings.simplefilter('error')\n"
    subprocess.run([sys.executable, "-c", f"{script}import river_attention"], check=True)


@pytest.mark.skipif(not sys.flags.safe_path, reason="the working tree may be on sys.path")
def test_the_installed_package_is_under_test():
    assert INSTALLED != SOURCE


@pytest.mark.skipif(not SOURCE.is_dir(), reason="the source tree is not beside the tests")
def test_every_module_of_the_source_tree_is_installed_and_no_other():
    def modules(root: Path) -> set[str]:
        return {path.relative_to(root).as_posix() for path in root.rglob("*.py")}

    assert modules(INSTALLED) == modules(SOURCE)


@pytest.mark.slow
@pytest.mark.skipif(not SOURCE.is_dir(), reason="the source tree is not beside the tests")
def test_without_a_compiler_the_package_installs_and_runs_on_numpy(tmp_path):
    tree, target = tmp_path / "tree", tmp_path / "installed"
    shutil.copytree(SOURCE, tree / "river_attention", ignore=shutil.ignore_patterns("*.so"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "LICENSE", "README.md"):
        shutil.copy(PROJECT / name, tree)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target)]
    hidden = {**os.environ, "CC": "/nonexistent/cc", "CXX": "/nonexistent/c++"}
    subprocess.run([*pip, str(tree)], env=hidden, check=True)
    assert not [*target.rglob("*.so"), *target.rglob("*.pyd")]
    script = (
        "import river_attention as ra\n"
        "assert not ra.backend.is_compiled()\n"
        "model = ra.StreamingAttentionRegressor()\n"
        "for t in range(50):\n"
        "    model.predict_one({'a': t % 3}), model.learn_one({'a': t % 3}, t % 5)\n"
        "print(ra.__file__)\n"
        "ra.show_versions()\n"
    )
    found = {**os.environ, "PYTHONPATH": str(target)}
    found.pop("RIVER_ATTENTION_BACKEND", None)
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, env=found, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(target))
    assert "NumPy" in done.stdout
