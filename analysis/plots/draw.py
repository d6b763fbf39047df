"""Draw any figure of a study by name, for `echodrift plot` and `Result.plot`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import BadInput
from ..measures.base import Column
from ..measures.columns import describe
from ..results import means, rows_at
from ..switches import change_rounds
from .comparisons import across_grid, differences, half_life
from .curves import long_horizon, tastes
from .frontier import frontier
from .horizon import with_differences
from .inequality import lorenz
from .multiples import multiples
from .phase import phase
from .request import Request, request
from .ridge import ridge
from .selection import difference, minus, short, values_of, within, written
from .sensitivity import panels
from .sensitivity import sensitivity as bars
from .series import ENDS
from .sheet import of_intervals
from .society import network
from .style import ArmStyle, arm_styles, clean
from .survival import survival

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ..results import Results

MOST_SERIES = 12
"""Most arms with a panel each in curves by a design key."""


def draw(results: Results, *measures: str, **wanted: Any) -> Figure:
    """Return one figure of a study; see `request.request` for what can be asked for (BadInput otherwise)."""
    from ..gate.looks import figure_warning

    asked = request(results, measures, **wanted)
    styles = arm_styles(results.arms, results.reference)
    shown = {name: style for name, style in styles.items() if name in asked.arms}
    with of_intervals(figure_warning(results.manifest)):
        return _DRAWN[asked.kind](results, asked, shown)


Styles = Mapping[str, ArmStyle]


def _rounds(results: Results, asked: Request) -> pd.DataFrame:
    rounds = within(rows_at(results.rounds, asked.at), asked.first, asked.last)
    return rounds[rounds["arm"].isin(asked.arms)]


def _of_arms(table: pd.DataFrame, asked: Request) -> pd.DataFrame:
    table = rows_at(table, asked.at)
    return table[table["arm"].isin(asked.arms)]


def _curves(results: Results, asked: Request, styles: Styles) -> Figure:
    rounds, marks = _rounds(results, asked), change_rounds(results, asked.arms, asked.at)
    if asked.by:
        return _by_key(results, asked, styles, rounds, marks)
    if asked.vs is not None:
        return with_differences(rounds, asked.measures, asked.vs, styles, marks=marks)
    return long_horizon(rounds, asked.measures, styles, marks=marks)


def _by_key(
    results: Results, asked: Request, styles: Styles, rounds: pd.DataFrame, marks: list[int]
) -> Figure:
    """Curves of one arm per panel, a line per value of a design key."""
    key = asked.by[0]
    names = [name for name in styles if name != asked.vs]
    shown, zero = names[:MOST_SERIES], []
    if asked.vs is not None:
        rounds = minus(rounds, asked.vs, asked.measures, [*results.grid, "seed", "round"])
    labels = {value: f"{short(key)} = {written(value)}" for value in values_of(rounds, key)}
    parts, rows = [], []
    for measure in asked.measures:
        column = describe(measure) if asked.vs is None else difference(measure, asked.vs)
        wide = rounds.set_index([key, "seed", "round", "arm"])[measure].unstack("arm")
        wide = wide.reindex(columns=shown)
        wide.columns = [f"{measure}|{name}" for name in shown]
        parts.append(wide)
        for name in shown:
            # The arm is named in the title only if there are several.
            title = f"{column.title}: {clean(name, 60)}" if len(names) > 1 else column.title
            rows.append(replace(column, name=f"{measure}|{name}", title=title))
            zero += [f"{measure}|{name}"] if asked.vs is not None else []
    table = parts[0].join(parts[1:]).reset_index()
    table["arm"] = table.pop(key).map(labels)
    return long_horizon(
        table,
        rows,
        arm_styles(list(labels.values())),
        title=f"What happened, by {key}",
        subtitle="",
        zero=zero,
        marks=marks,
        note=f"{len(shown)} of {len(names)} arms; name others with arms." if len(shown) < len(names) else "",
    )


def _multiples(results: Results, asked: Request, styles: Styles) -> Figure:
    measure: str | Column = asked.measures[0]
    rounds = _rounds(results, asked)
    if asked.vs is not None:
        measure = difference(asked.measures[0], asked.vs)
        rounds = minus(rounds, asked.vs, asked.measures, [*results.grid, "seed", "round"])
        styles = {name: style for name, style in styles.items() if name != asked.vs}

    def marks(values: Mapping[str, Any]) -> list[int]:
        return change_rounds(results, asked.arms, {**asked.at, **values})

    return multiples(
        rounds, measure, asked.by, styles, zero=asked.vs is not None, marks=marks, note=_fixed(asked)
    )


def _phase(results: Results, asked: Request, styles: Styles) -> Figure:
    asked, why = _with_gate(results, asked)
    styles = {name: style for name, style in styles.items() if name in asked.arms}
    keys = ["arm", *results.grid, "seed"]
    runs = means(_rounds(results, asked), keys, asked.measures, ENDS)
    measure: str | Column = asked.measures[0]
    if asked.vs is not None:
        measure = difference(asked.measures[0], asked.vs)
        runs = minus(runs, asked.vs, asked.measures, [*results.grid, "seed"])
        styles = {name: style for name, style in styles.items() if name != asked.vs}
    limit = asked.limit
    if limit is not None and isinstance(measure, Column) and measure.unit == "percentage points":
        limit *= 100
    note = " ".join(filter(None, [why, _fixed(asked)]))
    keys_shown = (asked.by[0], asked.by[1])
    return phase(runs, measure, keys_shown, styles, limit=limit, zero=asked.vs is not None, note=note)


def _with_gate(results: Results, asked: Request) -> tuple[Request, str]:
    """Take the limit, and what it is a limit of, from the study's gate where nothing else is asked for."""
    gate = results.study.get("gate")
    if not gate or asked.limit is not None or asked.vs is not None:
        return asked, ""
    from ..gate.bounds import bound_of, horizon_of, written_lines

    arms = (gate["candidate"], gate["baseline"])
    for line in written_lines(gate):
        if line["measure"] != asked.measures[0] or not set(arms) <= set(asked.arms):
            continue
        bound, horizon = bound_of(line)[1], horizon_of(gate, line)
        why = f"Limit of the gate: {bound}."
        if horizon.tail != ENDS or asked.last is not None:
            why += f" The gate judges {horizon}, the figure shows the end of the rounds it is drawn from."
        if bound.factor == 0:
            return replace(asked, arms=[arms[0]], limit=bound.offset), why
        if bound.factor == 1:
            return replace(asked, arms=list(arms), vs=arms[1], limit=bound.offset), why
    return asked, ""


