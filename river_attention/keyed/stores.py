r"""Places for models that are not in memory: mappings from bytes to bytes that survive a kill.

Any ``MutableMapping[bytes, bytes]`` serves :class:`river_attention.keyed.KeyedModel`, a dict among
them. These two are on a disk. Either is for one process at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from ..files import write_whole


class Store(MutableMapping[bytes, bytes]):
    """A mapping on a disk, which is not copied with the model that uses it."""

    path: Path

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            f"{self!r} is on a disk, a copy would share it: call flush() and open a copy of the "
            "file or folder, or pickle a model with a dict for a store"
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"


class SqliteStore(Store):
    """One SQLite file, which changes with ``commit`` only: all that was written, or nothing.

    A process that is killed leaves what it committed last. As ``KeyedModel.flush`` commits, the
    file is always the models of one moment, and an item of your own that was set before, such as
    how far the input was read, is of the same moment.

    Parameters
    ----------
    path
        The file; made if it is not there.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = tempfile.TemporaryDirectory()
    >>> store = SqliteStore(pathlib.Path(folder.name, "models.db"))
    >>> store[b"a"] = b"1"
    >>> store.commit()
    >>> dict(store)
    {b'a': b'1'}
    >>> store.close()
    >>> folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._connection = sqlite3.connect(self.path)
        # after a loss of power the last commits may be gone, the file is whole
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        with self._connection:
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS models (key BLOB PRIMARY KEY, state BLOB NOT NULL)"
            )

    def __getitem__(self, key: bytes) -> bytes:
        row = self._connection.execute("SELECT state FROM models WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return bytes(row[0])

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._connection.execute("INSERT OR REPLACE INTO models VALUES (?, ?)", (key, value))

    def __delitem__(self, key: bytes) -> None:
        if not self._connection.execute("DELETE FROM models WHERE key = ?", (key,)).rowcount:
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        found = self._connection.execute("SELECT 1 FROM models WHERE key = ?", (key,))
        return found.fetchone() is not None

    def __iter__(self) -> Iterator[bytes]:
        keys = self._connection.execute("SELECT key FROM models ORDER BY key").fetchall()
        return (bytes(key) for (key,) in keys)

    def __len__(self) -> int:
        (n,) = self._connection.execute("SELECT count(*) FROM models").fetchone()
        return int(n)

    def commit(self) -> None:
        """Make everything that was written since the last time part of the file, at once."""
        self._connection.commit()

    def close(self) -> None:
        """Let go of the file; what was not committed is gone."""
        self._connection.close()


class FolderStore(Store):
    """A file per key, each of which is the old or the new one whenever a process is killed.

    Every item is on the disk when it was set. Items of different keys may be of different moments
    after a kill: where that matters take :class:`SqliteStore`.

    Files are ``ab/cdef...`` by the SHA-256 of their key, and hold the length of the key (4 bytes,
    little-endian), the key and the value.

    Parameters
    ----------
    path
        The folder; made if it is not there.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = FolderStore(folder)
    ...     store[b"a"] = b"1"
    ...     dict(FolderStore(folder))
    {b'a': b'1'}
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        for left_behind in self.path.glob("??/.*.tmp"):
            with contextlib.suppress(OSError):
                left_behind.unlink()

    def _file(self, key: bytes) -> Path:
        name = hashlib.sha256(key).hexdigest()
        return self.path / name[:2] / name[2:]

    def __getitem__(self, key: bytes) -> bytes:
        try:
            data = self._file(key).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None
        return data[4 + len(key) :]

    def __setitem__(self, key: bytes, value: bytes) -> None:
        file = self._file(key)
        file.parent.mkdir(exist_ok=True)
        write_whole(file, len(key).to_bytes(4, "little") + key + value)

    def __delitem__(self, key: bytes) -> None:
        try:
            self._file(key).unlink()
        except FileNotFoundError:
            raise KeyError(key) from None

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and self._file(key).exists()

    def _files(self) -> Iterator[Path]:
        return (file for file in self.path.glob("??/*") if not file.name.startswith("."))

    def __iter__(self) -> Iterator[bytes]:
        for path in sorted(self._files()):
            with path.open("rb") as file:
                yield file.read(int.from_bytes(file.read(4), "little"))

    def __len__(self) -> int:
        return sum(1 for _ in self._files())
