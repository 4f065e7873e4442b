"""Plots show the numbers they are given, draw where they are told, and leave models as they are."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

import river_attention as ra
from river_attention import look, plot
from river_attention.modes import NAMED

pytest.importorskip("matplotlib")

ROWS = [({"a": math.sin(0.3 * t), "b": float(t % 5)}, math.sin(0.3 * t + 1.0)) for t in range(120)]


@pytest.fixture(scope="module")
def regressor(train):
    return train(ra.StreamingAttentionRegressor(mode="gla", n_heads=3, memory=4), ROWS)


@pytest.fixture(scope="module")
def windowed(train):
    model = ra.SlidingWindowAttentionRegressor(n_heads=2, window_size=8)
    return train(model, ROWS[:40])


@pytest.fixture(scope="module")
def forecaster(train):
    model = ra.StreamingAttentionForecaster(season=5, horizon=4)
    return train(model, ROWS[:60])


@pytest.fixture(scope="module")
def spiking(train):
    return train(ra.SpikingAttentionRegressor(n_neurons=5), ROWS[:40])


def _labels(ax):
    return [line.get_label() for line in ax.lines]


def test_predictions_are_drawn_over_the_truth():
    truth, ours = np.arange(9.0), np.arange(9.0) + 0.5
    ax = plot.plot_predictions(truth, {"ours": ours, "other": truth[::-1]}, last=4)
    assert _labels(ax) == ["truth", "ours", "other"]
    assert ax.lines[1].get_xdata().tolist() == [5, 6, 7, 8]
    assert ax.lines[1].get_ydata().tolist() == ours[5:].tolist()


def test_one_wild_prediction_does_not_flatten_the_truth():
    ax = plot.plot_predictions([0.0, 1.0], [0.0, 1e9])
    assert ax.get_ylim() == (-0.25, 1.25)


def test_rolling_errors_are_means_of_absolute_errors():
    truth = np.zeros(6)
    ax = plot.plot_rolling_error(truth, [1.0, -1.0, 3.0, -3.0, 5.0, 0.0], window=2)
    assert ax.lines[0].get_xdata().tolist() == [2, 3, 4, 5, 6]
    assert ax.lines[0].get_ydata().tolist() == [1.0, 2.0, 3.0, 4.0, 2.5]


def test_a_logarithmic_axis_is_labelled_with_numbers():
    ax = plot.plot_rolling_error([1.0] * 8, [0.9, 0.8] * 4, window=1, log=True)
    ax.figure.draw_without_rendering()
    assert ax.get_yscale() == "log"
    assert {tick.get_text() for tick in ax.get_yticklabels()} >= {"0.1", "0.2"}


def test_intervals_mark_what_lies_outside_and_count_it():
    intervals = [(0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0)]
    ax = plot.plot_intervals([0.5, 2.0, 1.0, -1.0], intervals, [0.5] * 4)
    assert _labels(ax) == ["prediction", "truth", "outside"]
    assert ax.lines[2].get_xydata().tolist() == [[1.0, 2.0], [3.0, -1.0]]
    assert ax.get_title() == "50 % of 4 targets inside"
    assert ax.collections[0].get_paths()[0].vertices[:, 1].max() == 1.0


def test_a_forecast_joins_the_past_that_the_model_knows(forecaster):
    ax = plot.plot_forecast(forecaster, past=10, y_true=[0.0, 1.0])
    past, ahead, came = ax.lines
    assert past.get_ydata().tolist() == [y for _, y in ROWS[50:60]]
    assert ahead.get_ydata().tolist() == forecaster.forecast(4)
    assert came.get_xydata().tolist() == [[1.0, 0.0], [2.0, 1.0]]
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    low, high = np.array(forecaster.forecast_interval(4)).T
    assert (band.min(), band.max()) == (low.min(), high.max())


def test_shares_of_a_model_are_bars(regressor):
    ax = plot.plot_expert_weights(regressor)
    drawn = {
        tick.get_text(): bar.get_width()
        for tick, bar in zip(ax.get_yticklabels(), ax.patches, strict=True)
    }
    assert drawn == regressor.expert_weights_


def test_shares_over_time_are_stacked_to_one():
    history = [{"a": 0.5, "b": 0.49, "tiny": 0.01}, {"a": 0.2, "b": 0.79, "tiny": 0.01}]
    ax = plot.plot_expert_weights(history, rows=[10, 20])
    assert [layer.get_label() for layer in ax.collections] == ["b", "a", "others"]
    top = ax.collections[-1].get_paths()[0].vertices
    assert top[:, 1].max() == pytest.approx(1.0)
    assert set(top[:, 0]) == {10.0, 20.0}


def test_shares_of_a_forecaster_are_drawn_over_the_steps_ahead(forecaster):
    ax = plot.plot_expert_weights(forecaster)
    assert ax.get_xlabel() == "steps ahead"
    assert set(ax.collections[0].get_paths()[0].vertices[:, 0]) == {1.0, 2.0, 3.0, 4.0}


def test_shares_of_several_targets_are_their_mean(train):
    model = ra.StreamingAttentionMultiRegressor(window=20)
    train(model, ROWS[:40])
    bars = plot.plot_expert_weights(model).patches
    assert sum(bar.get_width() for bar in bars) == pytest.approx(1.0)


def test_memory_shows_the_norm_of_every_head_and_unit(regressor):
    ax = plot.plot_memory(regressor)
    heights = [bar.get_height() for bar in ax.patches]
    heads = np.linalg.norm(regressor.state_, axis=(1, 2))
    units = np.abs(regressor.bank_state_)
    assert sorted(heights) == pytest.approx(sorted([*heads, *units]))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["head", "bank"]


def test_memory_of_spiking_neurons_is_that_of_their_slots(spiking):
    heights = [bar.get_height() for bar in plot.plot_memory(spiking).patches]
    assert heights == pytest.approx(np.linalg.norm(spiking.firing_.slots, axis=1))


def test_a_memory_over_a_window_has_no_bars(windowed):
    with pytest.raises(ValueError, match="plot_attention"):
        plot.plot_memory(windowed)


@pytest.mark.parametrize("mode", NAMED)
def test_every_mode_says_how_much_its_heads_hold(mode, train):
    model = ra.StreamingAttentionRegressor(mode=mode, n_heads=3, memory=0, window=0)
    assert [each.norm for each in look.state_norms(model)] == [0.0] * 3
    train(model, ROWS[:30])
    found = look.state_norms(model)
    assert [each.part for each in found] == ["head 1", "head 2", "head 3"]
    assert min(each.norm for each in found) > 0.0
    timeless = mode in ("delta_net", "linear")
    assert all((each.time_constant is None) == timeless for each in found)


@pytest.mark.parametrize(
    ("mode", "place"), [("mlstm", np.s_[:, -1, -1]), ("log_linear", np.s_[-1, 0, 0, 0])]
)
def test_what_counts_or_stabilises_is_no_memory(mode, place):
    mode = NAMED[mode]
    state = mode.init_state(2, 4, 3)
    state[place] = 7.0
    assert mode.norms(state).tolist() == [0.0, 0.0]


def test_retrieval_shows_all_shares_of_the_attention(regressor):
    x = {"a": 0.3, "b": 2.0}
    ax = plot.plot_retrieval(regressor, x)
    shares = ax.lines[0].get_ydata()
    assert len(shares) == regressor.features_.states["retrieved"].past.n
    assert shares.sum() == pytest.approx(1.0)
    ago, strongest = plot.plot_retrieval(regressor).lines[1].get_data()
    assert dict(zip(ago.tolist(), strongest.tolist(), strict=True)) == dict(regressor.retrieved_)


def test_transformers_and_forecasters_look_back_as_well(train, forecaster):
    transformer = train(ra.AttentionTransformer(), ROWS[:40])
    assert look.looked_back(transformer, ROWS[40][0]).sum() == pytest.approx(1.0)
    x = ROWS[60][0]
    expected = look.looked_back(forecaster.regressor_, x)
    assert np.array_equal(plot.plot_retrieval(forecaster, x).lines[0].get_ydata(), expected)


def test_retrieval_of_a_fresh_model_has_nothing_to_show():
    ax = plot.plot_retrieval(ra.StreamingAttentionRegressor())
    assert ax.texts[0].get_text() == "nothing stored yet"


def test_attention_is_a_line_of_cells_for_each_head(windowed):
    cells = plot.plot_attention(windowed).images[0].get_array()
    assert np.array_equal(cells, windowed.attention_weights_)
    x = {"a": 0.1, "b": 1.0}
    assert np.array_equal(
        plot.plot_attention(windowed, x).images[0].get_array(), windowed.look_one(x)
    )


def test_what_has_no_attention_is_pointed_elsewhere(regressor, windowed):
    with pytest.raises(ValueError, match="plot_retrieval"):
        plot.plot_attention(regressor)
    with pytest.raises(ValueError, match="window="):
        plot.plot_retrieval(windowed)
    with pytest.raises(ValueError, match="no estimator with a memory"):
        plot.plot_memory(ra.RLSRegressor())


def test_a_raster_has_a_dot_for_every_spike(spiking):
    rows = ROWS[40:70]
    ax = plot.plot_raster(spiking, rows)
    twin = ra.from_bytes(spiking.to_bytes())
    for t, (x, y) in enumerate(rows):
        twin.learn_one(x, y)
        fired = [i for i, line in enumerate(ax.lines) if t in line.get_xdata()]
        assert fired == np.flatnonzero(twin.firing_.spikes).tolist()
    assert {y for line in ax.lines for y in line.get_ydata().tolist()} <= set(range(1, 6))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("plot_expert_weights", "regressor"),
        ("plot_memory", "regressor"),
        ("plot_retrieval", "regressor"),
        ("plot_attention", "windowed"),
        ("plot_forecast", "forecaster"),
    ],
)
def test_plots_draw_where_they_are_told_and_leave_the_model_alone(
    name, model, request, fingerprint
):
    from river_attention._figure import new_figure

    model = request.getfixturevalue(model)
    before = fingerprint(model)
    ax = new_figure().subplots()
    assert getattr(plot, name)(model, ax=ax) is ax
    assert fingerprint(model) == before


def test_watching_spikes_leaves_the_model_alone(spiking, fingerprint):
    before = fingerprint(spiking)
    plot.plot_raster(spiking, ROWS[:5])
    assert fingerprint(spiking) == before


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plot.plot_predictions([1.0, 2.0], [1.0]), "prediction: has 1 rows"),
        (lambda: plot.plot_predictions([1.0], [1.0], last=0), "last=0"),
        (lambda: plot.plot_rolling_error([1.0], [[1.0]]), "one number for each row"),
        (lambda: plot.plot_intervals([1.0, 2.0], [(0.0, 1.0)]), "intervals: are 1"),
        (lambda: plot.plot_expert_weights([]), "shares: must be"),
        (lambda: plot.plot_expert_weights([{"a": 1.0}], rows=[1, 2]), "rows: are 2"),
        (lambda: plot.plot_raster([1, 0]), r"spikes: must be of shape \[T, N\]"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_pyplot_is_used_where_it_is_in_use_and_left_alone_elsewhere(monkeypatch):
    drawn = []

    class Pyplot:
        @staticmethod
        def subplots(**options):
            drawn.append(options)
            from river_attention._figure import new_figure

            return None, new_figure().subplots()

    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    plot.plot_predictions([1.0], [1.0])
    assert drawn == []
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", Pyplot)
    plot.plot_predictions([1.0], [1.0])
    assert len(drawn) == 1


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"river-attention\[plot\]"):
        plot.plot_predictions([1.0], [1.0])
