"""Text for the result of a gate: lines, intervals, shares, notes, and the table printed on screen."""

from __future__ import annotations

import math

from ...wording import toml
from ..measures.columns import describe, is_share
from .verdicts import AnswerData, Judgement, TippingPoint, Verdict

METHODS = {"t": "t intervals", "bootstrap": "BCa bootstrap intervals"}
HEADS = ("", "line", "candidate", "baseline", "difference", "interval", "holds in")


def table(answer: AnswerData) -> str:
    """Return the answer as a text table, one block per grid point, then the notes."""
    blocks = [_block(verdict) for verdict in answer.verdicts]
    if len(answer.verdicts) > 1 or answer.missing_points:
        count = {
            outcome: sum(each.outcome == outcome for each in answer.verdicts) for outcome in ("PASS", "FAIL")
        }
        blocks.append(
            f"{answer.outcome}: of {len(answer.verdicts) + answer.missing_points} grid points {count['PASS']} pass and {count['FAIL']} fail; "
            "the whole is the worst of them."
        )
    lines = [*notes(answer), *([stopped(answer)] if answer.stopping else [])]
    if lines:
        blocks.append("\n".join(f"note: {line}" for line in lines))
    return "\n\n".join(blocks)


def summary(answer: AnswerData, most: int = 5) -> list[str]:
    """Return the answer in short: a line per grid point, `most` at most, with the requirements that do not pass."""
    found = []
    for verdict in answer.verdicts[:most]:
        found.append(f"Gate: {headline(verdict)}")
        for line in verdict.judgements:
            if line.outcome != "PASS":
                found.append(f"  {line.outcome}  {requirement(line)}")
                found += [f"    {line.reason}"] if line.reason else []
    more = len(answer.verdicts) - most
    if more > 0 or answer.missing_points:
        found += [f"  and {more} more grid points"] if more > 0 else []
        found.append(f"Gate over all grid points: {answer.outcome}")
    return found


def _block(verdict: Verdict) -> str:
    rows = [_row(line) for line in verdict.judgements]
    widths = [max(len(row[i]) for row in [HEADS, *rows]) for i in range(len(HEADS))]
    text = [headline(verdict), "", _joined(HEADS, widths)]
    for row, line in zip(rows, verdict.judgements, strict=True):
        text.append(_joined(row, widths))
        notes = [f"the difference is {line.estimate}"] if "·" in line.estimate else []
        text += [f"  {'':{widths[0]}}  {words}" for words in [*notes, *remarks(line)]]
    return "\n".join(text)


