"""What the river estimators of this package have in common."""

from __future__ import annotations

import secrets
from typing import Any

from .._validation import check_seed


def resolve_seed(seed: Any) -> int:
    """A checked seed; a fresh one for None."""
    checked = check_seed(seed)
    return secrets.randbits(63) if checked is None else checked


class MemoMixin:
    """Leaves the work shared by a prediction and the update that follows out of pickles.

    A prediction must not change a model, so its memo is no part of what is saved, copied or
    compared.
    """

    _memo: Any = None

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_memo", None)
        return state
