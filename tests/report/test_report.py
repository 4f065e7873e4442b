"""The report is one page that fetches nothing, and says what happened on the stream."""

from __future__ import annotations

import base64
import math
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from river import linear_model, preprocessing

import river_attention as ra
from river_attention import report
from river_attention._baselines import Persistence
from river_attention.keyed import KeyedModel
from river_attention.report import page as page_module
from river_attention.report import pictures, series

pytest.importorskip("matplotlib")

ROWS = [({"a": math.sin(t / 4)}, math.sin(t / 4 + 1.0) + 0.1 * (t % 3)) for t in range(240)]
SECTIONS = [
    "Predictions against truth",
    "Rolling error",
    "Experts over time",
    "What retrieval looked back to",
    "What the memory holds",
    "Interval coverage",
    "Residuals",
    "The path of a sample",
]


class Page(HTMLParser):
    """What stands on a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []
        self.headings, self.images = [], {}
        self._in = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self._in = tag
        if tag == "img":
            self.images[dict(attrs)["alt"]] = dict(attrs)["src"]

    def handle_data(self, data):
        self.text.append(data)
        if self._in == "h2" and data.strip():
            self.headings.append(data)


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures are made but not drawn, which takes most of the time."""
    monkeypatch.setattr(page_module, "_image", lambda name, _: f'<img alt="{name}" src="data:,">')


def _watch(rows=ROWS, models=None, **options):
    models = models or {"ours": ra.StreamingAttentionRegressor(), "persistence": Persistence()}
    watch = report.NumberWatch(models, **options)
    for x, y in rows:
        watch.step(x, y)
    return watch


@pytest.fixture(scope="module")
def watched():
    return _watch()


@pytest.fixture(scope="module")
def page(watched):
    return report.report_html(watched, "rows <of> a & b.csv")


def test_all_sections_are_there_with_a_picture_each(page):
    found = Page(page)
    assert found.headings == SECTIONS
    assert list(found.images) == SECTIONS[:-1]
    for source in found.images.values():
        kind, data = source.split(",", 1)
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")


def test_nothing_is_fetched_and_nothing_runs(page):
    found = Page(page)
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    places = [value for name, value in found.attributes if name in ("src", "href")]
    assert all(value.startswith("data:image/png;base64,") for value in places)
    without_pictures = re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", without_pictures)


def test_names_are_text(page):
    assert "rows <of> a & b.csv" in "".join(Page(page).text)
    assert "<of>" not in page


def test_headline_numbers_are_those_of_the_stream(watched, page):
    text = "".join(Page(page).text)
    model, errors, inside = ra.StreamingAttentionRegressor(), [], []
    for x, y in ROWS:
        low, high = model.predict_interval_one(x)
        errors.append(abs(y - model.predict_one(x)))
        inside.append(low <= y <= high)
        model.learn_one(x, y)
    mae = float(np.mean(errors[1:]))
    assert watched.scores["ours"].mean == pytest.approx(mae)
    assert f"mean absolute error{mae:.4g}" in text
    assert f"{100 * float(np.mean(inside[1:])):.1f} %" in text
    truth = np.array([y for _, y in ROWS[1:]])
    r_squared = 1.0 - np.sum(np.square(errors[1:])) / np.sum((truth - truth.mean()) ** 2)
    assert watched.r_squared == pytest.approx(r_squared)


def test_pictures_show_what_was_watched(watched):
    left, right = pictures.predictions(watched).axes
    assert left.lines[0].get_ydata().tolist() == [y for _, y in ROWS[1:]]
    assert len(right.lines[0].get_xdata()) == len(ROWS) - 1
    (errors,) = pictures.rolling(watched).axes
    assert [line.get_label() for line in errors.lines] == ["ours", "persistence"]
    above, below = pictures.memory(watched).axes
    assert len(above.patches) == 4 + 16
    assert [line.get_label().split(",")[0] for line in below.lines] == [
        f"head {h}" for h in (1, 2, 3, 4)
    ]
    assert below.lines[0].get_xdata().tolist() == list(range(0, 240, 16))


def test_the_model_is_what_it_would_be_unwatched(watched, fingerprint):
    model = ra.StreamingAttentionRegressor()
    for x, y in ROWS:
        model.learn_one(x, y)
    assert fingerprint(watched.models["ours"]) == fingerprint(model)


