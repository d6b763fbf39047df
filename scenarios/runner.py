"""Run a study into a results folder: every arm, grid point and seed, in parallel; an interrupted study resumes."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from ..analysis.notes import WARNING, gathered, is_warning
from ..errors import ClusterError, ExitCode, Mistakes, StorageError
from ..wording import counted, slug
from .code.study_code import check_importable, identities
from .design.all_mistakes import check_names
from .design.check_gate import check_gate
from .design.drawn_studies import check_draws, design_notes
from .design.draws import draws_table
from .design.grid import grid_points
from .design.plan import expand, seeds_of, study_digest, with_seeds
from .design.preset_values import preset_notes
from .design.run import PlannedRun
from .design.size import MAX_RUNS, check_runs
from .execution.parallel import checked_jobs
from .execution.pool import CLUSTERS, Backend, Workers, checked_backend, checked_timeout
from .execution.progress import Progress
from .execution.worker import Task
from .specs.study import Study
from .storage.bundles import Bundler
from .storage.checkpoint_files import FOLDER as CHECKPOINTS
from .storage.checkpoint_files import CheckpointFolder
from .storage.checkpoints import check_checkpoint_options, remaining_runs
from .storage.collect import collect
from .storage.extending import check_folder, code_note, extension_notes
from .storage.folder import Folder
from .storage.ledger import facts_of
from .storage.store import Record, RunStore, parquet
from .storage.timings import timings_of
from .storage.versions import mixed_versions
from .until import Until, earlier_looks

PACKAGES = (
    "numpy",
    "numba",
    "scipy",
    "pandas",
    "pyarrow",
    "networkx",
    "implicit",
    "mesa",
    "pydantic",
    "joblib",
)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a study; the message says what was saved and how to continue."""

    exit_code = ExitCode.INTERRUPTED


def check_runnable(study: Study, stops: bool = False, most_draws: int | None = None) -> list[str]:
    """Check everything about a study that its schema cannot: every grid point builds, files are readable.

    stops: a stopping rule decides on the number of seeds. most_draws: seeds whose draws from priors are checked, the
    first ones; all if omitted. Returns notes about the files and the preset as sentences. BadInput has the mistakes of all checks.
    """
    from .execution.build import check_study

    wrong = Mistakes()
    notes: dict[str, None] = {}
    with wrong.collect():
        check_names(study)
    with wrong.collect():
        notes |= dict.fromkeys(check_gate(study, stops))
    files_found = not any(mistake.path[:1] == ("world",) for mistake in wrong.found)
    for _, point in grid_points(study) if files_found else ():
        with wrong.collect():
            notes |= dict.fromkeys(check_study(point) or ())
    wrong.report()
    notes |= dict.fromkeys(preset_notes(study))
    check_draws(study, seeds_of(study)[:most_draws], check_study)
    return list(notes)


def default_folder(study: Study) -> Path:
    """Return out/<name of the study>."""
    return Path("out") / slug(study.name)


@dataclass(frozen=True)
class RunOptions:
    """How a study is run, and what its manifest reports about that. Of these only `until` affects the tables.

    Raises BadInput for options that are invalid or contradict each other.
    """

    jobs: int = 1
    """Runs at a time; −1 for one per core (of a cluster: all it has)."""
    backend: Backend = "loky"
    """Where runs are executed: in processes (loky), in threads, or on workers of Dask or Ray."""
    scheduler: str | None = None
    """Address of a running Dask or Ray cluster; without one, dask and ray start workers on this machine."""
    checkpoint_every: int = 0
    """Rounds between checkpoints, from which an interrupted run resumes; 0 for none. None are written with a
    scheduler, whose workers may be on other machines."""
    keep_state: bool = False
    """Whether to keep the final state of every run, so that a study with more rounds continues from it."""
    run_timeout: float | None = None
    """Most seconds for a run; one that takes longer is ended, and is a failed run. None: no limit."""
    timings: bool = False
    """Whether to store the seconds of each phase of every run; the manifest has their means per arm."""
    max_runs: int = MAX_RUNS
    """Most runs that are started; a study with more is refused."""
    until: Until | None = None
    """Stopping rule: run the study in batches of seeds until it is decided."""
    progress: Progress = field(default_factory=Progress)
    command: Sequence[str] = ()
    """The command line."""
    changed: Sequence[str] = ()
    """What options changed in the study file."""

    def __post_init__(self) -> None:
        checked_jobs(self.jobs)
        checked_backend(self.backend, self.scheduler)
        check_checkpoint_options(self.checkpoint_every, self.keep_state, self.scheduler)
        checked_timeout(self.run_timeout, self.backend)

    def full_study(self, study: Study) -> Study:
        """Return the study with all seeds that may be run; raises BadInput for more runs than `max_runs`."""
        full = self.until.study if self.until else study
        check_runs(full, self.max_runs)
        return full


