"""Check the gate of a study before any run: wrong names and bounds, and gates that can never be decided."""

from __future__ import annotations

from collections.abc import Iterator

from ...agents.settings import WorldConfig
from ...errors import BadInput, KeyPath, Mistake, did_you_mean
from ...wording import counted, format_key
from ..specs.gate import GateConfig, GateLine
from ..specs.study import Arm, Study
from .grid import grid_points
from .plan import seeds_of

EXAMPLE = """[gate]
baseline = "the arm that is there now"
candidate = "the arm that is to replace it"
horizon = "last 20 rounds"

[[gate.guardrail]]
measure = "niche_exposure"
at_least = "baseline - 0.01"
"""


def check_gate(study: Study, stops: bool = False) -> list[str]:
    """Raise BadInput for a gate on an arm or a measure that the study does not have, one line per mistake.

    Returns warnings about whatever makes its answer UNDECIDED, for certain or probably. stops: a stopping rule
    decides on the number of seeds, so that none is too small.
    """
    gate = study.gate
    if gate is None:
        return []
    wrong = list(_unknown_names(study, gate)) or list(_bad_bounds(gate))
    if wrong:
        raise BadInput(*wrong)
    few = [] if stops else _few_seeds(gate, len(seeds_of(study)))
    doubtful = [*few, *_undecidable(study, gate), *_without_margin(gate)]
    return [f"warning: {mistake}" for mistake in doubtful]


def check_decidable(study: Study, most: int | None = None) -> None:
    """Raise BadInput for a study without a gate, or with one that no number of seeds can decide.

    most: highest number of seeds of a study with a stopping rule.
    """
    if study.gate is None:
        text = f"this study has no gate. Add one to it, for example\n\n{EXAMPLE}"
        raise BadInput(Mistake(text, ("gate",)))
    wrong = list(_unknown_names(study, study.gate))
    wrong = wrong or [*_too_few_to_stop(study.gate, most), *_undecidable(study, study.gate)]
    if wrong:
        raise BadInput(*wrong)


def _unknown_names(study: Study, gate: GateConfig) -> Iterator[Mistake]:
    """Yield mistakes about arms and measures that do not exist, and about arms that can never differ."""
    arms = [arm.name for arm in study.arms]
    for key in ("baseline", "candidate"):
        name = getattr(gate, key)
        if name not in arms:
            text = f'no arm is named "{name}".{did_you_mean(name, arms)} Arms: {", ".join(arms)}'
            yield Mistake(text, ("gate", key))
    for place, line in gate.lines:
        path = (*place, "measure")
        yield from (Mistake(text, path, (path, *about)) for text, *about in bad_measure(study, line.measure))
    if {gate.baseline, gate.candidate} <= set(arms):
        points = [{arm.name: arm for arm in point.arms} for _, point in grid_points(study)]
        if all(_same_settings(arms_at[gate.baseline], arms_at[gate.candidate]) for arms_at in points):
            text = (
                f'"{gate.baseline}" and "{gate.candidate}" are the same but for their names, so every difference is '
                "0; name two arms that differ"
            )
            both = [("arms", arms.index(name)) for name in (gate.baseline, gate.candidate)]
            yield Mistake(text, ("gate",), (("gate",), *both))


def _same_settings(one: Arm, other: Arm) -> bool:
    return one.model_dump(exclude={"name"}) == other.model_dump(exclude={"name"})


def bad_measure(study: Study, name: str) -> Iterator[tuple[str, *tuple[KeyPath, ...]]]:
    """Yield what is wrong with the name of a measure in this study, with other keys that may have caused it."""
    from ...analysis.measures import MEASURES, USUAL, computed, measure_class
    from ...analysis.measures.popularity import PROFILES

    base, _, part = name.partition(":")
    if base not in MEASURES:
        close = did_you_mean(base, MEASURES)
        yield (f'there is no measure "{name}".{close} `echodrift list measures` shows all',)
    elif base not in computed(study.measures):
        text = f'this study does not compute "{base}": add it to measures ({", ".join(study.measures or [USUAL])})'
        yield text, ("measures",)
    elif part and not measure_class(base).splits:
        yield (f'"{base}" is not a mean over users, so there is no "{name}"',)
    elif part and part.partition("=")[0] not in ("treated", *study.split_by):
        kind = part.partition("=")[0]
        yield (
            f'"{name}" is not computed: add split_by = ["{kind}"] to the study'
            if kind in ("group", "community", "profile")
            else f'"{name}": users are split by group=NAME, community=NUMBER or profile=KIND',
            ("split_by",),
        )
    elif part and isinstance(study.world, WorldConfig):
        kind, _, label = part.partition("=")
        groups = [group.name for group in study.world.groups]
        labels = {"group": groups, "community": [str(each) for each in range(study.world.communities)]}
        labels["profile"] = list(PROFILES)
        if label not in labels.get(kind, [label]):
            text = f'there is no {kind} "{label}" ("{name}").{did_you_mean(label, labels[kind])}'
            yield text, ("world", "groups"), ("world", "communities")


