"""The section of the report on arms that switch in mid-run: the switches, their effects, and the figure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...wording import component
from ..measures.columns import describe, write_difference, write_value
from ..plots.curves import long_horizon
from ..plots.gallery import Plate
from ..plots.style import ArmStyle
from ..results import Point, Results
from ..statistics import Interval, verdict
from ..statistics.conclusions import HIGHER, LOWER
from ..switches import Switched, change_rounds, has_drawn_times, switched
from .effects import Effect, Recovery, interference, recovery

if TYPE_CHECKING:
    import pandas as pd

RECOVERED = ("niche_exposure", "niche_consumed")
"""Measures whose recovery is reported."""
GUIDE = (
    "The switched world minus the same world without the switch, seed by seed: before the switch they are one "
    "and the same. Dotted lines mark the rounds in which something changes."
)


def switch_sections(results: Results, point: Point) -> list[dict[str, Any]]:
    """Return the template variables of every switched arm of a grid point; empty without switches."""
    pages = []
    drawn = " (rounds as written; a prior draws others)" if has_drawn_times(results.study) else ""
    arms = results.arms_at(point.values)
    for which in switched(arms):
        if which.arm not in set(point.runs["arm"]):
            continue
        effects = interference(point.runs, which, _measures(results))
        found = (recovery(point.rounds, which, results.reference, name, results.span) for name in RECOVERED)
        pages.append(
            {
                "arm": which.arm,
                "nobody": which.nobody,
                "everybody": which.everybody,
                "early": int(point.rounds["round"].max()) + 1 - which.stable_from < results.span,
                "changes": [_change(each) + drawn for each in _switches(arms, which.arm)],
                "effects": [_effect_row(each) for each in effects],
                # If a prior draws the round of the switch, "before the switch" differs between seeds.
                "recoveries": []
                if has_drawn_times(results.study)
                else [_recovery_row(each, which.round) for each in found if each is not None],
            }
        )
    return pages


def _measures(results: Results) -> list[str]:
    """Return the primary measures, then others about how well users are served."""
    others = ("minority_hit_rate", "dominant_hit_rate", "welfare", "miscalibration", "niche_exposure")
    return list(dict.fromkeys([*results.primary, *others]))


def _switches(arms: Sequence[Mapping[str, Any]], arm: str) -> Sequence[Mapping[str, Any]]:
    return next(each["switch"] for each in arms if each["name"] == arm)


def _change(switch: Mapping[str, Any]) -> str:
    """Describe one switch."""
    until = f" to {switch['until'] - 1}" if switch.get("until") is not None else " on"
    users = switch.get("users", 1.0)
    if isinstance(users, str):
        whom = users.replace("=", " ")
    else:
        whom = "everybody" if users == 1 else f"{100 * users:.4g} % of the users"
    ramp = f", over {switch['ramp']} rounds" if switch.get("ramp") else ""
    parts = []
    for name in ("policy", "rerank", "transform", "purge"):
        given = switch.get(name)
        if given or given == [] and name != "purge":
            specs: list[Any] = given if isinstance(given, list) else [given]
            parts.append(f"{name} = {', then '.join(map(component, specs)) or 'none'}")
    for name in ("slate", "recommend", "retrain_every"):
        if switch.get(name) is not None:
            parts.append(f"{name} = {str(switch[name]).lower()}")
    return f"Round {switch['round']}{until}, {whom}{ramp}: {'; '.join(parts)}"


def _effect_row(effect: Effect) -> dict[str, str]:
    column = describe(effect.measure)
    parts = {
        name: _written(column, getattr(effect, name), difference=True) for name in ("naive", "true", "bias")
    }
    found = verdict(effect.bias)
    if found in (HIGHER, LOWER):
        opposite = effect.naive.mean * effect.true.mean < 0
        found = "the A/B test is off" + (", by sign" if opposite else "")
    return {"title": column.title, **parts, "verdict": found}


def _recovery_row(found: Recovery, first: int) -> dict[str, str]:
    column, welfare = describe(found.measure), describe("welfare")
    rounds = "–" if math.isnan(found.rounds) else f"{found.rounds:.0f}"
    return {
        "title": column.title,
        "first": str(first),
        "lost": _written(column, found.lost, difference=True),
        "regained": _written(column, found.regained, difference=True),
        "share": _percent(found.share),
        "rounds": rounds,
        "cost": found.cost.reason
        if math.isnan(found.cost.mean)
        else _written(welfare, found.cost, difference=False),
    }


def _written(column: Any, value: Interval, difference: bool) -> str:
    write = write_difference if difference else write_value
    text = write(column, value.mean)
    if math.isfinite(value.low):
        text += f" [{write(column, value.low)} to {write(column, value.high)}]"
    return text


def _percent(value: Interval) -> str:
    if math.isnan(value.mean):
        return value.reason or "–"
    return f"{100 * value.mean:.0f} % [{100 * value.low:.0f} to {100 * value.high:.0f} %]".replace("-", "−")


def plates(results: Results, point: Point, styles: Mapping[str, ArmStyle]) -> Iterator[Plate]:
    """Yield the figure of what the switches of a grid point did, round by round."""
    arms = [which for which in switched(results.arms_at(point.values)) if which.arm in set(point.runs["arm"])]
    measures = [name for name in results.primary if name in point.rounds]
    table = _minus_unswitched(point.rounds, arms, measures)
    if not measures or table is None:
        return
    shown = {name: style for name, style in styles.items() if name in set(table["arm"])}
    marks = change_rounds(results, [which.arm for which in arms], point.values)
    # Differences may leave the range of their measure.
    columns = [replace(describe(name), low=-math.inf, high=math.inf) for name in measures]
    title = "What the switch did: switched minus unswitched world"
    yield Plate(
        "switches",
        "switches",
        title,
        long_horizon(table, columns, shown, title=title, subtitle="", zero=measures, marks=marks),
        f"Differences over rounds between each switched arm and its unswitched world, on {', '.join(measures)}.",
        GUIDE,
    )


def _minus_unswitched(
    rounds: pd.DataFrame, arms: Sequence[Switched], measures: Sequence[str]
) -> pd.DataFrame | None:
    """Return the tidy table of switched minus unswitched worlds, under the names of the switched arms."""
    import pandas as pd

    parts = []
    keyed = rounds.set_index(["seed", "round"])
    for which in arms:
        without = keyed[keyed["arm"] == which.nobody][list(measures)]
        for name in (which.arm, which.everybody):
            part = keyed[keyed["arm"] == name][list(measures)]
            if len(part) and len(without):
                parts.append((part - without).dropna(how="all").reset_index().assign(arm=name))
    return pd.concat(parts, ignore_index=True) if parts else None
