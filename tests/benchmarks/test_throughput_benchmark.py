"""The benchmark of steps and blocks: what it prints and writes."""

from __future__ import annotations

import json
import os

import pytest


@pytest.fixture(scope="module")
def throughput(load_benchmark):
    return load_benchmark("throughput")


@pytest.fixture(autouse=True)
def _same_cores_afterwards():
    """The benchmark pins itself to a core."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    yield
    if cores is not None:
        os.sched_setaffinity(0, cores)


def test_blocks_are_timed_beside_loops_and_threads(throughput, tmp_path, capsys):
    path = tmp_path / "blocks.json"
    arguments = ["--blocks", "--rounds", "1", "--block-rows", "200", "--features", "3"]
    throughput.main([*arguments, "--json", str(path)])
    found = json.loads(path.read_text())
    assert list(found) == list(throughput.block_models())
    for row in found.values():
        assert list(row) == [
            "rows per second, loop",
            "rows per second, block",
            "block, times the loop",
            "two threads, times one",
        ]
        assert all(value > 0 for value in row.values())
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in found)


def test_a_block_needs_some_rows(throughput, capsys):
    with pytest.raises(SystemExit):
        throughput.main(["--blocks", "--block-rows", "5"])
    assert "--block-rows=5: must be at least 200" in capsys.readouterr().err
