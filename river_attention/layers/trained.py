r"""Layers whose weights can be learned: the protocol of memories, and gradients.

.. math::

    (Y, S_T, c) = \text{forward}(X, S_0), \qquad
    (dX, d\theta) = \text{backward}(dY, c)

A layer holds its weights in one flat vector ``theta`` and the gradients of them in another; the
arrays that it calls by name are views on these, so an optimizer needs one vector only. The state
belongs to whoever owns it, as for all memories; what a backward pass needs is in the context that
``forward`` returns, and the state that a sequence begins with is taken as constant.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .._validation import check_choice, check_int, check_number, check_seed
from ..functional import qk_norm, qk_norm_backward
from ..naming import generator

Array = NDArray[Any]


class Layer:
    """A layer with weights; a subclass says its shapes, how they are drawn, and what it does.

    Attributes
    ----------
    theta, gradient
        All weights and all gradients as flat vectors.
    dtype
        Of these, of reads and of the state: "float64" or "float32". Weights of one seed are the
        same, but for rounding.
    d_in, n_outputs
        Length of an input and of a read.
    """

    d_in: int
    n_outputs: int
    dtype = "float64"
    theta: Array
    gradient: Array
    _views: tuple[str, ...] = ("p", "g", "gradient")

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """The weights of the layer itself, in the order in which they stand in ``theta``."""
        return {}

    def _children(self) -> dict[str, Layer]:
        """The layers that this one is made of."""
        return {}

    def _begin(self, seed: int | None) -> None:
        """Make and draw the weights."""
        seed = check_seed(seed)
        size = sum(math.prod(shape) for shape in self._shapes().values())
        size += sum(len(child.theta) for child in self._children().values())
        for label, child in self._children().items():
            if child.dtype != self.dtype:
                raise ValueError(
                    f"{label} has dtype={child.dtype!r}, the others {self.dtype!r}: all need one"
                )
        theta = np.zeros(size, self.dtype)
        start = size - sum(len(child.theta) for child in self._children().values())
        for child in self._children().values():
            theta[start : start + len(child.theta)] = child.theta
            start += len(child.theta)
        self._bind(theta, np.zeros_like(theta))
        rng = np.random.default_rng() if seed is None else generator(seed, type(self).__name__)
        self._draw(rng)

    def _draw(self, rng: np.random.Generator) -> None:
        """Matrices [out, in] with variance 1 / in, gains 1, everything else 0."""
        for name, value in self.p.items():
            if value.ndim == 2:
                value[:] = rng.normal(size=value.shape) / math.sqrt(max(value.shape[1], 1))
            elif name.endswith(("norm", "gain")):
                value[:] = 1.0

    def _bind(self, theta: Array, gradient: Array) -> None:
        """Let all weights and gradients be parts of these vectors."""
        self.theta, self.gradient = theta, gradient
        self.p: dict[str, Array] = {}
        self.g: dict[str, Array] = {}
        start = 0
        for name, shape in self._shapes().items():
            stop = start + math.prod(shape)
            self.p[name] = theta[start:stop].reshape(shape)
            self.g[name] = gradient[start:stop].reshape(shape)
            start = stop
        for child in self._children().values():
            stop = start + len(child.theta)
            child._bind(theta[start:stop], gradient[start:stop])
            start = stop

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name not in self._views}
        return state | {"theta": self.theta.copy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bind(self.theta, np.zeros_like(self.theta))

    def parameters(self) -> dict[str, Array]:
        """The weights by name, views: to write into them is to change the layer."""
        return self._named("p")

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients by name, views; ``backward`` adds to them."""
        return self._named("g")

    def _named(self, kind: str) -> dict[str, Array]:
        named: dict[str, Array] = dict(getattr(self, kind))
        for label, child in self._children().items():
            named |= {f"{label}.{name}": value for name, value in child._named(kind).items()}
        return named

    def zero_grads(self) -> None:
        """Let all gradients be 0."""
        self.gradient[:] = 0.0

    def set_parameters(self, params: Mapping[str, Any]) -> None:
        """Take over all weights by name.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or a shape does not fit; nothing is changed then.
        """
        own = self.parameters()
        for name in [*own, *params]:
            if name not in params or name not in own:
                problem = "missing" if name in own else "unknown"
                raise ValueError(
                    f"{name} is {problem} among the parameters of {type(self).__name__}: "
                    f"expected {', '.join(own)}"
                )
            if np.shape(params[name]) != own[name].shape:
                raise ValueError(
                    f"{name} has shape {np.shape(params[name])}: expected {own[name].shape}"
                )
            with np.errstate(over="ignore"):
                value = np.asarray(params[name], self.dtype)
            if not np.isfinite(value).all():
                raise ValueError(f"{name} holds values that are not finite")
        for name, view in own.items():
            view[:] = params[name]

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        kind: Any = type(self)
        config = {}
        for name in inspect.signature(kind).parameters:
            value = getattr(self, name)
            if isinstance(value, Layer):
                value = {"class": type(value).__name__} | value.get_config()
            elif isinstance(value, tuple):
                value = [{"class": type(one).__name__} | one.get_config() for one in value]
            config[name] = value
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> Any:
        """A layer from what ``get_config`` gave, with given weights or with weights drawn anew.

        Raises
        ------
        ValueError
            If there is a key that is no argument of the constructor.
        """
        kind: Any = cls
        allowed = inspect.signature(kind).parameters
        for key in config:
            if key not in allowed:
                raise ValueError(
                    f"unknown key {key!r} for {cls.__name__}: allowed are {', '.join(allowed)}"
                )
        layer = kind(**{key: _build(value) for key, value in config.items()})
        if params is not None:
            layer.set_parameters(params)
        return layer

    @classmethod
    def from_params(cls, params: Mapping[str, Any], **config: Any) -> Any:
        """A layer with these weights; sizes that the weights tell need not be given."""
        return cls.from_config(cls._sizes(params, config) | config, params)

    @classmethod
    def _sizes(cls, params: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that the weights tell."""
        return {}

    def init_state(self) -> Any:
        """The state before the first step; None where nothing is remembered."""
        return None

    def propose(self, x: Array, state: Any) -> tuple[Array, Any]:
        """If x came next: the read, and a proposal for ``commit``. Changes nothing."""
        read, _ = self.forward(self._check_input(x)[None], state)
        return read[0], None

    def commit(self, state: Any, proposal: Any) -> Any:
        """The state after the step of a proposal; the old one must not be used any more."""
        return state

    advance = commit

    def branch(self, state: Any) -> Any:
        """A copy that may advance while the original stays as it is."""
        return state

    def step(self, x: Array, state: Any) -> tuple[Array, Any]:
        """The read of x and the state after it: ``propose``, then ``commit``."""
        read, proposal = self.propose(x, state)
        return read, self.commit(state, proposal)

    def forward(self, X: Array, state: Any = None, ctx: bool = False) -> Any:
        """A sequence [T, d_in] to reads [T, n_outputs] and final state; ``state`` stays as it is.

        With ``ctx`` the third result is what ``backward`` needs.
        """
        raise NotImplementedError

    def backward(self, d_reads: Array, ctx: Any) -> tuple[Array, dict[str, Array]]:
        """Gradient of the inputs, and ``grads`` after those of the weights were added."""
        raise NotImplementedError

    def _check_inputs(self, X: Any) -> Array:
        X = self._as_own(X)
        if X.ndim != 2 or X.shape[1] != self.d_in:
            raise ValueError(f"X has shape {X.shape}: expected [T, d_in] with d_in = {self.d_in}")
        return X

    def _check_input(self, x: Any) -> Array:
        x = np.asarray(x, self.theta.dtype)
        if x.shape != (self.d_in,):
            raise ValueError(f"x has shape {x.shape}: expected [d_in] = ({self.d_in},)")
        return x

    def _as_own(self, values: Any) -> Array:
        """An array of the layer's dtype."""
        return np.asarray(values, self.theta.dtype)

    def clone(self) -> Self:
        """A copy with weights of its own."""
        return copy.deepcopy(self)


def _build(value: Any) -> Any:
    """A layer where a configuration names one."""
    if isinstance(value, dict) and "class" in value:
        config = dict(value)
        kind = config.pop("class")
        kinds = {cls.__name__: cls for cls in _all(Layer)}
        if kind not in kinds:
            raise ValueError(f"class={kind!r}: must be one of {', '.join(sorted(kinds))}")
        return kinds[kind].from_config(config)
    return tuple(map(_build, value)) if isinstance(value, list) else value


def _all(cls: Any) -> list[Any]:
    return [kind for sub in cls.__subclasses__() for kind in (sub, *_all(sub))]


def positive(**sizes: Any) -> None:
    """Raise ``ValueError`` unless all sizes are integers of at least 1."""
    for name, value in sizes.items():
        check_int(name, value, 1)


def check_dtype(dtype: Any) -> str:
    """Raise ``ValueError`` unless it is "float64" or "float32"."""
    return check_choice("dtype", dtype, ("float64", "float32"))


class Dense(Layer):
    """y = W x + b, for every row.

    Examples
    --------
    >>> Dense.from_params({"W": [[1.0, 2.0]], "b": [0.5]}).forward([[3.0, 4.0]])[0]
    array([[11.5]])
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        bias: bool = True,
        seed: int | None = None,
        dtype: str = "float64",
    ) -> None:
        positive(d_in=d_in, d_out=d_out)
        self.d_in, self.d_out, self.bias, self.seed = d_in, d_out, bias, seed
        self.n_outputs, self.dtype = d_out, check_dtype(dtype)
        self._begin(seed)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"W": (self.d_out, self.d_in)}
        return shapes | ({"b": (self.d_out,)} if self.bias else {})

    @classmethod
    def _sizes(cls, params: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
        d_out, d_in = np.shape(params["W"])
        return {"d_in": d_in, "d_out": d_out, "bias": "b" in params}

    def forward(self, X: Array, state: Any = None, ctx: bool = False) -> Any:
        """Rows [T, d_in] to rows [T, d_out]."""
        X = self._check_inputs(X)
        Y = X @ self.p["W"].T
        if self.bias:
            Y += self.p["b"]
        return (Y, state, X) if ctx else (Y, state)

    def backward(self, d_reads: Array, ctx: Any) -> tuple[Array, dict[str, Array]]:
        """Gradients of input and weights."""
        d_reads = self._as_own(d_reads)
        self.g["W"] += d_reads.T @ ctx
        if self.bias:
            self.g["b"] += d_reads.sum(axis=0)
        return d_reads @ self.p["W"], self.grads


class _Norm(Layer):
    kind: str

    def __init__(self, d: int, eps: float = 1e-5, dtype: str = "float64") -> None:
        positive(d=d)
        self.eps = check_number("eps", eps, at_least=0.0)
        self.d, self.dtype = d, check_dtype(dtype)
        self.d_in = self.n_outputs = d
        self._begin(None)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"gain": (self.d,)}
        return shapes | ({"bias": (self.d,)} if self.kind == "layer" else {})

    @classmethod
    def _sizes(cls, params: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
        return {"d": len(params["gain"])}

    def forward(self, X: Array, state: Any = None, ctx: bool = False) -> Any:
        """Every row [T, d] normalised."""
        X = self._check_inputs(X)
        Y = qk_norm(X, self.kind, self.p["gain"], self.p.get("bias"), self.eps)
        return (Y, state, X) if ctx else (Y, state)

    def backward(self, d_reads: Array, ctx: Any) -> tuple[Array, dict[str, Array]]:
        """Gradients of input and weights."""
        d_reads = self._as_own(d_reads)
        dx, dgain, dbias = qk_norm_backward(d_reads, ctx, self.kind, self.p["gain"], self.eps)
        self.g["gain"] += dgain
        if "bias" in self.g:
            self.g["bias"] += dbias
        return dx, self.grads


class LayerNorm(_Norm):
    """Rows with mean 0 and variance 1, times a gain, plus a bias."""

    kind = "layer"


class RMSNorm(_Norm):
    """Rows with mean square 1, times a gain."""

    kind = "rms"
