"""Pictures of predictions and of what a running model does, for people who have Matplotlib.

Every function draws on ``ax`` if it is given, else on new axes, and returns the axes:
``plot_memory(model).figure.savefig("memory.png")``. Models stay as they are. What has to be watched
over time takes what was watched: arrays, or what an attribute said row by row.

Needs the extra ``plot``: ``pip install "river-attention[plot]"``.
"""

from .errors import plot_forecast, plot_intervals, plot_predictions, plot_rolling_error
from .memory import (
    plot_attention,
    plot_expert_weights,
    plot_memory,
    plot_raster,
    plot_retrieval,
)

__all__ = [
    "plot_attention",
    "plot_expert_weights",
    "plot_forecast",
    "plot_intervals",
    "plot_memory",
    "plot_predictions",
    "plot_raster",
    "plot_retrieval",
    "plot_rolling_error",
]
