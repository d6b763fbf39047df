"""Compare policies on held-out interactions of a log: `echodrift evaluate`, and `echodrift.evaluate` in Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BadInput
from ...policies.registry import policy_class, spec_of
from ..execution.parallel import Jobs, jobs_or_default, resolve_jobs, run_parallel
from ..execution.progress import Progress, progress_display
from .metric_list import DEFAULT, RequestedMetric, parse_metrics
from .protocol.data import Data, read_data
from .protocol.splits import Split, parse_split
from .protocol.task import Rules, Task, task_for_seed
from .results.evaluation import Evaluation
from .score import Outcome, evaluate_policy
from .specs import AnyPolicy, Contender, any_outside, contenders
from .split_size import small_split_warnings, task_size
from .storage import check_folder

SEEDS = 5
"""Default number of seeds for random splits."""


@dataclass(frozen=True)
class Job:
    """One policy on one split."""

    seed: int
    contender: Contender
    requested: list[RequestedMetric]
    task: Task | None
    error: str = ""
    """Why there is no task: the split of this seed leaves nothing to train or to test on."""


def evaluate(
    log: str | Path | None = None,
    *,
    policies: AnyPolicy | Sequence[AnyPolicy],
    train: str | Path | None = None,
    test: str | Path | None = None,
    negatives: str | Path | None = None,
    metrics: str | Iterable[str] = DEFAULT,
    split: str | None = None,
    seeds: int | Sequence[int] | None = None,
    mask: bool = True,
    cold_users: bool = False,
    known_items: bool = False,
    jobs: int | None = None,
    out: str | Path | None = None,
    per_user: bool = False,
    progress: bool | None = None,
    **data: Any,
) -> Evaluation:
    """Fit every policy on the training part, rank for the test users, and return the metrics.

    log with split ("random:0.2" when omitted, "leave-one-out", "temporal:0.2", "users:0.1"), or train and
    test, and negatives. policies: "kind=ease,l2=300", tables, or "@file.toml". seeds: how many splits and
    fits (0…n−1), or which; five where the split is drawn, else one. mask: leave out what a user took in
    training. data: items, tags, social, user_column, item_column, rating_column, time_column, min_rating,
    user_core, item_core, topics (docs/offline-evaluation.md). out: folder of tables. jobs and progress: as in
    `echodrift.run`.

    A policy that fails is a row of `.failed`, not an exception. Raises BadInput before anything is fitted,
    StorageError where results cannot be written.
    """
    chosen, requested = contenders(policies), parse_metrics(metrics)
    jobs = resolve_jobs(jobs_or_default(jobs, [[one.spec, one.rerank] for one in chosen]))
    how = None if split is None else parse_split(split)
    if out is not None:
        check_folder(Path(out))
    found = read_data(files(log, train, test, negatives) | data)
    how = split_for(found, how)
    rules = Rules(mask, cold_users, known_items)
    drawn = how is not None and how.is_drawn(found.time is not None)
    numbers = seed_list(seeds, SEEDS if drawn else 1)
    needs_tags = reads_tags(chosen, requested)
    # The first task is created before anything starts, so that bad input is reported immediately.
    first = task_for_seed(found, how, numbers[0], rules, needs_tags)
    result = Evaluation(
        policies=[one.name for one in chosen],
        specs={one.name: _full_spec(one) for one in chosen},
        metrics=[metric.label for metric in requested],
        seeds=numbers,
        split="given" if how is None else str(how),
        drawn=drawn,
        notes=[
            *notes_of(found, first, drawn and len(numbers) > 1),
            *small_split_warnings([task_size(first)], "test"),
        ],
    )

    def todo() -> Iterator[Job]:
        for seed in numbers:
            task, error = first, ""
            if seed != first.seed:
                # An exception in this generator would not reach the consumer of the jobs.
                try:
                    task = task_for_seed(found, how, seed, rules, needs_tags)
                except BadInput as problem:
                    task, error = None, str(problem)
            if task is not None:
                result.split_sizes[seed] = task_size(task)
            for contender in chosen:
                yield Job(seed, contender, requested, task, error)

    shown = progress_display(progress)
    with shown:
        result.add_outcomes(
            list(run_jobs(todo(), jobs, len(numbers) * len(chosen), shown, any_outside(chosen)))
        )
    if out is not None:
        result.write(Path(out), per_user)
    return result


def run_jobs(
    todo: Iterable[Job], jobs: int, total: int, shown: Progress, apart: bool = False
) -> Iterator[Outcome]:
    """Run the jobs and yield their outcomes as they finish; apart: always in other processes."""
    shown.start(total, 0, min(jobs, total), total)
    for _, outcome in run_parallel(todo, Jobs(run_job, killed_outcome, min(jobs, total), apart)):
        shown.run_done(1, outcome.status == "failed")
        yield outcome


def run_job(job: Job) -> Outcome:
    """Run one job, in any process."""
    if job.task is None:
        return Outcome(job.contender.name, job.seed, "failed", job.error)
    return evaluate_policy(job.task, job.contender, job.requested)


def killed_outcome(job: Job, why: str) -> Outcome:
    """Return the outcome of a job whose process ended before it; why: how, as a clause."""
    return Outcome(job.contender.name, job.seed, "failed", f"the process of this run {why}")


def files(
    log: str | Path | None, train: str | Path | None, test: str | Path | None, negatives: str | Path | None
) -> dict[str, str]:
    """Return the files that were given, by option."""
    options = {"log": log, "train": train, "test": test, "negatives": negatives}
    return {key: str(value) for key, value in options.items() if value is not None}


def split_for(data: Data, split: Split | None) -> Split | None:
    """Return the split, random:0.2 by default; None for data with a test file of their own."""
    if data.first_test_row is None:
        return split or Split("random", 0.2)
    if split is not None:
        raise BadInput(f"--split {split}: train and test are files of their own, there is nothing to split")
    return None


def seed_list(seeds: int | Sequence[int] | None, default: int) -> list[int]:
    """Return the seeds as a list; BadInput if they are not valid."""
    if seeds is None:
        seeds = default
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        if not 1 <= seeds <= 10_000:
            raise BadInput(f"seeds = {seeds}: must be 1 to 10000 seeds, or a list of seeds")
        return list(range(seeds))
    numbers = list(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, (str, bytes)) else []
    if not numbers or any(isinstance(one, bool) or not isinstance(one, int) or one < 0 for one in numbers):
        raise BadInput(f"seeds = {seeds!r}: must be a number of seeds, or a list of whole numbers from 0 on")
    if len(set(numbers)) < len(numbers):
        raise BadInput(f"seeds = {seeds!r}: the same seed is listed twice")
    return numbers


def reads_tags(chosen: list[Contender], requested: list[RequestedMetric]) -> bool:
    """Return whether a metric, a reranker or a policy reads item topics; classes of users may do so."""
    if any(metric.name == "miscalibration" for metric in requested) or any(one.rerank for one in chosen):
        return True
    kinds = {kind for one in chosen for kind in _kinds_in(one.spec)}
    ours = __name__.split(".")[0] + "."
    found = [policy_class(kind) for kind in sorted(kinds)]
    return any(cls.reads_tags or not cls.__module__.startswith(ours) for cls in found)


def _kinds_in(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("kind"), str):
            yield value["kind"]
        for inside in value.values():
            yield from _kinds_in(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _kinds_in(inside)


def notes_of(data: Data, task: Task, several: bool) -> list[str]:
    """Return notes about the files, then about the first split."""
    return [*data.notes, *(f"{note} (seed {task.seed})" if several else note for note in task.notes)]


def _full_spec(contender: Contender) -> dict[str, Any]:
    """Return the settings of a contender with all defaults."""
    policy, rerankers = contender.build()
    return spec_of(policy) | ({"rerank": [spec_of(one) for one in rerankers]} if rerankers else {})
