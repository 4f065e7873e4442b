"""Where the model of `serve` is kept: one file, whole whenever the process dies.

One model is a file of :mod:`river_attention.files`, replaced as a whole. One model per key is an
SQLite file, which changes with every snapshot at once; beside the models it says what they are.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config import to_plain
from ..files import FileError, from_bytes
from ..keyed import KeyedModel, SqliteStore
from . import models
from .errors import InputError, reason

SQLITE = b"SQLite format 3\0"
ABOUT = b"#about"
"""The entry that is no model: no key of a row is called so."""

MAX_KEYS = 1000


class Kept:
    """A model and its place.

    Parameters
    ----------
    kind
        "regressor" or "classifier".
    given
        Parameters of the model that were asked for.
    path
        The file; None if the model is not kept.
    key
        The column that tells series apart; None for one model.
    categorical
        Columns that are categories.
    late
        Whether labels may come later than their rows.

    Attributes
    ----------
    model
        The model, as it was kept if there was a file.
    resumed
        Whether there was one.
    """

    def __init__(
        self,
        kind: str,
        given: Mapping[str, Any],
        path: str | None,
        key: str | None,
        categorical: tuple[str, ...],
        late: bool,
    ) -> None:
        self.kind, self.path, self.key = kind, None if path is None else Path(path), key
        asked = dict(given) | ({"categorical": categorical} if categorical else {})
        asked["advance_on"] = "predict" if late else "learn"
        fresh = models.build(kind, asked)
        self.resumed = self.path is not None and self.path.exists()
        self._store: SqliteStore | None = None
        if self.path is not None and not self.path.resolve().parent.is_dir():
            raise InputError(f"--save {path}: there is no folder {self.path.parent}")
        try:
            if key is None:
                self.model = self._loaded(asked) if self.resumed else fresh
            else:
                self.model = self._opened(fresh, asked, key)
        except (OSError, sqlite3.Error, FileError, ValueError) as error:
            raise InputError(f"--save {path}: {reason(error)}") from None
        self.categorical: tuple[str, ...] = tuple(
            (self.model if key is None else self.model.model).categorical or ()
        )
        self.save()

    def save(self) -> None:
        """Write what was learned; a process that dies meanwhile leaves what was there before."""
        if self._store is not None:
            self.model.flush()
        elif self.path is not None:
            self.model.save(self.path)

    def close(self) -> None:
        """Let go of the file."""
        if self._store is not None:
            self._store.close()

    def _loaded(self, asked: Mapping[str, Any]) -> Any:
        assert self.path is not None
        data = self.path.read_bytes()
        if data.startswith(SQLITE):
            raise InputError(f"--save {self.path}: holds one model per key; say which --key it is")
        model = from_bytes(data)
        self._check_fits(type(model).__name__, model.get_config(), asked)
        return model

    def _opened(self, fresh: Any, asked: Mapping[str, Any], key: str) -> Any:
        if self.path is None:
            return KeyedModel(fresh, key)
        if self.resumed and not self.path.read_bytes()[: len(SQLITE)] == SQLITE:
            raise InputError(f"--save {self.path}: holds no models by key; leave --key out")
        self._store = SqliteStore(self.path)
        about = self._store.get(ABOUT)
        if about is None:
            config = fresh.get_config()
            text = json.dumps({"class": type(fresh).__name__, "config": config, "key": key})
            self._store[ABOUT] = text.encode()
        else:
            known = json.loads(about)
            if known["key"] != key:
                raise InputError(f"--save {self.path}: its models are of --key {known['key']}")
            self._check_fits(known["class"], known["config"], asked)
            fresh = type(fresh).from_config(known["config"])
        return KeyedModel(fresh, key, max_keys=MAX_KEYS, store=self._store)

    def _check_fits(self, name: str, config: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        """A model that was kept goes on as it was made; what was asked for must not differ."""
        if name != models.KINDS[self.kind].__name__:
            raise InputError(f"--save {self.path}: holds a {name}, which is no {self.kind}")
        for parameter, value in asked.items():
            there = config[parameter]
            if json.dumps(to_plain(value)) != json.dumps(there):
                raise InputError(
                    f"--save {self.path}: its model has {parameter}={there!r}, not {value!r}: "
                    "leave the option out, or keep another model in another file"
                )
