"""The mixture: shares by exponential weighting, which experts there are, and what they say."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from river_attention import StreamingAttentionRegressor
from river_attention.core import Evidence, Layout
from river_attention.readout import Mixture, SingleReadout, experts, regression
from river_attention.readout.robust import RobustMean

PRIORS = ["persistence", "mean", "zero"]
RETRIEVAL = [f"retrieval a={a} h={h}" for a in ("0.3", "10") for h in ("0.1", "0.025", "0.00625")]
READS = tuple(RETRIEVAL)


GROWN = ["lag", "lag", "input"]
CONTEXT = ("last", "mean", "anchor", "prediction")


def make_mixture(n_memory=3, n_long=4, reads=READS, factors=(0.998,), delta=None):
    names = [name.removeprefix("retrieval ") for name in reads]
    built = Mixture(experts(n_memory, n_long, names, factors, delta, huber=True))
    built.extend(GROWN)
    return built


def inputs(rng, n_memory=3, n_long=4, n_reads=6, n_answers=12):
    """Random features: two short lags and one input beside memory, bias and long lags."""
    layout = Layout(n_memory, n_reads, 2, 1, n_long, False, CONTEXT, n_answers)
    evidence = Evidence(rng.normal(size=layout.size), layout)
    evidence["skip"][0] = 1.0
    if n_long:
        evidence["long"][n_long] = 1.0
        evidence["long"][-1] = evidence["full"][-1]
    return evidence


def answered(mix, evidence):
    """The prediction, and what the experts said."""
    return mix.predict(evidence), evidence["answers"].copy()


def shares(mix):
    return np.array(list(mix.weights().values()))


START = np.array([1 / 4, 1 / 4, *[1 / 16] * 4, *[1 / 24] * 6])
"""Persistence, the mean, linear experts and reads of retrieval have a quarter each at first."""


class Naive:
    """Exponential weighting with fixed share, as the equations have it."""

    def __init__(self):
        self.p = START
        self.s = 0.0
        self.n = 0

    def learn(self, experts, r):
        size = abs(self.p @ experts - r)
        self.n += 1
        if self.s > 0.0:
            posterior = self.p * np.exp(-0.3 * np.minimum(np.abs(experts - r) / self.s, 10.0))
            self.p = 0.995 * posterior / posterior.sum() + 0.005 / len(experts)
            if self.n > 20:
                size = min(size, 4.0 * self.s)
        self.s += max(1.0 / self.n, 0.001) * (size - self.s)


def run(mix, errors, r, w=1.0):
    """Let a mixture learn labels, of which its experts were wrong by ``errors`` [T, K]."""
    step = inputs(np.random.default_rng(0))
    for error, label in zip(errors, r, strict=True):
        step["answers"] = label + error
        mix.update(step, float(label), w)
    return mix


# --- shares


def experts_with_accidents(n_rows=1500, n_experts=12, seed=0):
    """Errors of experts whose quality changes, with some far beyond the rest."""
    rng = np.random.default_rng(seed)
    quality = rng.uniform(0.1, 3.0, size=(3, n_experts)).repeat(-(-n_rows // 3), axis=0)[:n_rows]
    errors = rng.normal(size=(n_rows, n_experts)) * quality
    errors[::97] *= 1e4
    return errors, rng.normal(size=n_rows)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shares_are_those_of_exponential_weighting_with_fixed_share(seed):
    errors, labels = experts_with_accidents(seed=seed)
    mix, naive = make_mixture(), Naive()
    step = inputs(np.random.default_rng(0))
    for error, label in zip(errors, labels.tolist(), strict=True):
        step["answers"] = label + error
        mix.update(step, label, 1.0)
        naive.learn(label + error, label)
        np.testing.assert_allclose(shares(mix), naive.p, atol=1e-10)


def test_every_kind_of_expert_has_the_same_share_at_first():
    np.testing.assert_allclose(shares(make_mixture()), START, atol=1e-15)


def test_kinds_that_are_not_there_leave_their_share_to_the_others():
    few = make_mixture(n_memory=0, n_long=0, reads=(), factors=(1.0,))
    assert few.weights() == pytest.approx({"persistence": 1 / 3, "mean": 1 / 3, "skip 1": 1 / 3})


@pytest.mark.parametrize("scale", [1e-100, 1e-6, 1.0, 1e6, 1e100])
def test_shares_are_a_distribution_whatever_the_errors(scale):
    errors, labels = experts_with_accidents(300)
    mix = make_mixture()
    step = inputs(np.random.default_rng(0))
    for error, label in zip(errors * scale, (labels * scale).tolist(), strict=True):
        step["answers"] = label + error
        mix.update(step, label, 1.0)
        assert abs(shares(mix).sum() - 1.0) < 1e-10
        assert (shares(mix) >= 0.005 / 12 - 1e-15).all()


def test_the_best_expert_gets_the_largest_share():
    errors, labels = experts_with_accidents()
    errors[:, 4] = 0.01
    mix = run(make_mixture(), errors, labels)
    assert max(mix.weights(), key=mix.weights().get) == mix.names[4]


def test_no_share_is_learned_from_the_first_sample():
    errors, labels = experts_with_accidents()
    mix = run(make_mixture(), errors[:1], labels[:1])
    np.testing.assert_allclose(shares(mix), START, atol=1e-15)


def test_no_share_is_learned_while_the_mixture_was_always_exact():
    # experts that cancel out: the mixture is right though none of them is
    errors = np.tile([1.0, -1.0], (30, 6))
    mix = run(make_mixture(), errors, np.zeros(30))
    np.testing.assert_allclose(shares(mix), START, atol=1e-15)


def test_no_share_is_learned_from_a_sample_of_weight_zero():
    errors, labels = experts_with_accidents()
    mix = run(make_mixture(), errors[:100], labels[:100])
    before = shares(mix)
    run(mix, errors[100:101], labels[100:101], w=0.0)
    assert np.array_equal(shares(mix), before)


def test_a_larger_weight_moves_the_shares_further():
    errors, labels = experts_with_accidents()
    moved = []
    for w in (0.5, 1.0, 2.0):
        mix = run(make_mixture(), errors[:90], labels[:90])
        before = shares(mix)
        run(mix, errors[90:91], labels[90:91], w=w)
        moved.append(np.abs(shares(mix) - before).sum())
    assert moved[0] < moved[1] < moved[2]


def rows_until_trust(mix):
    """How many rows it takes to trust another expert, one accident after the first was the best."""
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(200, 12))
    errors[:, 0] *= 0.1
    run(mix, errors, np.zeros(200))
    run(mix, np.full((1, 12), 1e5), np.zeros(1))
    for n in range(1, 500):
        errors = rng.normal(size=(1, 12))
        errors[:, 1] *= 0.1
        run(mix, errors, np.zeros(1))
        if shares(mix).argmax() == 1:
            return n
    return 500


def test_one_level_shift_does_not_make_the_mixture_deaf():
    assert rows_until_trust(make_mixture()) < 30


def test_without_winsorising_it_would(monkeypatch):
    class Mean(RobustMean):
        def update(self, size):
            self.n += 1
            self.value += max(1.0 / self.n, 0.001) * (size - self.value)

    monkeypatch.setattr(regression, "RobustMean", Mean)
    assert rows_until_trust(make_mixture()) == 500


def test_losses_are_running_means_in_units_of_the_error_of_the_mixture():
    errors, labels = experts_with_accidents(400)
    mix, naive, losses = make_mixture(), Naive(), []
    step = inputs(np.random.default_rng(0))
    for error, label in zip(errors, labels.tolist(), strict=True):
        if naive.s > 0.0:
            losses.append(np.minimum(np.abs(error) / naive.s, 10.0))
        step["answers"] = label + error
        mix.update(step, label, 1.0)
        naive.learn(label + error, label)
    assert list(mix.losses()) == mix.names
    np.testing.assert_allclose(list(mix.losses().values()), np.mean(losses, axis=0), atol=1e-10)


# --- the experts


def test_the_prediction_is_the_mean_of_the_experts_weighted_by_their_shares():
    errors, labels = experts_with_accidents()
    mix = run(make_mixture(), errors, labels)
    prediction, said = answered(mix, inputs(np.random.default_rng(3)))
    assert abs(prediction - shares(mix) @ said) < 1e-10


def test_persistence_mean_and_reads_say_what_they_are_given():
    step = inputs(np.random.default_rng(3))
    _, said = answered(make_mixture(), step)
    assert said[0] == step["last"]
    assert said[1] == step["mean"]
    assert said[-6:].tolist() == [step[f"retrieved {i}"] for i in range(6)]


def test_every_linear_expert_learns_from_its_own_features():
    rng = np.random.default_rng(0)
    mix = make_mixture(delta=100.0)
    for _ in range(300):
        step = inputs(rng)
        mix.predict(step)
        mix.update(step, float(step["full"][0] + step["long"][0]), 1.0)
    step = inputs(rng)
    said = dict(zip(mix.names, answered(mix, step)[1], strict=True))
    # each knows the half of the target that it sees; the other half is noise to it
    assert abs(said["full 0.998"] - step["full"][0]) < 0.5
    assert abs(said["long 0.998"] - step["long"][0]) < 0.5
    assert abs(said["skip 0.998"]) < 0.5


DEFAULT = ["persistence", "mean", "skip 0.998", "skip 0.99", "full 0.998", "long 0.998", *RETRIEVAL]
EXPERTS = {
    "default": ({}, DEFAULT),
    "no retrieval": ({"window": 0}, DEFAULT[:6]),
    "no long lags": ({"long_lags": 0}, [name for name in DEFAULT if "long" not in name]),
    "no heads, no bank": ({"mode": None, "memory": 0}, DEFAULT),
    "no memory": (
        {"mode": None, "memory": 0, "window": 0},
        ["persistence", "mean", "skip 0.998", "skip 0.99", "long 0.998"],
    ),
    "nothing but lags": (
        {"mode": None, "memory": 0, "window": 0, "long_lags": 0},
        ["persistence", "mean", "skip 0.998", "skip 0.99"],
    ),
    "several factors": (
        {"forgetting_factor": (0.998, 0.95), "window": 0},
        [
            "persistence",
            "mean",
            *["skip 0.998", "skip 0.99", "full 0.998", "long 0.998"],
            *["skip 0.95", "skip 0.75", "full 0.95", "long 0.95"],
        ],
    ),
    "no forgetting": (
        {"forgetting_factor": 1.0, "window": 0},
        ["persistence", "mean", "skip 1", "full 1", "long 1"],
    ),
    "much forgetting": (
        {"forgetting_factor": 0.6, "window": 0},
        ["persistence", "mean", "skip 0.6", "skip 0.5", "full 0.6", "long 0.6"],
    ),
    "single": ({"readout": "rls"}, ["rls"]),
}


@pytest.mark.parametrize("name", EXPERTS)
def test_shares_name_the_experts(name, stream, train):
    params, names = EXPERTS[name]
    model = train(StreamingAttentionRegressor(**params), stream(30))
    assert list(model.expert_weights_) == names


@pytest.mark.parametrize("name", EXPERTS)
def test_losses_name_the_experts(name, stream, train):
    params, names = EXPERTS[name]
    model = train(StreamingAttentionRegressor(**params), stream(30))
    assert list(model.expert_losses_) == names


@pytest.mark.parametrize(
    "factors", [(0.998, 0.99), (0.99, 0.998), (0.99999999, 1.0), (0.998, 0.99, 0.95)]
)
def test_every_factor_has_an_expert_on_all_features(factors):
    mix = make_mixture(factors=factors)
    found = [row.learner.rls.forgetting_factor for row in mix.experts if row.part == "full"]
    assert found == list(factors)


@pytest.mark.parametrize("factors", [(0.998, 0.99), (0.99, 0.998), (0.998, 0.99, 0.95)])
def test_no_two_experts_are_the_same(factors):
    mix = make_mixture(factors=factors)
    assert len(set(mix.names)) == len(mix.experts)
    kinds = [(row.part, row.learner.rls.forgetting_factor) for row in mix.learning]
    assert len({(part, round(factor, 12)) for part, factor in kinds}) == len(kinds)


def test_several_factors_need_the_mixture():
    with pytest.raises(ValueError, match=r"forgetting_factor=\(0.99, 0.9\).*mixture"):
        StreamingAttentionRegressor(readout="rls", forgetting_factor=(0.99, 0.9))


def test_a_single_rls_takes_a_tuple_of_one(stream, train):
    rows = stream(40)
    one, tuple_of_one = (
        train(StreamingAttentionRegressor(readout="rls", forgetting_factor=factor), rows)
        for factor in (0.99, (0.99,))
    )
    assert one.predict_one(rows[0][0]) == tuple_of_one.predict_one(rows[0][0])


@pytest.mark.parametrize("factors", [(), (0.99, 0.99), (0.99, 1.5), (0.99, None), "0.99"])
def test_bad_factors_are_refused_by_name(factors):
    with pytest.raises(ValueError, match="forgetting_factor"):
        StreamingAttentionRegressor(forgetting_factor=factors)


def test_several_factors_survive_a_configuration_file():
    model = StreamingAttentionRegressor(forgetting_factor=(0.99, 0.95))
    config = json.loads(json.dumps(model.get_config()))
    again = StreamingAttentionRegressor.from_config(config)
    assert list(again.expert_weights_) == list(model.expert_weights_)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("n_rows", [3, 60])
def test_persistence_predicts_the_last_target(prior, n_rows, stream, train):
    rows = stream(n_rows)
    model = train(StreamingAttentionRegressor(prior=prior), rows)
    assert abs(said(model, "persistence") - rows[-1][1]) < 1e-10 * abs(rows[-1][1])


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("n_rows", [3, 60])
def test_mean_predicts_the_running_mean(prior, n_rows, stream, train):
    rows = stream(n_rows)
    model = train(StreamingAttentionRegressor(prior=prior), rows)
    mean = np.mean([y for _, y in rows])
    assert abs(said(model, "mean") - mean) < 1e-10 * abs(mean)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("expert", ["persistence", "mean"])
def test_after_reset_state_the_running_mean_is_what_is_left(prior, expert, stream, train):
    rows = stream(60)
    model = train(StreamingAttentionRegressor(prior=prior), rows)
    model.reset_state()
    mean = np.mean([y for _, y in rows])
    assert abs(said(model, expert) - mean) < 1e-10 * abs(mean)


def said(model, expert):
    """What an expert predicts, in units of the target."""
    task = model.task_
    step = task.propose(task.features.encoder.encode({"a": 10.0, "b": 0.0}))
    k = task.readout.names.index(expert)
    return task.target.anchor + task.target.scale * step.evidence["answers"][k]


@pytest.mark.parametrize("prior", PRIORS)
def test_the_model_predicts_the_weighted_mean_of_its_experts(prior, stream, train):
    model = train(StreamingAttentionRegressor(prior=prior), stream(60))
    x = {"a": 10.0, "b": 0.0}
    mean = sum(share * said(model, name) for name, share in model.expert_weights_.items())
    assert abs(model.predict_one(x) - mean) < 1e-10 * abs(mean)


def test_shares_stay_as_they_are_while_the_target_is_constant(train):
    model = train(StreamingAttentionRegressor(), [({"a": float(t % 7)}, 5.0) for t in range(50)])
    assert list(model.expert_weights_.values()) == pytest.approx(START, rel=1e-15)


def test_on_a_random_walk_persistence_is_trusted_more_than_the_mean(train):
    steps = np.random.default_rng(0).normal(size=400)
    rows = [({}, y) for y in np.cumsum(steps).tolist()]
    shares = train(StreamingAttentionRegressor(), rows).expert_weights_
    assert shares["persistence"] > 10 * shares["mean"]


def test_on_noise_the_mean_is_trusted_more_than_persistence(train):
    rows = [({}, y) for y in np.random.default_rng(0).normal(size=400).tolist()]
    shares = train(StreamingAttentionRegressor(), rows).expert_weights_
    assert shares["mean"] > 10 * shares["persistence"]


# --- reopening, growing, priors


def linear(readout):
    return list(readout.least_squares.values())


def trained_on_noise(readout):
    rng = np.random.default_rng(0)
    for _ in range(100):
        step = inputs(rng, n_answers=readout.n_answers)
        step["prediction"] = readout.predict(step)
        readout.update(step, float(rng.normal()), 1.0)
    return readout


def single(delta=None):
    readout = SingleReadout(3, 0.998, delta, huber=True)
    readout.extend(GROWN)
    return readout


READOUTS = {"mixture": make_mixture, "rls": single}


@pytest.mark.parametrize("name", READOUTS)
def test_reopening_sets_the_covariance_back_to_the_prior(name):
    fresh, readout = READOUTS[name](), trained_on_noise(READOUTS[name]())
    readout.reopen()
    for rls, prior in zip(linear(readout), linear(fresh), strict=True):
        assert np.array_equal(rls.covariance, prior.covariance)


@pytest.mark.parametrize("name", READOUTS)
def test_reopening_keeps_what_the_experts_learned(name):
    readout = trained_on_noise(READOUTS[name]())
    before = [rls.weights for rls in linear(readout)]
    readout.reopen()
    assert all(weights.any() for weights in before)
    for rls, weights in zip(linear(readout), before, strict=True):
        assert np.array_equal(rls.weights, weights)


def test_reopening_trusts_all_experts_alike():
    mix = trained_on_noise(make_mixture())
    assert np.ptp(shares(mix)) > 0.01
    mix.reopen()
    np.testing.assert_allclose(shares(mix), np.full(12, 1 / 12), atol=1e-15)


def diagonal(rls):
    return np.diag(rls.covariance).tolist()


def test_the_prior_of_every_expert_is_a_tenth():
    assert {v for rls in linear(make_mixture()) for v in diagonal(rls)} == {0.1}


def test_the_prior_of_a_single_rls_is_smaller_for_memory_than_for_the_rest():
    assert diagonal(single().rls) == [0.01] * 3 + [0.03] * 4


@pytest.mark.parametrize("name", READOUTS)
def test_delta_is_the_prior_of_all_weights(name):
    variances = [v for rls in linear(READOUTS[name](delta=2.0)) for v in diagonal(rls)]
    assert set(variances) == {2.0}


def test_lags_and_inputs_join_the_single_rls():
    readout = single()
    readout.extend(["input"] * 4)
    assert readout.rls.n_features == 11


def test_inputs_join_every_expert_and_short_lags_those_that_have_no_long_ones():
    mix = make_mixture()
    before = [rls.n_features for rls in linear(mix)]
    mix.extend(["lag"] * 5 + ["input"] * 2)
    gained = [rls.n_features - n for rls, n in zip(linear(mix), before, strict=True)]
    assert gained == [2 if row.part == "long" else 7 for row in mix.learning]


def test_a_feature_that_joins_starts_with_weight_zero():
    mix = trained_on_noise(make_mixture())
    mix.extend(["input"])
    assert all(rls.weights[-1] == 0.0 for rls in linear(mix))


# --- growth


def test_the_mixture_is_not_deaf_after_long_exponential_growth():
    model, last, errors, steps = StreamingAttentionRegressor(), None, 0.0, 0.0
    for t in range(2000):
        y = math.exp(t / 50)
        if last is not None:
            errors += abs(y - model.predict_one({}))
            steps += abs(y - last)
        model.learn_one({}, y)
        last = y
    # measured .72; 4.9 when every loss is clipped
    assert errors <= 1.02 * steps


def test_for_three_rows_experts_may_all_be_far_off_and_trust_stays():
    mix = run(make_mixture(), *experts_with_accidents(100))
    far = 1e6 * (1.0 + np.arange(12.0))
    before = shares(run(mix, np.tile(far, (1, 1)), np.zeros(1)))
    after = shares(run(mix, np.tile(far, (2, 1)), np.zeros(2)))
    # equal losses: the shares move towards uniform by the fixed share alone
    np.testing.assert_allclose(after, 1 / 12 + 0.995**2 * (before - 1 / 12), atol=1e-12)
    later = shares(run(mix, np.tile(far, (5, 1)), np.zeros(5)))
    assert (later / (1 / 12 + 0.995**5 * (after - 1 / 12))).argmax() == 0
