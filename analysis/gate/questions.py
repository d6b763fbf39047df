"""The questions that a sequentially stopped study must have decided before it stops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..results import Results
from ..statistics.conclusions import EQUAL, HIGHER, LOWER
from .judge import judge
from .looks import looks_of
from .sequential import sequential_compare


@dataclass(frozen=True)
class Question:
    """One thing to be decided: a line of the gate, or a primary measure of an arm."""

    name: str
    """As text: the line of the gate, or measure and arm."""
    decided: bool
    failed: bool
    """A run of an arm involved has failed."""
    decides_all: bool = False
    """It decides the whole gate by itself: a line that FAILs."""
    blocked: str = ""
    """Why the gate can no longer PASS, whatever further seeds show; empty if it still can."""


def questions(results: Results) -> list[Question]:
    """Return what the study is to decide: with a gate its lines, else every arm against the reference.

    A primary measure is decided when the confidence sequence of its paired difference excludes zero, or when
    every seed gives the same difference. What one look decides stays decided at the next.
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
        runs = point.runs
        at = f" at {point.label}" if point.label else ""
        others = [arm for arm in results.arms if arm != results.reference]
        clear: set[tuple[str, str]] = set()
        if results.reference in set(runs["arm"]):
            ran = [arm for arm in others if arm in set(runs["arm"])]
            measures = [name for name in results.primary if name in runs]
            table = sequential_compare(
                runs, results.reference, measures, primary=measures, arms=ran, looks=looks
            )
            known = table["verdict"].isin([HIGHER, LOWER, EQUAL])
            clear = set(zip(table["arm"][known], table["measure"][known], strict=True))
        for arm in others:
            judged = runs[runs["arm"].isin([arm, results.reference])]
            failed = bool((judged["status"] != "ok").any())
            for measure in results.primary:
                yield Question(f'{measure} of "{arm}"{at}', (arm, measure) in clear, failed)
