"""Time: what advances it, what does not, and that training sees what predicting saw."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
from river import base, compose, feature_extraction, preprocessing, stats

from river_attention import AttentionTransformer, RLSRegressor, StreamingAttentionRegressor
from river_attention.modes import Mode, Projection
from river_attention.readout import RecursiveLeastSquares

POINTS = (0, 1, 2, 3, 25, 35, 59)
UNKNOWN = {"a": 1.0, "never seen": 2.0, "nor this": float("nan")}


def frame(rows, label=lambda y: y):
    """Rows as a data frame with a telling index, and their labels."""
    index = [f"row {i}" for i in range(len(rows))]
    X = pd.DataFrame([x for x, _ in rows], index=index)
    return X, pd.Series([label(y) for _, y in rows], index=index, name="target")


def records(X):
    """The rows of a frame as dicts: a feature that is missing is a NaN in them."""
    return [dict(zip(X.columns, row, strict=True)) for row in X.itertuples(index=False)]


def questions(model, x):
    """Every pure method that the model has, asked about x."""
    X = pd.DataFrame([x, {"b": 0.5}])
    asked = dict.fromkeys(["predict_one", "predict_proba_one", "transform_one", "debug_one"], (x,))
    asked |= dict.fromkeys(["predict_many", "predict_proba_many", "transform_many"], (X,))
    asked |= dict.fromkeys(["forecast", "expert_forecasts"], (3, [x, {}, None]))
    return {
        name: lambda name=name, about=about: getattr(model, name)(*about)
        for name, about in asked.items()
        if hasattr(model, name)
    }


def as_bytes(answer):
    # strings of a column may be other objects each time it is looked at
    values = answer.to_numpy().tolist() if hasattr(answer, "to_numpy") else answer
    return repr(values).encode()


def one_by_one(predictions):
    """The predictions of a block as a model gives them for single rows."""
    if isinstance(predictions, pd.DataFrame):  # of several targets, those that were known
        return [row.dropna().to_dict() for _, row in predictions.iterrows()]
    # before any label a classifier answers None, for which a series has a word of its own
    return predictions.astype(object).where(predictions.notna(), None).tolist()


class Counting(Mode):
    """A mode whose state counts the steps."""

    def projections(self, d_key, d_value):
        return (Projection("v", (1, d_value)),)

    def token(self, *blocks):
        return blocks

    def state_shape(self, n_heads, d_key, d_value):
        return (n_heads, d_key, d_value)

    def step(self, state, *token):
        return state + 1.0, token[0]


# --- 1. one step per learn_one, and by nothing else


@pytest.mark.parametrize("cls", [StreamingAttentionRegressor, AttentionTransformer])
def test_learn_one_advances_time_by_exactly_one_step_and_answers_by_none(cls, stream):
    model = cls(mode=Counting())
    for n, (x, y) in enumerate(stream()):
        for ask in questions(model, x).values():
            ask()
        assert (model.state_ == n).all()
        model.learn_one(x, y)
        assert (model.state_ == n + 1).all()


@pytest.mark.parametrize("cls", [StreamingAttentionRegressor, AttentionTransformer])
def test_learn_many_advances_time_by_one_step_per_row(cls, stream):
    model = cls(mode=Counting())
    model.learn_many(*frame(stream()))
    assert (model.state_ == 60).all()


def test_predict_learn_many_advances_time_by_one_step_per_row(stream):
    model = StreamingAttentionRegressor(mode=Counting())
    model.predict_learn_many(*frame(stream()))
    assert (model.state_ == 60).all()


def test_advance_one_advances_time_by_exactly_one_step(stream):
    model = StreamingAttentionRegressor(mode=Counting())
    for n, (x, _) in enumerate(stream(5)):
        model.advance_one(x)
        assert (model.state_ == n + 1).all()


# --- 2. answers are pure


def test_two_answers_are_the_same_and_leave_the_pickle_as_it_was(make, stream, learn, case):
    model = make()
    for n_learned, (x, y) in enumerate(stream()):
        if n_learned in POINTS:
            before = pickle.dumps(model)
            for about in (x, UNKNOWN, {}):
                asked = questions(model, about)
                assert len(asked) >= 2
                for name, ask in asked.items():
                    with case(n_learned, about, name):
                        first = as_bytes(ask())
                        assert pickle.dumps(model) == before
                        assert as_bytes(ask()) == first
        learn(model, x, y)


def test_answers_in_between_do_not_change_what_is_learned(make, stream, train, fingerprint, learn):
    rows = stream(40)
    model = make()
    for t, (x, y) in enumerate(rows):
        # everything is asked about one dict per row, in turn
        for ask in questions(model, (UNKNOWN, x, {})[t % 3]).values():
            ask()
        learn(model, x, y)
    assert fingerprint(model) == fingerprint(train(make(), rows))


# --- 3. the features trained on are those predicted with: the regressors


@pytest.fixture
def seen(monkeypatch, numpy_only):
    """What each readout was asked about ("predict") and trained on ("update"), in order."""
    calls = {}
    predict, update = RecursiveLeastSquares.predict, RecursiveLeastSquares.update

    def of(rls):
        # an attribute, so that a readout that was saved and loaded is still the same one
        if not hasattr(rls, "tag"):
            rls.tag = len(calls)
        return calls.setdefault(rls.tag, [])

    def spy_predict(self, phi):
        of(self).append(("predict", phi.copy()))
        return predict(self, phi)

    def spy_update(self, phi, y, w=1.0):
        own = of(self)
        n_calls = len(own)
        result = update(self, phi, y, w)
        del own[n_calls:]  # the prediction inside the update
        own.append(("update", phi.copy()))
        return result

    monkeypatch.setattr(RecursiveLeastSquares, "predict", spy_predict)
    monkeypatch.setattr(RecursiveLeastSquares, "update", spy_update)
    return calls


def assert_trained_on_what_was_predicted_with(seen, n_pairs):
    assert seen
    for calls in seen.values():
        pairs = 0
        for (before, predicted), (kind, trained) in itertools.pairwise(calls):
            if kind == "update":
                assert before == "predict"
                assert trained[: len(predicted)].tobytes() == predicted.tobytes()
                pairs += 1
        assert pairs >= n_pairs


def test_the_readout_learns_the_features_that_it_predicted_with(make_regressor, stream, seen):
    model = make_regressor()
    for x, y in stream():
        model.predict_one(x)
        model.learn_one(x, y)
    assert_trained_on_what_was_predicted_with(seen, n_pairs=57)


def test_the_readout_learns_those_features_without_the_memo_too(make_regressor, stream, seen):
    model = make_regressor()
    for x, y in stream():
        model.predict_one(x)
        model = pickle.loads(pickle.dumps(model))
        model.learn_one(x, y)
    assert_trained_on_what_was_predicted_with(seen, n_pairs=57)


def test_an_attention_regressor_learns_no_feature_before_it_predicted_with_it(
    make_attention, stream, seen
):
    model = make_attention()
    for x, y in stream():
        model.predict_one(x)
        model.learn_one(x, y)
    for calls in seen.values():
        lengths = [len(phi) for _, phi in calls]
        for i, (kind, _) in enumerate(calls):
            if kind == "update":
                assert lengths[i] == lengths[i - 1]


def test_a_feature_new_to_the_linear_model_has_weight_zero_when_it_is_first_learned():
    model = RLSRegressor()
    model.learn_one({"a": 1.0}, 2.0)
    assert model.predict_one({"a": 1.0, "b": 1e6}) == model.predict_one({"a": 1.0})


# --- 3. the features trained on are those predicted with: the transformer in pipelines


class Recorder(base.Regressor):
    """A final regressor that keeps what it was given."""

    def __init__(self):
        self.predicted = []
        self.learned = []

    def predict_one(self, x):
        self.predicted.append(dict(x))
        return 0.0

    def learn_one(self, x, y):
        self.learned.append(dict(x))


def double(x):
    return {name: 2.0 * value for name, value in x.items()}


def grouped(x):
    return x | {"group": "left" if x["a"] < 10.0 else "right"}


def target_mean():
    return feature_extraction.TargetAgg(by="group", how=stats.Mean())


PIPELINES = {
    "alone": lambda: AttentionTransformer() | Recorder(),
    "behind a function": lambda: double | AttentionTransformer() | Recorder(),
    "behind Discard": lambda: compose.Discard("b") | AttentionTransformer() | Recorder(),
    "behind another one": lambda: (
        AttentionTransformer(n_heads=2, seed=1) | AttentionTransformer() | Recorder()
    ),
    "behind TargetAgg": lambda: (
        compose.FuncTransformer(grouped) | target_mean() | AttentionTransformer() | Recorder()
    ),
    "behind TargetAgg and others": lambda: (
        compose.FuncTransformer(grouped)
        | (compose.Discard("group") + target_mean())
        | AttentionTransformer()
        | Recorder()
    ),
    "in a union": lambda: (AttentionTransformer() + compose.Discard("c")) | Recorder(),
    "two in a union": lambda: (
        (AttentionTransformer(prefix="slow_") + AttentionTransformer(prefix="fast_", seed=2))
        | Recorder()
    ),
    "a pipeline in a union": lambda: (
        (double | AttentionTransformer()) + compose.Select("a") | Recorder()
    ),
}


def recorded(pipeline, rows):
    for x, y in rows:
        pipeline.predict_one(x)
        pipeline.learn_one(x, y)
    recorder = pipeline["Recorder"]
    assert len(recorder.predicted) == len(recorder.learned) == len(rows)
    assert any(any(x.values()) for x in recorder.learned), "nothing but zeros"
    return recorder


@pytest.mark.parametrize("name", PIPELINES)
def test_a_model_behind_the_transformer_learns_what_it_predicted_with(name, stream):
    recorder = recorded(PIPELINES[name](), stream())
    assert recorder.learned == recorder.predicted


@pytest.mark.parametrize("name", PIPELINES)
def test_the_transformer_advances_once_per_row_in_a_pipeline(name, stream):
    pipeline = PIPELINES[name]()
    recorded(pipeline, stream())
    memories = [step for step in walk(pipeline) if type(step) is AttentionTransformer]
    assert memories
    for memory in memories:
        assert (memory.features_.moments.count[: memory.features_.n_reads] == 60).all()


def walk(step):
    yield step
    inner = getattr(step, "steps", None) or getattr(step, "transformers", None) or {}
    for sub in inner.values():
        yield from walk(sub)


def test_a_pipeline_that_predicts_learns_as_one_that_does_not(stream):
    asked, silent = PIPELINES["in a union"](), PIPELINES["in a union"]()
    recorded(asked, stream())
    for x, y in stream():
        silent.learn_one(x, y)
    assert silent["Recorder"].learned == asked["Recorder"].learned


def test_beside_a_scaler_the_reads_are_learned_as_predicted(stream):
    union = AttentionTransformer() + preprocessing.StandardScaler()
    recorder = recorded(union | Recorder(), stream())
    assert [
        {name: value for name, value in x.items() if name.startswith("attn_")}
        for x in recorder.learned
    ] == [
        {name: value for name, value in x.items() if name.startswith("attn_")}
        for x in recorder.predicted
    ]


def test_behind_a_scaler_it_holds_when_the_scaler_learns_during_predict(stream):
    pipeline = preprocessing.StandardScaler() | AttentionTransformer() | Recorder()
    with compose.learn_during_predict():
        recorder = recorded(pipeline, stream())
    assert recorder.learned == recorder.predicted


def test_behind_a_plain_scaler_it_does_not_hold_as_documented(stream):
    pipeline = preprocessing.StandardScaler() | AttentionTransformer() | Recorder()
    recorder = recorded(pipeline, stream())
    assert recorder.learned != recorder.predicted
    assert "StandardScaler" in AttentionTransformer.__doc__


def test_in_a_grouper_it_does_not_hold_as_documented(stream):
    groups = (compose.Discard("group") | AttentionTransformer()) * "group"
    pipeline = compose.FuncTransformer(grouped) | groups | Recorder()
    recorder = recorded(pipeline, stream())
    assert recorder.learned != recorder.predicted
    assert "Grouper" in AttentionTransformer.__doc__


def test_groups_of_a_grouper_remember_independently(stream):
    groups = (compose.Discard("key") | AttentionTransformer()) * "key"
    alone = {"x": AttentionTransformer(), "y": AttentionTransformer()}
    for i, (x, _) in enumerate(stream()):
        key = "x" if i % 3 else "y"
        groups.learn_one(x | {"key": key})  # labels do not reach the steps of a group
        alone[key].learn_one(x)
    for key, model in alone.items():
        x = stream()[-1][0]
        assert groups.transform_one(x | {"key": key}) == model.transform_one(x)
    assert not np.array_equal(alone["x"].state_, alone["y"].state_)


# --- 4. what kind of step a transformer is


def test_the_transformer_is_both_kinds_of_supervised_transformer():
    assert issubclass(AttentionTransformer, base.MiniBatchSupervisedTransformer)
    assert issubclass(AttentionTransformer, base.SupervisedTransformer)
    assert issubclass(AttentionTransformer, base.Transformer)


def test_without_past_targets_no_feature_of_the_transformer_depends_on_the_target(stream):
    params = {"n_lags": 0, "window": 0, "with_forecast": False}
    with_target, without = AttentionTransformer(**params), AttentionTransformer(**params)
    for x, y in stream():
        assert with_target.transform_one(x) == without.transform_one(x)
        with_target.learn_one(x, y)
        without.learn_one(x)


# --- 5. blocks of rows


@pytest.fixture(scope="session")
def frame_for(label):
    """Rows as a data frame, with labels that a model can learn."""
    return lambda model, rows: frame(rows, lambda y: label(model, y))


def test_learn_many_is_a_loop_of_learn_one(make_for_blocks, stream, train, fingerprint, frame_for):
    model = make_for_blocks()
    X, y = frame_for(model, stream())
    model.learn_many(X, y)
    loop = train(make_for_blocks(), zip(records(X), [y for _, y in stream()], strict=True))
    assert fingerprint(model) == fingerprint(loop)


def test_learn_many_may_be_split_anywhere(make_for_blocks, stream, fingerprint, frame_for):
    whole, split = make_for_blocks(), make_for_blocks()
    X, y = frame_for(whole, stream())
    whole.learn_many(X, y)
    for part in (slice(0, 1), slice(1, 33), slice(33, 33), slice(33, 60)):
        split.learn_many(X[part], y[part])
    assert fingerprint(split) == fingerprint(whole)


@pytest.mark.parametrize("w", [0.5, np.linspace(0.0, 3.0, 60), pd.Series(np.linspace(3, 0, 60))])
def test_learn_many_takes_one_weight_or_one_per_row(
    make_weighted, stream, fingerprint, frame_for, w
):
    block, loop = make_weighted(), make_weighted()
    X, y = frame_for(block, stream())
    block.learn_many(X, y, w=w)
    for x, target, weight in zip(records(X), y, np.broadcast_to(w, 60).tolist(), strict=True):
        loop.learn_one(x, target, w=weight)
    assert fingerprint(block) == fingerprint(loop)


def spoil_target(X, y):
    return X, y.where(y.index != "row 30")


def spoil_feature(X, y):
    return X.astype(object).assign(a=X["a"].astype(object).where(X.index != "row 30", "low")), y


def drop_target(X, y):
    return X, y[:-1]


@pytest.mark.parametrize("n_before", [0, 20])
def test_a_bad_row_leaves_the_model_as_before_the_block(
    make_for_blocks, stream, train, frame_for, n_before, case
):
    model = train(make_for_blocks(), stream(seed=1)[:n_before])
    spoils = [spoil_feature, spoil_target, drop_target]
    if isinstance(model, base.Transformer):
        spoils.remove(spoil_target)  # any label may be missing
    before = pickle.dumps(model)
    for method in ("learn_many", "predict_learn_many"):
        for spoil in spoils:
            if hasattr(model, method):
                with case(method, spoil):
                    with pytest.raises((TypeError, ValueError)):
                        getattr(model, method)(*spoil(*frame_for(model, stream())))
                    assert pickle.dumps(model) == before


def test_a_bad_weight_leaves_the_model_as_before_the_block(make_weighted, stream, frame_for, case):
    model = make_weighted()
    before = pickle.dumps(model)
    X, y = frame_for(model, stream())
    for bad in (-1.0, float("nan"), float("inf"), None):
        for w in (bad, *([1.0] * 30 + [bad] + [1.0] * (n - 31) for n in (59, 60))):
            with case(w):
                with pytest.raises(ValueError, match="w"):
                    model.learn_many(X, y, w=w)
                assert pickle.dumps(model) == before


def test_predict_many_is_predict_one_row_by_row(make_weighted, stream, learn, case):
    model = make_weighted()
    X, _ = frame(stream(seed=3))
    for n_learned, (x, y) in enumerate(stream()):
        if n_learned in POINTS:
            with case(n_learned):
                expected = [model.predict_one(x) for x in records(X)]
                assert one_by_one(model.predict_many(X)) == expected
        learn(model, x, y)


@pytest.mark.parametrize("params", list(AttentionTransformer._unit_test_params()), ids=str)
def test_transform_many_is_transform_one_row_by_row(stream, learn, params, case):
    model = AttentionTransformer(**params)
    X, _ = frame(stream(seed=3))
    for n_learned, (x, y) in enumerate(stream()):
        if n_learned in POINTS:
            with case(n_learned):
                expected = [model.transform_one(x) for x in records(X)]
                assert model.transform_many(X).to_dict("records") == expected
        learn(model, x, y)


def test_predict_learn_many_tests_then_trains_every_row(
    make_labelled, stream, fingerprint, frame_for
):
    block, loop = make_labelled(), make_labelled()
    X, y = frame_for(block, stream())
    predictions = []
    for x, target in zip(records(X), y, strict=True):
        predictions.append(loop.predict_one(x))
        loop.learn_one(x, target)
    assert one_by_one(block.predict_learn_many(X, y)) == predictions
    assert fingerprint(block) == fingerprint(loop)


def test_predict_learn_many_takes_weights(make_labelled, stream, fingerprint, frame_for):
    w = np.linspace(0.0, 2.0, 60)
    block, learned = make_labelled(), make_labelled()
    X, y = frame_for(block, stream())
    block.predict_learn_many(X, y, w=w)
    learned.learn_many(X, y, w=w)
    assert fingerprint(block) == fingerprint(learned)


def test_predictions_of_a_block_keep_its_index(make_weighted, stream, frame_for):
    model = make_weighted()
    X, y = frame_for(model, stream())
    model.learn_many(X, y)
    predictions = model.predict_many(X)
    assert isinstance(predictions, (pd.Series, pd.DataFrame))
    assert predictions.index.equals(X.index)


def test_test_then_train_predictions_keep_the_index(make_labelled, stream, frame_for):
    model = make_labelled()
    X, y = frame_for(model, stream())
    assert model.predict_learn_many(X, y).index.equals(X.index)


def test_a_transformed_block_keeps_its_index_and_names_its_columns(stream):
    X, _ = frame(stream())
    transformed = AttentionTransformer(n_heads=1, d_value=2, memory=0, prefix="m").transform_many(X)
    assert transformed.index.equals(X.index)
    assert transformed.columns.tolist() == ["mhead_1", "mhead_2"]


def test_an_empty_block_changes_nothing(make_for_blocks, stream, train):
    X, y = frame(stream())
    model = train(make_for_blocks(), stream()[:5])
    before = pickle.dumps(model)
    model.learn_many(X[:0], y[:0])
    assert pickle.dumps(model) == before
    answer = model.predict_many if hasattr(model, "predict_many") else model.transform_many
    assert len(answer(X[:0])) == 0


# --- 6. the memo


def test_predicting_before_learning_makes_no_difference(
    make, stream, train, answer, fingerprint, learn
):
    model = make()
    for x, y in stream():
        answer(model, x)
        learn(model, x, y)
    assert fingerprint(model) == fingerprint(train(make(), stream()))


def test_the_step_is_computed_once_for_predicting_and_learning(
    make_memory, stream, answer, monkeypatch, learn, numpy_only
):
    model = make_memory()
    calls = []
    kind = type(next(iter(model.features_.memories.values())))
    propose = kind.propose
    monkeypatch.setattr(kind, "propose", lambda *args: calls.append(1) or propose(*args))
    for x, y in stream():
        answer(model, x)
        answer(model, dict(x))
        learn(model, dict(x), y)
    assert len(calls) == 60


def test_a_dict_changed_in_place_is_learned_as_it_is_now(
    make, stream, answer, train, fingerprint, learn
):
    model = make()
    changed = []
    for x, y in stream():
        x = dict(x)
        answer(model, x)
        x["a"] += 1.0
        changed.append((dict(x), y))
        learn(model, x, y)
    assert fingerprint(model) == fingerprint(train(make(), changed))


def test_a_new_feature_put_into_the_dict_is_learned(
    make, stream, answer, train, fingerprint, learn
):
    model = train(make(), stream()[:10])
    x = {"a": 1.0, "b": 2.0}
    answer(model, x)
    x["new"] = 3.0
    learn(model, x, 50.0)
    expected = train(train(make(), stream()[:10]), [(dict(x), 50.0)])
    assert fingerprint(model) == fingerprint(expected)


def test_a_new_feature_taken_out_of_the_dict_is_not_learned(
    make, stream, answer, train, fingerprint, learn
):
    model = train(make(), stream()[:10])
    answer(model, {"a": 1.0, "b": 2.0, "new": 3.0})
    learn(model, {"a": 1.0, "b": 2.0}, 50.0)
    expected = train(train(make(), stream()[:10]), [({"a": 1.0, "b": 2.0}, 50.0)])
    assert fingerprint(model) == fingerprint(expected)


def test_the_last_prediction_may_be_about_another_x(
    make, stream, answer, train, fingerprint, learn
):
    model = make()
    rows = stream()
    for (x, y), (other, _) in zip(rows, reversed(rows), strict=True):
        answer(model, x)
        answer(model, other)
        learn(model, x, y)
    assert fingerprint(model) == fingerprint(train(make(), rows))


def test_a_zero_and_a_missing_value_are_not_confused(
    make, stream, answer, train, fingerprint, learn
):
    zero, missing = {"a": 0.0, "b": 1.0}, {"a": None, "b": 1.0}
    for asked, learned in ((zero, missing), (missing, zero)):
        model = train(make(), stream()[:10])
        answer(model, asked)
        learn(model, learned, 50.0)
        expected = train(train(make(), stream()[:10]), [(learned, 50.0)])
        assert fingerprint(model) == fingerprint(expected)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_the_memo_is_not_copied(
    make_memory, stream, answer, train, monkeypatch, copied, numpy_only
):
    model = train(make_memory(), stream()[:10])
    answer(model, stream()[10][0])
    calls = []
    kind = type(next(iter(model.features_.memories.values())))
    propose = kind.propose
    monkeypatch.setattr(kind, "propose", lambda *args: calls.append(1) or propose(*args))
    answer(model, stream()[10][0])
    assert len(calls) == 0
    answer(copied(model), stream()[10][0])
    assert len(calls) == 1


def test_a_copy_goes_its_own_way(make, stream, answer, train):
    model = train(make(), stream()[:10])
    x = stream()[10][0]
    answer(model, x)
    copied = copy.deepcopy(model)
    expected = answer(model, x)
    train(copied, stream(seed=5))
    assert answer(model, x) == expected
    assert answer(copied, x) != expected


# --- 8. time without a label


def test_advance_one_moves_the_memory_as_learning_does(make_labelled, stream, train, learn):
    learned = train(make_labelled(), stream()[:25])
    advanced = train(make_labelled(), stream()[:25])
    x, y = stream()[25]
    before = [advanced.state_, advanced.bank_state_]
    learn(learned, x, y)
    advanced.advance_one(x)
    after = [advanced.state_, advanced.bank_state_]
    for old, new, twin in zip(before, after, [learned.state_, learned.bank_state_], strict=True):
        assert np.array_equal(new, twin)
        assert new is None or not np.array_equal(new, old)


def test_advance_one_trains_nothing_and_keeps_lags_and_target(make_attention, stream, train):
    model = train(make_attention(), stream()[:25])

    def trained():
        store = model.features_.states.get("retrieved")
        stored = b"" if store is None else store.past["residual"].tobytes()
        return pickle.dumps((model.task_.readout, model.task_.target)) + stored

    before = trained()
    for x, _ in stream()[25:40]:
        model.predict_one(x)
        model.advance_one(x)
        assert trained() == before


def test_advance_one_lets_new_features_in(make_labelled, stream, train, answer, learn):
    model = train(make_labelled(), stream()[:10])
    model.advance_one({"a": 1.0, "b": 2.0, "new": 3.0})
    assert "new" in model.features_.encoder.names
    assert np.isfinite(answer(model, {"new": 4.0})).all()
    learn(model, {"a": 2.0, "new": 4.0}, 50.0)


def test_advance_one_works_before_any_label(make_labelled, stream, answer):
    model = make_labelled()
    for x, _ in stream()[:25]:
        model.advance_one(x)
    assert answer(model, stream()[25][0]) == answer(make_labelled(), {})


# --- 9. reset and weight 0


def test_reset_state_clears_the_state(make_memory, stream, train):
    model = train(make_memory(), stream())
    model.reset_state()
    assert np.array_equal(model.state_, make_memory().state_)


def test_reset_state_clears_the_lags_and_what_predictions_start_from(make_attention, stream, train):
    model = train(make_attention(), stream())
    model.reset_state()
    assert not model.task_.target.lags.any()
    assert model.task_.target.last is None


def test_reset_state_clears_the_memo(make_memory, stream, train, answer):
    rows = stream()
    model = train(make_memory(), rows)
    answer(model, rows[-1][0])
    model.reset_state()
    expected = pickle.loads(pickle.dumps(model))
    assert answer(model, rows[-1][0]) == answer(expected, rows[-1][0])


def test_reset_state_keeps_scalers_and_weights(make_attention, stream, train):
    model = train(make_attention(), stream())

    def kept():
        target = model.task_.target
        return pickle.dumps(
            (model.task_.readout, model.features_.moments, target.scale, target.low, target.high)
        )

    before = kept()
    model.reset_state()
    assert kept() == before


def test_a_model_predicts_and_learns_on_after_reset_state(
    make_memory, stream, train, answer, learn
):
    model = train(make_memory(), stream())
    model.reset_state()
    for x, y in stream(seed=1):
        assert np.isfinite(answer(model, x)).all()
        learn(model, x, y)
    states = model.features_.states
    assert all(state.any() for name, state in states.items() if name != "retrieved")
    assert "retrieved" not in states or states["retrieved"].past.n > 0


def test_no_label_is_learned_from_features_made_before_any_label_after_reset(
    make_attention, stream, train
):
    model = train(make_attention(), stream())
    model.reset_state()
    before = pickle.dumps(model.task_.readout)
    model.learn_one(*stream(seed=1)[0])
    assert pickle.dumps(model.task_.readout) == before
    model.learn_one(*stream(seed=1)[1])
    assert pickle.dumps(model.task_.readout) != before


def test_reset_state_of_an_untrained_model_changes_nothing(make_memory):
    model = make_memory()
    before = pickle.dumps(model)
    model.reset_state()
    assert pickle.dumps(model) == before


def test_weight_zero_advances_time_as_any_other_does(make_labelled, stream, learn):
    one, zero = make_labelled(), make_labelled()
    for x, y in stream():
        learn(one, x, y)
        learn(zero, x, y, w=0.0)
    assert np.array_equal(one.state_, zero.state_)
    assert np.array_equal(one.bank_state_, zero.bank_state_)


def test_a_label_of_weight_zero_joins_the_lags(make_attention, stream):
    one, zero = make_attention(), make_attention()
    for x, y in stream():
        one.learn_one(x, y)
        zero.learn_one(x, y, w=0.0)
    assert np.array_equal(one.task_.target.lags, zero.task_.target.lags)


def test_weight_zero_leaves_the_weights_as_they_were(make_regressor, stream, train, learned):
    model = train(make_regressor(), stream())  # 60 rows: the next leak is a few updates away
    before = learned(model, covariance=False)
    for _ in range(3):
        model.learn_one({"a": 9.0, "b": 1.0, "c": 0.1}, 1e4, w=0.0)
        assert learned(model, covariance=False) == before


def test_weight_zero_never_trains_where_nothing_is_forgotten(stream, train, learned):
    for model in (StreamingAttentionRegressor(forgetting_factor=1.0), RLSRegressor()):
        train(model, stream())
        before = learned(model)
        for x, y in stream(seed=1):
            model.learn_one(x, -y, w=0.0)
        assert learned(model) == before


def test_a_label_of_weight_zero_does_not_matter_to_the_readout(
    make_regressor, stream, train, learned
):
    # the leak goes on without labels; whatever it does, it does not look at them
    rows = stream()
    models = [train(make_regressor(), rows), train(make_regressor(), rows)]
    for x, y in stream(seed=1)[:20]:
        for model, label in zip(models, (y, 70.0 - y), strict=True):
            model.learn_one(x, label, w=0.0)
    assert learned(models[0], covariance=False) == learned(models[1], covariance=False)


def test_weight_zero_forgets(stream, train, recursions):
    for model in (StreamingAttentionRegressor(), RLSRegressor(forgetting_factor=0.998)):
        train(model, stream())
        before = {name: rls.covariance for name, rls in recursions(model).items()}
        model.learn_one(*stream()[0], w=0.0)
        for name, rls in recursions(model).items():
            expected = before[name] / rls.forgetting_factor
            np.testing.assert_allclose(rls.covariance, expected, rtol=1e-10)


def test_a_larger_weight_learns_more(make_regressor, stream, train, recursions):
    x, y = {"a": 12.0, "b": 0.5, "c": 0.1}, 60.0
    errors = []
    for w in (0.0, 1.0, 2.0, 10.0):
        model = train(make_regressor(), stream())
        name, rls = next(iter(recursions(model).items()))
        if hasattr(model, "task_"):
            task = model.task_
            evidence = task.propose(task.features.encoder.encode(x)).evidence
            label, phi = task.target.residual(y), evidence["full" if name == "rls" else "skip"]
        else:
            label, phi = y, np.array([1.0, *x.values()])
        rls.update(phi, label, w)
        errors.append(abs(label - rls.predict(phi)))
    assert errors[0] > errors[1] > errors[2] > errors[3]


def test_the_weight_reaches_the_readout(make_regressor, stream, train, learned):
    def weights_after(w):
        model = make_regressor()
        for x, y in stream():
            model.learn_one(x, y, w)
        return learned(model)

    assert weights_after(1.0) != weights_after(2.0)
    assert weights_after(1.0) == learned(train(make_regressor(), stream()))


# --- saving, cloning, seeding


def test_a_pickled_model_continues_where_it_was(make, stream, answer, fingerprint, learn, case):
    rows = stream()
    model = make()
    # every copy goes on until the next one is made
    for start, stop in itertools.pairwise([*POINTS, len(rows)]):
        with case(start):
            answer(model, rows[start][0])
            loaded = pickle.loads(pickle.dumps(model))
            for x, y in rows[start:stop]:
                assert answer(loaded, x) == answer(model, x)
                learn(model, x, y)
                learn(loaded, x, y)
            assert fingerprint(loaded) == fingerprint(model)


def test_a_clone_is_untrained(make, stream, train, fingerprint):
    assert fingerprint(train(make(), stream()).clone()) == fingerprint(make())


def test_the_same_seed_gives_the_same_answers(make_memory, stream, train, fingerprint):
    models = [train(make_memory(seed=7), stream()) for _ in range(2)]
    assert fingerprint(models[0]) == fingerprint(models[1])


def test_another_seed_gives_other_answers(make_memory, stream, train, answer):
    models = [train(make_memory(seed=seed), stream()) for seed in (7, 8)]
    x = stream()[0][0]
    assert answer(models[0], x) != answer(models[1], x)


def test_without_a_seed_every_model_is_another_one(make_memory, stream, train, answer):
    models = [train(make_memory(seed=None), stream()) for _ in range(2)]
    x = stream()[0][0]
    assert answer(models[0], x) != answer(models[1], x)


def test_a_model_without_a_seed_continues_from_its_pickle(make_memory, stream, train, answer):
    model = train(make_memory(seed=None), stream()[:10])  # "c" gets its column afterwards
    loaded = pickle.loads(pickle.dumps(model))
    x = stream()[-1][0]
    assert answer(train(loaded, stream()), x) == answer(train(model, stream()), x)
