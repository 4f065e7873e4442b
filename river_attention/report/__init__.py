"""A page that says how a model did on a stream, and what it holds.

::

    watch = NumberWatch({"ours": model, "persistence": other})
    for x, y in stream:
        watch.step(x, y)
    write_report(watch, "report.html", title="flow.csv")

One pass, bounded memory; the page is one file that fetches nothing. Pictures need the extra
``plot``.
"""

from .page import check_can_draw, report_html, write_report
from .watch import ClassWatch, NumberWatch, Score, Watch

__all__ = [
    "ClassWatch",
    "NumberWatch",
    "Score",
    "Watch",
    "check_can_draw",
    "report_html",
    "write_report",
]
