"""Progress of a study on stderr: a bar with the remaining time on a terminal, occasional lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from ...wording import counted

EVERY = 20.0
"""Seconds between lines where there is no terminal."""


OUTPUTS = 5
"""Number of runs whose output is shown."""
OUTPUT_LINES = 20
"""Most lines of a run's output that are shown."""


class Progress:
    """Shows no progress; the base class of progress displays."""

    _outputs = 0

    def start(self, runs: int, done: int, jobs: int, rounds: int) -> None:
        """Begin. runs: in the study; done: those finished before; jobs: at a time; rounds: of all remaining runs."""

    def round_done(self) -> None:
        """Count one round of a run in this process."""

    def run_done(self, rounds: int, failed: bool) -> None:
        """Count one run. rounds: its rounds that were not reported by `round_done`."""

    def note(self, text: str) -> None:
        """Show a message at once."""

    def output(self, label: str, text: str) -> None:
        """Show what a run wrote to stdout and stderr, of the first `OUTPUTS` runs only; also where no progress is."""
        self._outputs += 1
        if self._outputs <= OUTPUTS:
            lines = text.splitlines()
            if len(lines) > OUTPUT_LINES:
                lines = [*lines[:OUTPUT_LINES], f"… {len(lines) - OUTPUT_LINES:,} more lines"]
            self._print("\n".join([f"{label} printed:", *(f"  | {line}" for line in lines)]))
        elif self._outputs == OUTPUTS + 1:
            self._print("Other runs printed something, too; it is not shown.")

    def _print(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""


class _Counting(Progress):
    runs = done = failed = rounds = rounds_done = waited = 0
    began = 0.0

    def start(self, runs: int, done: int, jobs: int, rounds: int) -> None:
        self.runs, self.done, self.rounds = runs, done, rounds
        self.rounds_done, self.waited = 0, done + (jobs if runs - done > 1 else 0)
        self.began = time.monotonic()

    def round_done(self) -> None:
        self.rounds_done += 1

    def run_done(self, rounds: int, failed: bool) -> None:
        self.rounds_done += rounds
        self.done += 1
        self.failed += failed

    def text(self) -> str:
        """Return "12 of 70 runs" and how many failed."""
        return f"{self.done} of {counted(self.runs, 'run')}" + (
            f" ({self.failed} failed)" if self.failed else ""
        )

    def time_left(self) -> str:
        """Return the estimated remaining time as text.

        Empty until as many runs are done as run at a time (a single run counts by its rounds): before that,
        most of the work is in unfinished runs, which are not counted.
        """
        if self.done < self.waited or not 0 < self.rounds_done < self.rounds:
            return ""
        seconds = (time.monotonic() - self.began) / self.rounds_done * (self.rounds - self.rounds_done)
        return f", about {describe_duration(seconds)} left at this pace"


class Lines(_Counting):
    """Plain lines on stderr, at most one every `EVERY` seconds."""

    last = 0.0

    def start(self, runs: int, done: int, jobs: int, rounds: int) -> None:
        super().start(runs, done, jobs, rounds)
        kept = f", {done} of them finished before" if done else ""
        self._say(f"{counted(runs, 'run')}{kept}, {jobs} at a time")

    def round_done(self) -> None:
        super().round_done()
        self._print_if_due()

    def run_done(self, rounds: int, failed: bool) -> None:
        super().run_done(rounds, failed)
        self._print_if_due()

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def _print_if_due(self) -> None:
        if time.monotonic() - self.last >= EVERY:
            self._say(self.text() + self.time_left())

    def _say(self, text: str) -> None:
        self.note(text)
        self.last = time.monotonic()


class Bar(_Counting):
    """A bar on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self.bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.task: Any = None

    def start(self, runs: int, done: int, jobs: int, rounds: int) -> None:
        super().start(runs, done, jobs, rounds)
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(self.text(), total=max(rounds, 1))

    def round_done(self) -> None:
        super().round_done()
        self.bar.update(self.task, completed=self.rounds_done, description=self.text() + self.time_left())

    def run_done(self, rounds: int, failed: bool) -> None:
        super().run_done(rounds, failed)
        self.bar.update(self.task, completed=self.rounds_done, description=self.text() + self.time_left())

    def note(self, text: str) -> None:
        self.bar.console.print(text, markup=False, highlight=False)

    def _print(self, text: str) -> None:
        self.note(text)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()


def is_shown(show: bool | None) -> bool:
    """Return whether to show progress; None: where somebody looks, on a terminal or in a notebook."""
    if show is not None:
        return show
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return sys.stderr.isatty() or hasattr(shell, "kernel")


def progress_display(show: bool | None) -> Progress:
    """Return a bar for a terminal, lines for anything else, and nothing unless it is to be shown (see `is_shown`)."""
    if not is_shown(show):
        return Progress()
    return Bar() if sys.stderr.isatty() else Lines()


def describe_duration(seconds: float) -> str:
    """Return a duration as "40 s", "3 min" or "2.5 h"."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
