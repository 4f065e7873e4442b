r"""A spiking neuron with a linear attention of one key and a window behind it.

.. math::

    S \leftarrow \lambda^{\Delta t} S, \qquad
    i = \lfloor |\varphi(k)|\, D \rfloor \bmod D, \qquad
    S_i \leftarrow S_i + \varphi(k)\, v, \\
    \text{output} = g\, \varphi(q)\, S_i + (1 - g)\, \frac{1}{W} \sum_{j<W} v_{t-j}, \qquad
    \text{spike} = [\,\text{output} > \theta\,]

with φ(x) = elu(x) + 1. S has D slots, and **a key is hashed into one of them**: it reads what keys
of its own slot have written. The form of the paper, S[d_key, d_value] and φ(q)ᵀS with a normaliser,
is the layer :class:`river_attention.layers.HybridLinearAttention`. The mean divides by W while the
window is still filling. The potential is not reset by a spike.

**Time.** A step lasts Δt, ``dt`` of the constructor, and S decays by λ^Δt. (The class that this one
follows, ``HybridLinearAttentionNeuron`` of sc-neurocore, has the parameter and ignores it; at Δt =
1 the two are equal to the bit.) **Silence** is a step of current 0: it writes 0 into S, whichever
its key, and 0 into the window. A step told that ``dt`` has passed since the last one does at once
what silent steps in between would have done: S decays by λ^dt, and zeros enter the window, as many
as there are whole steps Δt in between (dt / Δt to the nearest, less the step itself). Potential,
spike and state after it are those of stepping through the silence, to rounding; what differs is
that a neuron that is not asked does not fire.

**Homeostasis**, off by default: with a target rate r (spikes per step) the threshold follows
θ ← θ + η (spike - r), in silent steps too, so that it fires with that frequency in the long run. No
gradient is needed, and none is approximated.

Inputs count as at most ±1e150, and so does a slot of S: nothing overflows. What is smaller than
1e-290 after a round of the window is 0, or it would stay a denormal number for ever.

Background: Pan et al. 2025, *SpikingBrain*, arXiv:2509.05276; Katharopoulos et al. 2020,
*Transformers are RNNs*, arXiv:2006.16236.
"""

from __future__ import annotations

from itertools import repeat
from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import backend
from .._validation import LIMIT, check_int, check_number
from ..config import ConfigMixin
from ..files import Saved
from ..state import Stateful, Writer
from .firing import Firing
from .window import WindowSum

Array = NDArray[np.float64]

SMALLEST = 1e-290
"""A slot of S below this is 0."""


def check_rate(target_rate: Any) -> float | None:
    """A checked target firing rate; None for no homeostasis."""
    if target_rate is None:
        return None
    return check_number("target_rate", target_rate, above=0.0, below=1.0)


def check_elapsed(dt: Any) -> float:
    """A checked time since the last step."""
    return check_number("dt", dt, above=0.0)


def n_steps(elapsed: float, step: float) -> int:
    """How many whole steps the window moves in a time, at least one.

    >>> n_steps(3.0, 1.0), n_steps(0.2, 1.0), n_steps(1.0, 0.25)
    (3, 1, 4)
    """
    return max(1, round(min(elapsed / step, 1e15)))


def _number(name: str, value: Any) -> float:
    """An input as a float within ±1e150, or ``ValueError``."""
    number = check_number(name, float(value) if isinstance(value, (bool, np.bool_)) else value)
    return min(max(number, -LIMIT), LIMIT)


