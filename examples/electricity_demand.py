"""Electricity demand, a day ahead: forecasts with a temperature that is known in advance.

Hourly demand with a profile of the day, weekends, heating below 15 °C, a week of holidays that
nobody announces, and noise. Every midnight the next 24 hours are forecasted, with weekend and
weather forecast as features. Beside it stand the same hour of yesterday and of a week ago, and
river's SNARIMAX with the same features, the calendar and the same hour of the last seven days.

    python examples/electricity_demand.py [--days 56]
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
import random
from collections.abc import Sequence
from typing import Any

from river import linear_model, preprocessing, time_series

from river_attention import StreamingAttentionForecaster, calendar_features

DAY, WEEK = 24, 168
Row = tuple[dict[str, Any], float]


def demand(n_days: int, seed: int = 0) -> list[Row]:
    """Date, weekend and degrees below 15 °C of every hour, and the demand."""
    rng = random.Random(seed)
    start, weather, rows = dt.datetime(2024, 1, 1), 0.0, []
    for hour in range(n_days * DAY):
        when = start + dt.timedelta(hours=hour)
        weather = 0.98 * weather + rng.gauss(0, 0.6)
        temperature = 8 + 4 * math.sin(math.tau * (when.hour - 9) / 24) + weather
        free = when.weekday() >= 5 or 28 <= hour // DAY < 35
        profile = 30 + 10 * math.sin(math.tau * (when.hour - 7) / 24) - 8 * free
        load = profile + 0.9 * max(0.0, 15 - temperature) + rng.gauss(0, 0.7)
        x = {"when": when, "weekend": when.weekday() >= 5, "heating": max(0.0, 15 - temperature)}
        rows.append((x, load))
    return rows


def snarimax() -> time_series.SNARIMAX:
    """River's, with the best of a few regressors and orders that were tried."""
    regressor = preprocessing.StandardScaler() | linear_model.BayesianLinearRegression()
    return time_series.SNARIMAX(
        p=1, d=0, q=0, m=DAY, sp=7, regressor=preprocessing.TargetStandardScaler(regressor)
    )


def run(n_days: int = 56) -> dict[str, float]:
    """Mean absolute errors over all forecasts from the third week on, ours last."""
    rows = demand(n_days)
    ours, theirs = StreamingAttentionForecaster(season=WEEK, horizon=DAY), snarimax()
    totals = dict.fromkeys(
        ("the hour of yesterday", "the hour of last week", "SNARIMAX", "forecaster"), 0.0
    )
    n_hours = 0
    for i, (x, y) in enumerate(rows):
        if i % DAY == 0 and i >= 2 * WEEK:
            ahead = rows[i : i + DAY]
            guesses = {
                "the hour of yesterday": [y for _, y in rows[i - DAY : i]],
                "the hour of last week": [y for _, y in rows[i - WEEK : i - WEEK + DAY]],
                "SNARIMAX": theirs.forecast(DAY, xs=[calendar_features(x) for x, _ in ahead]),
                "forecaster": ours.forecast(DAY, xs=[x for x, _ in ahead]),
            }
            for name, guess in guesses.items():
                totals[name] += sum(abs(a - y) for a, (_, y) in zip(guess, ahead, strict=True))
            n_hours += DAY
        ours.learn_one(y, x)
        theirs.learn_one(y, calendar_features(x))
    return {name: total / n_hours for name, total in totals.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the errors."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--days", type=int, default=56)
    for name, mae in run(parser.parse_args(argv).days).items():
        print(f"{mae:8.3f}  {name}")


if __name__ == "__main__":
    main()
