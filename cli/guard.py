"""Turn exceptions of commands into one clear message and an exit code."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import typer

from ..errors import EchodriftError, ExitCode, describe, was_interrupted
from ..wording import clean
from .messages import print_stderr


def guarded(command: Callable[..., int | None]) -> Callable[..., None]:
    """Wrap a command: report errors as one clear message and exit with their code."""

    @functools.wraps(command)
    def wrapped(*args: Any, **options: Any) -> None:
        try:
            code = command(*args, **options) or ExitCode.OK
        except KeyboardInterrupt as stop:
            print_stderr(str(stop) or "Stopped.")
            code = ExitCode.INTERRUPTED
        except SystemExit as end:
            # Commands return their exit code, so this is the doing of code that a study names.
            print_stderr(f"error: code that was imported ended the command with sys.exit({end.code!r}).")
            code = ExitCode.BUG
        except BrokenPipeError:
            # The reader of a pipe (such as `head`) has closed it, so there is nobody to report to.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = ExitCode.OK
        except Exception as error:
            if was_interrupted(error):
                print_stderr("Stopped.")
                raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
            if options.get("debug"):
                raise
            if isinstance(error, EchodriftError):
                print_stderr("error: " + "\n       ".join(clean(str(error), 100_000).splitlines()))
                code = error.exit_code
            else:
                print_stderr(f"error: {describe(error)}".splitlines()[0])
                print_stderr("This was not foreseen; run again with --debug to see where it happened.")
                code = ExitCode.BUG
        raise typer.Exit(int(code))

    return wrapped
