"""`serve`: a line of JSON in, a line of JSON out, learning as labels come.

::

    {"temperature": 21.5, "y": 3.2}    predict, then learn        {"prediction": 3.1, "low": …}
    {"temperature": 21.5}              predict, time passes       {"prediction": 3.1, …}
    {"id": 7, "temperature": 21.5}     predict, wait for a label  {"id": 7, "prediction": 3.1, …}
    {"id": 7, "y": 3.2}                learn, as it was seen      {"id": 7, "learned": true}
    no JSON at all                     nothing                    {"error": "line 5: is no JSON …"}

Every line that is not empty has one answer, in order, written at once. An error changes nothing.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO

from .._validation import is_missing
from .columns import as_class, as_date, as_number
from .errors import reason, say
from .keeping import Kept
from .output import finite
from .reading import closed_quietly, parsed_json

LONGEST_LINE = 1 << 20
_MOST_CLASSES = 20


class Server:
    """What answers lines.

    Parameters
    ----------
    kept
        The model and its place.
    target
        The name of the label.
    id_name
        The name of what a late label is matched by; None where labels come with their rows.
    every
        How many events may be lost.
    level
        Level of the intervals.
    """

    def __init__(
        self, kept: Kept, target: str, id_name: str | None, every: int, level: float
    ) -> None:
        self.kept = kept
        self.target = target
        self.id_name = id_name
        self.every = every
        self.level = level
        self.of_classes = kept.kind == "classifier"
        self.n_unsaved = 0
        self._reading = False
        self._stopped = False
        self._complaint = ""

    def answer(self, line: bytes, number: int) -> dict[str, Any]:
        """What to say to a line; the model is changed by it, or if it is wrong, not at all."""
        found: dict[str, Any] = {}
        try:
            row = parsed_json(line.decode("utf-8-sig"))
            if self.id_name is not None and not is_missing(row.get(self.id_name)):
                found[self.id_name] = row[self.id_name]
            if self.kept.key is not None:
                found[self.kept.key] = row.get(self.kept.key)
            return found | self._event(row)
        except (ValueError, TypeError) as error:
            return found | {"error": f"line {number}: {_plainly(error)}"}

    def _event(self, row: dict[str, Any]) -> dict[str, Any]:
        kept, key = self.kept, self.kept.key
        y = (as_class if self.of_classes else _number)(row.pop(self.target, None))
        ticket = None if self.id_name is None else row.pop(self.id_name, None)
        ticket = None if is_missing(ticket) else ticket
        x = {name: self._feature(name, value) for name, value in row.items()}
        late = {} if self.id_name is None else {"key": ticket}
        single = kept.model if key is None else kept.model.model_of(x.get(key))
        if y is not None and ticket is not None and single is not None and single.waits_for(ticket):
            kept.model.learn_one(x, y, **late)
            self.n_unsaved += 1
            return {"learned": True}
        if ticket is not None and y is not None and not x.keys() - {key}:
            raise ValueError(f"no row with {self.id_name} {ticket!r} waits for a label")
        answer = self._predict(x, single, late)
        if y is not None:
            kept.model.learn_one(x, y, **late)
        elif not late:
            kept.model.advance_one(x)
        self.n_unsaved += 1
        return answer

    def _feature(self, name: str, value: Any) -> Any:
        """A string that is no category may be a date; what else it is the model will say."""
        if isinstance(value, str) and name not in self.kept.categorical and name != self.kept.key:
            try:
                return as_date(value)
            except ValueError:
                raise ValueError(
                    f"{name!r} is {value!r:.60}, no number or date: if it is a category, start "
                    f"with --categorical {name}"
                ) from None
        return value

    def _predict(self, x: dict[str, Any], single: Any, late: dict[str, Any]) -> dict[str, Any]:
        model = self.kept.model
        if self.of_classes:
            probabilities = model.predict_proba_one(x, **late)
            best = sorted(probabilities, key=probabilities.__getitem__, reverse=True)
            shown = {str(label): probabilities[label] for label in best[:_MOST_CLASSES]}
            return {"prediction": best[0] if best else None, "probabilities": shown}
        low = high = None
        if single is not None:
            rest = {name: value for name, value in x.items() if name != self.kept.key}
            # before time passes
            low, high = single.predict_interval_one(rest, level=self.level)
        return {"prediction": model.predict_one(x, **late), "low": low, "high": high}

    # --- the loop

    def run(self, lines: BinaryIO, out: TextIO) -> None:
        """Answer until the input ends or a signal comes; then save."""
        handler = signal.signal(signal.SIGTERM, self._stop)
        try:
            for number, line in self._read(lines):
                if line.strip():
                    self._write(out, self._checked(line, number))
                    if self.n_unsaved >= self.every:
                        self.save()
                if self._stopped:
                    break
        except BrokenPipeError:
            closed_quietly(out)
        except KeyboardInterrupt:
            pass
        finally:
            signal.signal(signal.SIGTERM, handler)
            self.save()
            self.kept.close()

    def _checked(self, line: bytes, number: int) -> dict[str, Any]:
        if len(line) > LONGEST_LINE:
            return {"error": f"line {number}: is longer than {LONGEST_LINE:,} bytes"}
        return self.answer(line, number)

    def _read(self, lines: BinaryIO) -> Iterator[tuple[int, bytes]]:
        number = 0
        while True:
            self._reading = True
            try:
                line = lines.readline(LONGEST_LINE + 1)
                rest = line
                while len(rest) > LONGEST_LINE and not rest.endswith(b"\n"):
                    rest = lines.readline(LONGEST_LINE + 1)
            except _Stop:
                return
            finally:
                self._reading = False
            if not line:
                return
            number += 1
            yield number, line

    def _write(self, out: TextIO, answer: dict[str, Any]) -> None:
        print(json.dumps(finite(answer), default=str), file=out, flush=True)

    def save(self) -> None:
        """Write a snapshot; where that fails, say so and go on."""
        try:
            self.kept.save()
            self.n_unsaved, self._complaint = 0, ""
        except Exception as error:
            complaint = f"--save {self.kept.path}: {reason(error)}; trying again with every event"
            if complaint != self._complaint:
                say(complaint)
            self._complaint = complaint

    def _stop(self, *_: Any) -> None:
        """A signal: at once while waiting for a line, else after the present one."""
        self._stopped = True
        if self._reading:
            raise _Stop


class _Stop(Exception):
    """The process was told to end."""


def _number(value: Any) -> float | None:
    try:
        return as_number(value)
    except ValueError as error:
        hint = "; for classes start with --classes" if isinstance(value, str) else ""
        raise ValueError(f"the label {value!r:.60} is {error}{hint}") from None


def _plainly(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "is no UTF-8"
    return reason(error)


def serve(kept: Kept, target: str, id_name: str | None, every: int, level: float) -> None:
    """Answer standard input on standard output."""
    if kept.resumed:
        say(f"going on with the model in {kept.path}")
    Server(kept, target, id_name, every, level).run(sys.stdin.buffer, sys.stdout)
