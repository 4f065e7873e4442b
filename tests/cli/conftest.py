"""Files for the command, and a way to run it in this process."""

from __future__ import annotations

import csv
import datetime as dt
import json
import math

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

DAY = dt.date(2024, 1, 1)


def _rows(n=90):
    """Rows that can be predicted: a weekly wave, a shop, a number that is missing now and then."""
    return [
        {
            "day": (DAY + dt.timedelta(days=t)).isoformat(),
            "shop": "north" if t % 3 else "south",
            "temperature": None if t % 10 == 9 else round(20.0 + 5.0 * math.sin(t / 5), 3),
            "sold": round(50.0 + 10.0 * math.sin(2 * math.pi * t / 7) + (5.0 if t % 3 else 0.0), 3),
        }
        for t in range(n)
    ]


@pytest.fixture
def rows():
    """Rows of a small shop."""
    return _rows()


@pytest.fixture
def write(tmp_path):
    """Writes rows to a CSV file; returns its path as text."""

    def make(rows, name="sales.csv", delimiter=","):
        path = tmp_path / name
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
        return str(path)

    return make


@pytest.fixture
def sales(write, rows):
    """The CSV file of a small shop."""
    return write(rows)


@pytest.fixture
def command(capsys):
    """Runs the command; gives exit code, output, and what was said on stderr."""
    from river_attention.cli import main

    def run(*argv):
        code = main(list(map(str, argv)))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def told(command):
    """Runs the command with --json, which must succeed; gives what it prints."""

    def run(*argv):
        code, out, err = command(*argv, "--json")
        assert (code, err) == (0, "")
        return [json.loads(line) for line in out.splitlines()]

    return run