class HybridLinearAttentionNeuron(Stateful, Saved, ConfigMixin):
    """One neuron; see the module for the equations.

    Parameters
    ----------
    dim
        Number of slots D of the state.
    lambda_decay
        λ in [0, 1]: what is left of the state after one unit of time.
    window_size
        Number of steps W that the local mean looks back on.
    dt
        How long a step lasts.
    threshold
        θ: a spike is an output above it, strictly.
    global_weight
        g in [0, 1]: the share of the state in the output; the rest is that of the window.
    target_rate
        Firing rate in (0, 1) that the threshold sees to; None leaves it alone.
    threshold_rate
        η, how fast the threshold moves.

    Attributes
    ----------
    v
        The last output.
    threshold_
        θ as it is now; that of the constructor without a target rate.

    Raises
    ------
    ValueError
        If a parameter is out of range, or an input is not a finite number; the state is as it was
        before the call.

    Examples
    --------
    >>> neuron = HybridLinearAttentionNeuron(dim=4, window_size=2)
    >>> [neuron.step(current) for current in (0.75, 0.0, 0.0, 1.5)], neuron.v
    ([1, 0, 0, 1], 5.0625)

    Only the events, with the time since the last one:

    >>> sparse = HybridLinearAttentionNeuron(dim=4, window_size=2)
    >>> [sparse.step(0.75), sparse.step(1.5, dt=3.0)], sparse.v
    ([1, 1], 5.0625)
    """

    def __init__(
        self,
        dim: int = 16,
        lambda_decay: float = 0.95,
        window_size: int = 16,
        dt: float = 1.0,
        threshold: float = 1.0,
        global_weight: float = 0.5,
        target_rate: float | None = None,
        threshold_rate: float = 0.01,
    ) -> None:
        self.dim = check_int("dim", dim, 1)
        self.lambda_decay = check_number("lambda_decay", lambda_decay, at_least=0.0, at_most=1.0)
        self.window_size = check_int("window_size", window_size, 1)
        self.dt = check_elapsed(dt)
        self.threshold = check_number("threshold", threshold)
        self.global_weight = check_number("global_weight", global_weight, at_least=0.0, at_most=1.0)
        self.target_rate = check_rate(target_rate)
        self.threshold_rate = check_number("threshold_rate", threshold_rate, above=0.0, at_most=1e3)
        self._decay = self.lambda_decay**self.dt
        self.reset()

    def reset(self) -> None:
        """The state before the first step."""
        self.v = 0.0
        self.threshold_ = self.threshold
        self._slots = [0.0] * self.dim
        self._window = WindowSum(self.window_size)

    @property
    def state_kv(self) -> Array:
        """The slots S [dim], a copy."""
        return np.array(self._slots)

    @property
    def window(self) -> Array:
        """The last values [window_size], a copy; value n of the stream is in slot n mod W."""
        return np.array(self._window.values)

    def step_qkv(self, query: float, key: float, value: float, dt: float | None = None) -> float:
        """The output for a query, a key and a value.

        Parameters
        ----------
        query, key, value
            Finite numbers.
        dt
            Time since the last step; None for a step of the usual length.
        """
        # one comparison for what is common: floats, neither NaN nor huge
        if not (
            type(query) is type(key) is type(value) is float
            and -LIMIT <= query <= LIMIT
            and -LIMIT <= key <= LIMIT
            and -LIMIT <= value <= LIMIT
        ):
            query, key, value = (
                _number("query", query),
                _number("key", key),
                _number("value", value),
            )
        decay = self._decay
        if dt is not None:
            elapsed = check_elapsed(dt)
            decay = self.lambda_decay**elapsed
            self._window.push_zeros(n_steps(elapsed, self.dt) - 1)
            self.threshold_ -= self._sunk(elapsed)
        phi_q = query + 1.0 if query > 0.0 else exp(query)
        phi_k = key + 1.0 if key > 0.0 else exp(key)
        slots = [slot * decay for slot in self._slots]
        i = int(phi_k * self.dim) % self.dim
        slot = slots[i] + phi_k * value
        if not -LIMIT <= slot <= LIMIT:
            slot = LIMIT if slot > 0.0 else -LIMIT
        slots[i] = slot
        window, g = self._window, self.global_weight
        local = window.push(value) / self.window_size
        if window.at == 0:
            slots = [slot if slot > SMALLEST or slot < -SMALLEST else 0.0 for slot in slots]
        self._slots = slots
        self.v = v = g * (phi_q * slot) + (1.0 - g) * local
        if self.target_rate is not None:
            self.threshold_ += self.threshold_rate * ((v > self.threshold_) - self.target_rate)
        return v

    def _sunk(self, elapsed: float) -> float:
        """By how much the threshold sinks in the silence before a step."""
        if self.target_rate is None:
            return 0.0
        return self.threshold_rate * self.target_rate * (n_steps(elapsed, self.dt) - 1)

    def step(self, current: float, dt: float | None = None) -> int:
        """1 if the neuron fires, else 0; the current is query, key and value at once.

        Parameters
        ----------
        current
            A finite number.
        dt
            Time since the last step; None for a step of the usual length.
        """
        threshold = self.threshold_
        output = self.step_qkv(current, current, current, dt)
        if dt is not None:
            threshold -= self._sunk(dt)
        return 1 if output > threshold else 0

    def run(self, queries: Any, keys: Any, values: Any, dt: Any = None) -> Array:
        """The outputs [T] for whole sequences [T]: as ``step_qkv`` one after the other.

        Parameters
        ----------
        queries, keys, values
            Finite numbers [T]. All are checked before the first step.
        dt
            The time before every step [T], or None for steps of the usual length.

        Examples
        --------
        >>> HybridLinearAttentionNeuron(dim=4, window_size=2).run([0, 0], [0, 0], [1, 2])
        array([0.75 , 2.225])
        """
        names = ("queries", "keys", "values") if dt is None else ("queries", "keys", "values", "dt")
        given = (queries, keys, values) if dt is None else (queries, keys, values, dt)
        sequences = [_sequence(name, numbers) for name, numbers in zip(names, given, strict=True)]
        lengths = [len(numbers) for numbers in sequences]
        if len(set(lengths)) > 1:
            raise ValueError(f"{', '.join(names)}: lengths {lengths} must be the same")
        if dt is not None and not (sequences[3] > 0.0).all():
            raise ValueError(f"dt: every time must be above 0, the smallest is {min(sequences[3])}")
        core = backend.kernels()
        if core is not None and dt is None and self.target_rate is None:
            return self._run_compiled(core, *sequences)
        rows = [numbers.tolist() for numbers in sequences]
        times = repeat(None) if dt is None else rows[3]
        step = self.step_qkv
        return np.array(
            [step(*row) for row in zip(*rows[:3], times, strict=False)], dtype=np.float64
        )

    def _run_compiled(self, core: Any, q: Array, k: Array, v: Array) -> Array:
        """The same in C, on the state of a population of one."""
        state = Firing.silent(1, self.dim, self.window_size, self.threshold_)
        state.slots[0], state.ring[:, 0] = self._slots, self._window.values
        state.sum_window(self._window.at)
        outputs: Array = core.neuron_run(
            state.buffer, self.dim, self._decay, self.global_weight, q, k, v
        )
        if len(outputs):
            self.v = float(outputs[-1])
        self._slots = state.slots[0].tolist()
        self._window.fill(state.ring[:, 0].tolist(), state.at)
        return outputs

    def transfer(self, io: Writer, *_: Any) -> None:
        self.v = io.number("v", self.v)
        self.threshold_ = io.number("threshold", self.threshold_)
        slots = io.array("state_kv", self.state_kv, self.dim)
        window = io.array("window", self.window, self.window_size)
        at = io.integer("at", self._window.at)
        if io.reading:
            io.check(at < self.window_size, f"at={at}: there are {self.window_size} slots")
            io.check(bool((np.abs(window) <= LIMIT).all()), "window holds values beyond 1e150")
            io.check(bool((np.abs(slots) <= LIMIT).all()), "state_kv holds values beyond 1e150")
            self._slots = slots.tolist()
            self._window = WindowSum(self.window_size)
            self._window.fill(window.tolist(), at)


def _sequence(name: str, numbers: Any) -> Array:
    """Finite numbers as floats within ±1e150, or ``ValueError``."""
    try:
        array = np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name}: must be a sequence of numbers") from None
    if array.ndim != 1:
        raise ValueError(f"{name}: must have one axis, time, not the shape {array.shape}")
    finite = np.isfinite(array)
    if not finite.all():
        i = int(np.argmin(finite))
        raise ValueError(f"{name}[{i}]={array[i]}: must be a finite number")
    return np.clip(array, -LIMIT, LIMIT)


__all__ = ["HybridLinearAttentionNeuron"]
