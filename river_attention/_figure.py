"""The one place that asks for Matplotlib, which is there with the extra ``plot`` only."""

from __future__ import annotations

import sys
from typing import Any


def new_figure(width: float = 8.0, height: float = 4.0) -> Any:
    """An empty figure of so many inches, which leaves a caller's pyplot and its backend alone.

    Raises
    ------
    ImportError
        Without Matplotlib; the message names the extra.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "river-attention[plot]"') from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def axes_for(ax: Any, width: float = 8.0, height: float = 4.0) -> Any:
    """The axes to draw on: those given, or those of a new figure.

    Where pyplot is in use it is a figure of pyplot, so that ``plt.show()`` and notebooks show it.
    """
    if ax is not None:
        return ax
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        return pyplot.subplots(figsize=(width, height), layout="constrained")[1]
    return new_figure(width, height).subplots()
