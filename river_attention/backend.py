"""Which core runs: NumPy, which is the reference, or the compiled one where it was built.

The environment variable ``RIVER_ATTENTION_BACKEND`` forces ``numpy`` or ``compiled``; without it
the compiled core runs if it is there. This is the only place that knows.
"""

from __future__ import annotations

import importlib
import os
import platform
import warnings
from importlib import metadata
from typing import Any

import numpy as np
import scipy

from .functional import recurrence

VARIABLE = "RIVER_ATTENTION_BACKEND"

_CHOICE = os.environ.get(VARIABLE, "")
if _CHOICE not in ("", "numpy", "compiled"):
    raise ValueError(f"{VARIABLE}={_CHOICE!r}: must be 'numpy' or 'compiled', or not be set")


_MODULE = "river_attention.compiled._core"

_core: Any = None


def start() -> None:
    """Load the compiled core, if it was built and is wanted.

    It knows all classes of the package, so it comes when those are there.
    """
    global _core
    if _CHOICE == "numpy":
        return
    try:
        _core = importlib.import_module(_MODULE)
    except ImportError as error:
        if _CHOICE == "compiled":
            raise ImportError(
                f"{VARIABLE}='compiled', but the compiled core cannot be loaded ({error}): install "
                "the package where there is a C compiler, or unset the variable to run on NumPy"
            ) from error
        if not isinstance(error, ModuleNotFoundError):
            warnings.warn(f"running on NumPy: {error}", RuntimeWarning, stacklevel=2)
        return
    recurrence.use(_core.scan)


def twin_of(task: Any) -> Any:
    """The twin that works for a task, None if there is none or NumPy is to run."""
    return None if _core is None else _core.twin_of(task)


def kernels() -> Any:
    """The compiled core for code that works on arrays of its own, None if NumPy is to run."""
    return _core


def is_compiled() -> bool:
    """Whether the compiled core runs."""
    return _core is not None


def show_versions() -> None:
    """Print what runs, in one line."""
    from . import __version__

    runs = "NumPy" if _core is None else f"compiled core, {_core.INSTRUCTIONS}"
    print(
        f"river-attention {__version__} ({runs}), river {metadata.version('river')}, "
        f"NumPy {np.__version__}, SciPy {scipy.__version__}, Python {platform.python_version()}"
    )
