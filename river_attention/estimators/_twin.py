"""An estimator's task, and the compiled twin that may hold its state."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

from ..backend import twin_of


class Twinned:
    """Part of estimators around a task: keeps the task, or the twin that owns it.

    The twin is asked first for what happens with every sample, and says None or False where that
    is for NumPy. Everything else goes by way of ``_whole``.
    """

    _plain: Any
    _twin: Any = None
    _unsaved: ClassVar[tuple[str, ...]] = ("_twin",)

    def _keep(self, task: Any) -> None:
        """Go on with a task, and with its compiled twin if there is one."""
        self._twin = twin_of(task)
        self._plain = task if self._twin is None else None

    @property
    def _task(self) -> Any:
        """The task, whose state may be with the twin."""
        return self._plain if self._twin is None else self._twin.task

    def _whole(self) -> Any:
        """The task with its state, as it is now."""
        return self._plain if self._twin is None else self._twin.release()

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["_plain"] = self._whole()
        for name in self._unsaved:
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._keep(self._plain)

    def _become(self, other: Twinned) -> None:
        """Go on with a copy of the task of another one that was made with the same parameters."""
        if self._twin is None or other._twin is None or not self._twin.become(other._twin):
            self._keep(copy.deepcopy(other._whole()))
