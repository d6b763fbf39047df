"""The `[gate]` of a study: the candidate arm, the baseline that it is to replace, and the conditions for that."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ...analysis.gate.bounds import (
    BOUND_EXAMPLES,
    HORIZON_EXAMPLES,
    Bound,
    Horizon,
    parse_bound,
    parse_horizon,
)
from ...config import Config
from ...errors import KeyPath, WrongFields

_CLOSE = (
    (r"(?:the )?(?:last |final )?(?:rounds? )?(\d+)(?: rounds?)?", "last {} rounds"),
    (r"(?:from )?(?:rounds? )?(\d+)(?: to| until| and)? (\d+)(?: rounds?)?", "rounds {} to {}"),
    (r"(?:the )?(?:all|every|whole)(?: runs?| the rounds| rounds?)?", "all rounds"),
)
"""Common misspellings of a horizon (without punctuation) → the correct spelling."""


def _horizon(value: Any) -> Any:
    """Return a horizon as written; raises ValueError with the allowed forms and the one most likely meant."""
    problem = f"{value!s:.60} is not a horizon; write {HORIZON_EXAMPLES}"
    if isinstance(value, str):
        try:
            parse_horizon(value)
            return value
        except ValueError as error:
            problem = str(error)
    meant = _meant(str(value)) if isinstance(value, int | str) else ""
    raise ValueError(f'{problem}. Did you mean "{meant}"?' if meant else problem)


def _meant(text: str) -> str:
    """Return the horizon that was most likely meant; empty if none is close."""
    words = " ".join(re.findall(r"[a-z]+|\d+", text.lower()))
    for form, written in _CLOSE:
        found = re.fullmatch(form, words)
        if found:
            meant = written.format(*found.groups())
            try:
                parse_horizon(meant)
            except ValueError:
                continue
            return meant
    return ""


def _the(horizon: Horizon) -> str:
    return f"the {horizon}" if horizon.tail is not None else str(horizon)


class GateLine(Config):
    """One condition: a measure of the candidate must be on one side of a bound."""

    measure: str = Field(min_length=1)
    """Column of the tables, e.g. welfare or niche_exposure:group=niche."""
    at_least: float | str | None = None
    """Lowest allowed value: a number, or "baseline", "baseline - 0.01", "baseline * 0.95"."""
    at_most: float | str | None = None
    """Highest allowed value, written like at_least."""
    horizon: str | None = None
    """Rounds over which this line is judged; the gate's horizon if omitted."""

    @field_validator("at_least", "at_most")
    @classmethod
    def _readable(cls, value: float | str | None) -> float | str | None:
        if value is not None:
            parse_bound(value)
        return value

    @field_validator("horizon", mode="before")
    @classmethod
    def _rounds(cls, value: Any) -> Any:
        return value if value is None else _horizon(value)

    @model_validator(mode="after")
    def _one_side(self) -> GateLine:
        if (self.at_least is None) == (self.at_most is None):
            found = "has neither" if self.at_least is None else "has both; write two lines for two sides"
            text = f"needs at_least or at_most and {found} (for example {BOUND_EXAMPLES})"
            raise WrongFields(text, "at_least", "at_most")
        return self

    @property
    def bound(self) -> Bound:
        """The parsed bound."""
        written = self.at_least if self.at_least is not None else self.at_most
        assert written is not None
        return parse_bound(written)

    def describe(self) -> str:
        """Return the condition as text: niche_exposure ≥ baseline − 0.01."""
        over = f" over {_the(parse_horizon(self.horizon))}" if self.horizon else ""
        return f"{self.measure} {'≥' if self.at_least is not None else '≤'} {self.bound}{over}"


class GateConfig(Config):
    """May the candidate replace the baseline? PASS, FAIL or UNDECIDED."""

    baseline: str = Field(min_length=1)
    """Current arm."""
    candidate: str = Field(min_length=1)
    """Arm that is to replace the baseline."""
    horizon: str = "last 20 rounds"
    """Rounds over which means are taken: "last 20 rounds", "rounds 50 to 99" (counted from 0) or "all rounds"."""
    level: float = Field(default=0.95, ge=0.5, le=0.9999)
    """Level of the two-sided intervals: at 0.95 a line at its limit passes by mistake at most 2.5 times in 100."""
    method: Literal["t", "bootstrap"] = "t"
    """Intervals over seeds: Student's t, or BCa bootstrap; a study stopped by --until uses confidence sequences."""
    guardrail: list[GateLine] = []
    """Measures that must not get worse than their bounds."""
    goal: list[GateLine] = []
    """Measures that the change is meant to improve."""

    @field_validator("horizon", mode="before")
    @classmethod
    def _rounds(cls, value: Any) -> Any:
        return _horizon(value)

    @model_validator(mode="after")
    def _decides(self) -> GateConfig:
        if self.baseline == self.candidate:
            raise WrongFields(
                f'baseline and candidate are the same arm, "{self.baseline}"; a gate compares two different arms',
                "baseline",
                "candidate",
            )
        if not self.guardrail and not self.goal:
            raise WrongFields(
                'names nothing that must hold; add [[gate.guardrail]] with measure = "niche_exposure" and '
                'at_least = "baseline - 0.01"',
                "guardrail",
                "goal",
            )
        return self

    def describe(self) -> list[str]:
        """Return two lines of text: the arms and the rounds that are compared, and the conditions."""
        parts = []
        for role, lines in (("guardrail", self.guardrail), ("goal", self.goal)):
            if lines:
                conditions = ", ".join(line.describe() for line in lines)
                parts.append(f"{role}{'s' if len(lines) > 1 else ''}: {conditions}")
        over = parse_horizon(self.horizon)
        return [
            f'candidate "{self.candidate}" in place of baseline "{self.baseline}", mean over {_the(over)}',
            "; ".join(parts),
        ]

    @property
    def lines(self) -> list[tuple[KeyPath, GateLine]]:
        """(path in the study, line) of every guardrail, then of every goal."""
        return [
            (("gate", role, number), line)
            for role, lines in (("guardrail", self.guardrail), ("goal", self.goal))
            for number, line in enumerate(lines)
        ]
