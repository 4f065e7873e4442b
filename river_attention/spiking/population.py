r"""A population of spiking neurons that see a vector, stepped as arrays.

.. math::

    (q, k, v) = [W_q, W_k, W_v]\, u, \qquad
    S_i \leftarrow \lambda_i^{\Delta t} S_i, \quad \text{potential}_i,\ \text{spike}_i
    \ \text{as of one neuron}, \\
    \text{trace}_i \leftarrow \rho^{\Delta t}\, \text{trace}_i + \text{spike}_i, \qquad
    \text{read} = [\text{potentials},\ \text{spikes},\ \text{traces}]

Each of N neurons (:mod:`river_attention.spiking.neuron`) has three numbers of the input for query,
key and value. The projections are drawn, not learned: entries N(0, 1/d), a column for every input
from a generator seeded by its name. Decays are spread, λ_i = exp(-1/τ_i) with τ from 1 to 64 steps,
or the same for all. The numbers are those of N neurons stepped one by one, bit by bit; with the
compiled core a step runs in C, on the same arrays.

**Homeostasis**, off by default, is that of the neuron, with a threshold for each: the random
projections make some neurons fire always and others never, and a target rate makes all of them say
something. **Silence** and ``dt`` are those of the neuron too; nobody fires in silence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from math import exp

import numpy as np
from numpy.typing import NDArray

from .. import backend
from .._validation import LARGEST_ARRAY, LIMIT, check_int, check_number, check_product
from ..functional.recurrence import scan
from ..layers.linear_attention import time_constants
from ..layers.protocol import Drawn
from ..state import Writer
from .firing import Firing
from .neuron import SMALLEST, check_elapsed, check_rate, n_steps

Array = NDArray[np.float64]


Proposal = tuple[Firing | None, Array, Array]
"""What a step would make of a state: a copy of it where silence came first, None where the state
itself goes on; the decays; the read, then which slots are written, what stands in them then, and
the values [6 N]."""


class Population(Drawn):
    """Many spiking neurons as one memory; see the module for the equations.

    Parameters
    ----------
    n_neurons
        Number of neurons N.
    dim
        Number of slots D of the state of each.
    window_size
        Number of steps W of the local mean.
    lambda_decay
        λ in [0, 1] for all, or None for decays spread over time constants from 1 to 64 steps.
    threshold
        Where a potential begins to be a spike.
    global_weight
        Share of the state in the potential; the rest is that of the window.
    trace_steps
        How many steps a spike is remembered in its trace: ρ = exp(-1/trace_steps).
    target_rate
        Spikes per step that the thresholds see to, in (0, 1); None leaves them alone.
    threshold_rate
        How fast thresholds move.
    n_inputs
        Number of inputs to begin with, named by their position; ``add_inputs`` adds named ones.
    seed
        Seed of the weights.

    Examples
    --------
    >>> import numpy as np
    >>> population = Population(n_neurons=8, n_inputs=3)
    >>> reads, state = population.forward(np.ones((5, 3)), population.init_state())
    >>> reads.shape, state.spikes.shape
    ((5, 24), (8,))
    >>> read, proposal = population.propose(np.ones(3), state, dt=2.5)
    >>> state = population.commit(state, proposal)
    >>> bool((state.potentials == read[:8]).all())
    True
    """

    label = "spiking"

    def __init__(
        self,
        n_neurons: int = 64,
        dim: int = 16,
        window_size: int = 16,
        lambda_decay: float | None = None,
        threshold: float = 1.0,
        global_weight: float = 0.5,
        trace_steps: float = 10.0,
        target_rate: float | None = None,
        threshold_rate: float = 0.01,
        n_inputs: int = 0,
        seed: int = 42,
    ) -> None:
        self.n_neurons = check_int("n_neurons", n_neurons, 1)
        self.dim = check_int("dim", dim, 1)
        self.window_size = check_int("window_size", window_size, 1)
        check_product(
            LARGEST_ARRAY,
            "entries of state",
            self.n_neurons * (self.dim + 2 * self.window_size + 6),
            n_neurons=n_neurons,
            dim=dim,
            window_size=window_size,
        )
        if lambda_decay is None:
            self.decays = np.exp(-1.0 / time_constants(self.n_neurons))
        else:
            check_number("lambda_decay", lambda_decay, at_least=0.0, at_most=1.0)
            self.decays = np.full(self.n_neurons, float(lambda_decay))
        self.threshold = check_number("threshold", threshold)
        self.global_weight = check_number("global_weight", global_weight, at_least=0.0, at_most=1.0)
        self.trace_decay = exp(-1.0 / check_number("trace_steps", trace_steps, above=0.0))
        self.target_rate = check_rate(target_rate)
        self.threshold_rate = check_number("threshold_rate", threshold_rate, above=0.0, at_most=1e3)
        self.seed = seed
        self._places = np.arange(self.n_neurons) * self.dim
        self._begin()
        self.add_inputs([f"position:{i}" for i in range(check_int("n_inputs", n_inputs, 0))])

    @property
    def parts(self) -> Mapping[str, int]:
        """What a read consists of, in order, and how many numbers of each."""
        return dict.fromkeys(("potential", "spike", "trace"), self.n_neurons)

    @property
    def n_outputs(self) -> int:
        """Length of a read, 3 N."""
        return 3 * self.n_neurons

    def scale(self, fan_in: int) -> Array:
        """Deviation of the weights of a column, whose rows are those of q, k and v."""
        return np.full(3 * self.n_neurons, 1.0 / math.sqrt(fan_in))

    def init_state(self) -> Firing:
        """The state before the first step: nothing seen, thresholds as given."""
        return Firing.silent(self.n_neurons, self.dim, self.window_size, self.threshold)

    def transfer_state(self, io: Writer, state: Firing, n_inputs: int) -> Firing:
        """What was seen; the sums follow from it."""
        n, dim, size = state.sizes
        parts = [
            io.array("state_kv", state.slots, n, dim),
            io.array("window", state.ring, size, n),
            *(
                io.array(name, getattr(state, name), n)
                for name in ("potentials", "spikes", "traces", "thresholds")
            ),
        ]
        at = io.integer("at", state.at)
        now = io.number("now", state.now, finite=False)
        if not io.reading:
            return state
        io.check(not math.isinf(now), f"now={now}: must be a time, or NaN for none")
        io.check(at < size, f"at={at}: there are {size} slots")
        for name, part in (("state_kv", parts[0]), ("window", parts[1])):
            io.check(bool((np.abs(part) <= LIMIT).all()), f"{name} holds values beyond 1e150")
        fresh = self.init_state()
        views = (fresh.slots, fresh.ring, fresh.potentials, fresh.spikes, fresh.traces)
        for view, part in zip((*views, fresh.thresholds), parts, strict=True):
            view[:] = part
        fresh.sum_window(at)
        fresh.now = now
        return fresh

    def propose(self, x: Array, state: Firing, dt: float | None = None) -> tuple[Array, Proposal]:
        """One step: input [d] and state to read [3 N] and what ``commit`` needs.

        ``dt`` is the time since the last step; None for one step, or what the state says is due.
        """
        return self.respond(self.weights.dot(x), state, dt)

    def respond(
        self, currents: Array, state: Firing, dt: float | None = None
    ) -> tuple[Array, Proposal]:
        """The same for queries, keys and values [3 N]."""
        decays, kept, before = self.decays, self.trace_decay, None
        elapsed = state.due if dt is None else check_elapsed(dt)
        if elapsed is not None:
            decays, kept, n = decays**elapsed, kept**elapsed, n_steps(elapsed, 1.0)
            before = state = state.copy()
            if dt is not None:
                state.now += elapsed
            state.push_zeros(n - 1)
            if self.target_rate is not None:
                state.thresholds -= self.threshold_rate * self.target_rate * (n - 1)
        core = backend.kernels()
        if core is None:
            made = self._respond(currents, state, decays, kept)
        else:
            made = core.population_respond(
                state.buffer, self.dim, decays, self.global_weight, kept, currents
            )
        return made[: 3 * self.n_neurons], (before, decays, made)

    def _respond(self, currents: Array, state: Firing, decays: Array, kept: float) -> Array:
        n, dim, size = state.sizes
        made = np.empty(6 * n)
        potentials, spikes, traces, places, slots, values = made.reshape(6, n)
        currents = np.fmax(np.fmin(currents, LIMIT), -LIMIT)
        # not np.exp, whose last bit depends on the processor and may decide about a spike
        phi = np.array([x + 1.0 if x > 0.0 else exp(x) for x in currents[: 2 * n].tolist()])
        phi_q, phi_k = phi[:n], phi[n:]
        values[:] = currents[2 * n :]
        np.add(np.fmod(np.floor(phi_k * dim), dim), self._places, out=places)
        np.multiply(state.slots.reshape(-1)[places.astype(np.intp)], decays, out=slots)
        slots += phi_k * values
        np.minimum(np.maximum(slots, -LIMIT), LIMIT, out=slots)
        local = ((state.head + values) + state.tails[state.at + 1]) / size
        g = self.global_weight
        potentials[:] = g * (phi_q * slots) + (1.0 - g) * local
        spikes[:] = potentials > state.thresholds
        traces[:] = kept * state.traces + spikes
        return made

    def commit(self, state: Firing, proposal: Proposal) -> Firing:
        """The state after the step of a proposal, made in place."""
        before, decays, made = proposal
        if before is None:
            state.now += 1.0
        else:
            state = before
        rate, target = 0.0, 0.0
        if self.target_rate is not None:
            rate, target = self.threshold_rate, self.target_rate
        core = backend.kernels()
        if core is not None:
            core.population_commit(state.buffer, self.dim, decays, made, rate, target)
            return state
        potentials, spikes, traces, places, slots, values = made.reshape(6, self.n_neurons)
        state.slots *= decays[:, None]
        state.slots.reshape(-1)[places.astype(np.intp)] = slots
        state.push(values)
        if state.at == 0:
            state.slots[np.abs(state.slots) <= SMALLEST] = 0.0
        state.potentials[:], state.spikes[:], state.traces[:] = potentials, spikes, traces
        if rate:
            state.thresholds += rate * (spikes - target)
        return state

    def branch(self, state: Firing) -> Firing:
        """A copy that may advance while the original stays as it is."""
        return state.copy()

    def rest(self, state: Firing, dt: float) -> Firing:
        """The state after a silence of ``dt``; the one given stays as it is."""
        elapsed = check_elapsed(dt)
        state = state.copy()
        n = n_steps(elapsed, 1.0)
        state.now += elapsed
        state.push_zeros(n)
        state.slots *= (self.decays**elapsed)[:, None]
        state.spikes[:] = 0.0
        state.traces *= self.trace_decay**elapsed
        if self.target_rate is not None:
            state.thresholds -= self.threshold_rate * self.target_rate * n
        return state

    def forward(self, X: Array, state: Firing) -> tuple[Array, Firing]:
        """A sequence: inputs [T, d] and state to reads [T, 3 N] and final state."""

        def step(state: Firing, x: Array) -> tuple[Firing, Array]:
            read, proposal = self.propose(x, state)
            return self.commit(state, proposal), read

        return scan(step, state.copy(), X)
