"""Estimators show the path of a sample, alone and where river draws them."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from river import compose, linear_model, preprocessing
from river.base import viz

import river_attention as ra
from river_attention import keyed, path


class Page(HTMLParser):
    """The tags of a page and what it says; the texts inside path elements for themselves."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.text.append(data)

    @property
    def n_paths(self):
        return self.attributes.count(("class", "river-attention-path"))


def test_every_estimator_draws_its_path_before_and_after_samples(make, stream, train, fingerprint):
    model = make()
    has_path = bool(path.path_of(model))
    assert has_path or isinstance(model, ra.SpikeEncoder)
    for rows in ([], stream(25)):
        train(model, rows)
        before = fingerprint(model)
        page = Page(model._repr_html_())
        assert page.n_paths == has_path
        assert fingerprint(model) == before
        if has_path:
            titles = [station.title for station in path.path_of(model)]
            assert titles[0] == "encoder"
            assert {"readout", "mixture over the steps ahead"} & set(titles)
            assert set(titles) <= set(page.text)


def test_sizes_are_those_of_the_model(train, stream):
    model = train(ra.StreamingAttentionRegressor(n_heads=2, memory=3, window=40), stream(60))
    stations = dict(path.path_of(model))
    assert stations["encoder"] == ["3 features: a, b, c", "and 6 past labels"]
    assert stations["moments"] == ["3 inputs and 26 reads, standardised online"]
    assert stations["memory: heads"][0] == "2 heads, each 4 × 4 -> 8 reads"
    assert stations["memory: retrieval"] == ["40 of 40 labelled steps -> 6 reads"]
    assert stations["readout"][0] == "12 experts on up to 54 inputs"
    layout = model.features_.layout(0)
    assert layout["long"].stop - layout["long"].start == 54
    full = next(line for line in stations["readout"] if line.startswith("full"))
    assert full.startswith(f"full 0.998: {layout['full'].stop} inputs, share ")


def test_pipelines_unions_and_wrappers_of_river_show_the_path_of_their_steps():
    transformer = ra.AttentionTransformer()
    pipeline = transformer | linear_model.LinearRegression()
    union = (
        preprocessing.StandardScaler() + ra.AttentionTransformer(keep_inputs=False)
    ) | linear_model.LinearRegression()
    scaled = preprocessing.TargetStandardScaler(ra.StreamingAttentionRegressor())
    per_key = keyed.KeyedModel(ra.StreamingAttentionRegressor(), key="shop")
    for model in (pipeline, union, scaled, per_key):
        assert Page(model._repr_html_()).n_paths == 1
    both = compose.Pipeline(ra.AttentionTransformer(), ra.StreamingAttentionRegressor())
    assert Page(both._repr_html_()).n_paths == 2


def test_what_is_not_of_this_package_is_drawn_as_ever():
    model = preprocessing.StandardScaler() | linear_model.LinearRegression()
    drawn = model._repr_html_()
    original = viz.estimator_to_html.__wrapped__
    assert (
        "".join(
            viz.ET.tostring(original(step), encoding="unicode") for step in model.steps.values()
        )
        in drawn
    )


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a" onload="x', "\ud800\x00&"])
def test_names_cannot_be_anything_but_text(name):
    model = ra.StreamingAttentionRegressor(categorical=("k",))
    model.learn_one({name: 1.0, "k": "<b>"}, 2.0)
    drawn = model._repr_html_()
    page = Page(drawn)
    assert "script" not in page.tags
    assert not [key for key, _ in page.attributes if key.startswith("on")]
    drawn.encode("utf-8")


def test_there_is_no_script_and_nothing_to_fetch(train, stream):
    page = Page(train(ra.StreamingAttentionRegressor(), stream(25))._repr_html_())
    assert "script" not in page.tags
    assert not {"src", "href"} & {key for key, _ in page.attributes}
    assert not [value for _, value in page.attributes if "http" in value or "url(" in value]


def test_a_memory_of_ones_own_is_named_by_its_class():
    class Own:
        pass

    assert path.describe(Own(), None)[0] == "Own"


def test_long_lists_are_cut():
    model = ra.RLSRegressor()
    model.learn_one({f"feature {i} with quite a long name": 1.0 for i in range(9)}, 1.0)
    encoder = path.path_of(model)[0].lines
    assert encoder[0].startswith("9 features: feature 0 with quite a …, ")
    assert encoder[0].endswith(" and 3 more")


def test_drawing_is_prepared_once():
    before = viz.estimator_to_html
    path.show_in_river()
    assert viz.estimator_to_html is before
