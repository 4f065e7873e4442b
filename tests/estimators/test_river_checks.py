"""Every estimator, with every one of its test settings, passes every check of river."""

from __future__ import annotations

import functools
import itertools
from collections import Counter

import pytest
from river import base, checks
from river.time_series.base import Forecaster

import river_attention

ESTIMATORS = [
    item
    for item in map(vars(river_attention).get, river_attention.__all__)
    if isinstance(item, type) and issubclass(item, base.Estimator)
]
SOAK = "check_bounded_memory_growth"
SETTINGS = [
    (functools.partial(cls, **params), f"{cls.__name__}-{i}")
    for cls in ESTIMATORS
    for i, params in enumerate(cls._unit_test_params())
]


def needs_data(check):
    return "dataset" in getattr(check, "keywords", {})


def checks_on_data():
    """Every check: on every data set for the first setting of a class, on one in turn for others.

    The soak takes longer than all the other checks together: on one, for the first setting.
    """
    for make, name in SETTINGS:
        setting = int(name.rpartition("-")[2])
        found = list(filter(needs_data, checks.yield_checks(make())))
        n_data_sets = Counter(check.__name__ for check in found)
        seen = Counter()
        for check in found:
            kind = check.__name__
            in_turn = seen[kind] == setting % n_data_sets[kind]
            quick = in_turn and setting == 0 if kind == SOAK else in_turn or setting == 0
            seen[kind] += 1
            yield pytest.param(
                make,
                check,
                id=f"{name}-{kind}-{seen[kind]}",
                marks=[] if quick else [pytest.mark.slow],
            )


@pytest.mark.parametrize(("make", "check"), list(checks_on_data()))
def test_check_of_river_passes(make, check):
    check(make())


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for make, name in SETTINGS])
def test_the_checks_of_river_without_data_pass(make, case):
    found = list(itertools.filterfalse(needs_data, checks.yield_checks(make())))
    assert len(found) > 10
    for check in found:
        with case(check.__name__):
            check(make())


def test_there_are_estimators_to_check():
    assert {
        "StreamingAttentionRegressor",
        "StreamingAttentionForecaster",
        "AttentionTransformer",
        "RLSRegressor",
    } <= {cls.__name__ for cls in ESTIMATORS}


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_no_check_is_skipped(cls):
    assert not cls()._unit_test_skips()


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_at_least_three_different_settings_are_checked(cls):
    assert len({repr(params) for params in cls._unit_test_params()}) >= 3


# river has no mini-batches for forecasters, nor for several targets
@pytest.mark.parametrize(
    "cls",
    [cls for cls in ESTIMATORS if not issubclass(cls, (Forecaster, base.MultiTargetRegressor))],
)
def test_the_mini_batch_checks_are_among_them(cls):
    # river leaves them out without a word when pandas is missing
    names = {check.__name__ for check in checks.yield_checks(cls())}
    kind = "transform" if issubclass(cls, base.Transformer) else "predict"
    assert {
        f"check_{kind}_many_matches_{kind}_one",
        "check_learn_many_matches_learn_one",
    } <= names


@pytest.mark.parametrize("cls", [cls for cls in ESTIMATORS if issubclass(cls, Forecaster)])
def test_the_checks_of_forecasters_are_among_them(cls):
    names = {check.__name__ for check in checks.yield_checks(cls())}
    assert {"check_learn_one", "check_forecast"} <= names


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_cloning_with_new_parameters_is_checked_for_all_that_may_change(cls):
    # river passes over parameters whose changed value the constructor refuses
    model = cls()
    for name, value in model._get_params().items():
        if name not in ("forgetting_factor", "global_weight") and type(value) in (int, float, bool):
            changed = model.clone({name: not value if type(value) is bool else value + 1})
            assert getattr(changed, name) != value