def run_study(study: Study, out: Path, options: RunOptions | None = None) -> Folder:
    """Execute the runs that are not yet in `out`, write the tables there, and return the folder.

    The study, with all seeds that may be run, must have passed `check_runnable`. A failed run becomes a row
    with its error. The tables do not depend on jobs, backend or interruptions, except for wall times.

    Raises BadInput (nothing started), StorageError (finished runs are kept), ClusterError (the cluster is
    gone; finished runs are kept), Interrupted (Ctrl-C; finished runs are kept).
    """
    options = options or RunOptions()
    progress, until = options.progress, options.until
    study = options.full_study(study)
    folder = Folder(out)
    check_folder(folder, study)
    if options.backend in CLUSTERS or options.backend == "loky" and options.jobs != 1:
        check_importable(study.arms)
    plan = whole = expand(
        study, code=identities(arm for _, point in grid_points(study) for arm in point.arms)
    )
    started = datetime.now(UTC)
    with (
        Workers(options.backend, options.jobs, options.scheduler, whole, options.run_timeout) as workers,
        folder.locked(),
    ):
        # Checked again under the lock: another process may have changed the folder.
        there = check_folder(folder, study)
        notes = extension_notes(there, study, plan, folder.path, folder.store)
        for note in (*notes, code_note(plan, folder.path, folder.store)):
            if note:
                progress.note(note)
        folder.begin(study, plan, until.most if until else None)
        bundler = Bundler(folder.store)
        place = (out / CHECKPOINTS).absolute()
        checkpoints = None
        if options.scheduler is None:
            checkpoints = CheckpointFolder(place, options.checkpoint_every, options.keep_state)
        records: dict[str, Record] = {}
        try:
            for part in [study] if until is None else until.batches(folder.path, progress):
                plan = with_seeds(whole, seeds_of(part))
                ran = _fill(records, plan, folder.store, workers, options, bundler, checkpoints)
                if not ran and until is None and folder.is_complete(part, len(plan)):
                    continue
                tables = collect(plan, records, folder.store, folder.path)
                _publish(folder, part, plan, tables, records, started, options)
        except (StorageError, ClusterError) as error:
            wrong, _, what = str(error).partition("\n")
            then = f"{what} Then run the same command again.".strip()
            raise type(error)(f"{wrong}\n{_kept(records, plan, out)} {then}") from error
        except KeyboardInterrupt:
            raise Interrupted(
                f"Stopped. {_kept(records, plan, out)} The same command goes on from there."
            ) from None
    return folder


def _kept(records: dict[str, Record], plan: Sequence[PlannedRun], out: Path) -> str:
    ok = sum(record.status == "ok" for record in records.values())
    return f"{ok} of {len({run.key for run in plan})} runs are finished and kept in {out}."


