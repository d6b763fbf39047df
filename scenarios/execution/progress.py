"""How far a study is: a bar with the remaining time on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from ...wording import counted

EVERY = 20.0
"""Seconds between lines where there is no terminal."""


class Quiet:
    """Says nothing; also the base of those that do."""

    def start(self, runs: int, done: int, jobs: int, rounds: int) -> None:
        """runs: of the study; done: of those, taken over; rounds: of all that remain."""

    def round(self) -> None:
        """One round of a run in this process is over."""

    def run(self, rounds: int, failed: bool) -> None:
        """One run is over; rounds: its rounds that were not told one by one."""

    def say(self, text: str) -> None:
        """Something that the person who started the study should know now."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""


class _Counting(Quiet):
    runs = done = failed = rounds = rounds_done = waited = 0
    began = 0.0

    def start(self, runs: int, done: int, jobs: int, rounds: int) -> None:
        self.runs, self.done, self.rounds = runs, done, rounds
        self.rounds_done, self.waited = 0, done + (jobs if runs - done > 1 else 0)
        self.began = time.monotonic()

    def round(self) -> None:
        self.rounds_done += 1

    def run(self, rounds: int, failed: bool) -> None:
        self.rounds_done += rounds
        self.done += 1
        self.failed += failed

    def text(self) -> str:
        """Return "12 of 70 runs" and how many failed."""
        return f"{self.done} of {counted(self.runs, 'run')}" + (
            f" ({self.failed} failed)" if self.failed else ""
        )

    def left(self) -> str:
        """Return the remaining time at the pace so far in words.

        Empty until as many runs are done as are run at a time (a single run is told by its rounds): before that,
        most of what was done is in runs that are under way and not counted.
        """
        if self.done < self.waited or not 0 < self.rounds_done < self.rounds:
            return ""
        seconds = (time.monotonic() - self.began) / self.rounds_done * (self.rounds - self.rounds_done)
        return f", about {in_words(seconds)} left at this pace"


class Lines(_Counting):
    """Plain lines on stderr, at most one every few seconds."""

    last = 0.0

    def start(self, runs: int, done: int, jobs: int, rounds: int) -> None:
        super().start(runs, done, jobs, rounds)
        kept = f", {done} of them finished before" if done else ""
        self._say(f"{counted(runs, 'run')}{kept}, {jobs} at a time")

    def round(self) -> None:
        super().round()
        self._now_and_then()

    def run(self, rounds: int, failed: bool) -> None:
        super().run(rounds, failed)
        self._now_and_then()

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def _now_and_then(self) -> None:
        if time.monotonic() - self.last >= EVERY:
            self._say(self.text() + self.left())

    def _say(self, text: str) -> None:
        self.say(text)
        self.last = time.monotonic()


class Bar(_Counting):
    """A bar on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.bar = Progress(
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

    def round(self) -> None:
        super().round()
        self.bar.update(self.task, completed=self.rounds_done, description=self.text() + self.left())

    def run(self, rounds: int, failed: bool) -> None:
        super().run(rounds, failed)
        self.bar.update(self.task, completed=self.rounds_done, description=self.text() + self.left())

    def say(self, text: str) -> None:
        self.bar.console.print(text, markup=False, highlight=False)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()


def progress(show: bool) -> Quiet:
    """Return what fits the place that stderr goes to."""
    if not show:
        return Quiet()
    return Bar() if sys.stderr.isatty() else Lines()


def in_words(seconds: float) -> str:
    """Return a duration to read: "40 s", "3 min", "2.5 h"."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