def _too_few_to_stop(gate: GateConfig, most: int | None) -> Iterator[Mistake]:
    """Yield a mistake if a stopping rule allows too few seeds for a confidence sequence."""
    from ...analysis.gate.remarks import SEQUENCE, fewest_seeds

    if most is not None and most < (least := fewest_seeds(SEQUENCE, gate.level)):
        text = (
            f"{counted(most, 'seed')} can never decide it: a confidence sequence takes at least {least}. "
            "Type --max-seeds 20, or more"
        )
        yield Mistake(text, ("gate",), (("seeds",), ("gate", "level")))


def _undecidable(study: Study, gate: GateConfig) -> Iterator[Mistake]:
    """Yield what makes a decision impossible with any number of seeds: a horizon without rounds or values."""
    from ...analysis.gate.judge import NO_SALTELLI

    if study.uncertainty is not None and study.uncertainty.design == "saltelli":
        yield Mistake(NO_SALTELLI, ("gate",), (("uncertainty", "design"),))
    found: dict[Mistake, None] = {}
    for _, point in grid_points(study):
        for place, line in gate.lines:
            found |= dict.fromkeys(_bad_horizon(point, place, line, gate.horizon))
    yield from found


def _bad_horizon(point: Study, place: KeyPath, line: GateLine, of_gate: str) -> Iterator[Mistake]:
    """Yield what is wrong with the rounds of a line at a grid point."""
    from ...analysis.gate.bounds import parse_horizon
    from ...analysis.measures import measure_class

    horizon = line.horizon or of_gate
    path: KeyPath = (*place, "horizon") if line.horizon else ("gate", "horizon")
    about = (path, ("rounds",))
    try:
        first, last = parse_horizon(horizon).window(point.rounds)
    except ValueError as error:
        yield Mistake(f'{error}; shorten it, raise rounds, or write "all rounds"', path, about)
        return
    every = measure_class(line.measure.partition(":")[0]).every
    if last // every * every < first:
        text = f'"{horizon}" holds no round in which {line.measure} is measured (every {every} rounds)'
        yield Mistake(text, path, about)


def _without_margin(gate: GateConfig) -> Iterator[Mistake]:
    for place, line in gate.lines:
        if not line.bound.has_margin:
            side, sign = ("at_least", "-") if line.at_least is not None else ("at_most", "+")
            text = (
                f'{side} = "baseline" leaves no margin: where the change has no effect on {line.measure}, no number '
                f'of seeds decides it. Allow one, for example "baseline {sign} 0.01"'
            )
            yield Mistake(text, place)


def _bad_bounds(gate: GateConfig) -> Iterator[Mistake]:
    """Yield mistakes about bounds that no value, or every value, satisfies."""
    lines = gate.lines
    for path, line in lines:
        yield from (Mistake(text, path) for text in _out_of_reach(line))
    for place, (path, line) in enumerate(lines):
        for before, other in lines[:place]:
            if _measure_and_horizon(gate, line) == _measure_and_horizon(gate, other):
                yield from (Mistake(text, path, (before, path)) for text in _conflicts(line, other, before))


def _few_seeds(gate: GateConfig, seeds: int) -> Iterator[Mistake]:
    """Yield a warning about too few seeds for a verdict, or for bootstrap intervals of the right width."""
    from ...analysis.gate.remarks import ENOUGH, fewest_seeds
    from ...analysis.statistics.conclusions import TOO_FEW
    from ...analysis.statistics.resampling import FEW_BCA

    least = fewest_seeds(gate.method, gate.level)
    if seeds < least:
        of = " by bootstrap intervals" if gate.method == "bootstrap" else ""
        text = (
            f"{counted(seeds, 'seed')}: {TOO_FEW}, so that the gate will be UNDECIDED; a verdict{of} takes {least}. "
            f"Type --seeds {ENOUGH}, or more"
        )
        yield Mistake(text, ("gate",))
    elif gate.method == "bootstrap" and seeds < FEW_BCA:
        text = (
            f'bootstrap intervals over {seeds} seeds are too narrow; take {FEW_BCA} or more, or method = "t"'
        )
        yield Mistake(text, ("gate", "method"))


def _measure_and_horizon(gate: GateConfig, line: GateLine) -> tuple[str, str]:
    return line.measure, line.horizon or gate.horizon


def _out_of_reach(line: GateLine) -> Iterator[str]:
    """Yield a mistake if the range of the measure alone decides the bound, as 0…1 does for a share and a margin of 1."""
    from ...analysis.measures.columns import describe, is_share

    column, bound = describe(line.measure), line.bound
    if bound.factor:
        beyond = abs(bound.offset) >= column.high - column.low
    else:
        beyond = not column.low <= bound.offset <= column.high
    if beyond:
        points = "; one percentage point is 0.01" if is_share(column) else ""
        yield (
            f'"{line.measure}" lies between {column.low:g} and {column.high:g}, so that {bound} decides nothing'
            f"{points}"
        )


def _conflicts(line: GateLine, other: GateLine, before: KeyPath) -> Iterator[str]:
    same_side = (line.at_least is None) == (other.at_least is None)
    if same_side and line.bound == other.bound:
        yield f"says the same as {format_key(before)}; remove one of them"
    if same_side or line.bound.factor != other.bound.factor:
        return
    low, high = (line, other) if line.at_least is not None else (other, line)
    if low.bound.offset > high.bound.offset:
        yield f"can never hold together with {format_key(before)}: at least {low.bound} and at most {high.bound}"
