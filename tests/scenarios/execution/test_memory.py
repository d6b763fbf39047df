"""Memory: the guess for a run, and how many runs there is room for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from echodrift.agents.behavior import Behavior
from echodrift.agents.settings import WorldConfig
from echodrift.errors import BadInput
from echodrift.policies import ScorePolicy, Size
from echodrift.policies.neural import jax_runtime
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.design.plan import expand
from echodrift.scenarios.execution import memory
from echodrift.scenarios.execution.memory import MIB, Estimate, estimate, limit_jobs
from echodrift.scenarios.execution.progress import Progress
from echodrift.scenarios.execution.run_size import run_size, takes
from echodrift.scenarios.runner import RunOptions, run_study
from echodrift.scenarios.specs.study import Study
from hypothesis import given
from hypothesis import strategies as st

GIB = 1024 * MIB


def study(policy: dict[str, Any] | None = None, **changes: Any) -> Study:
    arms = [
        {"name": "a", "policy": {"kind": "organic"}},
        {"name": "b", "policy": policy or {"kind": "random"}},
    ]
    return load_study({"name": "memory", "rounds": 10, "seeds": 4, "arms": arms, **changes})


def guess(policy: dict[str, Any] | None = None, **changes: Any) -> int:
    of = study(policy, **changes)
    return estimate(of, of.arms[1]).total


@given(
    users=st.integers(10, 200_000),
    items=st.integers(10, 200_000),
    rounds=st.integers(1, 5000),
    policy=st.sampled_from(
        [
            *(
                {"kind": kind}
                for kind in ("organic", "popularity", "oracle_slate", "ease", "item_knn", "user_knn")
            ),
            *({"kind": kind} for kind in ("mult_vae", "sequential", "bandit", "persona")),
            {"kind": "matrix_factorization", "dim": 32},
        ]
    ),
    more=st.sampled_from(["users", "items", "rounds"]),
)
def test_a_larger_study_never_needs_less(users: int, items: int, rounds: int, policy: Any, more: str) -> None:
    """… apart from two steps: the cache of small worlds, and the smaller of EASE's two forms."""
    size = {"users": users, "items": items, "rounds": rounds}
    larger = {**size, more: 2 * size[more]}
    small, large = (
        guess(policy, rounds=each["rounds"], world={"users": each["users"], "items": each["items"]})
        for each in (size, larger)
    )
    step = 3 * 4 * memory.CACHED_PAIRS
    if policy["kind"] == "ease":
        step += int(1.1 * max(8 * users**2, 4 * items**2))
    assert memory.LIBRARIES < small <= large + step


def test_what_is_known_in_closed_form() -> None:
    """Matrices whose size the policies' own documentation gives are in the guess, and little else is."""
    world, platform = (
        {"users": 20_000, "items": 20_000},
        {"warmup": 300},
    )  # Long enough for every item to be taken
    plain = guess({"kind": "popularity"}, world=world, platform=platform)
    ease = guess({"kind": "ease"}, world=world, platform=platform) - plain
    assert 4 * 20_000**2 <= ease <= 1.3 * 4 * 20_000**2
    few = {"users": 4000, "items": 20_000}
    by_user, plain = (guess({"kind": kind}, world=few, platform=platform) for kind in ("ease", "popularity"))
    assert 8 * 4000**2 <= by_user - plain <= 8 * 4000**2 + 120 * MIB
    factors = {"kind": "matrix_factorization", "dim": 50}
    model = guess(factors, world=world)
    assert guess({"kind": "bandit", "policy": factors}, world=world) - model >= 256 * (
        50 * 50 * 8 + 20_000 * 4
    )
    # learning from a paired organic world takes a second world
    one = estimate(study(world=world), study().arms[1])
    both = estimate(study(world=world, platform={"learn_from": "organic"}), study().arms[1])
    assert both.world >= 1.5 * one.world


class Outside(ScorePolicy):
    """Somebody else's policy."""

    said: ClassVar[Any] = None
    """What its memory() returns, or raises; None: it has none of its own."""

    def fit(self, seen: Any, rng: Any) -> None: ...

    def scores(self, seen: Any, users: Any, rng: Any) -> Any: ...

    def memory(self, size: Size) -> float:
        if isinstance(self.said, Exception):
            raise self.said
        return super().memory(size) if self.said is None else self.said


