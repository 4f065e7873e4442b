"""The examples run, print a line per result, and show the gain that they speak of."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


class Example(NamedTuple):
    """Its size here, what has to be better, and than what; whether less is better."""

    arguments: list[str]
    better: str
    than: list[str]
    less: bool = True


CASES = {
    "late_sensor": Example(
        ["--rows", "800"],
        'follows the input (advance_on="predict")',
        ["last known label", 'waits for labels (advance_on="learn")'],
    ),
    "electricity_demand": Example(
        ["--days", "21"],
        "forecaster",
        ["the hour of yesterday", "the hour of last week", "SNARIMAX"],
    ),
    "drifting_classes": Example(
        ["--rows", "1500"],
        "StreamingAttentionClassifier",
        ["LogisticRegression", "ARFClassifier"],
        less=False,
    ),
    "ensemble_of_modes": Example(
        ["--rows", "1000"],
        "ensemble of the five",
        ["no memory", "gated_delta_net", "lru"],
    ),
    "many_stores": Example(
        ["--stores", "5", "--days", "60"],
        "a model per store",
        ["yesterday", "a week ago", "one model, store as a category"],
    ),
    "spiking_events": Example(
        ["--events", "3000"],
        "potentials of four neurons",
        ["the more frequent class", "the last gap", "the last eight gaps"],
        less=False,
    ),
}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_an_example_prints_the_gain_it_speaks_of(name, capsys):
    example = CASES[name]
    load(name).main(example.arguments)
    printed = {}
    for line in capsys.readouterr().out.splitlines():
        number, label = line.split(maxsplit=1)
        printed[label] = float(number.rstrip("%"))
    assert {example.better, *example.than} <= set(printed)
    sign = 1 if example.less else -1
    assert all(sign * printed[example.better] < sign * printed[other] for other in example.than)
