"""The pages say what is so: their code runs, prints what they show, and their links lead somewhere.

All Python blocks of a page run in order, in one namespace and in an empty directory. A text block
right behind one is what it printed (``...`` stands for anything). A block that needs what is not
here begins with ``# not run:`` and the reason.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from river_attention import demo
from river_attention._progress import ProgressBar

PROJECT = Path(__file__).resolve().parent.parent
DOCS = PROJECT / "docs"
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
NOT_RUN = "# not run:"

# pages show what users get
pytestmark = pytest.mark.whole_fits

FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
# what a heading may be, and what it is called as an anchor
HEADING = re.compile(r"^#+ +(.+?)(?: *\{#([\w-]+)\})? *$", re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?: \"[^\"]*\")?\)|<img[^>]* src=\"([^\"]+)\"")

# Packages whose public names the pages under docs/api list.
PACKAGES = [
    "river_attention",
    "river_attention.functional",
    "river_attention.keyed",
    "river_attention.layers",
    "river_attention.model_selection",
    "river_attention.modes",
    "river_attention.plot",
    "river_attention.spiking",
]


class Block(NamedTuple):
    """Python code on a page, and what the page shows as its output."""

    line: int
    code: str
    output: str | None


def blocks(text: str) -> Iterator[Block]:
    """The Python blocks of a page."""
    found = list(FENCE.finditer(text))
    for i, match in enumerate(found):
        indent, language, body = match.groups()
        if language not in ("python", "py", "pycon"):
            continue
        output = None
        if i + 1 < len(found) and found[i + 1][2] == "text":
            between = text[match.end() : found[i + 1].start()]
            output = found[i + 1][3] if not between.strip() else None
        code = re.sub(rf"^{indent}", "", body, flags=re.MULTILINE)
        yield Block(text.count("\n", 0, match.start()) + 2, code, output)


def prose(text: str) -> str:
    """The page without its code."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page, made from its headings as Python-Markdown does."""
    found = set()
    for title, given in HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        ascii_only = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        slug = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip().lower())
        found.add(given or slug)
    return found


def name_of(page: Path) -> str:
    return page.relative_to(PROJECT).as_posix()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if list(blocks(page.read_text("utf-8")))], ids=name_of
)
def test_the_code_of_a_page_runs_and_prints_what_the_page_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "page"}
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.code.startswith(NOT_RUN):
            continue
        printed = io.StringIO()
        # Empty lines in front, so that a traceback has the line of the page.
        code = compile("\n" * (block.line - 1) + block.code, str(page), "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        if block.output is not None:
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            same = doctest.OutputChecker().check_output(block.output, printed.getvalue(), flags)
            assert same, f"{page}:{block.line} printed\n{printed.getvalue()}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_that_is_not_run_says_why(page):
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.code.startswith(NOT_RUN):
            reason = block.code.partition("\n")[0].removeprefix(NOT_RUN)
            assert len(reason.split()) >= 2, f"{page}:{block.line} needs a reason"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings_that_are_there(page):
    lost = []
    for match in LINK.finditer(prose(page.read_text(encoding="utf-8"))):
        link = match[1] or match[2]
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert not lost


def test_every_page_has_its_place_in_the_navigation():
    text = (PROJECT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"[\w/]+\.md", text.partition("\nnav:\n")[2])
    pages = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]
    assert sorted(listed) == sorted(pages)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_in_the_api_pages(package):
    text = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    listed = set(re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE))
    names = set(importlib.import_module(package).__all__)
    if package != "river_attention":
        # What the package itself offers as well is listed once, there.
        names -= set(importlib.import_module("river_attention").__all__)
    assert {f"{package}.{name}" for name in names} <= listed


def table_rows(page: str, first_cell: str) -> dict[str, list[str]]:
    """The rows of the table whose header begins with these cells, by their first cell."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    lines = text[text.index(f"| {first_cell}") :].split("\n\n")[0].splitlines()
    # a stroke in code is written \|
    cells = [
        [cell.strip().strip("*") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines
    ]
    return {row[0]: row[1:] for row in cells}


def test_the_readme_shows_the_errors_that_the_demo_prints():
    shown = table_rows("README.md", "model                       | MAE WaterFlow")
    assert set(demo.models()) <= set(shown)
    for name, model in demo.models().items():
        if name == "ARFRegressor":  # takes as long as all others together
            continue
        runs = [
            demo.validate(name, model.clone(), stream, rows, ProgressBar(len(rows), quiet=True))
            for stream, rows in demo.load_streams().items()
        ]
        assert shown[name][:3] == [f"{run.mae:#.4g}" for run in runs], name


def test_the_readme_shows_the_costs_of_the_page_about_them():
    shown = table_rows("README.md", "model | µs per step")
    measured = table_rows("docs/throughput.md", "model | µs per step")
    assert len(shown) > 4
    for name, cells in shown.items():
        assert measured[name][: len(cells)] == cells
