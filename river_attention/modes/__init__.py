"""Attention modes: what a token does to the state, one small class each.

A mode is data for the one recurrence of :mod:`river_attention.functional`: it names the
projections it needs and turns them into decay, key, value and query.
"""

from ._base import Mode, Projection
from .gla import GLA

NAMED: dict[str, Mode] = {
    "gla": GLA(gate="scalar"),
    "gla_vector": GLA(gate="vector"),
}
"""Every mode that can be given by name."""


def resolve(mode: str | Mode) -> Mode:
    """The mode object for a name; a mode object is returned as it is.

    Raises
    ------
    ValueError
        If there is no mode of that name.

    Examples
    --------
    >>> resolve("gla_vector")
    GLA(gate='vector')
    """
    if isinstance(mode, Mode):
        return mode
    if not isinstance(mode, str) or mode not in NAMED:
        raise ValueError(f"mode={mode!r}: must be one of {', '.join(map(repr, NAMED))}")
    return NAMED[mode]


__all__ = ["GLA", "NAMED", "Mode", "Projection", "resolve"]