def outside(said: Any, monkeypatch: pytest.MonkeyPatch, library_bytes: Any = 0) -> Estimate:
    monkeypatch.setattr(Outside, "said", said)
    monkeypatch.setattr(Outside, "library_bytes", library_bytes)
    of = study({"kind": f"{__name__}:Outside"})
    return estimate(of, of.arms[1])


def test_items_that_retire_in_the_warm_up_need_memory_too() -> None:
    def items(platform: dict[str, Any], **world: Any) -> int:
        of = study(world={"users": 50, "items": 100, **world}, platform=platform)
        return run_size(of, of.arms[1]).items

    assert items({"warmup": 40}) == 100
    assert items({"warmup": 40}, arrivals=2.0) == 100 + 2 * (40 + 10)
    assert items({"warmup": 40}, arrivals=2.0, retirements=0.5) == 100 + 20 + 20
    assert items({"warmup": 40}, retirements=0.5) == 100


def test_a_class_of_somebody_else_has_its_say(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = outside(None, monkeypatch)
    users, items = Study.model_fields["world"].default.users, Study.model_fields["world"].default.items
    large = outside(10**9, monkeypatch).policy
    assert outside(2 * 10**9, monkeypatch).policy - large == 10**9
    assert large - usual.policy == 10**9 - (users + items) * 64 * 16 - 3 * 256 * items * 4
    assert outside(None, monkeypatch, 5 * MIB).libraries == usual.libraries + 5 * MIB


@pytest.mark.parametrize("said", [ValueError("broken"), -1, float("nan"), float("inf"), "much", [1]])
def test_a_class_that_breaks_counts_as_a_usual_one(said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outside(said, monkeypatch) == outside(None, monkeypatch)
    assert outside(None, monkeypatch, "much") == outside(None, monkeypatch)


def test_a_policy_that_cannot_be_built_counts_as_a_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: str) -> None:
        raise BadInput("no jax")

    before = guess({"kind": "sequential"})
    monkeypatch.setattr(jax_runtime, "require_jax", refuse)
    assert MIB < guess({"kind": "sequential"}) < before


def test_switches_and_groups_count() -> None:
    world = {"users": 8000, "items": 20_000}
    arm = {"name": "b", "policy": {"kind": "popularity"}}
    late = {**arm, "switch": [{"round": 5, "policy": {"kind": "ease", "l2": 10.0}}]}
    before, after = (
        estimate(of, of.arms[0]).total
        for of in (
            load_study({"name": "s", "world": world, "platform": {"warmup": 300}, "arms": [each]})
            for each in (arm, late)
        )
    )
    assert after - before >= 4 * 20_000**2
    groups = [{"name": "hungry", "share": 1.0, "appetite": 20}]
    assert guess(world={**world, "groups": groups}) > guess(world=world)


def test_a_log_is_read_for_its_size(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user,item\n" + "".join(f"{u},{(u * 7 + k) % 90}\n" for u in range(50) for k in range(20)))
    of = study(world={"log": str(log)}, platform={"slate": 3})
    assert 0 < estimate(of, of.arms[1]).run < 20 * MIB


@pytest.mark.parametrize(
    ("free", "jobs", "fit", "facts"),
    [
        (100.0, 8, 8, ()),
        (1.6, 8, 4, ("4 of 8 jobs", "needs up to about 0.3 GiB", "1.4 GiB are free")),
        (1.6, 1, 1, ()),
        (0.01, 8, 1, ("warning: ", 'arm "b", seed 0', "needs about 0.3 GiB", "9.2 MiB are free")),
    ],
)
def test_jobs_are_bounded_by_what_is_free(
    monkeypatch: pytest.MonkeyPatch, free: float, jobs: int, fit: int, facts: tuple[str, ...]
) -> None:
    """What was bounded is told with the memory that a run needs and the memory that is free."""
    monkeypatch.setattr(memory, "free_bytes", lambda: int(free * GIB))
    monkeypatch.setattr(memory, "LIBRARIES", 300 * MIB)
    todo = [run for run in expand(study(seeds=8, world={"users": 200, "items": 500})) if run.arm.name == "b"]
    found, note = limit_jobs(jobs, todo)
    assert found == fit
    assert bool(note) == bool(facts) and all(fact in note for fact in facts)


@given(
    free=st.integers(0, 200 * GIB),
    jobs=st.integers(1, 64),
    users=st.integers(10, 50_000),
    shared=st.booleans(),
)
def test_the_bound_keeps_to_what_is_free(free: int, jobs: int, users: int, shared: bool) -> None:
    """At least one job, at most those asked for; and where it is more than one, all of them fit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "free_bytes", lambda: free)
        todo = expand(study(seeds=40, world={"users": users, "items": 1000}))
        fit, note = limit_jobs(jobs, todo, shared=shared)
        assert 1 <= fit <= jobs and bool(note) == (fit < jobs or note.startswith("warning"))
        each = max(
            (estimate(run.study, run.arm).run if shared else estimate(run.study, run.arm).total)
            for run in todo
        )
        if fit > 1:
            assert fit * each <= free
        more, _ = limit_jobs(jobs + 1, todo, shared=shared)
        assert more >= fit


def test_it_is_said_aloud_and_the_study_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Hearing(Progress):
        def note(self, text: str) -> None:
            told.append(text)

        def start(self, runs: int, done: int, jobs: int, rounds: int) -> None:
            told.append(f"{jobs} at a time")

    monkeypatch.setattr(memory, "free_bytes", lambda: 1)
    of = study(rounds=2, seeds=1, world={"users": 20, "items": 30, "topics": 4}, platform={"slate": 3})
    run_study(of, tmp_path, RunOptions(jobs=2, progress=Hearing()))
    assert told[0].startswith('warning: arm "') and told[1] == "1 at a time"
    assert (tmp_path / "rounds.parquet").exists()


def test_check_tells_the_guess() -> None:
    world = {"users": 20_000, "items": 20_000}
    told = memory.describe_memory(study({"kind": "ease"}, world=world, platform={"warmup": 300}))
    assert told.startswith("memory: about 2.") and 'arm "b"' in told and "at a time" in told


def test_takes_grow_with_appetite_and_with_better_slates() -> None:
    """Takes per visit lie between none and what a visit can look at, and more for slates that the user wants."""
    world, few, many = WorldConfig(items=500), Behavior(), Behavior(appetite=8)
    by_chance, chosen = takes(world, few, 10, False)[0], takes(world, few, 10, True)[0]
    assert 0.3 < by_chance < chosen < 2.3 and takes(world, many, 10, True)[0] > 1.3 * chosen


def test_terms_that_dominate_wide_runs() -> None:
    """Ties, slots, topics, splits and candidates each add at least the arrays that they are stored in."""
    base = guess(world={"users": 20_000, "items": 1000})
    ties = {"kind": "watts_strogatz", "degree": 200}
    assert guess(world={"users": 20_000, "items": 1000, "graph": ties}) - base > 20_000 * 200 * 100
    topics = guess(world={"users": 20_000, "items": 1000, "topics": 256})
    assert topics - base > 20_000 * (256 - 24) * 32
    slots = guess(world={"users": 20_000, "items": 1000}, platform={"slate": 128}, rounds=20)
    assert slots - base > 20 * 0.5 * 20_000 * (128 - 10) * 4
    split = guess(world={"users": 20_000, "items": 1000, "communities": 100}, split_by=["community"])
    assert split - base > 20_000 * 100
    arm = {"name": "a", "policy": {"kind": "random"}}
    deep = {**arm, "rerank": [{"kind": "mmr", "candidates": 1000}]}
    less, more = (
        estimate(of, of.arms[0]).total
        for of in (
            load_study({"name": "s", "world": {"users": 20_000, "items": 1000}, "arms": [each]})
            for each in (arm, deep)
        )
    )
    assert more - less > 0.9 * 0.5 * 20_000 * 1000 * 8


@pytest.mark.slow
@pytest.mark.parametrize("case", ["degree", "slate", "topics", "neighbors"])
def test_guesses_against_real_runs(case: str) -> None:
    """The guess is 1.0 to 1.3 times the highest resident set of a real run in a process of its own."""
    script = Path(__file__).parents[3] / "benchmarks" / "memory.py"
    for _ in range(2):  # The first run may compile, which takes memory too
        told = subprocess.run(
            [sys.executable, script, "--one", case], capture_output=True, text=True, check=True
        )
    found = json.loads(told.stdout.splitlines()[-1])
    peak = found.pop("peak")
    assert 1.0 <= sum(found.values()) / peak <= 1.3, (case, found, peak)
