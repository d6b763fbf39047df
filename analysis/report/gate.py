"""The gate in the report: the verdict, each line with its interval against the limit, and what would flip it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...errors import BadInput
from ..gate import words
from ..gate.judge import answer
from ..gate.lines import Line, lines_at
from ..gate.verdicts import Judgement, Verdict
from ..results import Results
from ..statistics import FEWEST, tost

WIDTH = 220.0
"""Width in pixels of the small graphic of an interval."""
KINDS = {"PASS": "pass", "FAIL": "fail", "UNDECIDED": "undecided"}
"""Outcome → its CSS class, which is also its word in a count."""


def gate_section(results: Results) -> dict[str, Any] | None:
    """Return the template variables of the gate; None if the study has none."""
    gate = results.study.get("gate")
    if not gate:
        return None
    try:
        judged = answer(results)
    except BadInput as error:
        return {"complaint": str(error)}
    blocks = [
        _block(verdict, point.number, lines_at(results, gate, point))
        for verdict, point in zip(judged.verdicts, results.points, strict=True)
    ]
    counts = {name: sum(block["outcome"] == name for block in blocks) for name in KINDS}
    return {
        "complaint": "",
        "outcome": judged.outcome,
        "kind": KINDS[judged.outcome],
        "baseline": gate["baseline"],
        "candidate": gate["candidate"],
        "said": _summary(judged.outcome),
        "counts": ", ".join(f"{number} {KINDS[name]}" for name, number in counts.items() if number),
        "blocks": blocks,
        "notes": words.notes(judged),
    }


def _summary(outcome: str) -> str:
    return {
        "PASS": "Every line is shown to hold.",
        "FAIL": "At least one line is shown not to hold.",
        "UNDECIDED": "No line is shown to be broken, and not every line is shown to hold. That is no PASS.",
    }[outcome]


def _block(verdict: Verdict, number: int, lines: Sequence[Line]) -> dict[str, Any]:
    return {
        "outcome": verdict.outcome,
        "kind": KINDS[verdict.outcome],
        "label": verdict.label,
        "number": number,
        "horizon": verdict.horizon,
        "method": words.method(verdict),
        "uncertain": any(line.share is not None for line in verdict.judgements),
        "lines": [
            _row(judged, _no_harm(verdict, judged, line))
            for judged, line in zip(verdict.judgements, lines, strict=True)
        ],
    }


def _row(line: Judgement, no_harm: str) -> dict[str, Any]:
    candidate, baseline, estimate, interval = words.numbers(line)
    share, between = words.share(line)
    return {
        "outcome": line.outcome,
        "kind": KINDS[line.outcome],
        "requirement": words.requirement(line),
        "horizon": line.horizon,
        "candidate": candidate,
        "baseline": baseline,
        "estimate": estimate,
        "interval": interval,
        "seeds": line.interval.n,
        "missing": ", ".join(map(str, line.missing)),
        "graphic": graphic(line),
        "share": share,
        "share_interval": between,
        "fit": words.describe_surface(line).strip(" ()"),
        "flips": [words.describe_tipping_point(each) for each in line.tipping_points],
        "reason": line.reason,
        "held": words.seeds(line) if math.isfinite(line.seeds_share) else "",
        "no_harm": no_harm,
    }


def _no_harm(verdict: Verdict, judged: Judgement, line: Line) -> str:
    """Return the result of two one-sided tests against ± the margin of a line; empty if it allows no loss.

    Each test has the gate's own one-sided error, so that both agree with the interval shown. The text is empty
    unless that is a t interval, since other intervals may disagree with the tests, and with too few seeds.
    """
    if verdict.method != "t" or judged.interval.n < FEWEST:
        return ""
    bound, side = line.bound, line.side
    if bound.factor != 1 or bound.offset == 0 or (bound.offset < 0) != (side == "at_least"):
        return ""
    margin = abs(bound.offset)
    found = tost(line.pairs.values, -margin, margin, (1 + verdict.level) / 2)
    outcome = judged.outcome
    if not math.isfinite(found.p) or (outcome == "UNDECIDED" and judged.missing and found.equivalent):
        return ""
    room = words.number(margin, line.measure, signed=True).lstrip("+")
    if found.equivalent:
        return f"equivalent: shown to be within ±{room} of the baseline (TOST, {_p(found.p)})"
    if outcome == "PASS":
        harm = found.p_lower if side == "at_least" else found.p_upper
        return f"no harm: a change for the worse by {room} or more is ruled out ({_p(harm)})"
    if outcome == "FAIL":
        return ""
    return f"not shown to be within ±{room} of the baseline (TOST, {_p(found.p)})"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def graphic(line: Judgement) -> dict[str, float] | None:
    """Return pixel positions of the interval, its mean, the limit and zero; None without an interval.

    "good" and "good_width" are the shaded allowed side. Zero is given for estimates that are differences.
    """
    low, high = line.interval.low, line.interval.high
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    marks = [low, high, line.interval.mean, line.limit] + ([0.0] if line.estimate != "candidate" else [])
    least, most = min(marks), max(marks)
    room = 0.12 * (most - least) or 0.1 * abs(most) or 1.0
    least, most = least - room, most + room

    def at(value: float) -> float:
        return round(WIDTH * (value - least) / (most - least), 1)

    limit = at(line.limit)
    start, end = (limit, WIDTH) if line.side == "at_least" else (0.0, limit)
    places = {
        "low": at(low),
        "width": round(max(at(high) - at(low), 1.0), 1),
        "middle": at(line.interval.mean),
        "limit": limit,
        "good": start,
        "good_width": round(end - start, 1),
    }
    if line.estimate != "candidate":
        places["zero"] = at(0.0)
    return places
