"""A study that stops when it is decided: what it asks of its tables, and how its arms are compared afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..results import Point, Results
from ..statistics import LEVEL
from .judge import judge
from .looks import Looks, looks_of
from .sequential import always_valid, pairs


@dataclass(frozen=True)
class Question:
    """One thing to be decided."""

    name: str
    """In words: a line of the gate, or arm and measure."""
    decided: bool
    failed: bool
    """A run of an arm that it is about has failed."""
    settles: bool = False
    """It decides the whole by itself: a line of the gate that FAILs."""
    stuck: str = ""
    """Why the gate cannot PASS any more, whatever more seeds say; empty where it still can."""


def questions(results: Results) -> list[Question]:
    """Return what the study is to decide: with a gate its lines, else every arm against the reference.

    A primary measure is decided when the confidence sequence of its paired difference leaves out zero,
    or when every seed gives the same difference. What one look decides stays decided at the next.
    """
    return list(_of_gate(results) if results.study.get("gate") else _of_primary(results))


def _of_gate(results: Results) -> Iterator[Question]:
    for verdict in judge(results, over_behaviors=False):
        at = f" at {verdict.label}" if verdict.label else ""
        for line in verdict.judgements:
            yield Question(
                f"{line.role} {line.measure}{at}",
                line.outcome != "UNDECIDED",
                verdict.failed > 0,
                line.outcome == "FAIL",
                line.reason if line.outcome == "UNDECIDED" and line.one_sided else "",
            )


def _of_primary(results: Results) -> Iterator[Question]:
    looks = looks_of(results.manifest)
    for point in results.points:
        at = f" at {point.label}" if point.label else ""
        for arm in results.arms:
            if arm == results.reference:
                continue
            judged = point.runs[point.runs["arm"].isin([arm, results.reference])]
            failed = bool((judged["status"] != "ok").any())
            for measure in results.primary:
                clear = _is_clear(point, arm, results.reference, measure, looks)
                yield Question(f'{measure} of "{arm}"{at}', clear, failed)


def _is_clear(point: Point, arm: str, reference: str, measure: str, looks: Looks | None) -> bool:
    if measure not in point.runs:
        return False
    interval = always_valid(*pairs(point.runs, arm, reference, measure, looks), LEVEL)[0]
    return interval.low > 0 or interval.high < 0 or interval.low == interval.high
