r"""Models as bytes and files: no code inside, a checksum over everything, safe from strangers.

::

    RIVERATT  major  0 0 0  length of the header  length of the arrays  checksum (16 bytes)
    header: JSON, deflated     arrays: little-endian, one after the other

The numbers of the first line are little-endian: the major version one byte, the lengths eight bytes
each; the checksum is SHA-256, cut, over all the rest of the file. The header holds the class, its
``get_config()``, the entries of ``get_state()`` that are no arrays, and of each array its name,
kind (``f8``, ``f4``, ``c16``, ``c8``; ``f8z40`` where its numbers are deflated to 40 bytes) and
shape. A file is read by every version of the library with the same major version of the format.

Lengths and checksum are looked at before anything is inflated, so what is damaged by accident is
found before it is used; sizes are compared with those of the file before they are believed, so
nothing a file says makes loading it allocate more than a small multiple of its length.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import os
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from river import optim

from .config import to_plain
from .modes import CLASSES, Mode
from .state import State, StateError

MAGIC = b"RIVERATT"
MAJOR = 1

_PREAMBLE = struct.Struct("<8sB3xQQ16s")
_KINDS: dict[str, Any] = {kind: np.dtype(f"<{kind}") for kind in ("f8", "f4", "c16", "c8", "i4")}
_COMPACT = {"f8": "f4", "c16": "c8"}
_REGISTRY: dict[str, type] = {}
# deflate makes a thousand bytes of one at most; what a header says is not so uniform
_LARGEST_RATIO = 100
_SMALL = 1 << 16
# small arrays are deflated where it pays, as it does for priors and counts; not more than this in
# all, for nothing else makes a model larger than its file
_MOST_DEFLATED = 1 << 15
_LARGEST_DEFLATED = 1 << 12
_WORTH_IT = 0.75

Model = TypeVar("Model", bound="Saved")


class FileError(StateError):
    """Bytes that are no model of this library, or a damaged one; the message says which."""


class Saved:
    """Part of estimators that can be kept in files."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("river_attention."):
            _REGISTRY[cls.__name__] = cls

    def to_bytes(self, dtype: str = "float64") -> bytes:
        """The model as bytes, see :mod:`river_attention.files`.

        Parameters
        ----------
        dtype
            "float64": the loaded model continues to the last bit. "float32": arrays take half of
            the room, and predictions change in about the seventh digit.

        Raises
        ------
        StateError
            If something is no plain data: a mode or drift detector of your own, a feature name or
            class that is no string, number, date, bytes or tuple of these.
        """
        if dtype not in ("float64", "float32"):
            raise ValueError(f"dtype={dtype!r}: must be 'float64' or 'float32'")
        return _pack(self, compact=dtype == "float32")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The model that ``to_bytes`` gave.

        Raises
        ------
        FileError
            If the bytes are cut off, damaged, of something else, or of a future version.
        """
        model = from_bytes(data)
        if not isinstance(model, cls):
            raise FileError(f"these bytes hold a {type(model).__name__}, no {cls.__name__}")
        return model

    def save(self, path: str | os.PathLike[str], dtype: str = "float64") -> None:
        """Write the model to a file, all of it or nothing, whatever happens meanwhile.

        Parameters
        ----------
        path
            The file; one that is there is replaced.
        dtype
            That of ``to_bytes``.
        """
        write_whole(Path(path), self.to_bytes(dtype))


def from_bytes(data: bytes) -> Any:
    """The model that ``model.to_bytes()`` gave, of whichever class.

    Raises
    ------
    FileError
        If the bytes are cut off, damaged, of something else, or of a future version.

    Examples
    --------
    >>> from river_attention import RLSRegressor, from_bytes
    >>> model = RLSRegressor()
    >>> model.learn_one({"a": 1.0}, 2.0)
    >>> again = from_bytes(model.to_bytes())
    >>> again.predict_one({"a": 3.0}) == model.predict_one({"a": 3.0})
    True
    """
    name, config, state = _unpack(bytes(data))
    kind: Any = _REGISTRY.get(name)
    if kind is None:
        raise FileError(f"the file holds a {name!r:.80}, which this version does not know")
    try:
        model = kind.from_config(config)
    except (ValueError, TypeError) as error:
        raise FileError(f"the configuration does not fit a {name}: {error}") from None
    try:
        model.set_state(state)
    except StateError as error:
        raise FileError(f"the state does not fit a {name}: {error}") from None
    return model


def load(path: str | os.PathLike[str]) -> Any:
    """The model that ``model.save(path)`` wrote, of whichever class.

    Raises
    ------
    FileError
        If the file is cut off, damaged, of something else, or of a future version.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from river_attention import StreamingAttentionRegressor, load
    >>> model = StreamingAttentionRegressor()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.bin")
    ...     model.save(path)
    ...     load(path).predict_one({"a": 1.0})
    0.0
    """
    data = Path(path).read_bytes()
    try:
        return from_bytes(data)
    except FileError as error:
        raise FileError(f"{os.fspath(path)}: {error}") from None


def _pack(model: Any, compact: bool) -> bytes:
    plain: dict[str, Any] = {}
    kinds: dict[str, Any] = {}
    parts: list[Any] = []
    room = _MOST_DEFLATED
    for entry, value in model.get_state().items():
        if not isinstance(value, np.ndarray):
            plain[entry] = value
            continue
        kind = f"{value.dtype.kind}{value.dtype.itemsize}"
        if compact and kind in _COMPACT and _fits_float32(value):
            kind = _COMPACT[kind]
        numbers = np.ascontiguousarray(value, _KINDS[kind])
        data: Any = numbers.reshape(-1).view(np.uint8).data
        if numbers.nbytes <= min(room, _LARGEST_DEFLATED) and _repeats(numbers):
            deflated = zlib.compress(data, 6)
            if len(deflated) < _WORTH_IT * numbers.nbytes:
                room -= numbers.nbytes
                kind, data = f"{kind}z{len(deflated)}", deflated
        kinds[entry] = [kind, *value.shape]
        parts.append(data)
    name = type(model).__name__
    content = {
        "class": name,
        "config": {key: _config_value(key, value) for key, value in model.get_config().items()},
        "state": plain,
        "arrays": kinds,
    }
    if _REGISTRY.get(name) is not type(model):
        raise StateError(
            f"{name} is a class of your own, which a file cannot hold: save "
            "get_config() and get_state()"
        )
    header = zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 6)
    lengths = struct.pack("<B3xQQ", MAJOR, len(header), sum(map(len, parts)))
    check = _checksum(lengths, header, *parts)
    return b"".join([MAGIC, lengths, check, header, *parts])


def _repeats(numbers: np.ndarray) -> bool:
    """Whether many numbers have a last byte in common, as equal ones and whole ones have.

    Only then may deflating them pay, and looking is ten times as fast.
    """
    return len(set(numbers.tobytes()[:: numbers.itemsize])) <= numbers.size // 2


def _fits_float32(value: np.ndarray) -> bool:
    size = np.abs(value[value != 0])
    size = size[np.isfinite(size)]
    return not size.size or (size.max() < 1e37 and size.min() > 1e-37)


def _config_value(name: str, value: Any) -> Any:
    """A constructor argument, if it can be built again where the file is read."""
    for item in _objects(value):
        if not _may_be_built(item):
            raise StateError(
                f"{name}={value!r:.200}: {item} is no class of this library; a file cannot hold it"
            )
    return to_plain(value)


def _may_be_built(name: Any) -> bool:
    """Whether a file may name a class: a mode, an optimizer of river, a schedule of one."""
    return name in CLASSES or name in _optimizers()


@functools.cache
def _optimizers() -> frozenset[str]:
    kinds = [*vars(optim).values(), *vars(optim.schedulers).values()]
    bases = (optim.base.Optimizer, optim.base.Scheduler)
    return frozenset(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, bases)
    )


def _objects(value: Any) -> list[Any]:
    """The classes in plain data."""
    if isinstance(value, Mode):
        return [type(value).__name__]
    if isinstance(value, dict):
        own = [value["class"]] if "class" in value else []
        return own + [item for inner in value.values() for item in _objects(inner)]
    if isinstance(value, (list, tuple)):
        return [item for inner in value for item in _objects(inner)]
    return []


def _checksum(*parts: bytes | memoryview) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()[:16]


def _unpack(data: bytes) -> tuple[str, dict[str, Any], State]:
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        raise FileError("this is no model of river-attention")
    if len(data) < _PREAMBLE.size:
        raise FileError(f"the file is cut off after {len(data)} bytes")
    _, major, n_header, n_arrays, check = _PREAMBLE.unpack_from(data)
    if major != MAJOR:
        raise FileError(
            f"the file has the format {major}, this version reads {MAJOR}: upgrade river-attention"
            if major > MAJOR
            else f"the file is damaged: there is no format {major}"
        )
    start = _PREAMBLE.size
    if start + n_header + n_arrays != len(data):
        problem = "cut off" if start + n_header + n_arrays > len(data) else "too long"
        raise FileError(f"the file is {problem}: {len(data)} bytes")
    view = memoryview(data)
    header, arrays = view[start : start + n_header], view[start + n_header :]
    if check != _checksum(view[len(MAGIC) : start - 16], header, arrays):
        raise FileError("the file is damaged: its checksum is wrong")
    # from here on only a file that was made on purpose can be wrong
    try:
        inflate = zlib.decompressobj()
        text = inflate.decompress(header, _SMALL + _LARGEST_RATIO * n_header)
        content = json.loads(text)
        name, config = content["class"], content["config"]
        state, kinds = dict(content["state"]), content["arrays"]
        if not inflate.eof or state.keys() & kinds.keys() or not isinstance(name, str):
            raise ValueError
        if not all(map(_may_be_built, _objects(config))):
            raise ValueError
        position, room = 0, _MOST_DEFLATED
        for entry, (kind, *shape) in kinds.items():
            if not all(type(n) is int and n >= 0 for n in shape):
                raise ValueError
            plain, deflates, n_deflated = kind.partition("z")
            dtype, n_numbers = _KINDS[plain], math.prod(shape)
            n_bytes = n_numbers * dtype.itemsize
            end = position + (int(n_deflated) if deflates else n_bytes)
            if not position <= end <= n_arrays:
                raise ValueError
            numbers = arrays[position:end]
            if deflates:
                room -= n_bytes
                numbers = _inflated(numbers, n_bytes, room)
            # views: set_state copies
            state[entry] = np.frombuffer(numbers, dtype, n_numbers).reshape(shape)
            position = end
        if position != n_arrays:
            raise ValueError
    except (zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FileError("the file was not written by this library: its header is wrong") from None
    return name, config, state


def _inflated(data: memoryview, n_bytes: int, room: int) -> memoryview:
    """What was deflated, if it is as long as it should be and there is room for it."""
    if room < 0:
        raise ValueError
    inflate = zlib.decompressobj()
    found = inflate.decompress(data, n_bytes + 1)
    if len(found) != n_bytes or not inflate.eof:
        raise ValueError
    return memoryview(found)


def write_whole(path: Path, data: bytes) -> None:
    """All of it or nothing: written beside, forced to the disk, then renamed."""
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):
            # a temporary file is for its owner only: take the rights of the one it replaces
            os.chmod(beside, os.stat(path).st_mode & 0o777 if path.exists() else _default_mode())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    if hasattr(os, "O_DIRECTORY"):
        with contextlib.suppress(OSError):
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _default_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
