"""How a prediction comes about, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from river.utils import pretty

from ..core import Classification, Regression, Step
from ..core.classification import is_lag
from ..layers import Retrieval
from ..readout import BoostedClassMixture, BoostedMixture

_SHOWN = 10


def _norms(states: Mapping[str, Any]) -> list[str]:
    return [
        f"Norm of the state ({name}): {np.linalg.norm(state):,.5f}"
        for name, state in states.items()
        if isinstance(state, np.ndarray)
    ]


def _table(headers: list[str], names: list[str], *columns: Any, by: int = -1) -> str:
    """A table of named numbers, the largest of column ``by`` first."""
    values = [list(column) for column in columns]
    order = np.argsort(-np.abs(values[by]), kind="stable")
    return pretty.print_table(
        headers=headers,
        columns=[names, *([f"{value:,.5f}" for value in column] for column in values)],
        order=order.tolist(),
    )


def _looked_back(task: Regression | Classification, step: Step) -> list[tuple[int, float]] | None:
    """The steps that retrieval looks back to (how many stored steps ago, share); None without."""
    retrieval = task.features.memories.get("retrieved")
    if not isinstance(retrieval, Retrieval):
        return None
    return retrieval.strongest(step.evidence["situation"], task.features.states["retrieved"])


def _looked_at(readout: BoostedMixture | BoostedClassMixture, inputs: Sequence[Any]) -> list[str]:
    """What the trees look at most."""
    boosted = readout.boosted
    failed = [f"The last fit of trees failed: {boosted.failure}"] if boosted.failure else []
    if boosted.trees is None:
        return [*failed, "No trees yet"]
    names = readout.names_of_row([str(name) for name in inputs])
    uses = boosted.trees.uses(len(names))
    most = np.argsort(-uses, kind="stable")[:_SHOWN]
    return [
        *failed,
        pretty.print_table(
            headers=["Feature of the trees", "Splits"],
            columns=[[names[i] for i in most], [str(uses[i]) for i in most]],
        ),
    ]


def explain_regression(task: Regression, prior: str, step: Step) -> str:
    """Experts, what retrieval looks back to, and the features of the first linear expert."""
    evidence, target, features = step.evidence, task.target, task.features
    lines = [
        f"Prediction: {task.value(evidence):,.5f}",
        f"Anchor ({prior}): {target.anchor:,.5f}",
        f"Scale of the target: {target.scale:,.5f}",
        *_norms(features.states),
    ]
    looked = _looked_back(task, step)
    if looked is not None:
        lines.append(
            "Looked back to (labelled steps ago, share): "
            + (", ".join(f"{ago} ({share:.0%})" for ago, share in looked) or "nothing yet")
        )
    readout, shares = task.readout, task.readout.weights()
    answers = evidence["answers"] if readout.n_answers else [evidence["prediction"]]
    lines += [
        "",
        _table(
            ["Expert", "Share", "Prediction"],
            list(shares),
            shares.values(),
            [target.restore(float(answer)) for answer in answers],
        ),
    ]
    if isinstance(readout, BoostedMixture):
        lines += ["", *_looked_at(readout, features.encoder.names)]
    linear = readout.first_on("full")
    if linear is not None:
        rls, share = linear
        phi, weights = evidence["full"], rls.weights
        lines += [
            "",
            _table(
                ["Feature", "Value", "Weight", "Contribution"],
                features.names(),
                phi.tolist(),
                weights,
                share * target.scale * weights * phi,
            ),
        ]
    return "\n".join(lines)


def explain_classification(task: Classification, step: Step) -> str:
    """The most probable classes, and what the experts say of the most probable one."""
    probabilities = task.value(step.evidence)
    best = sorted(probabilities, key=probabilities.__getitem__, reverse=True)[:_SHOWN]
    lines = [
        f"Prediction: {best[0] if best else None!r}",
        f"Classes: {len(task.classes)}, the last one: "
        f"{task.classes[task.last] if task.past else None!r}",
        *_norms(task.features.states),
    ]
    looked = _looked_back(task, step)
    if looked is not None:
        had = task.features.states["retrieved"].past["residual"]
        lines.append(
            "Looked back to (labelled steps ago, its class, share): "
            + (
                ", ".join(
                    f"{ago} {task.classes[int(had[-ago])]!r} ({share:.0%})" for ago, share in looked
                )
                or "nothing yet"
            )
        )
    if len(best) > 1:
        said = task.readout.answers(step.evidence)[:, task.number(best[0])]
        shares = task.readout.weights()
        lines += [
            "",
            pretty.print_table(
                headers=["Class", "Probability"],
                columns=[
                    [repr(label) for label in best],
                    [f"{probabilities[label]:.5f}" for label in best],
                ],
            ),
            "",
            _table(
                ["Expert", "Share", f"Probability of {best[0]!r}"],
                list(shares),
                shares.values(),
                said,
                by=0,
            ),
        ]
    if isinstance(task.readout, BoostedClassMixture):
        inputs = [name for name in task.features.encoder.names if not is_lag(name)]
        lines += ["", *_looked_at(task.readout, inputs)]
    return "\n".join(lines)
