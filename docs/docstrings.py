"""Docstrings are reStructuredText, pages are Markdown: equations and references, for the API pages."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from griffe import Extension, Object

EQUATION = re.compile(r"^( *)\.\. math::(.*(?:\n(?:\1 +.*| *$))*)", re.MULTILINE)
# what is returned, in words and without a type: an empty line or the end follows
RETURNS = re.compile(r"^( *)Returns\n\1-{3,}\n((?:\1\S.*\n?)+)(?=\n|\Z)", re.MULTILINE)
ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`~?([^`]+)`")
MATHS = re.compile(r":math:`([^`]+)`")


def equation(match: re.Match[str]) -> str:
    """A displayed equation, between dollars."""
    indent = match[1]
    body = textwrap.dedent(match[2]).strip()
    return f"{indent}$$\n{textwrap.indent(body, indent)}\n{indent}$$\n"


def returned(match: re.Match[str]) -> str:
    """What is returned, as a description of something without name and type."""
    indent = match[1]
    return f"{indent}Returns\n{indent}-------\n{indent}:\n{textwrap.indent(match[2], '    ')}"


def to_markdown(text: str) -> str:
    """A docstring with its equations and references in the words of Markdown.

    >>> to_markdown("See :class:`river_attention.RLSRegressor`, with :math:`x^2`.")
    'See `river_attention.RLSRegressor`, with $x^2$.'
    """
    text = EQUATION.sub(equation, text)
    text = RETURNS.sub(returned, text)
    text = MATHS.sub(r"$\1$", text)
    text = ROLE.sub(r"`\1`", text)
    if left := re.search(r"^ *\.\. \w+::|:\w+:`", text, re.MULTILINE):
        raise ValueError(f"{left[0]!r} has no words in Markdown yet: teach docs/docstrings.py")
    return text


class Docstrings(Extension):
    """Rewrites each docstring before it is read."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)