def _joined(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [
        f"{cell:<{width}}" if place < 2 else f"{cell:>{width}}"
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return f"  {'  '.join(cells)}".rstrip()


def headline(verdict: Verdict) -> str:
    """Return outcome, arms, horizon and method on one line."""
    at = f" at {verdict.label}" if verdict.label else ""
    return (
        f'{verdict.outcome}{at}: "{verdict.candidate}" in place of "{verdict.baseline}" '
        f"({verdict.horizon}; {method(verdict)})"
    )


def method(verdict: Verdict) -> str:
    """Return "t intervals at 95 %"."""
    return f"{METHODS.get(verdict.method, 'confidence sequences')} at {100 * verdict.level:g} %"


def _row(line: Judgement) -> tuple[str, ...]:
    return (line.outcome, requirement(line), *numbers(line), seeds(line))


def requirement(line: Judgement) -> str:
    """Return "guardrail niche_exposure ≥ baseline − 1 pp"."""
    sign = "≥" if line.side == "at_least" else "≤"
    return f"{line.role} {line.measure} {sign} {_bound(line)}"


def _bound(line: Judgement) -> str:
    if not is_share(describe(line.measure)):
        return line.bound
    if line.estimate == "candidate":
        return f"{100 * line.limit:g} %"
    return line.bound.rsplit(" ", 2)[0] + _points(line.limit) if line.limit else line.bound


def _points(offset: float) -> str:
    return f" {'−' if offset < 0 else '+'} {100 * abs(offset):g} pp"


def numbers(line: Judgement) -> tuple[str, str, str, str]:
    """Return candidate, baseline, the estimate and its interval, with units."""
    own = line.estimate == "candidate"
    low, high = (number(end, line.measure, signed=not own) for end in (line.interval.low, line.interval.high))
    if " " in low and " " in high:
        low = low.rsplit(" ", 1)[0]  # One unit for both ends.
    interval = f"{low} to {high}" if math.isfinite(line.interval.low) else "–"
    means = (number(line.candidate, line.measure), number(line.baseline, line.measure))
    return (*means, "" if own else number(line.interval.mean, line.measure, signed=True), interval)


def number(value: float, measure: str, signed: bool = False) -> str:
    """Return a value with its unit: shares in percent, their differences in percentage points.

    It has more digits than `measures.columns` writes, so that an interval visibly ends off its limit.
    """
    if not math.isfinite(value):
        return "–"
    plus = "+" if signed else ""
    if is_share(describe(measure)):
        text = f"{100 * value:{plus}.2f} {'pp' if signed else '%'}"
    else:
        text = f"{value:{plus}.4g}"
    return text.replace("-", "−")


def remarks(line: Judgement) -> list[str]:
    """Return the remarks on a line: why it is undecided, where it holds, what would flip it."""
    found = [line.reason] if line.reason else []
    if line.share is not None:
        found.append(describe_share(line))
    if line.tipping_points:
        found.append("turns on " + "; on ".join(describe_tipping_point(each) for each in line.tipping_points))
    return found


def seeds(line: Judgement) -> str:
    """Return "7 of 8 seeds"."""
    held = round(line.seeds_share * line.interval.n) if line.interval.n else 0
    return f"{held} of {line.interval.n} seeds"


def share(line: Judgement) -> tuple[str, str]:
    """Return the share of plausible behaviors under which a line holds and its interval; "–" and "" without."""
    found = line.share
    if found is None or not math.isfinite(found.mean):
        return "–", ""
    between = f"{100 * found.low:.0f} to {100 * found.high:.0f} %" if math.isfinite(found.low) else ""
    return f"{100 * found.mean:.0f} %", between


def describe_share(line: Judgement) -> str:
    """Return the share of plausible behaviors under which a line holds, with its interval, and the share of seeds."""
    mean, between = share(line)
    if mean == "–":
        reason = line.share.reason if line.share is not None else ""
        return f"holds in {seeds(line)}" + (f" ({reason})" if reason else "")
    within = f" ({between})" if between else ""
    return f"holds under {mean}{within} of plausible behaviors{describe_surface(line)}, and in {seeds(line)}"


def describe_surface(line: Judgement) -> str:
    """Return, in parentheses, how well the response surface behind a share of plausible behaviors predicts."""
    parts = [line.share.reason] if line.share is not None and line.share.reason else []
    if line.surface_r2 is not None and line.surface_r2 > 0:
        parts.insert(
            0, f"by a surface that predicts {100 * line.surface_r2:.0f} % of the variance between draws"
        )
    return f" ({'; '.join(parts)})" if parts else ""


def describe_tipping_point(point: TippingPoint) -> str:
    """Return "behavior.attention (holds above 0.9)"."""
    if point.holds in ("there", "elsewhere"):
        value = toml(point.value)
        return f"{point.key} ({'holds with' if point.holds == 'there' else 'does not hold with'} {value})"
    return f"{point.key} (holds {point.holds} {point.value:.3g})"


def notes(answer: AnswerData) -> list[str]:
    """Return the notes of all verdicts without repeats, with the grid points that they apply to unless all."""
    places: dict[str, list[str]] = {}
    for verdict in answer.verdicts:
        for note in verdict.notes:
            places.setdefault(note, []).append(verdict.label)
    return ([missing_points(answer)] if answer.missing_points else []) + [
        note if len(at) == len(answer.verdicts) else f"at {'; '.join(at)}: {note}"
        for note, at in places.items()
    ]


def missing_points(answer: AnswerData) -> str:
    """Return a sentence on the grid points without any run."""
    many = answer.missing_points > 1
    return (
        f"{answer.missing_points} more grid {'points have' if many else 'point has'} no run; "
        f"without {'them' if many else 'it'} there is no PASS."
    )


def stopped(answer: AnswerData) -> str:
    """Return a sentence on how the study was stopped, or on its interim looks if it was extended later."""
    stopping = answer.stopping or {}
    looks = stopping.get("looks") or []
    at = f" after looks at {', '.join(map(str, looks))} seeds" if looks else ""
    on = ", then run on with a set number of seeds" if looks and answer.seeds > max(looks) else ""
    return (
        f"stopped sequentially{at}{on}: its intervals are confidence sequences, which hold however often the study is looked at, "
        "and are wider than those of a study with a set number of seeds."
    )
