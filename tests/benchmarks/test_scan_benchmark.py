"""The benchmark of whole sequences: every function, on NumPy and in the core."""

from __future__ import annotations

import pytest

from river_attention import backend


@pytest.fixture(scope="module")
def scan(load_benchmark):
    return load_benchmark("scan")


@pytest.mark.skipif(not backend.is_compiled(), reason="the compiled core is not here")
def test_every_function_is_timed_at_every_size(scan, capsys):
    scan.main(["--steps", "5", "--heads", "2", "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    names = list(scan.functions(5, 2, 4))
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == names * len(scan.SIZES)
    assert all(float(line.strip("| ").split(" | ")[-1]) > 0.0 for line in lines[2:])


@pytest.mark.skipif(backend.is_compiled(), reason="the compiled core is here")
def test_without_the_core_there_is_nothing_to_compare(scan, capsys):
    with pytest.raises(SystemExit):
        scan.main([])
    assert "nothing to compare" in capsys.readouterr().err
