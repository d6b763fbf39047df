"""The command line, called as a person calls it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from echodrift.cli import app
from typer.testing import CliRunner


@pytest.fixture(scope="session")
def call() -> Callable[..., tuple[int, str, str]]:
    """Return the command: call(*words) is the exit code and what it wrote to stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [str(word) for word in words], terminal_width=200)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout, done.stderr

    return run
