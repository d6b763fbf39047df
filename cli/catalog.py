"""Texts of `list`, `describe` and `check`: available components, a study in detail, and warnings about a study."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..agents.settings import WorldConfig
from ..errors import EchodriftError
from ..scenarios.design.drawn_studies import describe_uncertainty, without_rows
from ..scenarios.design.grid import grid_points
from ..scenarios.design.load import dump
from ..scenarios.design.plan import expand, seeds_of
from ..scenarios.design.size import count_points, count_runs, count_seeds
from ..scenarios.specs.files import library, presets, read_toml
from ..scenarios.specs.study import Study
from ..scenarios.specs.uncertainty import Uncertainty
from ..wording import component, counted, toml

Row = tuple[str, str]
"""(name, one-line description)."""

FEW_DRAWS = 64
"""Minimum draws for sensitivity indices that are not just rough (`analysis.sensitivity`)."""
FEW_SEEDS = 20
"""Minimum seeds for a comparison with narrow intervals."""


def policies() -> list[Row]:
    """Return the policies, then the reference arms."""
    from ..policies.registry import kinds, policy_class
    from ..sim.recommender import REFERENCE_ARMS

    rows = [(name, _first_line(policy_class(name))) for name in kinds("policies")]
    return rows + [(name, f"(reference arm) {text}") for name, (_, _, text) in REFERENCE_ARMS.items()]


def rerankers() -> list[Row]:
    """Return the rerankers."""
    from ..policies.registry import kinds, reranker_class

    return [(name, _first_line(reranker_class(name))) for name in kinds("rerankers")]


def transforms() -> list[Row]:
    """Return the log transforms."""
    from ..policies.registry import kinds, log_transform_class

    return [(name, _first_line(log_transform_class(name))) for name in kinds("log_transforms")]


def measures() -> list[Row]:
    """Return the measures with unit, range and direction."""
    from ..analysis.measures import catalog

    rows = []
    for column in catalog():
        if not column.usual:
            continue
        unit = f" [{column.unit}]" if column.unit else ""
        direction = "" if column.better == "neither" else f", {column.better} is better"
        rows.append(
            (
                column.name,
                f"{column.title}{unit}, {_bound(column.low)} to {_bound(column.high)}{direction} ({column.family})",
            )
        )
    return rows


def _bound(value: float) -> str:
    return f"{value:g}".replace("inf", "∞")


def studies() -> list[Row]:
    """Return the studies of the library with their titles."""
    return _titles(library())


def worlds() -> list[Row]:
    """Return the presets of worlds with their titles."""
    return _titles(presets())


def _titles(files: Mapping[str, Path]) -> list[Row]:
    """Return name and title of TOML files; of one that cannot be read, why."""
    rows = []
    for name, path in files.items():
        try:
            rows.append((name, str(read_toml(path).get("name", ""))))
        except EchodriftError as error:
            rows.append((name, f"(cannot be read: {str(error).splitlines()[0]})"))
    return rows


def _first_line(component: object) -> str:
    return (inspect.getdoc(component) or "").split("\n")[0]


def describe(study: Study) -> str:
    """Return a study in detail: title, arms, grid, runs, world, size of the results, every setting."""
    from ..analysis.measures import computed

    seeds, runs = seeds_of(study), count_runs(study)
    lines = [study.name, ""]
    if study.description:
        lines += [study.description.strip(), ""]
    lines += ["Arms"]
    reference = study.reference or study.arms[0].name
    for arm in study.arms:
        rerankers = "".join(f", then {component(reranker)}" for reranker in arm.rerank)
        overrides = "".join(f", platform.{key} = {toml(value)}" for key, value in arm.platform.items())
        mark = "  (reference)" if arm.name == reference else ""
        lines.append(f"  {arm.name}: {component(arm.policy)}{rerankers}{overrides}{mark}")
    if study.grid:
        lines += ["", "Grid (every combination)"]
        lines += [f"  {key} = {', '.join(map(toml, values))}" for key, values in study.grid.items()]
    for number, table in enumerate(study.zip):
        lines += ["", f"Zip {number + 1} (these vary together)"]
        lines += [f"  {key} = {', '.join(map(toml, values))}" for key, values in table.items()]
    if study.uncertainty:
        design, *priors = describe_uncertainty(study)
        lines += ["", f"Uncertainty ({design})", *(f"  {prior}" for prior in priors)]
    if study.gate:
        lines += ["", "Gate", *(f"  {line}" for line in study.gate.describe())]
    distinct, rounds = _distinct_runs(study)
    shared = f", {distinct} of them distinct" if distinct < runs else ""
    points, columns = count_points(study), computed(study.measures)
    grid = f" × {counted(points, 'grid point')}" if study.grid else ""
    if study.zip:
        grid = f" × {counted(points, 'design point')}"
    product = f"{counted(len(study.arms), 'arm')}{grid} × {counted(len(seeds), 'seed')}"
    lines += [
        "",
        "Runs",
        f"  {product} = {counted(runs, 'run')}{shared}, {counted(rounds, 'round')} in all",
        f"  rounds.parquet: {counted(rounds, 'row')}, about {_megabytes(rounds * len(columns) * 8)}",
        "",
        "World",
        f"  {_world(study)}",
        "",
        "Every setting (defaults included)",
        *(f"  {line}" for line in _settings(study)),
    ]
    return "\n".join(line.rstrip() for line in lines)


def _distinct_runs(study: Study) -> tuple[int, int]:
    """Return how many runs differ from each other, and the rounds of all; the draws of priors change neither."""
    plan = expand(study.model_copy(update={"seeds": [seeds_of(study)[0]], "uncertainty": None}))
    seeds = count_seeds(study)
    return len({run.key for run in plan}) * seeds, sum(run.study.rounds for run in plan) * seeds


def _settings(study: Study) -> list[str]:
    """Return the study as lines of TOML without its description, which is printed above, and without an empty grid."""
    lines = dump(without_rows(study)).splitlines()
    return [
        line
        for line in lines
        if not line.startswith("description = ")
        and not (line == "[grid]" and not study.grid)
        and line != "zip = []"
    ]


def _world(study: Study) -> str:
    world = study.world
    if not isinstance(world, WorldConfig):
        return f"inferred from {world.log}"
    like = f" by the preset {toml(world.preset)}" if world.preset else ""
    visits = study.rounds * world.users * round(1000 * study.behavior.activity) // 1000
    return (
        f"generated{like}: {world.users:,} users, {world.items:,} items, {world.topics} topics, {world.graph.kind} graph; "
        f"about {visits:,} visits in a run, slates of {study.platform.slate}"
    )


def _megabytes(size: float) -> str:
    return f"{max(size / 1e6, 0.1):.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def warnings(study: Study) -> list[str]:
    """Return settings that are allowed but make conclusions weak, one sentence each."""
    from ..analysis.measures import computed
    from ..analysis.statistics.conclusions import FEWEST, TOO_FEW

    found = []
    seeds = len(seeds_of(study))
    if study.uncertainty and study.uncertainty.design == "saltelli":
        found += _small_design(study.uncertainty)
    elif seeds < FEWEST:
        found.append(
            f"{counted(seeds, 'seed')}: {TOO_FEW}; a verdict takes {FEWEST}, a conclusion {FEW_SEEDS}"
        )
    elif seeds < FEW_SEEDS:
        found.append(
            f"{counted(seeds, 'seed')}: intervals will be wide; {FEW_SEEDS} or more where a conclusion is drawn"
        )
    if study.uncertainty and study.uncertainty.design == "draws" and seeds < FEW_DRAWS:
        found.append(
            f"{counted(seeds, 'draw')} from the priors: {FEW_DRAWS} or more to find out which assumptions matter"
        )
    if len(study.arms) == 1:
        found.append("one arm: there is nothing to compare it with; an organic arm shows what the loop adds")
    found += _short_runs(study)
    found += dict.fromkeys(line for _, point in grid_points(study) for line in _too_many_dimensions(point))
    absent = [name for name in study.primary if name not in computed(study.measures)]
    if absent:
        found.append(f"primary names {', '.join(absent)}, which measures leaves out")
    return found


def _small_design(config: Uncertainty) -> Iterable[str]:
    """Warn about few pairs of draws or replicates, on which intervals and indices rest here instead of seeds."""
    from ..analysis.sensitivity.pairs import FEWEST_PAIRS

    if config.base < FEWEST_PAIRS:
        yield (
            f"base = {config.base}: intervals rest on {2 * config.base} independent draws and no index is given; "
            f"base = {FEWEST_PAIRS} at least"
        )
    if config.replicates == 1:
        yield "replicates = 1: noise cannot be separated from the effects of the keys; replicates = 2 or more"


def _short_runs(study: Study) -> Iterable[str]:
    if study.rounds < 40:
        yield f"{counted(study.rounds, 'round')}: summaries are means over the last 20, so the start of the run weighs in"
    if study.platform.retrain_every > study.rounds:
        yield f"retrain_every = {study.platform.retrain_every} is longer than the run: nothing is ever learned from it"


def _too_many_dimensions(study: Study) -> Iterable[str]:
    """Warn about models with more dimensions than the world has users or items: no log can be larger."""
    world = study.world
    if not isinstance(world, WorldConfig):
        return
    grows = world.arrivals or world.creators
    most, named = world.users, f"{world.users:,} users"
    if not grows:
        most, named = min(most, world.items), f"{named} or {world.items:,} items"
    for arm in study.arms:
        for policy in _policies_in(arm.policy):
            dim = policy.get("dim")
            if isinstance(dim, int) and dim > most:
                yield (
                    f'arm "{arm.name}": dim = {dim} of {policy["kind"]} is more than the {named} of the '
                    "world: it can learn the log by heart. Lower dim"
                )


def _policies_in(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a policy and those nested in it, such as the model of a bandit."""
    yield fields
    for value in fields.values():
        if isinstance(value, dict) and "kind" in value:
            yield from _policies_in(value)
