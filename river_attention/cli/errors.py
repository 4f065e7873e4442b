"""What is wrong with what the user gave: one line on stderr, exit code 2."""

from __future__ import annotations

import sys


class InputError(Exception):
    """Something in a file, an option or an environment that the message says how to mend."""


def say(message: str) -> None:
    """One line on stderr, whatever is in the message."""
    line = " ".join(str(message).split())
    print(f"river-attention: {line}", file=sys.stderr)


def reason(error: BaseException) -> str:
    """What an error says, in one line."""
    said: object = error
    if isinstance(error, KeyError) and error.args:
        said = error.args[0]
    elif isinstance(error, OSError) and error.strerror:
        said = error.strerror
    text = " ".join(str(said).split())
    return text or type(error).__name__
