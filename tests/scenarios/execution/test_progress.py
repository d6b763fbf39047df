"""What is said of the time that a study takes."""

from __future__ import annotations

import sys
import time
import types

import pytest
from echodrift.scenarios.execution.progress import Bar, Lines, Progress, describe_duration, progress_display


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (40, "40 s"), (200, "3 min"), (9000, "2.5 h")])
def test_durations_in_words(seconds: float, words: str) -> None:
    assert describe_duration(seconds) == words


def test_no_time_is_told_before_as_many_runs_are_done_as_run_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    lines = Lines()
    lines.start(runs=12, done=2, jobs=3, rounds=100)
    now[0] = 60.0
    for _ in range(2):
        lines.run_done(10, False)
        assert lines.time_left() == ""
    lines.run_done(10, True)
    assert lines.time_left() == ", about 2 min left at this pace"  # 30 of 100 rounds in 60 s
    # the next batch of a study that runs until it is decided begins anew
    lines.start(runs=16, done=12, jobs=2, rounds=40)
    now[0] = 70.0
    lines.run_done(10, False)
    assert lines.time_left() == "" and lines.rounds_done == 10
    lines.run_done(10, False)
    assert lines.time_left() == ", about 10 s left at this pace"
    # one run alone is told by its rounds
    lines.start(runs=1, done=0, jobs=1, rounds=100)
    now[0] = 80.0
    lines.round_done()
    assert lines.time_left() == ", about 16 min left at this pace"


class Shell:
    """What IPython returns in a terminal."""


class NotebookShell(Shell):
    kernel = None


@pytest.mark.parametrize(
    ("terminal", "shell", "display"),
    [(True, None, Bar), (False, None, Progress), (False, Shell(), Progress), (False, NotebookShell(), Lines)],
)
def test_progress_is_shown_where_somebody_looks(monkeypatch, terminal, shell, display) -> None:
    ipython = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython if shell else None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert type(progress_display(None)) is display
    assert type(progress_display(False)) is Progress
    assert type(progress_display(True)) is (Bar if terminal else Lines)
