"""Choosing parameters on a stream: every candidate predicts each row before it learns it.

    s_c = metric of (y_t, what c predicted for x_t after learning rows 1 … t-1),   t = warmup+1 … T

is the progressive (test-then-train) score of a candidate c (Dawid 1984, *Statistical theory: the
prequential approach*). It needs one pass, no folds, and no row is predicted by a model that has
seen a later one. :class:`ProgressiveGridSearch` and :class:`ProgressiveRandomSearch` compute it for
all candidates in one reading of the stream.
"""

from .search import ProgressiveGridSearch, ProgressiveRandomSearch

__all__ = ["ProgressiveGridSearch", "ProgressiveRandomSearch"]
