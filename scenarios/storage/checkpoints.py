"""Checkpoints of the runs of a study: choose those to resume from, report them, and write new ones when due."""

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
"""Default rounds between checkpoints; shorter runs write none (see docs/long-runs.md)."""


@dataclass
class RemainingRuns:
    """The runs of a study that are still to be executed, each with the folder of its checkpoints."""

    todo: list[tuple[PlannedRun, CheckpointFolder | None]] = field(default_factory=list)
    start_rounds: dict[str, int] = field(default_factory=dict)
    """Key → round that the run resumes from."""
    checkpoints: CheckpointFolder | None = None
    """Folder of the study's checkpoints; None if workers cannot access it."""
    pending: Counter[str] = field(default_factory=Counter)
    """Prefix key → number of its runs that are still to be executed."""
    notes: list[str] = field(default_factory=list)
    """Messages for the user before the study starts."""

    def rounds_left(self, run: PlannedRun) -> int:
        """Return how many rounds of a run are still to be executed."""
        return run.study.rounds - self.start_rounds.get(run.key, 0)

    def mark_done(self, run: PlannedRun) -> None:
        """Remove the checkpoints of a run whose result or failure is stored; failed runs start over at round 0."""
        if self.checkpoints is not None:
            self.pending[run.prefix_key] -= 1
            self.checkpoints.for_run(run.prefix_key, run.study.rounds).clear(
                last=self.pending[run.prefix_key] < 1
            )

    def close(self) -> None:
        """Remove the folder of checkpoints if it is empty; only when no run is executing."""
        if self.checkpoints is not None:
            self.checkpoints.clear_empty()


def check_checkpoint_options(every: int, keep_state: bool, scheduler: str | None = None) -> None:
    """Raise BadInput for invalid or contradictory checkpoint options."""
    if isinstance(every, bool) or not isinstance(every, int) or every < 0:
        raise BadInput(
            f"checkpoint_every = {every!r}: must be a whole number of rounds between checkpoints, or 0 for none, "
            f"for example --checkpoint-every {EVERY}"
        )
    if not isinstance(keep_state, bool):
        raise BadInput(f"keep_state = {keep_state!r}: must be true or false")
    if keep_state and scheduler is not None:
        raise BadInput(
            f"--keep-state does not go with --scheduler {scheduler}: workers there may not see the folder of results, "
            "so no state is kept. Leave one of them out"
        )


def remaining_runs(
    todo: Sequence[PlannedRun], finished: Sequence[PlannedRun], study_folder: CheckpointFolder | None
) -> RemainingRuns:
    """Find the checkpoints of the runs that remain, and remove those of finished runs.

    study_folder: checkpoints of the study; None leaves every run without checkpoints.
    """
    if study_folder is None:
        return RemainingRuns([(run, None) for run in todo])
    existing = {path.name for path in files_in(study_folder.folder)}
    remaining = RemainingRuns(checkpoints=study_folder)
    remaining.pending.update(run.prefix_key for run in todo)
    for run in finished:
        if run.prefix_key in existing:
            study_folder.for_run(run.prefix_key, run.study.rounds).clear(
                last=run.prefix_key not in remaining.pending
            )
    for run in todo:
        if run.unidentified:
            remaining.todo.append((run, None))
            continue
        checkpoints = study_folder.for_run(run.prefix_key, run.study.rounds)
        if run.prefix_key in existing:
            checkpoints.clear_unfinished()
            latest, wrong = checkpoints.latest(run.study.rounds)
            if latest is not None:
                remaining.start_rounds[run.key] = latest.round
            resumes = f"goes on from round {latest.round}" if latest else "starts from round 0"
            for each, why in wrong:
                remaining.notes.append(f"warning: {each.path} {why}; {run.label} {resumes}")
                if why == "is damaged":
                    each.path.unlink(missing_ok=True)
        remaining.todo.append((run, checkpoints))
    remaining.notes += _resumed_note(remaining)
    remaining.notes += [
        f'arm "{name}": {kind} keeps no state, so its runs leave no checkpoints and start from round 0'
        for name, kind in _stateless(todo, study_folder)
    ]
    return remaining


def _resumed_note(remaining: RemainingRuns) -> list[str]:
    rounds = sorted(remaining.start_rounds.values())
    if not rounds:
        return []
    span = f"round {rounds[0]}" if rounds[0] == rounds[-1] else f"rounds {rounds[0]} to {rounds[-1]}"
    goes = "goes" if len(rounds) == 1 else "go"
    return [f"{counted(len(rounds), 'run')} {goes} on from {span}"]


def _stateless(todo: Sequence[PlannedRun], study_folder: CheckpointFolder) -> list[tuple[str, str]]:
    """Return (arm, kind of policy) of arms that write no checkpoints because their policy does not support state()."""
    from ...policies.base import keeps_state
    from ...policies.registry import inspected
    from ...sim.recommender import REFERENCE_ARMS
    from ..design.switches import switched_policy

    found: dict[tuple[str, str], None] = {}
    seen: set[str] = set()
    for run in todo:
        if run.arm.name in seen or not (study_folder.keep_final or 0 < study_folder.every < run.study.rounds):
            continue
        seen.add(run.arm.name)
        changes = [switched_policy(run.arm, each) for each in run.arm.switch if each.policy is not None]
        for spec in [run.arm.policy, *changes]:
            if spec["kind"] in REFERENCE_ARMS:
                continue
            policy = inspected("policies", spec)
            if not (keeps_state(policy) if isinstance(policy, type) else policy.keeps_state):
                found[run.arm.name, spec["kind"]] = None
    return list(found)


def has_checkpoint(folder: Path, run: PlannedRun) -> bool:
    """Return whether a run has a checkpoint to resume from in a results folder, judged by file names only."""
    return bool(CheckpointFolder(folder / FOLDER / run.prefix_key).candidates(run.study.rounds))


def resume(
    run: PlannedRun, checkpoints: CheckpointFolder | None, build: Callable[..., Any]
) -> tuple[Any, list[dict[str, float]]]:
    """Build a run and restore its latest checkpoint; return it with its rows so far."""
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
        except Exception as error:  # noqa: BLE001  A policy's restore() may raise anything.
            problem = f"{type(error).__name__}: {error}"
            print(
                f"warning: {checkpoint.path} cannot be resumed from ({problem}); {run.label} starts from round 0",
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
    """Write a checkpoint after `done` rounds if one is due and the policy supports state()."""
    if checkpoints is None or not hasattr(built, "state"):
        return
    last = done == built.rounds
    due = checkpoints.keep_final if last else checkpoints.every and done % checkpoints.every == 0
    if not due:
        return
    state = built.state()
    if state is None:
        return
    if before_writing is not None:
        before_writing()
    checkpoints.write(done, state, final=last)
