"""The model without river: what a step is, and what a task makes of it."""

from .classification import Classification
from .features import MemoryFeatures, build_memories
from .outlook import SteadyUnit, shown_forecast, shown_group, shown_odds
from .regression import Regression
from .rollout import Rollout
from .several import MultiRegression, SharedFeatures
from .step import Evidence, Layout, Step, Transition
from .target import Target

__all__ = [
    "Classification",
    "Evidence",
    "Layout",
    "MemoryFeatures",
    "MultiRegression",
    "Regression",
    "Rollout",
    "SharedFeatures",
    "SteadyUnit",
    "Step",
    "Target",
    "Transition",
    "build_memories",
    "shown_forecast",
    "shown_group",
    "shown_odds",
]
