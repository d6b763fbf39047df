"""The Python API: run a study, judge its gate, or step through one of its runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from ..errors import BadInput, did_you_mean
from .design.changes import describe_changes, trace_mistakes
from .design.check_gate import check_decidable
from .design.drawn_studies import study_at_seed
from .design.load import load_study
from .design.plan import seeds_of
from .design.size import MAX_RUNS
from .execution.parallel import jobs_or_default
from .execution.pool import Backend
from .execution.progress import progress_display
from .result import Result
from .runner import RunOptions, check_runnable, run_study
from .specs.overrides import Override
from .specs.study import Study
from .storage.checkpoints import EVERY, check_checkpoint_options
from .until import parse_until

if TYPE_CHECKING:
    from ..analysis.gate.answer import Answer
    from ..sim.model import FeedbackLoop

AnyStudy = str | Path | Study | Mapping[str, Any]


def run(
    study: AnyStudy = "default",
    *,
    rounds: int | None = None,
    seeds: int | list[int] | None = None,
    jobs: int | None = None,
    backend: Backend = "loky",
    scheduler: str | None = None,
    out: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    until: Literal["decided"] | None = None,
    max_seeds: int | None = None,
    progress: bool | None = None,
    checkpoint_every: int = EVERY,
    keep_state: bool = False,
    timings: bool = False,
    no_code: bool = False,
    run_timeout: float | None = None,
    max_runs: int = MAX_RUNS,
) -> Result:
    """Run a study and return its results.

    study: a name from the library, a path, a mapping, or a Study. rounds, seeds, set (dotted key →
    value): override the study. jobs: runs at a time, −1 for one per core: the default, except that a study with classes that
    only this process knows (of a script or notebook) is run one run at a time. backend: "loky"
    (processes), "threading", "dask" or "ray"; scheduler: address of a running Dask or Ray cluster, whose
    workers are all used with jobs=-1. out: the results folder; without one, a temporary folder that exists as
    long as the Result. until: "decided" runs seeds in batches until the gate, or the primary measures, are
    decided, max_seeds at most (the study's own number if omitted). A failed run is a row of `.failed`, not an
    exception. checkpoint_every: rounds between checkpoints of a run in `out`, 0 for none. keep_state: keep the
    final state of every run, so that a study with more rounds continues from it (docs/long-runs.md). timings:
    store the seconds of each phase; `.manifest["timings"]` has their means per arm. no_code: refuse a study that names
    code (classes, models of adapters), before that is imported. run_timeout: most seconds for a run, which fails if it
    takes longer (backend "loky" only). progress: show it on stderr; on a terminal and in a notebook if omitted.
    max_runs: a study with more runs is refused.

    Raises BadInput before anything is started, StorageError if results cannot be written.
    """
    placed = overrides(rounds, seeds, set)
    # Absolute before any code of the study is imported, which may change the current directory.
    out = None if out is None else Path(out).absolute()
    chosen = load_study(study, placed, no_code=no_code)
    check_checkpoint_options(checkpoint_every, keep_state)
    with trace_mistakes(study, placed, chosen):
        stop = parse_until(until, chosen, seeds, max_seeds)
    options = RunOptions(
        jobs=jobs_or_default(jobs, [arm.model_dump(mode="json") for arm in chosen.arms]),
        backend=backend,
        scheduler=scheduler,
        # A temporary folder is never resumed.
        checkpoint_every=0 if out is None else checkpoint_every,
        keep_state=keep_state and out is not None,
        timings=timings,
        run_timeout=run_timeout,
        max_runs=max_runs,
        until=stop,
        progress=progress_display(progress),
        changed=describe_changes(study, placed, chosen),
    )
    temporary = TemporaryDirectory(prefix="echodrift-") if out is None else None
    place = Path(temporary.name if temporary else str(out))
    try:
        with trace_mistakes(study, placed, chosen):
            full = options.full_study(chosen)
        with trace_mistakes(study, placed, full):
            check_runnable(full, stops=stop is not None)
        run_study(chosen, place, options)
    except KeyboardInterrupt:
        if temporary is None:
            raise
        raise KeyboardInterrupt("Stopped. Nothing is kept: run(…, out=folder) keeps finished runs.") from None
    return Result(place, temporary)


def gate(study: AnyStudy = "default", **options: Any) -> Answer:
    """Run a study and judge its `[gate]`: `.outcome` is "PASS", "FAIL" or "UNDECIDED"; print it for the table.

    options: those of `run`. Raises BadInput before anything is started if there is no gate, or if no
    number of seeds can decide it.
    """
    placed = overrides(options.get("rounds"), options.get("seeds"), options.get("set"))
    chosen = load_study(study, placed, no_code=options.get("no_code", False))
    with trace_mistakes(study, placed, chosen):
        stop = parse_until(options.get("until"), chosen, options.get("seeds"), options.get("max_seeds"))
        check_decidable(chosen, stop.most if stop else None)
    return run(study, **options).gate()


def loop(
    study: AnyStudy = "default",
    *,
    arm: str | None = None,
    seed: int | None = None,
    rounds: int | None = None,
    set: Mapping[str, Any] | None = None,
) -> FeedbackLoop:
    """Return one run of a study as a mesa.Model: `loop.step()` is a round.

    arm: name of the arm; the first if omitted. seed: the study's first if omitted. Grid and zip tables are
    ignored: use `set` for values that differ from the study. With uncertainty, the seed's draw is applied.
    """
    chosen = load_study(study, overrides(rounds, None, set))
    arms = {each.name: each for each in chosen.arms}
    if arm is not None and arm not in arms:
        raise BadInput(f'no arm is named "{arm}" (arms: {", ".join(arms)}).{did_you_mean(arm, arms)}')
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
        raise BadInput(f"seed = {seed!r}: must be a whole number of at least 0")
    from .execution.build import build_loop

    drawn, world = study_at_seed(chosen, seeds_of(chosen)[0] if seed is None else seed)
    number = list(arms).index(arm) if arm else 0
    return build_loop(drawn, drawn.arms[number], world)


def overrides(
    rounds: int | None, seeds: int | list[int] | None, set: Mapping[str, Any] | None
) -> list[Override]:
    """Return the overrides that Python arguments make."""
    if set is not None and not isinstance(set, Mapping):
        raise BadInput(
            f'set={set!r}: must be a dictionary of dotted keys, for example set={{"behavior.reinforcement": 0.02}}'
        )
    found: list[Override] = [(f"set={{{key!r}: …}}", key, value) for key, value in (set or {}).items()]
    if rounds is not None:
        found.append((f"rounds={rounds!r}", "rounds", rounds))
    if seeds is not None:
        found.append((f"seeds={seeds!r}", "seeds", seeds))
    return found
