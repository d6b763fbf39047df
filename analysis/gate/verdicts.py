"""What a gate answers: an outcome per line, per grid point, and for the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ...errors import ExitCode
from ..statistics import Interval
from .bounds import Side

Outcome = Literal["PASS", "FAIL", "UNDECIDED"]
WORST: tuple[Outcome, ...] = ("FAIL", "UNDECIDED", "PASS")
"""Outcomes, the one that counts first."""


@dataclass(frozen=True)
class Turn:
    """An assumption on which it depends whether a line holds."""

    key: str
    """Dotted key of the study."""
    value: Any
    """Where the line turns; of a choice, the choice."""
    holds: Literal["above", "below", "there", "elsewhere"]
    """On which side of the value the line holds on average over all else; for a choice: with it, or with others."""


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
    """Of `estimate`, over seeds, two-sided at the gate's level."""
    outcome: Outcome
    estimate: str
    """What the interval is of: candidate − baseline, candidate − 0.95 · baseline, or candidate."""
    horizon: str
    candidate: float
    """Mean over the pairs."""
    baseline: float
    """Mean over the pairs; NaN for a bound that is a number where the baseline has no value."""
    seeds_share: float
    """Share of the seeds in which the line holds by itself; NaN without pairs."""
    share: Interval | None
    """Share of plausible behaviors under which it holds, from the response surface over [uncertainty]."""
    flips: tuple[Turn, ...]
    """Assumptions that would turn the line around, the surest first."""
    seeds_needed: int | None
    """Seeds that would decide it, at the spread and difference seen; None when decided or when none would."""
    reason: str
    """Why it is undecided, in words; empty when it is decided."""
    missing: tuple[int, ...]
    """Seeds without a pair of values."""
    one_sided: tuple[int, ...] = ()
    """Seeds that keep it from passing: there, in some round at least, one arm alone has a value."""
    fit: float | None = None
    """Share of the variance between draws that the response surface predicts for draws it has not seen; None
    without [uncertainty], NaN without a surface."""


@dataclass(frozen=True)
class Verdict:
    """The gate's answer at one grid point."""

    outcome: Outcome
    baseline: str
    candidate: str
    horizon: str
    point: dict[str, Any]
    """Values of the grid; empty without one."""
    judgements: list[Judgement]
    notes: list[str]
    method: str = "t"
    """Intervals: "t", "bootstrap" or "confidence sequence"."""
    level: float = 0.95
    failed: int = 0
    """Runs of the two arms that failed."""

    @property
    def label(self) -> str:
        """The grid point in words; empty without a grid."""
        return ", ".join(f"{key} = {value}" for key, value in self.point.items())


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """FAIL if any fails, PASS if all pass, else UNDECIDED; so is what nothing is known of."""
    for outcome in WORST:
        if outcome in outcomes:
            return outcome
    return "UNDECIDED"


@dataclass(frozen=True)
class Judged:
    """All verdicts of a gate and what else belongs to its answer; `gate.answer.Answer` can also write them."""

    study: str
    """Name of the study."""
    verdicts: list[Verdict]
    """One per grid point, in the order of the tables."""
    seeds: int
    """Seeds that the study ran."""
    finished: str = ""
    """When, as in the manifest."""
    stopping: Mapping[str, Any] | None = None
    """How the study was stopped or looked at (manifest), None where the number of seeds was set beforehand."""
    versions: Mapping[str, Any] = field(default_factory=dict)
    """Packages and their versions (manifest)."""
    unjudged: int = 0
    """Grid points of the study without any run in the tables."""

    @property
    def outcome(self) -> Outcome:
        """The worst of the verdicts; no PASS while grid points lack every run."""
        found = worst([verdict.outcome for verdict in self.verdicts])
        return "UNDECIDED" if found == "PASS" and self.unjudged else found

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
