r"""Layers of the softmax family as memories of an estimator.

.. math::

    h_t = W u_t, \qquad (o_t, s_t) = \text{core}(h_t, s_{t-1})

W [d_model, d] has a column for every input, drawn by its name as those of the linear heads, so that
inputs may come at any time and in any order. The weights of the core are drawn as well and stay;
what is to be learned of the stream is left to the readout. Three cores: attention over a window
with one age locked to each head, the same over latents, and an LSTM with attention behind it.

A core may be float32; W, and all that readouts see, stay float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import LARGEST_ARRAY, check_choice, check_int, check_product
from ..state import Writer
from .blocks import Activation, Sequential, TransformerBlock
from .cached import Cached
from .caches import PagedKVCache, PagePool, RingKVCache
from .grouped_query import GroupedQueryAttention
from .latent import MultiHeadLatentAttention
from .lstm import LSTM
from .protocol import Drawn
from .trained import Dense, Layer, check_dtype

Array = NDArray[np.float64]

CORES = ("window", "latent", "lstm")
_LOCK = 8.0
ROPE_BASE = 100.0


def build_core(
    kind: str,
    seed: int,
    *,
    window_size: int = 32,
    n_heads: int = 4,
    head_dim: int = 8,
    n_layers: int = 1,
    n_kv_heads: int | None = None,
    ffn_dim: int | None = None,
    position: str | None = "relative",
    qk_norm: str | None = None,
    kv_lora_dim: int = 8,
    rope_pairs: int = 2,
    lstm_hidden: int = 32,
    mlp_sizes: tuple[int, ...] | None = None,
    dtype: str = "float64",
    locked: bool = True,
) -> Sequential:
    """The layers of a kind, ``n_layers`` of attention; the last one gives its heads side by side.

    ``locked`` locks an age to each head of the last layer, where its positions are relative.
    """
    check_choice("kind", kind, CORES)
    for name, value in (("window_size", window_size), ("n_heads", n_heads), ("n_layers", n_layers)):
        check_int(name, value, 1)
    check_int("head_dim", head_dim, 1)
    check_dtype(dtype)
    d_model = n_heads * head_dim
    check_product(
        LARGEST_ARRAY, "entries of state", 2 * d_model * window_size * n_layers,
        n_heads=n_heads, head_dim=head_dim, window_size=window_size, n_layers=n_layers,
    )  # fmt: skip
    layers: list[Layer] = []
    width = d_model
    if kind == "lstm":
        width = check_int("lstm_hidden", lstm_hidden, 1)
        layers.append(LSTM(d_model, width, seed=seed, dtype=dtype))
        if width != d_model:
            layers.append(Dense(width, d_model, seed=seed, dtype=dtype))

    def attention(i: int, out_proj: bool) -> Layer:
        if kind == "latent":
            return MultiHeadLatentAttention(
                d_model,
                n_heads,
                head_dim,
                check_int("kv_lora_dim", kv_lora_dim, 1),
                2 * check_int("rope_pairs", rope_pairs, 0),
                window_size=window_size,
                rope_base=ROPE_BASE,
                out_proj=out_proj,
                dtype=dtype,
                seed=seed + i,
            )
        return GroupedQueryAttention(
            d_model,
            n_heads,
            n_kv_heads,
            head_dim,
            window_size=window_size,
            qk_norm=qk_norm,
            position=position,
            rope_base=ROPE_BASE,
            out_proj=out_proj,
            dtype=dtype,
            seed=seed + i,
        )

    layers += [
        TransformerBlock(attention(i, True), ffn_dim=ffn_dim, seed=seed + i)
        for i in range(n_layers - 1)
    ]
    last = attention(n_layers - 1, False)
    if locked and isinstance(last, GroupedQueryAttention) and position == "relative":
        last.lock_lags(_LOCK)
    layers.append(last)
    width = d_model
    for size in mlp_sizes or ():
        layers += [
            Dense(width, check_int("mlp_sizes", size, 1), seed=seed, dtype=dtype),
            Activation(size, "relu", dtype),
        ]
        width = size
    return Sequential(tuple(layers))


def last_attention(core: Sequential) -> tuple[Any, int]:
    """The last layer of attention of a core, and its number."""
    i = max(i for i, layer in enumerate(core.layers) if isinstance(layer, Cached))
    return core.layers[i], i


class SequenceMemory(Drawn):
    """Layers of the softmax family as a memory; see the module.

    Parameters
    ----------
    kind
        "window", "latent" or "lstm".
    seed
        Seed of all weights.
    options
        Those of :func:`build_core`.

    Examples
    --------
    >>> import numpy as np
    >>> memory = SequenceMemory("window", window_size=4, n_heads=2, head_dim=3)
    >>> memory.add_inputs(["a", "b"])
    >>> read, state = memory.propose(np.ones(2), memory.init_state())
    >>> read.shape
    (6,)
    """

    label = "sequence"

    def __init__(self, kind: str, seed: int = 42, **options: Any) -> None:
        self.kind, self.seed, self.options = kind, seed, options
        self._begin()

    def _begin(self) -> None:
        self.core = build_core(self.kind, self.seed, **self.options)
        super()._begin()

    def scale(self, fan_in: int) -> Array:
        """Deviation of the weights of a column: the root of one over the fan-in."""
        return np.full(self.core.d_in, 1.0 / math.sqrt(fan_in))

    @property
    def n_outputs(self) -> int:
        """Length of a read."""
        return self.core.n_outputs

    def init_state(self) -> Any:
        """The state of the core before the first step."""
        return self.core.init_state()

    def propose(self, x: Array, state: Any) -> tuple[Array, Any]:
        """One step: input [d] and state to read and proposal."""
        read, proposal = self.core.propose(self.weights.dot(x), state)
        return read.astype(np.float64, copy=False), proposal

    def commit(self, state: Any, proposal: Any) -> Any:
        """The state after the step of a proposal."""
        return self.core.commit(state, proposal)

    def branch(self, state: Any) -> Any:
        """A copy that may advance while the original stays as it is."""
        return self.core.branch(state)

    def forward(self, X: Array, state: Any) -> tuple[Array, Any]:
        """A sequence: inputs [T, d] and state to reads and final state."""
        reads, final = self.core.forward(X @ self.weights.T, state)
        return reads.astype(np.float64, copy=False), final

    def transfer_state(self, io: Writer, state: Any, n_inputs: int) -> Any:
        """Rings and arrays of the layers, by number."""
        return [transfer_layer(io.below(str(i)), own) for i, own in enumerate(state)]

    def attention_weights(self, x: Array, state: Any) -> Array:
        """What the last layer of attention would look at by age [H, n], the step itself first."""
        h = self.weights.dot(x)
        layer, last = last_attention(self.core)
        for before, own in zip(self.core.layers[:last], state, strict=False):
            h, _ = before.propose(h, own)
        weights: Array = layer.attention_weights(h, state[last])
        return weights


def pooled(states: list[Any], pool: PagePool) -> list[Any]:
    """The states of layers with their caches in pages of a pool.

    Raises
    ------
    ValueError
        If the pool has pages for other rows.
    """
    for own in states:
        if not isinstance(own, RingKVCache):
            continue
        if own.fields != pool.fields:
            raise ValueError(f"pool has fields {pool.fields}: expected {own.fields}")
        if pool.dtype not in (own.dtype, "float16"):
            raise ValueError(f"pool has dtype={pool.dtype!r}: expected {own.dtype!r} or 'float16'")
    return [PagedKVCache.of(pool, own) if isinstance(own, RingKVCache) else own for own in states]


def transfer_layer(io: Writer, state: Any) -> Any:
    """The state of one layer as plain data."""
    if state is None:
        return None
    if isinstance(state, RingKVCache):
        ring = io.child("ring", state)
        for field, rows in state.view().items():
            io.check(ring[field].shape[1:] == rows.shape[1:], f"ring.{field} has another width")
        if io.reading:
            ring.looked = None
        return ring
    if isinstance(state, PagedKVCache):
        return io.child("ring", state)
    return io.array("state", state, *state.shape)
