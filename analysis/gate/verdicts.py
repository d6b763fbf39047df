"""Data classes for the result of a gate: an outcome per line, per grid point, and overall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ...errors import ExitCode
from ..statistics import Interval
from .bounds import Side

Outcome = Literal["PASS", "FAIL", "UNDECIDED"]
SEVERITY: tuple[Outcome, ...] = ("FAIL", "UNDECIDED", "PASS")
"""Outcomes by precedence, the one that dominates first."""


@dataclass(frozen=True)
class TippingPoint:
    """An assumption whose value decides whether a line holds."""

    key: str
    """Dotted key of the study."""
    value: Any
    """Value at which the line starts or stops holding; for a choice, that choice."""
    holds: Literal["above", "below", "there", "elsewhere"]
    """Side of the value on which the line holds, averaged over all other keys; for a choice: with it, or with others."""


@dataclass(frozen=True)
class Judgement:
    """One line of a gate at one grid point."""

    role: Literal["guardrail", "goal"]
    measure: str
    bound: str
    """The bound in words: baseline − 0.01."""
    side: Side
    limit: float
    """What `interval` is compared with."""
    interval: Interval
    """Interval of `estimate` over seeds, two-sided at the gate's level."""
    outcome: Outcome
    estimate: str
    """The estimated quantity: candidate − baseline, candidate − 0.95 · baseline, or candidate."""
    horizon: str
    candidate: float
    """Mean over the pairs."""
    baseline: float
    """Mean over the pairs; NaN if the bound is a plain number and the baseline has no value."""
    seeds_share: float
    """Share of the seeds that satisfy the line on their own; NaN without pairs."""
    share: Interval | None
    """Share of plausible behaviors under which the line holds, from the response surface over [uncertainty]."""
    tipping_points: tuple[TippingPoint, ...]
    """Assumptions that would reverse the line, the most certain first."""
    seeds_needed: int | None
    """Seeds that would decide it at the observed spread and difference; None if decided, with fewer than 5 pairs, or if
    no number would."""
    reason: str
    """Why it is undecided, as text; empty if it is decided."""
    missing: tuple[int, ...]
    """Seeds without a pair of values."""
    one_sided: tuple[int, ...] = ()
    """Seeds that keep it from passing: in at least one round only one arm has a value."""
    surface_r2: float | None = None
    """Share of the variance between draws that the response surface predicts for unseen draws (cross-validated);
    None without [uncertainty], NaN without a surface."""


@dataclass(frozen=True)
class Verdict:
    """The gate's answer at one grid point."""

    outcome: Outcome
    baseline: str
    candidate: str
    horizon: str
    point: dict[str, Any]
    """Dotted key → value of the grid; empty without a grid."""
    judgements: list[Judgement]
    notes: list[str]
    method: str = "t"
    """Method of the intervals: "t", "bootstrap" or "confidence sequence"."""
    level: float = 0.95
    failed: int = 0
    """Runs of the two arms that failed."""

    @property
    def label(self) -> str:
        """The grid point as text; empty without a grid."""
        return ", ".join(f"{key} = {value}" for key, value in self.point.items())


def overall_outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """Return FAIL if any fails, PASS if all pass, else UNDECIDED, also without any outcome."""
    for outcome in SEVERITY:
        if outcome in outcomes:
            return outcome
    return "UNDECIDED"


@dataclass(frozen=True)
class AnswerData:
    """All verdicts of a gate and the facts about its study; `gate.answer.Answer` adds the output formats."""

    study: str
    """Name of the study."""
    verdicts: list[Verdict]
    """One per grid point, in the order of the tables."""
    seeds: int
    """Seeds that the study ran."""
    finished: str = ""
    """Time at which the study finished, as in the manifest."""
    stopping: Mapping[str, Any] | None = None
    """Sequential stopping and interim looks (manifest); None if the number of seeds was set in advance."""
    versions: Mapping[str, Any] = field(default_factory=dict)
    """Packages and their versions (manifest)."""
    missing_points: int = 0
    """Grid points of the study without any run in the tables."""

    @property
    def outcome(self) -> Outcome:
        """The outcome over all verdicts; UNDECIDED in place of PASS while grid points have no run."""
        found = overall_outcome([verdict.outcome for verdict in self.verdicts])
        return "UNDECIDED" if found == "PASS" and self.missing_points else found

    @property
    def failed(self) -> int:
        """Runs of the two arms that failed."""
        return sum(verdict.failed for verdict in self.verdicts)

    @property
    def exit_code(self) -> ExitCode:
        """0 PASS, 3 FAIL, 4 UNDECIDED, 5 UNDECIDED with failed runs."""
        if self.outcome == "UNDECIDED" and self.failed:
            return ExitCode.RUN_FAILED
        codes = {"PASS": ExitCode.OK, "FAIL": ExitCode.GATE_FAILED, "UNDECIDED": ExitCode.GATE_UNDECIDED}
        return codes[self.outcome]
