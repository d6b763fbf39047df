"""Check a request for a figure against the results of a study, before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import BadInput, did_you_mean
from .selection import written

if TYPE_CHECKING:
    from ..results import Results

KINDS: dict[str, str] = {
    "curves": "measures over the rounds; with vs, the paired differences below",
    "multiples": "one measure over the rounds, a panel per grid point",
    "phase": "one measure over two design keys, as a heat map",
    "grid": "measures by grid point",
    "frontier": "two measures against each other, a third as color",
    "ridge": "exposure by popularity decile over the rounds",
    "network": "the social network at round 0 and at the end",
    "survival": "how long tastes last",
    "sensitivity": "which drawn assumption drives a measure",
    "differences": "measures of every arm minus vs, with intervals",
    "lorenz": "how evenly the catalog is shown and taken",
    "tastes": "dominant and minority tastes over the rounds",
    "half-life": "rounds until niche exposure had halved",
}
"""Kinds of figures, and what each shows."""
_BY = ("curves", "multiples", "phase")
_VS = ("curves", "multiples", "phase", "differences", "sensitivity")
_LIMIT = ("phase",)
_FEATURES = {
    "ridge": ("exposure", "consumption"),
    "survival": ("survived", "kept"),
    "network": ("community", "taste"),
}
"""Kinds that show something else than measures, and what one may ask for."""
_NONE = ("lorenz", "tastes", "half-life")
_OVER_ROUNDS = ("curves", "multiples", "phase", "frontier", "differences", "tastes", "sensitivity")
USUAL = ("niche_exposure", "minority_hit_rate", "welfare")


@dataclass(frozen=True)
class Request:
    """A figure of a study, with everything named that it needs."""

    kind: str
    measures: list[str]
    by: list[str]
    """Design keys that the figure is laid out by; empty = by arm."""
    vs: str | None
    at: dict[str, Any]
    """One value for every design key that the figure is not laid out by."""
    arms: list[str]
    """In the order of the study."""
    first: int | None
    last: int | None
    limit: float | None


def request(
    results: Results,
    measures: Sequence[str] = (),
    *,
    kind: str = "curves",
    by: str | Sequence[str] = "arm",
    vs: str | None = None,
    at: Mapping[str, Any] | None = None,
    arms: Sequence[str] = (),
    rounds: tuple[int | None, int | None] = (None, None),
    limit: float | None = None,
) -> Request:
    """Return a checked request; BadInput names what is not there and the closest that is."""
    if not len(results.rounds):
        raise BadInput("every run of this study failed, so there is nothing to plot; see .failed")
    if kind not in KINDS:
        raise BadInput(
            f'there is no kind of figure "{kind}".{did_you_mean(kind, KINDS)} Kinds: {", ".join(KINDS)}'
        )
    keys = _keys(results, kind, [by] if isinstance(by, str) else list(by))
    for name, given, kinds in (("vs", vs, _VS), ("limit", limit, _LIMIT)):
        if given is not None and kind not in kinds:
            raise BadInput(f"{name} is for {_listed(kinds)}, not for {kind}")
    if limit is not None and not math.isfinite(limit):
        raise BadInput(f"limit = {limit}: must be a finite number")
    first, last = _rounds(results, kind, rounds)
    ran = [name for name in results.arms if (results.rounds["arm"] == name).any()]
    for name in [*arms, *([vs] if vs is not None else [])]:
        if name not in ran:
            what = "has no finished run" if name in results.arms else "is not in these results"
            raise BadInput(f'arm "{name}" {what}.{did_you_mean(name, ran)} Arms: {", ".join(ran)}')
    shown = [name for name in ran if not arms or name in arms or name == vs]
    if vs is not None and shown == [vs]:
        raise BadInput(f'vs = "{vs}" leaves nothing to compare with it: name another arm, or leave arms out')
    return Request(
        kind, _measures(results, kind, list(measures)), keys, vs, _at(results, keys, dict(at or {})), shown, first,
        last, limit,
    )  # fmt: skip


def _keys(results: Results, kind: str, by: list[str]) -> list[str]:
    grid = results.grid
    keys = [key for key in by if key != "arm"]
    for key in keys:
        if key not in grid:
            there = ", ".join(grid) or "this study varies none"
            raise BadInput(
                f'by = "{key}": it is "arm" or a key that the study varies ({there}).{did_you_mean(key, ["arm", *grid])}'
            )
    if len(set(keys)) < len(keys):
        raise BadInput(f"by names {keys[0]} twice")
    if keys and kind not in _BY:
        raise BadInput(f"by a design key is for {_listed(_BY)}, not for {kind}; choose a grid point with at")
    if kind == "curves" and len(keys) > 1:
        raise BadInput("curves can be drawn by one key; kind = multiples takes two")
    if len(keys) > 2:
        raise BadInput(
            f"kind = {kind} takes two keys; {len(keys)} are named. Choose a value of the others with at"
        )
    if kind in ("multiples", "phase"):
        keys = (keys + [key for key in grid if key not in keys])[:2] if len(keys) < 2 else keys[:2]
    if kind == "phase" and len(keys) < 2:
        raise BadInput(
            f"a phase diagram needs two keys that the study varies; here {'is one' if grid else 'are none'}"
        )
    if kind in ("multiples", "grid") and not grid:
        raise BadInput(f"kind = {kind} needs a key that the study varies ([grid]); here is none")
    return keys


def _measures(results: Results, kind: str, measures: list[str]) -> list[str]:
    if kind in _FEATURES:
        allowed = _FEATURES[kind]
        if len(measures) > 1 or measures and measures[0] not in allowed:
            named = measures[0] if len(measures) == 1 else " and ".join(measures)
            raise BadInput(
                f'{kind} shows {" or ".join(allowed)}, not "{named}".{did_you_mean(named, allowed)}'
            )
        return measures or [allowed[0]]
    if kind in _NONE:
        if measures:
            raise BadInput(f"kind = {kind} takes no measure")
        return []
    for name in measures:
        if name not in results.measures:
            raise BadInput(f'no measure "{name}" in these results.{did_you_mean(name, results.measures)}')
    if kind == "frontier":
        if measures and not 2 <= len(measures) <= 3:
            raise BadInput("a frontier takes two measures (across, up), or three (the last as color)")
        return measures or ["niche_exposure", "welfare", "miscalibration"]
    some = [name for name in (results.primary or USUAL) if name in results.measures] or results.measures[:1]
    wanted = measures or some
    if kind in ("multiples", "phase", "sensitivity"):
        if len(measures) > 1:
            raise BadInput(f"kind = {kind} shows one measure; {len(measures)} are named")
        wanted = wanted[:1]
    if not wanted:
        raise BadInput("these results hold no measure")
    return list(dict.fromkeys(wanted))


def _at(results: Results, by: Sequence[str], given: dict[str, Any]) -> dict[str, Any]:
    for key in given:
        if key not in results.grid:
            there = ", ".join(results.grid) or "there is none"
            raise BadInput(f'"{key}" is not a key of the grid ({there}){did_you_mean(key, results.grid)}')
        if key in by:
            raise BadInput(f"at fixes {key}, by which the figure is to be laid out; leave out one of the two")
    found: dict[str, Any] = {}
    rows = results.rounds
    for key in (key for key in results.grid if key not in by):
        values = list(dict.fromkeys(rows[key].tolist()))
        if key in given:
            fitting = [value for value in values if _same(value, given[key])]
            if not fitting:
                everywhere = list(dict.fromkeys(results.rounds[key].tolist()))
                known = any(_same(value, given[key]) for value in everywhere)
                hint = " together with the other values" if known else ""
                raise BadInput(
                    f"{key} = {given[key]} is not a value of the grid{hint} ({', '.join(map(str, values))})"
                )
            found[key] = fitting[0]
        else:
            # Keys given by the user come first: among keys that vary together, one determines the others.
            later = {k: v for k, v in given.items() if k not in found}
            part = rows
            for other, value in later.items():
                part = part[[_same(one, value) for one in part[other]]] if len(part) else part
            found[key] = (part if len(part) else rows)[key].iloc[0]
        rows = rows[rows[key] == found[key]]
    return found


def _same(value: Any, given: Any) -> bool:
    if value == given or str(value) == str(given) or written(value) == str(given):
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return float(given) == value
    except (TypeError, ValueError):
        return False


def _rounds(
    results: Results, kind: str, rounds: tuple[int | None, int | None]
) -> tuple[int | None, int | None]:
    first, last = rounds
    if first is None and last is None:
        return rounds
    if kind not in _OVER_ROUNDS:
        raise BadInput(f"rounds are for {_listed(_OVER_ROUNDS)}, not for {kind}")
    end = int(results.rounds["round"].max())
    shown = f"{'' if first is None else first}:{'' if last is None else last}"
    if (first or 0) > end or (last is not None and last < (first or 0)) or (first or 0) < 0:
        raise BadInput(
            f"rounds = {shown} holds no round: the study has rounds 0 to {end}; write e.g. {end // 2}:{end}"
        )
    if last is not None and last > end:
        raise BadInput(
            f"rounds = {shown} ends after the study, which has rounds 0 to {end}; write {first or 0}:{end}, or {first or 0}:"
        )
    return rounds


def _listed(kinds: Sequence[str]) -> str:
    return kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} and {kinds[-1]}"
