"""What docs/command_line.md shows is what the command prints."""

from __future__ import annotations

import doctest
import io
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from river import datasets

pytest.importorskip("matplotlib")

PAGE = Path(__file__).parents[2] / "docs" / "command_line.md"


def _transcript():
    """Commands of the page, each with what it prints."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def _normal(lines):
    """Lines as they are but for times: the last column of a table that has them, and its width."""
    timed = any("µs / row" in line for line in lines)
    normal = []
    for line in lines:
        if line[:1] in "┏┡└":
            continue
        cells = [cell.strip() for cell in re.split("[│┃]", line)]
        normal.append("|".join(cells[:-2] if timed and len(cells) > 1 else cells) + "\n")
    return "".join(normal)


@pytest.mark.skipif(not PAGE.is_file(), reason="the pages are not beside the tests")
def test_every_command_of_the_page_prints_what_is_shown(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    shown = _transcript()
    assert len(shown) > 8
    for text, expected in shown:
        dataset = re.search(r"datasets\.(\w+)\(\)\.path", text)
        if dataset is not None:
            shutil.copy(getattr(datasets, dataset[1])().path, text.split()[-1])
        elif text.startswith("cat "):
            Path(text[4:]).write_text("\n".join(expected) + "\n")
        else:
            line, _, source = text.partition(" < ")
            name, *argv = shlex.split(line)
            assert name == "river-attention"
            if source:
                stdin = io.TextIOWrapper(io.BytesIO(Path(source).read_bytes()))
                monkeypatch.setattr(sys, "stdin", stdin)
            code, out, err = command(*argv)
            assert code == (2 if err else 0)
            printed = _normal((out + err).splitlines())
            # dots stand for anything
            same = doctest.OutputChecker().check_output(
                _normal(expected), printed, doctest.ELLIPSIS
            )
            assert same, f"{text} printed\n{printed}"
    assert Path("air.html").read_text("utf-8").count("<h2 id=") == 8
    for made in ("air.html", "air.png", "model.bin"):
        assert (tmp_path / made).stat().st_size > 1000
