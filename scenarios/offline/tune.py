"""Tune a policy by random search on a validation part of the training data, within minutes or trials."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BadInput
from ...policies.search_space import SearchSpace
from ...sim.streams import Streams
from ...wording import counted
from ..execution.parallel import Jobs, jobs_or_default, resolve_jobs, run_parallel
from ..execution.progress import describe_duration, is_shown
from .evaluate import Job, files, killed_outcome, reads_tags, run_job, seed_list, split_for
from .metric_list import RequestedMetric, parse_metrics
from .protocol.data import Data, read_data
from .protocol.splits import Parts, Split, divide, parse_split
from .protocol.task import Rules, Task, build_task, split_rows
from .results.tuning import Trial, Tuning
from .score import evaluate_policy
from .search import draw, search_space
from .specs import AnyPolicy, Contender, any_outside, contenders
from .split_size import small_split_warnings, task_size
from .storage import check_folder

MINUTES = 10.0
"""Default budget if neither minutes nor trials are given."""
EVERY = 20.0
"""Seconds between progress lines."""


def tune(
    log: str | Path | None = None,
    *,
    policy: AnyPolicy,
    train: str | Path | None = None,
    test: str | Path | None = None,
    negatives: str | Path | None = None,
    metric: str = "ndcg@10",
    split: str | None = None,
    minutes: float | None = None,
    trials: int | None = None,
    search: str | Sequence[str] = (),
    seeds: int | Sequence[int] | None = None,
    mask: bool = True,
    cold_users: bool = False,
    known_items: bool = False,
    jobs: int | None = None,
    out: str | Path | None = None,
    progress: bool | None = None,
    **data: Any,
) -> Tuning:
    """Try settings of a policy on a validation part of the training data; then test the best and the default.

    The test part (the test file, or what `split` holds out) is not used before the end; the validation
    part is held out of the rest by the same split ("random:0.2" when omitted). Trial 0 is the policy as given;
    the settings of trial i depend on the first seed and i only, so a larger budget only adds trials. No trial begins
    after `minutes` (10 when neither they nor `trials` are given). search: "l2=10:1000" (log scale; ":linear"),
    "dim=8,16,32", over the policy's own space. seeds: splits over which every trial is averaged; one.
    The rest is as for `evaluate`.

    A trial that fails is a row of `.trials`. Raises BadInput before anything is fitted.
    """
    chosen = contenders([policy])
    if len(chosen) != 1:
        raise BadInput("tune takes one policy at a time")
    base, requested = chosen[0], parse_metrics(metric, "--metric")
    _check_metric(requested)
    space = search_space(base.spec, search)
    minutes, trials = _budget(minutes, trials)
    jobs = resolve_jobs(jobs_or_default(jobs, [base.spec, base.rerank]))
    how = None if split is None else parse_split(split)
    if out is not None:
        check_folder(Path(out))
    found = read_data(files(log, train, test, negatives) | data)
    inner = how or Split("random", 0.2)
    outer = split_for(found, None if found.first_test_row is not None else how)
    numbers = seed_list(seeds, 1)
    rules, needs_tags = Rules(mask, cold_users, known_items), reads_tags(chosen, requested)
    whole = split_rows(found, outer, numbers[0])
    validation = [_validation(found, whole, inner, seed, rules, needs_tags) for seed in numbers]
    notes = [*found.notes, *validation[0].notes]
    result = Tuning(base, requested[0], str(inner), numbers, space, notes)
    result.validation_sizes = [task_size(task) for task in validation]
    result.notes += small_split_warnings(result.validation_sizes, "validation")
    lines = _TrialLines(is_shown(progress), minutes, trials)
    lines.start(result, jobs)
    try:
        for trial in _trials(base, space, requested, validation, minutes, trials, jobs):
            result.add(trial)
            lines.trial(trial, result)
            if out is not None:
                result.write(Path(out))
    except KeyboardInterrupt:
        kept = "nothing is kept: an output folder keeps finished trials"
        if out is not None:
            kept = f"{len(result.trials_done)} finished trials are in {out}"
        raise KeyboardInterrupt(f"Stopped; {kept}.") from None
    if result.best is not None:
        tasks = [build_task(found, whole, seed, rules, needs_tags, outer) for seed in numbers]
        result.test_sizes = [task_size(task) for task in tasks]
        for job, outcome in run_parallel(
            _final(result, tasks, requested), Jobs(run_job, killed_outcome, jobs, any_outside([base]))
        ):
            result.test.append((job.contender.name, outcome))
        result.test.sort(key=lambda one: (one[0] != "default", one[1].seed))
        result.notes += [f"test: {note}" for note in tasks[0].notes if note not in result.notes]
        result.notes += small_split_warnings(result.test_sizes, "test")
    if out is not None:
        result.write(Path(out))
    return result


@dataclass(frozen=True)
class _PlannedTrial:
    """One trial before it runs; its value is averaged over the tasks."""

    number: int
    fields: dict[str, Any]
    contender: Contender
    tasks: list[Task]
    requested: list[RequestedMetric]


def _validation(data: Data, whole: Parts, split: Split, seed: int, rules: Rules, needs_tags: bool) -> Task:
    """Return the task of a validation split of the training part; the test part is not in it."""
    rng = Streams(seed)("offline.validation")
    try:
        parts = divide(split, data.user, data.item, data.time, whole.train, rng)
    except BadInput as error:
        raise BadInput(f"validation on the training part: {error}") from None
    return build_task(replace(data, negatives=None), parts, seed, rules, needs_tags, split)


def _trials(
    base: Contender,
    space: SearchSpace,
    requested: list[RequestedMetric],
    tasks: list[Task],
    minutes: float,
    trials: int | None,
    jobs: int,
) -> Iterator[Trial]:
    """Yield trials 0, 1, … as they finish, until the budget is used up."""
    deadline = time.monotonic() + 60 * minutes

    def todo() -> Iterator[_PlannedTrial]:
        number = 0
        while number == 0 or (time.monotonic() < deadline and (trials is None or number < trials)):
            fields = draw(space, tasks[0].seed, number)
            tried = Contender(f"trial {number}", base.spec | fields, base.rerank)
            yield _PlannedTrial(number, fields, tried, tasks, requested)
            number += 1

    for _, trial in run_parallel(todo(), Jobs(_run_trial, _killed, jobs, any_outside([base]))):
        yield trial


def _run_trial(planned: _PlannedTrial) -> Trial:
    """Fit and evaluate one trial on every task, in any process; it stops at the first failure."""
    trial = Trial(planned.number, planned.fields, planned.contender.spec)
    values, fit, rank = [], 0.0, 0.0
    for task in planned.tasks:
        outcome = evaluate_policy(task, planned.contender, planned.requested)
        if outcome.status != "ok":
            trial.status, trial.error = outcome.status, outcome.error
            return trial
        values.append(outcome.values[planned.requested[0].label].value)
        fit += outcome.fit_seconds
        rank += outcome.rank_seconds
    trial.values, trial.value = values, float(np.mean(values))
    trial.fit_seconds, trial.rank_seconds = fit / len(values), rank / len(values)
    if not math.isfinite(trial.value):
        trial.status, trial.error = "failed", f"{planned.requested[0].label} is undefined for these rankings"
    return trial


def _killed(planned: _PlannedTrial, why: str) -> Trial:
    message = f"the process of this trial {why}"
    return Trial(planned.number, planned.fields, planned.contender.spec, "failed", message)


def _final(result: Tuning, tasks: list[Task], requested: list[RequestedMetric]) -> Iterator[Job]:
    """Yield the jobs of the final test: the default, and the best settings unless they are the same."""
    best = result.best
    assert best is not None
    named = [("default", result.base.spec)] + ([("best", best.spec)] if best.number else [])
    for task in tasks:
        for name, spec in named:
            yield Job(task.seed, Contender(name, spec, result.base.rerank), requested, task)


def _check_metric(requested: list[RequestedMetric]) -> None:
    if len(requested) != 1:
        raise BadInput(f"--metric: tune looks at one metric, got {', '.join(one.label for one in requested)}")
    if requested[0].definition.better == "neither":
        raise BadInput(
            f"--metric {requested[0].label}: neither more nor less of it is better, so it cannot be tuned for"
        )


def _budget(minutes: float | None, trials: int | None) -> tuple[float, int | None]:
    if minutes is None:
        minutes = MINUTES if trials is None else math.inf
    if isinstance(minutes, bool) or not isinstance(minutes, (int, float)) or not minutes > 0:
        raise BadInput(f"minutes = {minutes}: must be above 0")
    if trials is not None and (isinstance(trials, bool) or not isinstance(trials, int) or trials < 1):
        raise BadInput(f"trials = {trials}: must be a whole number of at least 1")
    return float(minutes), trials


class _TrialLines:
    """Lines on stderr: every new best trial, and progress every `EVERY` seconds."""

    def __init__(self, show: bool, minutes: float, trials: int | None) -> None:
        self.show, self.minutes, self.trials = show, minutes, trials
        self.began = self.last = time.monotonic()

    def start(self, result: Tuning, jobs: int) -> None:
        if self.show:
            budget = [counted(self.trials, "trial")] if self.trials else []
            budget += [f"{self.minutes:g} min"] if self.minutes < math.inf else []
            what = f"tuning {', '.join(result.space)} of {result.base.name}"
            print(f"{what}: {' or '.join(budget)}, {jobs} at a time", file=sys.stderr, flush=True)

    def trial(self, trial: Trial, result: Tuning) -> None:
        now = time.monotonic()
        better = result.best is trial
        if not self.show or (now - self.last < EVERY and not better and trial.status == "ok"):
            return
        done = len(result.trials_done)
        of = f" of {self.trials}" if self.trials else ""
        what = (
            f"{result.metric.label} {trial.value:.4f}" if trial.status == "ok" else f"failed ({trial.error})"
        )
        best = " (best so far)" if better else ""
        left = self._left(now, done)
        print(f"trial {trial.number}: {what}{best}; {done}{of} done{left}", file=sys.stderr, flush=True)
        self.last = now

    def _left(self, now: float, done: int) -> str:
        left = self.began + 60 * self.minutes - now
        if self.trials:
            left = min(left, (now - self.began) / done * (self.trials - done))
        return f", about {describe_duration(left)} left" if 0 < left < math.inf else ""