def test_what_is_kept_does_not_grow_with_the_stream():
    rows = [ROWS[t % len(ROWS)] for t in range(20_000)]
    models = {"ours": ra.RLSRegressor(), "persistence": Persistence()}
    watch = _watch(rows, models)
    assert len(watch.last) == 300
    assert len(watch.residuals) == 1000
    assert len(watch.sampled.values) == 2000
    assert len(watch.rolling["ours"].means()) <= series.N_POINTS
    assert len(watch.looks.items) <= series.N_POINTS
    assert set(np.diff(watch.looks.rows)) == {watch.looks.step}
    thinned = series.Thinned()
    for row in range(20_000):
        if thinned.wants(row):
            thinned.add(row, row)
    assert len(thinned.items) <= series.N_POINTS
    assert set(np.diff(thinned.rows)) == {thinned.step}


def test_other_models_have_the_sections_that_fit_them(undrawn):
    pipeline = preprocessing.StandardScaler() | linear_model.LinearRegression()
    page = report.report_html(_watch(ROWS[:60], {"pipeline": pipeline}))
    found = Page(page)
    assert found.headings == SECTIONS[:-1]
    assert list(found.images) == [SECTIONS[0], SECTIONS[1], "Residuals"]
    assert "This model gives no intervals." in "".join(found.text)


def test_one_model_per_key_is_told_of_by_the_first_row(undrawn):
    rows = [({"shop": "ns"[t % 2], **x}, y) for t, (x, y) in enumerate(ROWS)]
    models = {"ours": KeyedModel(ra.StreamingAttentionRegressor(), "shop")}
    watch = _watch(rows, models, key="shop")
    # the first row of each shop does not count
    assert watch.scores["ours"].n == len(ROWS) - 2
    page = report.report_html(watch)
    assert "These are of the model of &#x27;n&#x27;." in page
    assert len(Page(page).images) == 7


def test_classes_have_their_own_page(undrawn):
    watch = report.ClassWatch({"ours": ra.StreamingAttentionClassifier()})
    for t in range(200):
        watch.step({"a": float(t % 5)}, "<b>" if t % 3 else "no")
    page = report.report_html(watch, "classes")
    found = Page(page)
    assert found.headings[0] == "Classes"
    assert "accuracy" in "".join(found.text)
    confusion, calibration, *_ = pictures.classes(watch).axes
    assert confusion.images[0].get_array().sum(axis=1).tolist() == pytest.approx([1.0, 1.0])
    assert [tick.get_text() for tick in confusion.get_yticklabels()] == ["<b>", "no"]
    assert calibration.lines[0].get_ydata().max() <= 1.0
    assert watch.bins[:, 0].sum() == 199


def test_many_classes_are_counted_together():
    watch = report.ClassWatch({"ours": ra.StreamingAttentionClassifier(window=0, long_lags=0)})
    for t in range(150):
        watch.step({}, t % 45)
    assert len(watch.frequencies) == 30
    assert any(y == "others" for y, _ in watch.confusion)
    assert len(watch.confusion) <= 31 * 31


class Wild(Persistence):
    """A model that went mad."""

    def predict_one(self, x):
        return [math.nan, math.inf, -1e308][int(x["a"] * 10) % 3]


def test_what_no_axis_can_hold_is_drawn_at_its_end():
    rows = [({"a": t / 10}, y) for t, y in enumerate([1e308, -1e308, 0.0, 5.0] * 8)]
    models = {"ours": ra.StreamingAttentionRegressor(), "persistence": Wild()}
    page = report.report_html(_watch(rows, models))
    assert len(Page(page).images) == 7
    for constant in (1.0, 1e-320):
        page = report.report_html(_watch([({}, constant)] * 20))
        # nothing is looked back to where nothing ever moved
        assert len(Page(page).images) == 6


def test_too_little_is_said():
    with pytest.raises(ValueError, match="at least two labelled rows"):
        report.report_html(_watch(ROWS[:1]))


def test_a_report_without_matplotlib_names_the_extra(monkeypatch, watched, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"river-attention\[plot\]"):
        report.write_report(watched, tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


def _browser():
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("needs a Chromium")


def test_a_browser_shows_every_picture(page, tmp_path):
    browser = _browser()
    path = tmp_path / "report.html"
    # what the browser makes of it: pictures that it could not read have no width
    probe = (
        "<script>document.title = [...document.images].map(i => i.naturalWidth > 0).join()"
        "</script></body>"
    )
    path.write_text(page.replace("</body>", probe), "utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}"]
    try:
        done = subprocess.run(
            [browser, *flags, "--dump-dom", path.as_uri()],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"the browser does not run here: {error}")
    title = re.search(r"<title>([a-z,]*)</title>", done.stdout)
    assert title is not None
    assert title[1].split(",") == ["true"] * 7
