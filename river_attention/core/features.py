r"""From a dict to the features of the readout: the part that all estimators share.

.. math::

    u_t = [\text{lags},\ \hat x_t], \quad
    (o_t, S_t) = \text{memories}(u_t, S_{t-1}), \quad
    \varphi_t = [\mathrm{std}(o_t),\ 1,\ u_t]

x̂ is the input standardised with the running moments of the rows before t, clipped at ±3; a
feature that is missing, constant or new is 0. o are the reads of the memories (retrieval, heads,
memory bank), standardised the same way, clipped at ±5. ``propose`` answers "if x came next" and
changes nothing; ``commit`` makes it the past.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._validation import MOST_FEATURES, check_int, check_product
from ..encoding import Encoded, Encoder, Entered
from ..layers import Memory, MemoryBank, MultiHeadLinearAttention, Retrieval
from ..modes import Mode
from ..moments import Limit, RunningMoments
from ..naming import canonical_name
from ..readout import BoostedClassMixture, BoostedMixture, ExpertPool
from ..state import Stateful, Writer
from .step import Evidence, Layout, Step, Transition

Array = NDArray[np.float64]

INPUT_LIMIT = Limit(3.0)
READ_LIMIT = Limit(5.0)
_NOTHING = np.zeros(0)


def build_memories(
    mode: str | Mode | None,
    n_heads: int,
    d_key: int,
    d_value: int,
    memory: int,
    seed: int,
    window: int = 0,
    retrieval: type[Retrieval] = Retrieval,
) -> dict[str, Memory]:
    """The memories that the parameters of an estimator ask for, by name; retrieval comes first."""
    # made even if there are none, so that their parameters are checked
    heads = MultiHeadLinearAttention(
        "gla" if mode is None else mode, n_heads, d_key, d_value, seed=seed
    )
    memories: dict[str, Memory] = {}
    if check_int("window", window, 0):
        memories["retrieved"] = retrieval(window)
    if mode is not None:
        memories["head"] = heads
    if check_int("memory", memory, 0):
        memories["bank"] = MemoryBank(memory, seed=seed)
    return memories


def standardise(values: Array, mean: Array, divisor: Array, limit: Limit, out: Array) -> None:
    """(values - mean) / divisor, clipped at ±limit, into ``out``."""
    np.subtract(values, mean, out=out)
    out /= divisor
    limit.apply(out)


class Grown(NamedTuple):
    """What a step changed about the features of the readout.

    Attributes
    ----------
    kinds
        The kind of every feature that is appended: "lag", "input" or "hidden".
    recycled
        Columns of the input that are other features from now on.
    """

    kinds: list[str]
    recycled: list[int]

    @property
    def anything(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.kinds or self.recycled)


NOT_GROWN = Grown([], [])


class MemoryFeatures(Stateful):
    """Encoder, memories and running moments; see the module for the equations.

    Parameters
    ----------
    memories
        The memories by name, in the order of their reads.
    n_lags
        Number of target lags in u.
    n_long
        Number of target lags that the readout gets beside them.
    context
        Names of the numbers that the task keeps with every step.
    hidden
        Tells the names of features that only the readout sees, neither the memories nor the long
        part.
    max_features, categorical
        Those of the encoder; computed features do not count.
    computed
        Tells the names of features that are no part of x; None for those that are hidden.
    moves
        Whether the long part holds the last move of every input as well: how far it is from the
        step before, 0 where there was none.
    n_history
        Length of the target's history in the part that trees see; 0 for no such part.

    Attributes
    ----------
    states
        The state of every memory.
    """

    # made again when it is asked for: no part of what is saved, copied or compared
    _layout: Layout | None = None

    def __init__(
        self,
        memories: Mapping[str, Memory],
        n_lags: int = 0,
        n_long: int = 0,
        context: Sequence[str] = (),
        hidden: Callable[[Hashable], bool] | None = None,
        max_features: int | None = None,
        categorical: Any = None,
        computed: Callable[[Hashable], bool] | None = None,
        moves: bool = False,
        n_history: int = 0,
    ) -> None:
        computed = hidden if computed is None else computed
        self.encoder = Encoder(max_features, categorical, pinned=computed)
        self.memories = dict(memories)
        self.states = {name: memory.init_state() for name, memory in memories.items()}
        self._place()
        self.moments = RunningMoments(self.n_reads)
        self._n_retrieved = memories["retrieved"].n_outputs if "retrieved" in memories else 0
        self._has_situation = any(memory.view == "situation" for memory in memories.values())
        self._n_lags = n_lags
        self._n_long = n_long
        self._context = tuple(context)
        self._hidden = hidden
        self._computed = computed
        self._moves = moves
        self._n_history = n_history
        # inputs of the long part in the last step, and those of trees
        self._before = _NOTHING
        self._came_before = _NOTHING
        # lags join the inputs together with the first features: d counts both
        self._lags_in = 0
        # columns of u for the memories; None for all of them
        self._visible: NDArray[np.intp] | None = None
        # columns of the inputs for retrieval, the long part and trees; None for all of them
        self._shown: NDArray[np.intp] | None = None

    def _place(self) -> None:
        """Give the memories their columns among the reads."""
        self.n_reads = 0
        self._slots: list[tuple[str, Memory, slice]] = []
        for name, memory in self.memories.items():
            start, self.n_reads = self.n_reads, self.n_reads + memory.n_outputs
            self._slots.append((name, memory, slice(start, self.n_reads)))
        self._learners = [(name, memory) for name, memory in self.memories.items() if memory.learns]

    def transfer(self, io: Writer, *_: Any) -> None:
        self.encoder = io.child("encoder", self.encoder)
        self._lags_in = io.integer("n_lags", self._lags_in)
        n_inputs = len(self.encoder)
        io.check(
            self._lags_in == self._n_lags or not (self._lags_in or n_inputs), "n_lags does not fit"
        )
        if io.reading:
            self._layout = None
            self._show()
        own = [
            name for name in self.encoder.names if self._hidden is None or not self._hidden(name)
        ]
        inputs = [f"lag:{i + 1}" for i in range(self._lags_in)] + list(map(canonical_name, own))
        drawn = io.below("memories")
        self.memories = {
            name: memory.transfer(drawn.below(name), inputs)
            for name, memory in self.memories.items()
        }
        self._place()
        self.states = {
            name: memory.transfer_state(drawn.below(name), self.states[name], n_inputs)
            for name, memory in self.memories.items()
        }
        self.moments = io.child("moments", self.moments, self.n_reads + n_inputs)
        if self._moves:
            self._before = io.array("before", self._before, None)
            io.check(len(self._before) <= n_inputs, "before is wider than there are inputs")
        if self._n_history:
            self._came_before = io.array("came_before", self._came_before, None, finite=False)
            io.check(len(self._came_before) <= n_inputs, "came_before is wider than the inputs")
            io.check(not np.isinf(self._came_before).any(), "came_before is infinite")

    def check_size(self, n_lags: int, parameters: Mapping[str, Any]) -> None:
        """Raise ``ValueError`` if these parameters make more features than a readout can take.

        ``n_lags`` is the number of features that past labels make.
        """
        n_features = self.n_reads + 1 + n_lags
        check_product(MOST_FEATURES, "features of the readout", n_features, **parameters)

    def names(self) -> list[str]:
        """What each feature of the readout is [p]."""
        return [
            *(f"{name} {i}" for name, memory, _ in self._slots for i in range(memory.n_outputs)),
            "bias",
            *(f"y lag {i + 1}" for i in range(self._lags_in)),
            *(str(name) for name in self.encoder.names),
        ]

    def layout(self, n_answers: int) -> Layout:
        """Where things stand in an evidence with so many answers."""
        layout = self._layout
        if layout is None or layout.n_answers != n_answers:
            layout = self.layout_of(self._lags_in, len(self.encoder), n_answers)
            self._layout = layout
        return layout

    def layout_of(self, n_lags: int, n_inputs: int, n_answers: int) -> Layout:
        """Where things stood when there were so many lags and inputs."""
        return Layout(
            self.n_reads,
            self._n_retrieved,
            n_lags,
            n_inputs,
            self._n_long,
            self._has_situation,
            self._context,
            n_answers,
            None if self._shown is None else self._shown[: np.searchsorted(self._shown, n_inputs)],
            self._moves,
            self._n_history,
        )

    @property
    def n_lags_in(self) -> int:
        """Number of target lags among the inputs; 0 before the first step."""
        return self._lags_in

    def propose(
        self,
        encoded: Encoded,
        lags: Array = _NOTHING,
        delta: float = 0.0,
        n_answers: int = 0,
        history: Array = _NOTHING,
    ) -> Step:
        """The step that an encoded x would make.

        Parameters
        ----------
        encoded
            The input as columns.
        lags
            Standardised past targets, as many as the longest part takes.
        delta
            The last step of the target, standardised.
        n_answers
            Room for the answers of the readout.
        history
            The target's history for trees.
        """
        values, n_reads, n_lags = encoded.values, self.n_reads, self._lags_in
        mean, divisor = self.moments.mean, self.moments.divisor
        layout = self.layout(n_answers)
        buffer = np.empty(layout.size)
        raw = np.empty(n_reads + len(values))
        raw[n_reads:] = values
        buffer[n_reads] = 1.0
        if n_lags:
            buffer[n_reads + 1 : n_reads + 1 + n_lags] = lags[:n_lags]
        scaled = buffer[layout["inputs"]]
        standardise(values, mean[n_reads:], divisor[n_reads:], INPUT_LIMIT, scaled)
        if not encoded.complete:
            scaled[values != values] = 0.0
        shown = scaled if self._shown is None else scaled[self._shown]
        if self._has_situation:
            situation = buffer[layout["situation"]]
            situation[0] = delta
            situation[1:] = shown

        proposals = {}
        if self._slots:
            token = buffer[layout["token"]]
            if self._visible is not None:
                token = token[self._visible]
            for name, memory, columns in self._slots:
                seen = token if memory.view == "token" else situation
                raw[columns], proposals[name] = memory.propose(seen, self.states[name])
            standardise(
                raw[:n_reads], mean[:n_reads], divisor[:n_reads], READ_LIMIT, buffer[:n_reads]
            )
        n_long = self._n_long
        if n_long:
            long = buffer[layout["long"]]
            long[:n_long] = lags[:n_long]
            long[n_long] = 1.0
            if self._moves:
                long[n_long + 1 :: 2] = shown
                before, moves = self._before, long[n_long + 2 :: 2]
                moves[: len(before)] = shown[: len(before)] - before
                moves[len(before) :] = 0.0
            else:
                long[n_long + 1 :] = shown
        n_history = self._n_history
        if n_history:
            seen, before = buffer[layout["boosted"]], self._came_before
            seen[:n_history] = history
            seen[n_history::2] = values if self._shown is None else values[self._shown]
            seen[n_history + 1 :: 2] = math.nan
            seen[n_history + 1 : n_history + 2 * len(before) : 2] = before
        if self._n_retrieved:
            start = layout["retrieved 0"]
            buffer[start : start + self._n_retrieved] = raw[: self._n_retrieved]
        evidence = Evidence(buffer, layout, self.encoder.n_evicted)
        return Step(values.tobytes(), evidence, Transition(encoded, raw, proposals))

    def learn(self, evidence: Evidence, label: float) -> None:
        """Let the memories that want labels have one, in units of the readout."""
        for name, memory in self._learners:
            self.states[name] = memory.learn(self.states[name], evidence[memory.view], label)

    def refresh(self, evidence: Evidence) -> None:
        """Take out of what waited the features whose columns belong to others by now."""
        if evidence.n_evicted < self.encoder.n_evicted:
            layout = evidence.layout
            inputs = self.encoder.recycled_since(evidence.n_evicted, layout.n_inputs)
            for part in ("inputs", "situation", "long", "boosted"):
                if not len(evidence[part]):
                    continue
                rows = evidence[part].reshape(layout.n_rows(part), -1)
                unknown = math.nan if part == "boosted" else 0.0
                for column in inputs.tolist():
                    rows[:, layout.places(part, column)] = unknown

    def commit(self, step: Step) -> Grown:
        """Make a step the past; what the readout has to do about its features."""
        transition = step.transition
        encoded, raw = transition.encoded, transition.raw
        constant = self.moments.divisor[self.n_reads :] == np.inf if encoded.new else None
        entered = self.encoder.enter(encoded, constant)
        grown = NOT_GROWN
        if encoded.new or self._lags_in < self._n_lags:
            grown = self._grow(entered)
            columns = [column for column, _ in entered.recycled]
            names = self.encoder.names
            appended = names[len(names) - len(entered.appended) :]
            raw = np.concatenate([raw, [encoded.new[name] for name in appended]])
            for column in columns:
                raw[self.n_reads + column] = encoded.new[names[column]]
        self.moments.update(raw, encoded.complete)
        self.follow(step)
        return grown

    def branch(self) -> MemoryFeatures:
        """A copy for looking ahead: ``follow`` moves it on and leaves the original as it is."""
        branch = copy.copy(self)
        branch.states = {name: memory.branch(self.states[name]) for name, memory, _ in self._slots}
        return branch

    def follow(self, step: Step) -> None:
        """Let time pass: the memories take a step in, moments and columns stay."""
        for name, proposal in step.transition.proposals.items():
            self.states[name] = self.memories[name].commit(self.states[name], proposal)
        if self._moves:
            self._before = step.evidence["long"][self._n_long + 1 :: 2].copy()
        if self._n_history:
            came = step.transition.encoded.values
            self._came_before = (
                came if self._shown is None else came[self._shown[self._shown < len(came)]]
            )

    def reset(self) -> None:
        """Forget the stream; moments and columns stay."""
        self._before = self._came_before = _NOTHING
        self.states = {name: memory.init_state() for name, memory, _ in self._slots}

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_layout", None)
        return state

    def _grow(self, entered: Entered) -> Grown:
        n_lags = self._n_lags - self._lags_in
        columns, names = entered.appended, self.encoder.names
        kinds = ["input"] * len(columns)
        inputs = columns
        if self._hidden is not None:
            fresh = [not self._hidden(name) for name in names[len(names) - len(columns) :]]
            kinds = ["input" if show else "hidden" for show in fresh]
            inputs = [column for column, show in zip(columns, fresh, strict=True) if show]
        for memory in self.memories.values():
            memory.add_inputs([*(f"lag:{i + 1}" for i in range(n_lags)), *inputs])
        self.moments.append(len(columns))
        self._lags_in = self._n_lags
        self._layout = None
        self._show()
        self._renew(entered.recycled)
        return Grown(["lag"] * n_lags + kinds, [column for column, _ in entered.recycled])

    def _renew(self, recycled: Sequence[tuple[int, str]]) -> None:
        """Let columns be those of other names: nothing is known of them."""
        self.moments.renew([self.n_reads + column for column, _ in recycled])
        for column, canonical in recycled:
            situation = self.layout(0).places("situation", column)
            place = self._lags_in + column
            token = place if self._visible is None else int(np.searchsorted(self._visible, place))
            for name, memory in self.memories.items():
                i = token if memory.view == "token" else situation[0]
                self.states[name] = memory.renew_input(i, canonical, self.states[name])

    def _show(self) -> None:
        """Decide what the memories see."""
        if self._hidden is not None:
            shown = [True] * self._lags_in
            shown += [not self._hidden(name) for name in self.encoder.names]
            self._visible = None if all(shown) else np.flatnonzero(shown)
            inputs = shown[self._lags_in :]
            self._shown = None if all(inputs) else np.flatnonzero(inputs)


def check_sizes(io: Writer, features: MemoryFeatures, readout: ExpertPool) -> None:
    """Raise ``StateError`` if experts have not as many weights as there are features."""
    layout = features.layout(0)
    for name, part, learner in readout.experts:
        if learner is not None:
            n, n_features = learner.rls.n_features, layout[part].stop - layout[part].start
            io.check(n == n_features, f"readout.{name} has {n} weights for {n_features} features")
    if isinstance(readout, BoostedMixture | BoostedClassMixture):
        seen = layout["boosted"].stop - layout["boosted"].start + readout.n_opinions
        io.check(readout.boosted.width <= seen, f"readout.trees.rows: wider than {seen} features")
