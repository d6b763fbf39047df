"""Execute one run: build the simulation, step through its rounds, summarize, and write the result."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ...analysis.results import END
from ...errors import StorageError, was_interrupted
from ...processes import current_directory, end_copy_of, go_to
from ..code.identity import check_unchanged
from ..design.run import PlannedRun
from ..specs.study import Arm, Study
from ..storage.checkpoint_files import CheckpointFolder
from ..storage.checkpoints import resume, write_if_due
from ..storage.store import Record, RunStore
from ..storage.versions import numeric_versions
from .parallel import Parent

if TYPE_CHECKING:
    import pandas as pd


class Steppable(Protocol):
    """A simulation with its measures, as the worker steps it."""

    rounds: int

    @property
    def notes(self) -> list[str]: ...

    def step(self) -> dict[str, float]: ...

    def tables(self) -> dict[str, dict[str, Any]]: ...

    def phases(self) -> dict[str, float]: ...


@runtime_checkable
class Summarized(Protocol):
    """A simulation that also has numbers about the whole run."""

    def summaries(self) -> dict[str, float]: ...


class Cancelled(BaseException):
    """The study no longer waits for this run."""


Builder = Callable[[Study, Arm, int], Steppable]
"""Builds the simulation of (study, arm, seed); tests replace it."""


def build(study: Study, arm: Arm, seed: int) -> Steppable:
    """Return the run that a study describes (imported when first needed: it brings the whole model)."""
    from .build import build_run

    return build_run(study, arm, seed)


def load_libraries() -> None:
    """Import the whole model, so that the time of a run does not include it."""
    from .build import build_run  # noqa: F401


SLOPES = ("niche_exposure", "niche_consumed")
"""Measures whose slopes over the rounds are summaries of a run."""


@dataclass(frozen=True)
class Task:
    """A run to be executed, as it is sent to a worker process."""

    run: PlannedRun
    checkpoints: CheckpointFolder | None = None
    """Whether and where checkpoints are kept; does not affect the result."""
    build: Builder = field(default_factory=lambda: build)
    """Builds the run. Looked up when the task is created, so that tests can replace it."""
    timed: bool = False
    """Whether the record keeps the seconds of each phase."""


def execute(
    task: Task,
    store: RunStore,
    tick: Callable[[], None] | None = None,
    before_writing: Callable[[], None] | None = None,
) -> Record:
    """Execute one run and write its result; an error inside the run is stored in its record.

    tick: called after every round; before_writing: called before anything is written. Raises
    StorageError when the result cannot be written, KeyboardInterrupt after Ctrl-C.
    """
    import pandas as pd

    process, directory = os.getpid(), current_directory()
    run, began = task.run, time.perf_counter()
    record, tables = Record(run.key, run.label, "ok", versions=numeric_versions()), {}
    try:
        check_unchanged(run.code)
        built, rows = resume(run, task.checkpoints, task.build)
        for done in range(len(rows) + 1, built.rounds + 1):
            rows.append(dict(built.step()))
            end_copy_of(process)
            if tick is not None:
                tick()
            write_if_due(task.checkpoints, built, done, before_writing)
        rounds = pd.DataFrame(rows).drop(columns=["arm", "seed", "round"], errors="ignore")
        rounds.insert(0, "round", range(len(rounds)))
        whole: Any = built
        record.summaries = summaries(rounds) | (whole.summaries() if isinstance(whole, Summarized) else {})
        record.add_notes(built.notes)
        if task.timed:
            record.phases = {phase: round(seconds, 4) for phase, seconds in built.phases().items()}
        tables = {"rounds": rounds} | {name: pd.DataFrame(of) for name, of in built.tables().items()}
    except (StorageError, Cancelled):
        raise
    except BaseException as error:  # noqa: BLE001  a run may fail in any way, and that is its result
        # Where Ctrl-C is ignored, a KeyboardInterrupt is the doing of the policy.
        if was_interrupted(error) and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            raise KeyboardInterrupt from None
        record.fail(error)
    end_copy_of(process)
    go_to(directory)
    record.seconds = round(time.perf_counter() - began, 3)
    if before_writing is not None:
        before_writing()
    store.write(record, tables)
    return record


def execute_in_worker(task: Task, store: RunStore, parent: Parent) -> Record:
    """Execute one run in a worker process of `parent`; when the parent is gone, exit without writing.

    Without the parent the folder is no longer locked. A finished run on disk is returned as it is: another
    worker had finished it, and died before it could report it.
    """
    found = store.read(task.run.key)
    if found is not None and found.status == "ok":
        return found
    return execute(task, store, parent.exit_if_gone, parent.exit_if_gone)


def summaries(rounds: pd.DataFrame) -> dict[str, float]:
    """Return the mean of every measure over the last rounds, and the slopes of niche exposure and consumption.

    A slope is that of a straight line through all rounds (least squares), per 100 rounds. Rounds in which a measure was not
    computed or not defined are left out; NaN where none remain, or a slope has fewer than two.
    """
    last = rounds.tail(END)
    found = {name: float(last[name].mean()) for name in rounds.columns if name != "round"}
    return found | {
        f"{name}_slope": _slope(rounds["round"], rounds[name]) for name in SLOPES if name in rounds
    }


def _slope(when: pd.Series, values: pd.Series) -> float:
    known = values.notna()
    away = when[known] - when[known].mean()
    square = float((away**2).sum())
    return 100 * float((away * values[known]).sum()) / square if square else math.nan
