"""Retrieval: the recurrence against its definition, softmax reads, what is stored and shown."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest

from river_attention import StreamingAttentionRegressor
from river_attention.layers.retrieval import Retrieval

NOTHING = np.zeros(0)
FADING = 0.9
METRICS = (0.3, 10.0)
TEMPERATURES = (0.1, 0.025, 0.00625)


def naive_distances(deltas, delta, window):
    """D of a new step from the steps in the window, each summed afresh from its definition."""
    known = np.array([*deltas, delta])
    t = len(deltas)
    return np.array(
        [
            FADING ** np.arange(i + 1) @ (known[t - i :][::-1] - known[: i + 1][::-1]) ** 2
            for i in range(max(0, t - window), t)
        ]
    )


def naive_reads(distances, xs, x, residuals, window):
    """The six reads as the equations have them, with an exponential for every temperature."""
    n_stored, n = len(residuals), len(distances)
    if n < 5:
        return np.zeros(6)
    terms = np.arange(n_stored - n + 1, n_stored + 1)
    width = len(x)
    past = np.array([np.pad(row, (0, width - len(row))) for row in xs[-n:]]).reshape(n, width)
    apart = ((past - x) ** 2).sum(axis=1)
    values = np.clip(residuals[-n:], -10.0, 10.0)
    reads = []
    for scale in METRICS:
        score = distances / (1.0 - FADING**terms) + scale * apart
        for temperature in TEMPERATURES:
            weights = np.exp(-(score - score.min()) / (temperature * score.mean()))
            reads.append(weights @ values / weights.sum())
    return np.array(reads)


def steps(n, n_columns, seed=0):
    """Standardised inputs, standardised steps and residuals, as the regressor stores them."""
    rng = np.random.default_rng(seed)
    widths = n_columns if callable(n_columns) else lambda t: n_columns
    return [
        (
            np.clip(rng.normal(size=widths(t)), -3, 3),
            float(np.clip(rng.normal(), -3, 3)),
            float(rng.normal()),
        )
        for t in range(n)
    ]


def situation(x, delta):
    """What retrieval sees of a step."""
    return np.concatenate([[delta], x])


def look(layer, x, delta, state):
    """The reads of a step, and its distances."""
    reads, proposal = layer.propose(situation(x, delta), state)
    return reads, proposal.distance


def live(layer, x, delta, residual, state):
    """Let a step pass with its label; returns its reads and distances, and the state."""
    seen = situation(x, delta)
    reads, proposal = layer.propose(seen, state)
    state = layer.learn(layer.commit(state, proposal), seen, residual)
    return reads, proposal.distance, state


def fill(layer, rows, state=None):
    state = layer.init_state() if state is None else state
    for x, delta, residual in rows:
        *_, state = live(layer, x, delta, residual, state)
    return state


def as_bytes(state):
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer)
    pickler.fast = True  # no references: equal states with other string objects are equal
    pickler.dump(state)
    return buffer.getvalue()


# --- the equations


@pytest.mark.parametrize("window", [1, 3, 20, 300])
def test_the_distance_by_its_recurrence_is_that_of_the_definition(window):
    layer, deltas = Retrieval(window), []
    state = layer.init_state()
    # ten windows of 20: the buffers of twice the window are moved many times
    for x, delta, residual in steps(200, 2):
        _, distance, state = live(layer, x, delta, residual, state)
        np.testing.assert_allclose(distance, naive_distances(deltas, delta, window), atol=1e-10)
        deltas.append(delta)


COLUMNS = {
    "none": 0,
    "one": 1,
    "five": 5,
    "emerging": lambda t: 2 if t < 90 else 5,
    "the first late": lambda t: 0 if t < 90 else 3,
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("window", [20, 64, 300])
def test_the_reads_are_those_of_a_softmax_over_the_past(name, window):
    layer, deltas, xs, residuals = Retrieval(window), [], [], []
    state = layer.init_state()
    for t, (x, delta, residual) in enumerate(steps(200, COLUMNS[name])):
        reads, _, state = live(layer, x, delta, residual, state)
        # every step in the beginning and when columns come, every fourth of the others
        if t < 10 or 88 <= t < 95 or t % 4 == 0:
            expected = naive_reads(naive_distances(deltas, delta, window), xs, x, residuals, window)
            # ‖x̂ - x̂_i‖² comes from norms and products, and a temperature of 0.00625 magnifies its
            # rounding 160 times; powers of one exponential add a little
            np.testing.assert_allclose(reads, expected, atol=1e-8)
        deltas.append(delta)
        xs.append(x)
        residuals.append(residual)


def test_a_column_unknown_to_the_store_was_at_its_mean_so_far():
    layer, rows = Retrieval(50), steps(40, 2)
    narrow = fill(layer, rows)
    wide = fill(layer, [(np.pad(x, (0, 1)), delta, r) for x, delta, r in rows])
    x = np.array([0.3, -0.2, 1.5])
    np.testing.assert_allclose(
        look(layer, x, 0.1, narrow)[0], look(layer, x, 0.1, wide)[0], atol=1e-10
    )


def test_the_past_beyond_the_window_still_counts_in_the_distance():
    layer = Retrieval(5)
    calm, wild = steps(30, 0), steps(30, 0)
    wild = [(x, 3.0 if t < 22 else d, r) for t, (x, d, r) in enumerate(wild)]
    states = [fill(layer, rows) for rows in (calm, wild)]
    assert np.array_equal(states[0].past["delta"], states[1].past["delta"])
    distances = [look(layer, NOTHING, 0.0, state)[1] for state in states]
    assert np.abs(distances[0] - distances[1]).min() > 1e-3


@pytest.mark.parametrize("n_stored", [0, 1, 4])
def test_with_fewer_than_five_steps_the_reads_are_zero(n_stored):
    layer = Retrieval(20)
    state = fill(layer, steps(n_stored, 2))
    assert not look(layer, np.ones(2), 0.5, state)[0].any()


def test_five_steps_are_enough():
    layer = Retrieval(20)
    state = fill(layer, [(x, delta, 1.0) for x, delta, _ in steps(5, 2)])
    np.testing.assert_allclose(look(layer, np.ones(2), 0.5, state)[0], np.ones(6), atol=1e-10)


@pytest.mark.parametrize("window", [1, 4])
def test_a_window_below_five_never_reads_anything(window):
    layer = Retrieval(window)
    state = fill(layer, steps(30, 1))
    assert not look(layer, np.ones(1), 0.5, state)[0].any()


@pytest.mark.parametrize("n_columns", [0, 1, 3, 7, 30, 100, 200])
@pytest.mark.parametrize("n_stored", [7, 10, 33])
def test_steps_that_are_all_alike_are_averaged(n_columns, n_stored):
    layer, residuals = Retrieval(50), np.random.default_rng(0).normal(size=n_stored)
    x = np.full(n_columns, 2.7)
    state = fill(layer, [(x, 0.5, r) for r in residuals.tolist()])
    np.testing.assert_allclose(look(layer, x, 0.5, state)[0], residuals.mean(), atol=1e-10)


@pytest.mark.parametrize(("residual", "limited"), [(1e9, 10.0), (-1e9, -10.0), (9.5, 9.5)])
def test_what_was_learned_counts_up_to_ten(residual, limited):
    layer = Retrieval(20)
    state = fill(layer, [(x, delta, residual) for x, delta, _ in steps(12, 1)])
    np.testing.assert_allclose(look(layer, np.ones(1), 0.0, state)[0], limited, atol=1e-10)


def test_a_single_far_step_does_not_make_the_reads_nan():
    layer = Retrieval(20)
    state = fill(layer, [(np.zeros(1), 0.0, 1.0)] * 19 + [(np.full(1, 3.0), 3.0, -1.0)])
    reads = look(layer, np.zeros(1), 0.0, state)[0]
    assert np.isfinite(reads).all()


# --- state


def test_reading_leaves_the_state_as_it_was_to_the_bit():
    layer = Retrieval(20)
    state = fill(layer, steps(70, 2))
    before = as_bytes(state)
    look(layer, np.array([0.1, 0.2, 0.3]), 0.4, state)
    layer.strongest(situation(np.array([0.1, 0.2]), 0.4), state)
    layer.strongest_of_last(state)
    assert as_bytes(state) == before


def test_two_reads_are_the_same():
    layer = Retrieval(20)
    state = fill(layer, steps(70, 2))
    first, second = (look(layer, np.array([0.1, 0.2]), 0.4, state) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_arrays_given_are_not_kept():
    layer = Retrieval(20)
    state = fill(layer, steps(10, 2))
    x = np.array([1.0, 2.0])
    _, distance, state = live(layer, x, 0.0, 1.0, state)
    before = look(layer, np.zeros(2), 0.3, state)[0]
    x[:] = distance[:] = 99.0
    assert np.array_equal(look(layer, np.zeros(2), 0.3, state)[0], before)


def test_the_memory_is_flat():
    layer = Retrieval(20)
    rows = steps(2000, 3)
    state = fill(layer, rows[:100])
    size = len(as_bytes(state))
    fill(layer, rows[100:], state)
    # a counter beyond 255 takes one byte more
    assert len(as_bytes(state)) <= size + 8


@pytest.mark.parametrize("n_stored", [3, 20, 39, 40, 41, 130])
def test_a_pickled_state_continues_where_it_was(n_stored):
    layer, rows = Retrieval(20), steps(200, 2)
    state = fill(layer, rows[:n_stored])
    copied = pickle.loads(pickle.dumps(state))
    for each in (state, copied):
        fill(layer, rows[n_stored:], each)
    assert as_bytes(copied) == as_bytes(state)


@pytest.mark.parametrize("n_stored", [0, 4, 19, 20, 21, 150])
def test_the_store_holds_the_last_steps_of_the_window(n_stored):
    layer, rows = Retrieval(20), steps(n_stored, 2)
    state = fill(layer, rows)
    last = rows[-20:]
    assert state.past.n == len(last)
    assert state.past.n_appended == n_stored
    assert state.past["residual"].tolist() == [residual for _, _, residual in last]
    assert state.past["delta"].tolist() == [delta for _, delta, _ in last]


@pytest.mark.parametrize("window", [0, -1, 1.5, None, "20"])
def test_a_bad_window_is_refused(window):
    with pytest.raises(ValueError, match="window"):
        Retrieval(window)


# --- the protocol of memories


def sequence(n, n_columns):
    """Situations and labels."""
    rows = steps(n, n_columns)
    return np.array([situation(x, delta) for x, delta, _ in rows]), np.array([r for *_, r in rows])


@pytest.mark.parametrize("n_steps", [0, 1, 70])
@pytest.mark.parametrize("labelled", [False, True])
def test_a_step_at_a_time_is_the_sequence_at_once(n_steps, labelled):
    layer = Retrieval(20)
    state = fill(layer, steps(30, 2, seed=1))
    X, labels = sequence(n_steps, 2)
    reads, final = layer.forward(X, state, labels if labelled else None)
    assert reads.shape == (n_steps, 6)
    for x, label, read in zip(X, labels, reads, strict=True):
        one, proposal = layer.propose(x, state)
        assert np.array_equal(one, read)
        if labelled:
            layer.learn(state, x, label)
        state = layer.commit(state, proposal)
    assert np.array_equal(
        layer.propose(np.full(3, 0.2), final)[0], layer.propose(np.full(3, 0.2), state)[0]
    )


def test_a_sequence_at_once_leaves_the_state_as_it_was():
    layer = Retrieval(20)
    state = fill(layer, steps(30, 2, seed=1))
    before = as_bytes(state)
    layer.forward(*sequence(50, 2)[:1], state, sequence(50, 2)[1])
    assert as_bytes(state) == before


def test_a_branch_that_goes_on_leaves_the_original_as_it_was():
    layer = Retrieval(20)
    state = fill(layer, steps(30, 2))
    before = as_bytes(state)
    fill(layer, steps(60, 3, seed=1), layer.branch(state))
    assert as_bytes(state) == before


def test_an_original_that_goes_on_leaves_a_branch_as_it_was():
    layer, x = Retrieval(20), np.array([0.2, 0.1, -0.3])
    state = fill(layer, steps(30, 2))
    branch = layer.branch(state)
    before = layer.propose(x, branch)[0]
    fill(layer, steps(60, 3, seed=1), state)
    assert np.array_equal(layer.propose(x, branch)[0], before)


# --- what is shown


def test_the_strongest_steps_are_those_of_the_average_softmax():
    layer, rows = Retrieval(64), steps(100, 2)
    state = fill(layer, rows)
    x, delta = np.array([0.3, -0.4]), 0.2
    xs = [row[0] for row in rows]
    distances = naive_distances([row[1] for row in rows], delta, 64)
    # what is read where one residual is 1 and all others are 0 is the weight of that step
    shares = np.array(
        [
            naive_reads(distances, xs, x, np.concatenate([np.zeros(36), one]), 64).mean()
            for one in np.eye(64)
        ]
    )
    order = np.argsort(-shares)[:5]
    shown = layer.strongest(situation(x, delta), state)
    assert [ago for ago, _ in shown] == [64 - int(i) for i in order]
    # rounding of distances between inputs, magnified by the lowest temperature
    np.testing.assert_allclose([share for _, share in shown], shares[order], atol=1e-8)


@pytest.mark.parametrize("n_stored", [6, 12, 20, 21, 40, 41, 42, 90])
def test_the_strongest_of_the_last_step_are_those_it_had_when_it_came(n_stored):
    # 20 steps are kept, the last and the 19 before it
    rows = steps(n_stored, 2)
    after = Retrieval(20)
    before = Retrieval(19)
    shown = after.strongest_of_last(fill(after, rows), k=19)
    expected = before.strongest(situation(*rows[-1][:2]), fill(before, rows[:-1]), k=19)
    assert [ago for ago, _ in shown] == [ago for ago, _ in expected]
    np.testing.assert_allclose(
        [share for _, share in shown], [share for _, share in expected], atol=1e-8
    )


@pytest.mark.parametrize("n_stored", [0, 5])
def test_with_too_few_steps_there_is_nothing_to_show(n_stored):
    layer = Retrieval(20)
    assert layer.strongest_of_last(fill(layer, steps(n_stored, 1))) == []


# --- in the regressor


def seasonal(n, noise=0.05, seed=0):
    """A profile of 24 steps, again and again, with noise and an input that says nothing."""
    rng = np.random.default_rng(seed)
    profile = rng.normal(size=24)
    return [
        ({"a": float(rng.normal())}, float(profile[t % 24] + noise * rng.normal()))
        for t in range(n)
    ]


def test_in_a_series_of_period_24_the_model_looks_back_multiples_of_24(train):
    model = StreamingAttentionRegressor(window=200)
    # an input would count as a part of the likeness, so there is none
    train(model, [({}, y) for _, y in seasonal(400)])
    assert len(model.retrieved_) == 5
    assert all(ago % 24 == 0 for ago, _ in model.retrieved_)


def test_what_is_retrieved_is_sorted_and_a_share(train):
    model = train(StreamingAttentionRegressor(window=50), seasonal(120))
    shares = [share for _, share in model.retrieved_]
    assert shares == sorted(shares, reverse=True)
    assert all(share > 0.0 for share in shares)
    assert sum(shares) <= 1.0 + 1e-10
    assert all(isinstance(ago, int) and 1 <= ago < 50 for ago, _ in model.retrieved_)


@pytest.mark.parametrize("window", [0, 50])
def test_before_anything_was_learned_nothing_is_retrieved(window):
    assert StreamingAttentionRegressor(window=window).retrieved_ == []


def test_debug_one_says_where_it_looks_back_to(train):
    model = train(StreamingAttentionRegressor(window=200), [({}, y) for _, y in seasonal(400)])
    line = next(line for line in model.debug_one({}).splitlines() if "Looked back" in line)
    agos = [int(part.split(" (")[0]) for part in line.split(": ")[1].split(", ")]
    assert len(agos) == 5
    assert all(ago % 24 == 0 for ago in agos)


def test_debug_one_says_so_where_there_is_nothing_to_look_back_to():
    assert "nothing yet" in StreamingAttentionRegressor().debug_one({"a": 1.0})


def test_debug_one_is_silent_without_retrieval(train):
    model = train(StreamingAttentionRegressor(window=0), seasonal(50))
    assert "Looked back" not in model.debug_one({"a": 1.0})


def n_stored(model):
    return model.features_.states["retrieved"].past.n_appended


def test_every_labelled_step_is_stored_from_the_first_that_has_a_scale(train):
    # the scale needs two different targets
    model = train(StreamingAttentionRegressor(window=20), seasonal(30))
    assert n_stored(model) == 28


def test_steps_without_a_scale_are_not_stored(train):
    model = train(StreamingAttentionRegressor(), [({"a": float(t % 3)}, 5.0) for t in range(30)])
    assert n_stored(model) == 0


def test_a_step_of_weight_zero_is_not_stored(train):
    model = train(StreamingAttentionRegressor(), seasonal(30))
    before = n_stored(model)
    model.learn_one({"a": 0.5}, 1.0, w=0.0)
    assert n_stored(model) == before


def test_a_step_without_a_label_is_not_stored(train):
    model = train(StreamingAttentionRegressor(), seasonal(30))
    before = n_stored(model)
    model.advance_one({"a": 0.5})
    assert n_stored(model) == before


def test_what_is_stored_is_what_was_learned(train):
    model = train(StreamingAttentionRegressor(), seasonal(30))
    last, scale = model.task_.target.last, model.task_.target.scale
    model.learn_one({"a": 0.5}, 1.25)
    assert (
        abs(model.features_.states["retrieved"].past["residual"][-1] - (1.25 - last) / scale)
        < 1e-10
    )


def test_reset_state_empties_the_store(train):
    model = train(StreamingAttentionRegressor(), seasonal(30))
    model.reset_state()
    assert n_stored(model) == 0
    assert model.retrieved_ == []


def test_without_a_window_nothing_is_stored(train):
    model = train(StreamingAttentionRegressor(window=0), seasonal(30))
    assert "retrieved" not in model.features_.states


def test_a_season_that_nobody_declared_is_found():
    # 30 is beyond the short lags; a linear expert on 50 lags is switched off
    rng = np.random.default_rng(0)
    profile = rng.normal(size=30)
    errors = {}
    for window in (0, 300):
        model = StreamingAttentionRegressor(mode=None, memory=0, window=window, long_lags=0)
        errors[window] = []
        for t in range(900):
            y = float(profile[t % 30])
            errors[window].append(abs(y - model.predict_one({})))
            model.learn_one({}, y)
    assert np.mean(errors[300][600:]) < 0.2 * np.mean(errors[0][600:])
