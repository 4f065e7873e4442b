"""The command `river-attention`: models on files and pipes, without a line of Python.

Needs the extra ``cli``: ``pip install "river-attention[cli]"``. Whatever the user has to mend is
one line on stderr, and exit code 2.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

from .errors import InputError, reason, say

__all__ = ["main"]

_WRONG = 2
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with arguments ``argv``, by default those of the process.

    Returns
    -------
    The exit code: 0, or 2 where something has to be mended.
    """
    try:
        from typer import Abort

        from .app import app
    except ImportError as error:
        say(f'needs {error.name}: pip install "river-attention[cli]"')
        return _WRONG
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            result: Any = app(
                list(sys.argv[1:] if argv is None else argv) or ["--help"],
                standalone_mode=False,
                prog_name="river-attention",
            )
            return result if isinstance(result, int) else 0
        except InputError as error:
            say(str(error))
        except (KeyboardInterrupt, Abort):
            return _INTERRUPTED
        except BrokenPipeError:
            from .reading import closed_quietly

            closed_quietly(sys.stdout)
            return 0
        except OSError as error:
            say(f"{error.filename or 'the system'}: {reason(error)}")
        except Exception as error:
            # what typer says of options, whichever click it stands on
            if not hasattr(error, "format_message"):
                raise
            hint = getattr(getattr(error, "ctx", None), "command_path", "river-attention")
            say(f"{error.format_message()} (see {hint} --help)")
    return _WRONG


def _warn(message: Any, *_: Any, **__: Any) -> None:
    say(f"warning: {reason(message) if isinstance(message, BaseException) else message}")


def run() -> None:
    """The entry point of the command."""
    sys.exit(main())