def _fixed(asked: Request) -> str:
    return (
        f"At {', '.join(f'{key} = {written(value)}' for key, value in asked.at.items())}." if asked.at else ""
    )


def _grid(results: Results, asked: Request, styles: Styles) -> Figure:
    one = len(results.grid) == 1
    points = results.points
    labels = [written(next(iter(point.values.values()))) if one else str(point.number) for point in points]
    axis = results.grid[0] if one else "grid point"
    return across_grid(labels, [point.runs for point in points], asked.measures, styles, axis=axis)


def _frontier(results: Results, asked: Request, styles: Styles) -> Figure:
    better = [-1 if describe(name).better == "lower" else 1 for name in asked.measures]
    return frontier(_rounds(results, asked), styles, measures=asked.measures, better=better)


def _ridge(results: Results, asked: Request, styles: Styles) -> Figure:
    table = _there(_of_arms(results.deciles, asked), "exposure by popularity decile")
    return ridge(table, styles, what=asked.measures[0])


def _network(results: Results, asked: Request, styles: Styles) -> Figure:
    users = _there(_of_arms(results.network_users, asked), "network at this grid point")
    return network(users, _of_arms(results.network_ties, asked), styles, by=asked.measures[0])


def _survival(results: Results, asked: Request, styles: Styles) -> Figure:
    return survival(
        _there(_of_arms(results.tastes, asked), "survival of tastes"), styles, what=asked.measures[0]
    )


def _there(table: pd.DataFrame, what: str) -> pd.DataFrame:
    if not len(table):
        raise BadInput(
            f"these results hold no {what}: they were written by an older echodrift, or nothing of the kind was "
            "recorded. Run the study again into another folder"
        )
    return table


def _lorenz(results: Results, asked: Request, styles: Styles) -> Figure:
    return lorenz(_there(_of_arms(results.lorenz, asked), "Lorenz curves"), styles, span=results.span)


def _tastes(results: Results, asked: Request, styles: Styles) -> Figure:
    return tastes(_rounds(results, asked), styles)


def _half_life(results: Results, asked: Request, styles: Styles) -> Figure:
    return half_life(_of_arms(results.runs, asked), styles)


def _differences(results: Results, asked: Request, styles: Styles) -> Figure:
    from ..gate.sequential import compare_of

    reference = asked.vs or results.reference
    if reference not in asked.arms:
        asked = replace(asked, arms=[*asked.arms, reference])
    others = [name for name in asked.arms if name != reference]
    if not others:
        raise BadInput(f'there is no arm to compare with "{reference}"')
    runs = means(_rounds(results, asked), ["arm", *results.grid, "seed"], asked.measures, ENDS)
    if reference not in set(runs["arm"]):
        raise BadInput(f'the reference "{reference}" has no finished run here; name another with vs')
    table = compare_of(results.manifest)(
        runs,
        reference,
        asked.measures,
        primary=results.primary,
        arms=[n for n in others if n in set(runs["arm"])],
    )
    return differences(table, asked.measures, reference, styles)


def _sensitivity(results: Results, asked: Request, styles: Styles) -> Figure:
    from ..sensitivity import sensitivity as indices
    from ..sensitivity.given_data import JOINT_NOTE
    from ..sensitivity.priors import joint_keys

    measure, gate = asked.measures[0], results.study.get("gate") or {}
    names = [name for name in asked.arms if name != asked.vs]
    arm = gate.get("candidate") if gate.get("candidate") in names else None
    arm = arm or next((name for name in names if name != results.reference), names[0])
    table = rows_at(indices(results, measure, arm=arm, reference=asked.vs), asked.at)
    table = table[table["reference"] == (asked.vs or "")]
    shown = panels(
        table, "First order: what goes with a key alone", "Total: with every interaction of the key"
    )
    minus = f" minus {asked.vs}" if asked.vs else ""
    what = f"{describe(measure).title}, {arm}{minus}, in the last {results.span} rounds"
    overlap = (
        f"{JOINT_NOTE[0].upper()}{JOINT_NOTE[1:]}." if joint_keys(results.study.get("uncertainty")) else ""
    )
    return bars(shown, what, note=" ".join(filter(None, [_fixed(asked), overlap])))


_DRAWN: dict[str, Callable[[Results, Request, Styles], Figure]] = {
    "curves": _curves,
    "multiples": _multiples,
    "phase": _phase,
    "grid": _grid,
    "frontier": _frontier,
    "ridge": _ridge,
    "network": _network,
    "survival": _survival,
    "sensitivity": _sensitivity,
    "differences": _differences,
    "lorenz": _lorenz,
    "tastes": _tastes,
    "half-life": _half_life,
}
