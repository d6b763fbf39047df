"""Checkpoints of the runs of a study: which ones to go on from, what to say of them, and when to write one."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import BadInput
from ...wording import counted
from ..design.run import PlannedRun
from .checkpoint_files import FOLDER, CheckpointFolder, Unusable, files_in, read

EVERY = 250
"""Rounds between checkpoints when nothing else is said: shorter runs never pay for one (see docs/long-runs.md)."""


@dataclass
class RemainingRuns:
    """The runs of a study that remain, each with the place of its checkpoints."""

    todo: list[tuple[PlannedRun, CheckpointFolder | None]] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    """Key → round that the run goes on from."""
    checkpoints: CheckpointFolder | None = None
    """Of the study; None where its workers cannot reach the folder."""
    pending: Counter[str] = field(default_factory=Counter)
    """Course → its runs that remain."""
    notes: list[str] = field(default_factory=list)
    """What the person who started the study should know before it begins."""

    def rounds_left(self, run: PlannedRun) -> int:
        """Return how many rounds a run still has to do."""
        return run.study.rounds - self.start_rounds.get(run.key, 0)

    def mark_done(self, run: PlannedRun) -> None:
        """Take note that a run is finished or has failed, and is written: a run that failed starts anew."""
        if self.checkpoints is not None:
            self.pending[run.prefix_key] -= 1
            self.checkpoints.for_run(run.prefix_key, run.study.rounds).clear(
                last=self.pending[run.prefix_key] < 1
            )

    def close(self) -> None:
        """Take note that no run is under way any more."""
        if self.checkpoints is not None:
            self.checkpoints.clear_empty()


def check_checkpoint_options(every: int, final: bool, scheduler: str | None = None) -> None:
    """Raise BadInput for options that make no sense."""
    if isinstance(every, bool) or not isinstance(every, int) or every < 0:
        raise BadInput(
            f"checkpoint_every = {every!r}: must be a whole number of rounds between checkpoints, or 0 for none, "
            f"for example --checkpoint-every {EVERY}"
        )
    if not isinstance(final, bool):
        raise BadInput(f"keep_state = {final!r}: must be true or false")
    if final and scheduler is not None:
        raise BadInput(
            f"--keep-state does not go with --scheduler {scheduler}: workers there may not see the folder of results, "
            "so no state is kept. Leave one of them out"
        )


def remaining_runs(
    todo: Sequence[PlannedRun], finished: Sequence[PlannedRun], whole: CheckpointFolder | None
) -> RemainingRuns:
    """Look at the checkpoints of the runs that remain, and clear those of runs that are finished.

    whole: of the study; None leaves every run without checkpoints.
    """
    if whole is None:
        return RemainingRuns([(run, None) for run in todo])
    there = {path.name for path in files_in(whole.folder)}
    remaining = RemainingRuns(checkpoints=whole)
    remaining.pending.update(run.prefix_key for run in todo)
    for run in finished:
        if run.prefix_key in there:
            whole.for_run(run.prefix_key, run.study.rounds).clear(
                last=run.prefix_key not in remaining.pending
            )
    for run in todo:
        checkpoints = whole.for_run(run.prefix_key, run.study.rounds)
        if run.prefix_key in there:
            checkpoints.clear_unfinished()
            latest, wrong = checkpoints.latest(run.study.rounds)
            if latest is not None:
                remaining.start_rounds[run.key] = latest.round
            goes_on = f"goes on from round {latest.round}" if latest else "starts from round 0"
            for each, why in wrong:
                remaining.notes.append(f"warning: {each.path} {why}; {run.label} {goes_on}")
                if why == "is damaged":
                    each.path.unlink(missing_ok=True)
        remaining.todo.append((run, checkpoints))
    remaining.notes += _told(remaining)
    remaining.notes += [
        f'arm "{name}": {kind} keeps no state, so its runs leave no checkpoints and start from round 0'
        for name, kind in _stateless(todo, whole)
    ]
    return remaining


def _told(remaining: RemainingRuns) -> list[str]:
    rounds = sorted(remaining.start_rounds.values())
    if not rounds:
        return []
    span = f"round {rounds[0]}" if rounds[0] == rounds[-1] else f"rounds {rounds[0]} to {rounds[-1]}"
    goes = "goes" if len(rounds) == 1 else "go"
    return [f"{counted(len(rounds), 'run')} {goes} on from {span}"]


def _stateless(todo: Sequence[PlannedRun], whole: CheckpointFolder) -> list[tuple[str, str]]:
    """Return the arms (name, kind of policy) whose runs would have checkpoints if their policies kept a state."""
    from ...policies.registry import build_policy
    from ...sim.recommender import REFERENCE_ARMS
    from ..design.switches import switched_policy

    found: dict[tuple[str, str], None] = {}
    seen: set[str] = set()
    for run in todo:
        if run.arm.name in seen or not (whole.final or 0 < whole.every < run.study.rounds):
            continue
        seen.add(run.arm.name)
        changes = [switched_policy(run.arm, each) for each in run.arm.switch if each.policy is not None]
        for spec in [run.arm.policy, *changes]:
            if spec["kind"] not in REFERENCE_ARMS and not build_policy(dict(spec)).keeps_state:
                found[run.arm.name, spec["kind"]] = None
    return list(found)


def has_checkpoint(folder: Path, run: PlannedRun) -> bool:
    """Return whether a run has a checkpoint to go on from in a folder of results, by its name."""
    return bool(CheckpointFolder(folder / FOLDER / run.prefix_key).candidates(run.study.rounds))


def resume(
    run: PlannedRun, checkpoints: CheckpointFolder | None, build: Callable[..., Any]
) -> tuple[Any, list[dict[str, float]]]:
    """Return the built run, gone on to its latest checkpoint, and its rows so far."""
    built = build(run.study, run.arm, run.world_seed)
    if checkpoints is None or not hasattr(built, "restore"):
        return built, []
    for checkpoint in checkpoints.candidates(run.study.rounds):
        try:
            state = read(checkpoint)
        except Unusable:
            continue
        try:
            built.restore(state)
        except Exception as error:  # noqa: BLE001  a policy's restore() may fail in any way
            problem = f"{type(error).__name__}: {error}"
            print(
                f"warning: {checkpoint.path} cannot be gone on from ({problem}); {run.label} starts from round 0",
                file=sys.stderr,
                flush=True,
            )
            return build(run.study, run.arm, run.world_seed), []
        return built, [dict(row) for row in built.rows]
    return built, []


def write_if_due(
    checkpoints: CheckpointFolder | None,
    built: Any,
    done: int,
    before_writing: Callable[[], None] | None = None,
) -> None:
    """Write a checkpoint after `done` rounds where one is due and the policy can say what it knows."""
    if checkpoints is None or not hasattr(built, "state"):
        return
    last = done == built.rounds
    due = checkpoints.final if last else checkpoints.every and done % checkpoints.every == 0
    if not due:
        return
    state = built.state()
    if state is None:
        return
    if before_writing is not None:
        before_writing()
    checkpoints.write(done, state, final=last)
