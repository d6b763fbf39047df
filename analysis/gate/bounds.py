"""Parse what a study writes in the lines of its gate: bounds ("baseline - 0.01") and horizons ("last 20 rounds")."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Side = Literal["at_least", "at_most"]

_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_OFFSET = rf"(?:\s*(?P<sign>[+-])\s*(?P<offset>{_NUMBER}))?"
_FORMS = (
    re.compile(rf"baseline(?:\s*\*\s*(?P<factor>{_NUMBER}))?{_OFFSET}", re.IGNORECASE),
    re.compile(rf"(?P<factor>{_NUMBER})\s*\*\s*baseline{_OFFSET}", re.IGNORECASE),
)
_PLAIN = re.compile(rf"[+-]?\s*{_NUMBER}")
BOUND_EXAMPLES = '0.2, "baseline", "baseline - 0.01", "baseline + 0.05" or "baseline * 0.95"'
HORIZON_EXAMPLES = '"last 20 rounds", "rounds 50 to 99" or "all rounds"'
_HORIZON = re.compile(
    r"(?P<all>all\s+rounds)|last\s+(?:(?P<tail>\d+)\s+rounds?|(?P<one>round))"
    r"|rounds?\s+(?P<first>\d+)(?:\s*(?:to|-)\s*(?P<last>\d+))?"
)


@dataclass(frozen=True)
class Bound:
    """The value factor · baseline + offset; factor 0 means a plain number, independent of the baseline."""

    factor: float
    offset: float

    def __str__(self) -> str:
        if self.factor == 0:
            return f"{self.offset:g}"
        times = "baseline" if self.factor == 1 else f"baseline × {self.factor:g}"
        return (
            times if self.offset == 0 else f"{times} {'−' if self.offset < 0 else '+'} {abs(self.offset):g}"
        )

    @property
    def contrast(self) -> str:
        """The estimate that the bound is checked on, as text: candidate − factor · baseline."""
        if self.factor == 0:
            return "candidate"
        return "candidate − baseline" if self.factor == 1 else f"candidate − {self.factor:g} · baseline"

    @property
    def has_margin(self) -> bool:
        """Whether a candidate that equals the baseline lies off the limit."""
        return self.factor != 1 or self.offset != 0


def parse_bound(written: float | str) -> Bound:
    """Read a bound: a number, "baseline", "baseline - 0.01", "baseline * 0.95", "baseline * 0.95 - 0.01".

    Raises ValueError with the allowed forms.
    """
    if not isinstance(written, str):
        return Bound(0.0, _finite(float(written), written))
    text = written.strip().replace("−", "-").replace("×", "*").replace("·", "*")
    if _PLAIN.fullmatch(text):
        return Bound(0.0, _finite(float(re.sub(r"\s", "", text)), written))
    for form in _FORMS:
        found = form.fullmatch(text)
        if found:
            factor = _finite(float(found["factor"] or 1), written)
            if factor == 0:
                raise ValueError(f'"{written}" multiplies the baseline by 0; write the number alone: 0')
            offset = _finite(float(found["offset"] or 0), written)
            return Bound(factor, -offset if found["sign"] == "-" and offset else offset)
    if "%" in text:
        raise ValueError(
            f'"{written}" can mean two things: "baseline * 0.95" is 5 % less than the baseline, '
            '"baseline - 0.05" is 0.05 less (5 percentage points of a share)'
        )
    raise ValueError(f'"{written}" is not a bound; write {BOUND_EXAMPLES}')


def _finite(value: float, written: float | str) -> float:
    if not math.isfinite(value):
        raise ValueError(f'"{written}" contains a number that is too large; write {BOUND_EXAMPLES}')
    return value


@dataclass(frozen=True)
class Horizon:
    """Rounds over which a measure is averaged: `first` to `last`, the last `tail`, or all."""

    first: int | None = None
    last: int | None = None
    tail: int | None = None

    def __str__(self) -> str:
        if self.tail is not None:
            return "last round" if self.tail == 1 else f"last {self.tail} rounds"
        if self.first is None:
            return "all rounds"
        return f"round {self.first}" if self.first == self.last else f"rounds {self.first} to {self.last}"

    def window(self, rounds: int) -> tuple[int, int]:
        """Return the first and last round in a run of `rounds` rounds; ValueError if the run is too short."""
        if self.tail is not None:
            if self.tail > rounds:
                raise ValueError(f'"{self}" is more than the {rounds} of the study')
            return rounds - self.tail, rounds - 1
        if self.first is None or self.last is None:
            return 0, rounds - 1
        if self.last >= rounds:
            raise ValueError(f'"{self}" lies outside of the study, which has rounds 0 to {rounds - 1}')
        return self.first, self.last


def parse_horizon(written: str) -> Horizon:
    """Read "last 20 rounds", "rounds 50 to 99" (both included, counted from 0), "round 50" or "all rounds".

    Raises ValueError with the allowed forms.
    """
    found = _HORIZON.fullmatch(written.strip().lower().replace("–", "-"))
    if not found or any(len(part) > 9 for part in found.groups() if part and part.isdigit()):
        raise ValueError(f'"{written}" is not a horizon; write {HORIZON_EXAMPLES}')
    if found["all"]:
        return Horizon()
    if found["one"] or found["tail"]:
        tail = 1 if found["one"] else int(found["tail"])
        if tail == 0:
            raise ValueError(f'"{written}" is empty; write {HORIZON_EXAMPLES}')
        return Horizon(tail=tail)
    first = int(found["first"])
    last = first if found["last"] is None else int(found["last"])
    if last < first:
        raise ValueError(f'"{written}" ends before it starts')
    return Horizon(first, last)


def written_lines(gate: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the lines of a gate as in the study: guardrails, then goals."""
    return [*(gate.get("guardrail") or ()), *(gate.get("goal") or ())]


def bound_of(line: Mapping[str, Any]) -> tuple[Side, Bound]:
    """Return the side of its bound on which a line of the study must lie, and the bound."""
    side: Side = "at_least" if line.get("at_least") is not None else "at_most"
    return side, parse_bound(line[side])


def horizon_of(gate: Mapping[str, Any], line: Mapping[str, Any] | None = None) -> Horizon:
    """Return the rounds over which a line of the study is judged: its own, or those of its gate."""
    return parse_horizon((line or {}).get("horizon") or gate.get("horizon", "last 20 rounds"))
