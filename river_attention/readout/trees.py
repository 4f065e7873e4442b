r"""An ensemble of regression trees as flat arrays: what a fit leaves behind.

.. math::

    g(z) = b + \sum_m v_{\ell_m(z)}

ℓ_m(z) is the leaf of tree m that z falls into: from the root to the left where z_j ≤ θ, to the
right where it is greater, and where it is missing to the side that the fit chose for it. Fitted by
scikit-learn's histogram gradient boosting, read out of it once, and predicted without it.

Friedman 2001, *Greedy function approximation*; Ke et al. 2017, *LightGBM*, for the histograms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..state import Stateful, Writer

Array = NDArray[np.float64]

# as the compiled core reads it: up to what a node goes left, or what a leaf adds; which number of z
# it looks at, -1 for a leaf; its children, which stand behind it, a leaf being its own; and whether
# a missing number goes left
NODE = np.dtype(
    [("number", np.float64)]
    + [(name, np.int32) for name in ("feature", "left", "right", "missing_left")],
    align=True,
)


class Trees(Stateful):
    """An ensemble of trees; without arguments one that says 0.

    Parameters
    ----------
    nodes
        The nodes of all trees [n], of the kind ``NODE``.
    roots
        Where the trees begin [m].
    base
        b, what is said before any tree.

    Examples
    --------
    >>> import numpy as np
    >>> stump = np.array([(0.5, 0, 1, 2, 1), (-1.0, -1, 1, 1, 0), (1.0, -1, 2, 2, 0)], NODE)
    >>> trees = Trees(stump, np.array([0]), base=10.0)
    >>> [trees.predict(np.array([z])) for z in (0.5, 0.6, np.nan)]
    [9.0, 11.0, 9.0]
    """

    def __init__(
        self,
        nodes: NDArray[Any] | None = None,
        roots: NDArray[Any] | None = None,
        base: float = 0.0,
    ) -> None:
        self.nodes = np.zeros(0, NODE) if nodes is None else nodes
        self.roots = np.zeros(0, np.int32) if roots is None else roots.astype(np.int32)
        self.base = base

    @classmethod
    def of(cls, model: Any, output: int = 0) -> Self:
        """The trees of a fitted gradient boosting of scikit-learn, for one of its outputs.

        They stand in arrays that scikit-learn does not document, so whoever asks compares what they
        say; see :func:`river_attention.readout.boosting.fit`.
        """
        theirs = [predictors[output].nodes for predictors in model._predictors]
        base = float(model._baseline_prediction.ravel()[output])
        sizes = [len(each) for each in theirs]
        roots = np.cumsum([0, *sizes])[:-1]
        if not theirs:
            return cls(base=base)
        found, begins = np.concatenate(theirs), np.repeat(roots, sizes)
        is_leaf = found["is_leaf"].astype(bool)
        nodes = np.empty(len(found), NODE)
        nodes["number"] = np.where(is_leaf, found["value"], found["num_threshold"])
        nodes["feature"] = np.where(is_leaf, -1, found["feature_idx"])
        for side in ("left", "right"):
            nodes[side] = np.where(is_leaf, np.arange(len(found)), begins + found[side])
        nodes["missing_left"] = np.where(is_leaf, 0, found["missing_go_to_left"])
        return cls(nodes, roots, base)

    def predict(self, z: NDArray[np.floating]) -> float:
        """g(z) for one z [d], in which missing numbers are NaN."""
        at = self.roots
        while True:
            nodes = self.nodes[at]
            # a leaf looks at the last number, and stays where it is whatever that is
            seen = z[nodes["feature"]]
            goes_left = np.where(seen != seen, nodes["missing_left"] > 0, seen <= nodes["number"])
            after = np.where(goes_left, nodes["left"], nodes["right"])
            if (after == at).all():
                # one after the other, as the compiled core adds them
                return float(np.add.accumulate(np.append(self.base, nodes["number"]))[-1])
            at = after

    def renumber(self, features: NDArray[np.intp]) -> None:
        """Let every node look at ``features[j]`` where it looked at j."""
        is_leaf = self.nodes["feature"] < 0
        self.nodes["feature"] = np.where(is_leaf, -1, features[self.nodes["feature"]])

    def forget(self, feature: int) -> None:
        """Take a number of z for missing from now on, whatever it is."""
        places = np.flatnonzero(self.nodes["feature"] == feature)
        if len(places):
            # not in place: a copy of the model may share the nodes
            self.nodes = self.nodes.copy()
            goes_left = self.nodes["missing_left"][places] > 0
            self.nodes["number"][places] = np.where(goes_left, np.inf, -np.inf)

    def uses(self, n_features: int) -> NDArray[np.intp]:
        """How many nodes look at each number of z [n_features]."""
        features = self.nodes["feature"]
        return np.bincount(features[features >= 0], minlength=n_features)

    def transfer(self, io: Writer, *arguments: Any) -> None:
        (n_features,) = arguments
        columns = {}
        for name in NODE.fields or ():
            low = -1 if name == "feature" else -math.inf if name == "number" else 0
            columns[name] = io.array(
                name, np.ascontiguousarray(self.nodes[name]), None, low=low, finite=False
            )
        roots = io.array("roots", self.roots, None, low=0)
        self.base = io.number("base", self.base)
        if io.reading:
            n = len(columns["number"])
            io.check(
                all(len(column) == n for column in columns.values()),
                "number, feature, left, right, missing_left: one each",
            )
            nodes = np.empty(n, NODE)
            for name, column in columns.items():
                nodes[name] = column
            itself, left, right = np.arange(n), nodes["left"], nodes["right"]
            is_leaf = (nodes["feature"] < 0) & (left == itself) & (right == itself)
            # whoever goes on behind a node arrives at a leaf some time
            is_inner = (nodes["feature"] >= 0) & (left > itself) & (right > itself)
            good = is_leaf | (is_inner & (nodes["feature"] < n_features) & (left < n) & (right < n))
            io.check(bool(good.all()), "left, right, feature: no trees")
            io.check(bool(np.isfinite(nodes["number"][is_leaf]).all()), "number: leaves not finite")
            io.check(not np.isnan(nodes["number"]).any(), "number is NaN somewhere")
            io.check(not len(roots) or int(roots.max()) < n, "roots: no trees")
            self.nodes, self.roots = nodes, roots


class ClassTrees(Stateful):
    r"""Trees for classes: an ensemble for the logit of each.

    .. math::

        p(c) \propto e^{g_c(z)}

    Of two classes the first has g = 0. Classes that were not among those of the fit get nothing.

    Parameters
    ----------
    classes
        Numbers of the classes, in increasing order.
    ensembles
        The trees of each; of two classes those of the second alone.

    Examples
    --------
    >>> import numpy as np
    >>> one = ClassTrees([0, 2], [Trees(base=np.log(3.0))])
    >>> one.predict(np.zeros(1), n_classes=3).round(2)
    array([0.25, 0.  , 0.75])
    """

    def __init__(self, classes: Sequence[int] = (), ensembles: Sequence[Trees] = ()) -> None:
        self.classes = list(classes)
        self.ensembles = list(ensembles)

    def predict(self, z: NDArray[np.floating], n_classes: int) -> Array:
        """The probabilities of the classes 0 to ``n_classes - 1``."""
        logits = [trees.predict(z) for trees in self.ensembles]
        if len(logits) < len(self.classes):
            logits = [0.0, *logits]
        powers = np.exp(np.array(logits) - max(logits))
        probabilities = np.zeros(n_classes)
        probabilities[self.classes] = powers / powers.sum()
        return probabilities

    def renumber(self, features: NDArray[np.intp]) -> None:
        """Let every node look at ``features[j]`` where it looked at j."""
        for trees in self.ensembles:
            trees.renumber(features)

    def forget(self, feature: int) -> None:
        """Take a number of z for missing from now on, whatever it is."""
        for trees in self.ensembles:
            trees.forget(feature)

    def uses(self, n_features: int) -> NDArray[np.intp]:
        """How many nodes look at each number of z [n_features]."""
        uses = [trees.uses(n_features) for trees in self.ensembles]
        return np.sum(uses, axis=0, dtype=np.intp)

    def transfer(self, io: Writer, *arguments: Any) -> None:
        self.classes = io.integers("classes", self.classes)
        n = len(self.classes)
        fits = n >= 2 and all(a < b for a, b in itertools.pairwise(self.classes))
        io.check(fits, "classes: must be two or more, in increasing order")
        n = 1 if n == 2 else n
        ensembles = [Trees() for _ in range(n)] if io.reading else self.ensembles
        self.ensembles = [io.child(str(i), trees, *arguments) for i, trees in enumerate(ensembles)]
