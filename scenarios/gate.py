"""The gate of a study: what can be said about it beforehand, and its answer afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..agents.settings import WorldConfig
from ..errors import BadInput, EchodriftError, did_you_mean
from .gate_sense import misread, narrow
from .gate_spec import GateConfig, GateLine
from .grid import grid_points
from .plan import seeds_of
from .spec import Arm, Study
from .wording import counted

if TYPE_CHECKING:
    from ..analysis.verdict_types import Answer

EXAMPLE = """[gate]
baseline = "the arm that is there now"
candidate = "the arm that is to replace it"
horizon = "last 20 rounds"

[[gate.guardrail]]
measure = "niche_exposure"
at_least = "baseline - 0.01"
"""


def check_gate(study: Study) -> list[str]:
    """Raise BadInput for a gate on an arm or a measure that the study does not have, one line per mistake.

    Returns warnings: what makes its answer UNDECIDED for certain, or likely.
    """
    gate = study.gate
    if gate is None:
        return []
    wrong = list(_unknown(study, gate)) or list(misread(gate))
    if wrong:
        raise BadInput("\n".join(wrong))
    never = [f"warning: {line}" for line in _never(study, gate, len(seeds_of(study)))]
    doubtful = [*_no_margin(gate), *narrow(gate, len(seeds_of(study)))]
    return never + [f"warning: {line}" for line in doubtful]


def check_decidable(study: Study, most: int | None = None) -> None:
    """Raise BadInput for a study that has no gate, or one that no run of it can decide.

    most: seeds that it may run, where they are not the study's own.
    """
    if study.gate is None:
        raise BadInput(f"gate: this study has no gate. Add one to it, for example\n\n{EXAMPLE}")
    wrong = list(_unknown(study, study.gate))
    wrong = wrong or list(_never(study, study.gate, most or len(seeds_of(study)), most))
    if wrong:
        raise BadInput("\n".join(wrong))


def _unknown(study: Study, gate: GateConfig) -> Iterator[str]:
    """Arms and measures that are not there, and pairs that can never differ."""
    arms = [arm.name for arm in study.arms]
    for key in ("baseline", "candidate"):
        name = getattr(gate, key)
        if name not in arms:
            yield f'gate.{key}: no arm is named "{name}".{did_you_mean(name, arms)} Arms: {", ".join(arms)}'
    for key, line in gate.lines:
        yield from (f"gate.{key}.measure: {what}" for what in _not_taken(study, line.measure))
    if {gate.baseline, gate.candidate} <= set(arms):
        points = [{arm.name: arm for arm in point.arms} for _, point in grid_points(study)]
        if all(_alike(arms_at[gate.baseline], arms_at[gate.candidate]) for arms_at in points):
            yield (
                f'gate: "{gate.baseline}" and "{gate.candidate}" are the same but for their names, so every '
                "difference is 0; name two arms that differ"
            )


def _alike(one: Arm, other: Arm) -> bool:
    return one.model_dump(exclude={"name"}) == other.model_dump(exclude={"name"})


def _not_taken(study: Study, name: str) -> Iterator[str]:
    """What is wrong with the name of a measure in this study."""
    from ..analysis.measures import MEASURES, measure_class

    base, _, part = name.partition(":")
    if base not in MEASURES:
        close = did_you_mean(base, MEASURES)
        yield f'there is no measure "{name}".{close} `echodrift list measures` shows all'
    elif study.measures and base not in study.measures:
        yield f'this study does not take "{base}": add it to measures ({", ".join(study.measures)})'
    elif part and not measure_class(base).splits:
        yield f'"{base}" is not a mean over users, so there is no "{name}"'
    elif part and part.partition("=")[0] not in ("treated", *study.split_by):
        kind = part.partition("=")[0]
        yield (
            f'"{name}" is not taken: add split_by = ["{kind}"] to the study'
            if kind in ("group", "community")
            else f'"{name}": people are told apart by group=NAME or community=NUMBER'
        )
    elif part and isinstance(study.world, WorldConfig):
        kind, _, label = part.partition("=")
        groups = [group.name for group in study.world.groups]
        labels = {"group": groups, "community": [str(each) for each in range(study.world.communities)]}
        if label not in labels.get(kind, [label]):
            yield f'there is no {kind} "{label}" ("{name}").{did_you_mean(label, labels[kind])}'


def _never(study: Study, gate: GateConfig, seeds: int, most: int | None = None) -> Iterator[str]:
    """What makes a decision impossible: too few seeds, a horizon without rounds or values."""
    from ..analysis.statistics.resampling import fewest
    from ..analysis.statistics.sequential import first_look
    from ..analysis.verdict import NO_SALTELLI

    least, why = 2, "an interval over pairs of runs"
    if most is not None:
        least, why = first_look(gate.level), "a confidence sequence"
    elif gate.method == "bootstrap":
        least, why = fewest(gate.level), "a bootstrap interval that can show anything"
    if seeds < least:
        yield (
            f"gate: {counted(seeds, 'seed')} can never decide it: {why} takes at least {least}. "
            f"Type {f'--max-seeds {max(least, 20)}' if most is not None else '--seeds 20'}, or more"
        )
    if study.uncertainty is not None and study.uncertainty.design == "saltelli":
        yield f"gate: {NO_SALTELLI}"
    told: dict[str, None] = {}
    for _, point in grid_points(study):
        for key, line in gate.lines:
            told |= dict.fromkeys(_empty(point, key, line, line.horizon or gate.horizon))
    yield from told


def _empty(point: Study, key: str, line: GateLine, horizon: str) -> Iterator[str]:
    """What is wrong with the rounds that count for a line at a grid point."""
    from ..analysis.bounds import parse_horizon
    from ..analysis.measures import measure_class

    where = f"gate.{key}.horizon" if line.horizon else "gate.horizon"
    try:
        first, last = parse_horizon(horizon).window(point.rounds)
    except ValueError as error:
        yield f'{where}: {error}; shorten it, raise rounds, or write "all rounds"'
        return
    every = measure_class(line.measure.partition(":")[0]).every
    if last // every * every < first:
        yield f'{where}: "{horizon}" holds no round in which {line.measure} is measured (every {every} rounds)'


def _no_margin(gate: GateConfig) -> Iterator[str]:
    for key, line in gate.lines:
        if not line.bound.has_margin:
            side, sign = ("at_least", "-") if line.at_least is not None else ("at_most", "+")
            yield (
                f'gate.{key}: {side} = "baseline" leaves no margin: where the change has no effect on '
                f'{line.measure}, no number of seeds decides it. Allow one, for example "baseline {sign} 0.01"'
            )


def foresee(study: Study, folder: Path, seeds: int, sequential: bool = False) -> list[str]:
    """Return warnings about lines that these seeds will hardly decide, by the spread of earlier results there.

    Says for each the seeds, or the margin, with which a change without effect is decided 4 times in 5.
    """
    from ..analysis.results import read_results
    from ..analysis.verdict_lines import spreads
    from ..analysis.verdict_reasons import SEQUENCE, count, decidable_margin

    gate = study.gate
    if gate is None or not (folder / "manifest.json").is_file():
        return []
    try:
        found = spreads(read_results(folder), gate.model_dump(mode="json", exclude_none=True))
    except EchodriftError:
        return []  # results of another study, or damaged ones: the run itself says so
    method = SEQUENCE if sequential else "t"
    lines = []
    for (key, line), (sd, distance, n) in zip(gate.lines, found, strict=True):
        if not sd > 0 or n < 3 or not distance >= 0:
            continue
        margin = decidable_margin(sd, seeds, gate.level, method)
        needed = count(sd, distance, gate.level, method) if distance > 0 else None
        if needed is not None and needed <= seeds:
            continue
        takes = f"takes about {needed:,} seeds" if needed is not None else "is decided by no number of seeds"
        lines.append(
            f"warning: gate.{key}: at the spread of the {n} seeds run before, a change without effect on "
            f"{line.measure} {takes}; {counted(seeds, 'seed')} decide a margin of {margin:.2g}"
        )
    return lines


def judge_folder(folder: Path) -> Answer:
    """Judge a finished study's folder by the gate in its study.toml.

    Raises StorageError where results are missing or were changed, BadInput where there is no gate.
    """
    from ..analysis.results import read_results
    from ..analysis.verdict import answer
    from .folder import Folder

    if not folder.exists():
        raise BadInput(f"{folder}: there is no such folder")
    Folder(folder).verify()
    results: Any = read_results(folder)
    if not results.study.get("gate"):
        raise BadInput(
            f"the study in {folder} has no [gate]. Add one to the study file and type: echodrift gate STUDY "
            f"--out {folder} (finished runs are taken over)"
        )
    return answer(results)
