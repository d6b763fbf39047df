"""Arms that switch in mid-run: the arms that they are compared with, and the rounds in which something changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .results import Results

NOBODY, EVERYBODY = " · 0 %", " · 100 %"
"""Suffixes of the arms that a study adds to a switched arm: the same world with no user or all users switched."""


@dataclass(frozen=True)
class Switched:
    """An arm with switches and the worlds that it is compared with."""

    arm: str
    nobody: str
    """Name of the arm in which nothing is switched."""
    everybody: str | None
    """Name of the arm in which all users are switched; None if the arm itself is that."""
    round: int
    """First round of the first switch."""
    marks: tuple[int, ...]
    """Rounds in which something changes."""
    stable_from: int
    """First round from which on nothing changes any more."""


def switched(arms: Sequence[Mapping[str, Any]]) -> list[Switched]:
    """Return the arms with switches, from the arms of a study as run."""
    found = []
    for arm in arms:
        name, switches = arm["name"], arm.get("switch") or []
        if not switches or name.endswith((NOBODY, EVERYBODY)):
            continue
        nobody = _named(arms, name + NOBODY, {**arm, "switch": []})
        everyone = [_for_all(switch) for switch in switches]
        everybody = None
        if everyone != switches:
            everybody = _named(arms, name + EVERYBODY, {**arm, "switch": everyone})
        if nobody is None:
            continue
        rounds = [each["round"] + each.get("ramp", 0) for each in switches]
        ends = [each["until"] for each in switches if each.get("until") is not None]
        marks = sorted({each["round"] for each in switches} | set(ends))
        found.append(Switched(name, nobody, everybody, marks[0], tuple(marks), max(rounds + ends)))
    return found


def change_rounds(results: Results, arms: Sequence[str], values: Mapping[str, Any]) -> list[int]:
    """Return the rounds in which something changes in these arms, over all grid points with these values.

    Empty if a prior draws the time of a switch, which then differs between seeds.
    """
    if has_drawn_times(results.study) or not any(arm.get("switch") for arm in results.study["arms"]):
        return []
    found = set()
    for point in results.points:
        if all(point.values[key] == value for key, value in values.items()):
            found |= {
                switch[end]
                for arm in results.arms_at(point.values)
                for switch in arm.get("switch") or ()
                for end in ("round", "until")
                if arm["name"] in arms and switch.get(end) is not None
            }
    return sorted(found)


def has_drawn_times(study: Mapping[str, Any]) -> bool:
    """Whether a prior draws the time of a switch, so that it differs between seeds."""
    priors = (study.get("uncertainty") or {}).get("priors") or {}
    return any(".switch[" in key and key.endswith((".round", ".until", ".ramp")) for key in priors)


def _for_all(switch: Mapping[str, Any]) -> dict[str, Any]:
    users = switch.get("users", 1.0)
    return {**switch, "users": users if isinstance(users, str) else 1.0}


def _named(arms: Sequence[Mapping[str, Any]], name: str, like: Mapping[str, Any]) -> str | None:
    """Return `name` if an arm has it, else the name of an arm with the same settings as `like`; None if there is none."""
    settings = _without_name(like)
    alike = [arm["name"] for arm in arms if arm["name"] == name]
    return next(iter(alike + [arm["name"] for arm in arms if _without_name(arm) == settings]), None)


def _without_name(arm: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an arm without its name."""
    return {key: value for key, value in arm.items() if key != "name" and value}