def _fill(
    records: dict[str, Record],
    plan: Sequence[PlannedRun],
    store: RunStore,
    workers: Workers,
    options: RunOptions,
    bundler: Bundler,
    checkpoints: CheckpointFolder | None,
) -> int:
    """Fill `records` (key → record): load finished runs, execute the others, and return how many were executed."""
    progress = options.progress
    waiting: dict[str, PlannedRun] = {}
    unknown: dict[str, int] = {}
    for run in plan:
        if run.key in records:
            continue
        record, damaged = store.inspect(run.key)
        if record is not None and run.unidentified and run.key not in waiting:
            for name in run.unidentified if record.status == "ok" else ():
                unknown[name] = unknown.get(name, 0) + 1
            store.discard(run.key)
            record = None
        if damaged:
            place = store.folder / run.key / damaged
            progress.note(f"warning: {run.label}: {place} is damaged; it is run again")
        if record is not None and record.status == "ok":
            records[run.key] = record
        else:
            waiting.setdefault(run.key, run)
    for name, number in unknown.items():
        progress.note(
            f"note: {counted(number, 'finished run')} {'is' if number == 1 else 'are'} run again, because nothing tells "
            f"whether {name} is still the same (docs/studies.md)"
        )
    remaining = remaining_runs(
        list(waiting.values()), [run for run in plan if run.key in records], checkpoints
    )
    ordered = _seed_by_seed(remaining.todo)
    todo = [run for run, _ in ordered]
    tasks = [Task(run, checkpoints, timed=options.timings) for run, checkpoints in ordered]
    for note in remaining.notes:
        progress.note(note)
    for record in records.values() if todo else ():
        bundler.add(record)
    with progress:
        jobs = workers.jobs_for(todo, progress, records)
        progress.start(len(records) + len(todo), len(records), jobs, sum(map(remaining.rounds_left, todo)))
        for record in workers.execute(tasks, store, jobs, progress):
            reported = workers.reports_rounds(jobs)
            progress.run_done(
                0 if reported else remaining.rounds_left(waiting[record.key]), record.status == "failed"
            )
            records[record.key] = record
            remaining.mark_done(waiting[record.key])
            bundler.add(record)
    remaining.close()
    return len(todo)


def _seed_by_seed(
    todo: Sequence[tuple[PlannedRun, CheckpointFolder | None]],
) -> list[tuple[PlannedRun, CheckpointFolder | None]]:
    """Return runs with the arms of a grid point and seed in a row: a process makes their first log only once."""
    points: dict[str, int] = {}
    return sorted(todo, key=lambda pair: (points.setdefault(repr(pair[0].grid), len(points)), pair[0].seed))


def _publish(
    folder: Folder,
    study: Study,
    plan: Sequence[PlannedRun],
    tables: Mapping[str, bytes | Path],
    records: dict[str, Record],
    started: datetime,
    options: RunOptions,
) -> None:
    until = options.until
    notes = [*preset_notes(study), *design_notes(study), *_notes(plan, records)]
    if mixed := mixed_versions({run.key: records[run.key] for run in plan}.values()):
        notes.append(mixed)
    if study.uncertainty is not None:
        tables = {**tables, "draws": parquet(draws_table(study.uncertainty, seeds_of(study)))}
    manifest = {
        "study": study.name,
        "study_sha256": study_digest(study),
        "command": shlex.join(options.command) or "echodrift.run(…) in Python",
        "reproduce": f"echodrift run {shlex.quote(str(folder.path / 'study.toml'))}"
        + (f" --until decided --max-seeds {until.most}" if until else ""),
        "changed": list(options.changed),
        "seeds": seeds_of(study),
        "runs": len(plan),
        "failed": sum(records[run.key].status == "failed" for run in plan),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "versions": {name: _version(name) for name in ("echodrift", *PACKAGES)},
        "inputs": facts_of(plan).inputs,
        "notes": notes,
    }
    if timings := timings_of(plan, records):
        manifest["timings"] = timings
    if until is not None:
        manifest["stopping"] = until.manifest_entry
    elif looked := earlier_looks(folder.path):
        manifest["looked"] = looked
    folder.publish(study, tables, manifest)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _notes(plan: Sequence[PlannedRun], records: Mapping[str, Any]) -> list[str]:
    """Return the notes of all runs without repetitions. Warnings, and notes of some arms only, name their arms."""
    noted = ((run.arm.name, note) for run in plan for note in records[run.key].notes)
    everywhere = len({run.arm.name for run in plan if records[run.key].status == "ok"})
    found = []
    for note, arms in gathered(noted).items():
        if is_warning(note):
            found.append(f"{WARNING} {_arms(arms)}: {note[len(WARNING) :].strip()}")
        else:
            found.append(note if len(arms) >= everywhere else f"{_arms(arms)}: {note}")
    return found


def _arms(names: Sequence[str], most: int = 5) -> str:
    """Return "arm "A"", or "arms "A", "B"", of many only the first."""
    shown = names if len(names) <= most else names[: most - 1]
    listed = ", ".join(f'"{name}"' for name in shown)
    rest = f" and {len(names) - len(shown)} more" if len(shown) < len(names) else ""
    return f"arm{'' if len(names) == 1 else 's'} {listed}{rest}"
