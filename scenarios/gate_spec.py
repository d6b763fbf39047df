"""The `[gate]` of a study: which arm is to replace which, and what must hold for that."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from ..analysis.bounds import BOUND_EXAMPLES, Bound, parse_bound, parse_horizon
from ..config import Config


class GateLine(Config):
    """One thing that must hold: a measure of the candidate on one side of a bound."""

    measure: str = Field(min_length=1)
    """Column of the tables, e.g. welfare or niche_exposure:group=niche."""
    at_least: float | str | None = None
    """Lowest allowed value: a number, or "baseline", "baseline - 0.01", "baseline * 0.95"."""
    at_most: float | str | None = None
    """Highest allowed value, written like at_least."""
    horizon: str | None = None
    """Rounds that count for this line; the gate's when omitted."""

    @field_validator("at_least", "at_most")
    @classmethod
    def _readable(cls, value: float | str | None) -> float | str | None:
        if value is not None:
            parse_bound(value)
        return value

    @field_validator("horizon")
    @classmethod
    def _rounds(cls, value: str | None) -> str | None:
        if value is not None:
            parse_horizon(value)
        return value

    @model_validator(mode="after")
    def _one_side(self) -> GateLine:
        if (self.at_least is None) == (self.at_most is None):
            found = "has neither" if self.at_least is None else "has both; write two lines for two sides"
            raise ValueError(f"needs at_least or at_most and {found} (for example {BOUND_EXAMPLES})")
        return self

    @property
    def bound(self) -> Bound:
        """The bound, read."""
        written = self.at_least if self.at_least is not None else self.at_most
        assert written is not None
        return parse_bound(written)


class GateConfig(Config):
    """May the candidate replace the baseline? PASS, FAIL or UNDECIDED."""

    baseline: str = Field(min_length=1)
    """Arm that is there now."""
    candidate: str = Field(min_length=1)
    """Arm that is to replace it."""
    horizon: str = "last 20 rounds"
    """Rounds that count: "last 20 rounds", "rounds 50 to 99" (counted from 0) or "all rounds"."""
    level: float = Field(default=0.95, ge=0.5, le=0.9999)
    """Level of the two-sided intervals: at 0.95 a line at its limit passes by mistake at most 2.5 times in 100."""
    method: Literal["t", "bootstrap"] = "t"
    """Intervals over seeds: Student's t, or BCa bootstrap; a study stopped by --until uses confidence sequences."""
    guardrail: list[GateLine] = []
    """What must not get worse than the bound."""
    goal: list[GateLine] = []
    """What the change is for."""

    @field_validator("horizon")
    @classmethod
    def _rounds(cls, value: str) -> str:
        parse_horizon(value)
        return value

    @model_validator(mode="after")
    def _decides(self) -> GateConfig:
        if self.baseline == self.candidate:
            raise ValueError(
                f'baseline and candidate are the same arm, "{self.baseline}"; a gate compares two different arms'
            )
        if not self.guardrail and not self.goal:
            raise ValueError(
                'names nothing that must hold; add [[gate.guardrail]] with measure = "niche_exposure" and '
                'at_least = "baseline - 0.01"'
            )
        return self

    @property
    def lines(self) -> list[tuple[str, GateLine]]:
        """(key, line) for every guardrail, then every goal; key as in the file: guardrail[0]."""
        named = [(f"guardrail[{i}]", line) for i, line in enumerate(self.guardrail)]
        return named + [(f"goal[{i}]", line) for i, line in enumerate(self.goal)]
