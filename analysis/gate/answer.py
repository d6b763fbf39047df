"""The result of a gate, with its text, JSON, JUnit XML and Markdown forms."""

from __future__ import annotations

from dataclasses import dataclass

from .files import as_json, as_junit, as_markdown
from .verdicts import AnswerData
from .words import table


@dataclass(frozen=True)
class Answer(AnswerData):
    """The gate's answer over all grid points."""

    def __str__(self) -> str:
        return table(self)

    def json(self) -> str:
        """Return the whole answer as JSON (layout in docs/gate.md); undefined numbers are null."""
        return as_json(self)

    def junit(self) -> str:
        """Return a JUnit XML report: a test case per line; FAIL is a failure, UNDECIDED an error."""
        return as_junit(self)

    def markdown(self) -> str:
        """Return a table for a pull request."""
        return as_markdown(self)
