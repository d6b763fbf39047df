"""The result of a calibration: a preset, settings that are not ruled out, matches and misses; and its files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import BadInput
from ...sim.platform import Platform
from ...sim.streams import Streams
from .emulator import Array
from .pairs import Filter
from .search import Job, Search, Simulated
from .space import Size, tables_at, values_at
from .summary_statistics import Match, matches

if TYPE_CHECKING:
    import pandas as pd

IDENTIFIED = 0.5
"""Largest width of the 90 % set of a quantity, as a share of its prior, for it to count as identified."""
ROWS = 512
"""Joint rows of settings that are written."""
MISSES = 2
"""Most statistics outside their tolerance in a world that is like the log."""


@dataclass(frozen=True)
class Calibration:
    """What a calibration found. Tables are data frames."""

    log: str
    size: Size
    filter: Filter
    matches: list[Match]
    """Every statistic of the log beside its mean over the simulated logs of the preset."""
    settings: pd.DataFrame
    """A row per quantity: its prior (low, high), its 90 % set (set_low, set_high), preset, identified."""
    not_ruled_out: pd.DataFrame
    """Equally plausible joint rows; columns are keys of a study, for `[uncertainty] sample`."""
    tables: dict[str, dict[str, Any]]
    """The tables world, behavior and platform of the preset."""
    notes: list[str]
    curves: list[dict[str, list[float]]]
    """Of the log, then of each simulated log (see `search.curves_of`)."""

    @property
    def misses(self) -> list[Match]:
        """Statistics outside their tolerance."""
        return [match for match in self.matches if match.verdict == "miss"]

    @property
    def verdict(self) -> str:
        """Whether the preset is like the log, in one sentence."""
        judged = [match for match in self.matches if match.tolerances is not None]
        far = [match for match in self.misses if (match.tolerances or 0) > 2]
        inside = f"{len(judged) - len(self.misses)} of {len(judged)} statistics are within their tolerance"
        if not self.misses:
            return f"Like the log: {inside}."
        missed = ", ".join(match.statistic.label for match in self.misses)
        if len(self.misses) <= MISSES and not far:
            return f"Like the log: {inside}, none is beyond twice of it. Missed: {missed}."
        return f"Not like the log: {inside}. Missed: {missed}."

    @property
    def match_table(self) -> pd.DataFrame:
        """A row per statistic: log, world, spread over simulated logs, tolerance, verdict."""
        import pandas as pd

        return pd.DataFrame(
            {
                "statistic": match.statistic.name,
                "meaning": match.statistic.label,
                "log": match.log,
                "world": match.world,
                "spread": match.spread,
                "tolerance": match.statistic.tolerance,
                "relative": match.statistic.relative,
                "verdict": match.verdict,
            }
            for match in self.matches
        )

    def as_plain(self) -> dict[str, Any]:
        """Return the findings as plain data for JSON."""
        return {
            "log": self.log,
            "users": self.size.users,
            "items": self.size.items,
            "filter": str(self.filter),
            "verdict": self.verdict,
            "matches": json.loads(self.match_table.to_json(orient="records")),
            "settings": json.loads(self.settings.to_json(orient="records")),
            "preset": self.tables,
            "notes": self.notes,
        }

    def preset(self, name: str) -> str:
        """Return the preset as TOML."""
        import tomli_w

        rows = [
            {
                "statistic": match.statistic.label,
                "log": _short(match.log),
                "world": _short(match.world),
                "tolerance": _short(
                    match.statistic.tolerance * (match.log if match.statistic.relative else 1.0)
                ),
                "within": match.verdict == "match",
            }
            for match in self.matches
            if match.statistic.tolerance is not None
        ]
        unknown = list(self.settings.loc[~self.settings["identified"], "quantity"])
        description = f"A generated world, calibrated to {Path(self.log).name}. {self.verdict}"
        if unknown:
            description += (
                f" Not identified by the log, so that other values do as well: {', '.join(unknown)}."
            )
        likeness = {
            "log": Path(self.log).name,
            "users": self.size.users,
            "items": self.size.items,
            "pairs": int(next(match.log for match in self.matches if match.statistic.name == "pairs")),
            "filter": str(self.filter),
            "rows": rows,
        }
        return tomli_w.dumps({"name": name, "description": description, **self.tables, "likeness": likeness})


def result_of(
    search: Search, seed: int, logs: int, curves: dict[str, list[float]], log: str, notes: list[str]
) -> Calibration:
    """Choose the preset, simulate logs of it, and put the result together."""
    emulator = search.emulator()
    particles = search.not_ruled_out(emulator, Streams(seed)("calibration.set"))
    best = search.nearest(emulator, particles, 16)[0]
    # Users who come too rarely are in the world, but not in the log.
    passing = _passing(search, best)
    people = round(search.size.users / passing)
    final = search.simulate(Job(best, people, 10_000 + place) for place in range(logs))
    usable = [each for each in final if each.statistics.keys() >= search.observed.keys()]
    if not usable:
        raise BadInput(
            "no simulated log of the best settings has the statistics of this one; give a larger --design"
        )
    tables = {
        **tables_at(search.size, best, people),
        "platform": {"slate": Platform().slate, "warmup": round(np.mean([each.rounds for each in usable]))},
    }
    settings = _settings(search.size, best, particles)
    return Calibration(
        log=log,
        size=search.size,
        filter=search.how,
        matches=matches(search.observed, [each.statistics for each in usable]),
        settings=settings,
        not_ruled_out=_joint_rows(search.size, particles),
        tables=tables,
        notes=notes,
        curves=[curves, *(each.curves for each in usable)],
    )


def _passing(search: Search, point: Array) -> float:
    """Return the share of users in the log, of the simulated world that is nearest to a point."""
    near: Simulated = min(search.usable, key=lambda each: float(((each.job.point - point) ** 2).sum()))
    return min(1.0, max(near.passing, 0.05))


def _settings(size: Size, best: Array, particles: Array) -> pd.DataFrame:
    import pandas as pd

    chosen = values_at(size, best)
    rows = []
    for quantity, places in zip(size.quantities, particles.T, strict=True):
        low, high = np.quantile(places, [0.05, 0.95])
        ends = quantity.at(np.array([low, high]))
        rows.append(
            {
                "quantity": quantity.name,
                "low": quantity.low,
                "high": quantity.high,
                "set_low": float(ends[0]),
                "set_high": float(ends[1]),
                "preset": chosen[quantity.name],
                "width": float(high - low),
                "identified": bool(high - low <= IDENTIFIED),
            }
        )
    return pd.DataFrame(rows)


def _joint_rows(size: Size, particles: Array) -> pd.DataFrame:
    """Return the settings of evenly chosen particles; keys that do not vary, and sizes, are left out."""
    import pandas as pd

    chosen = particles[np.linspace(0, len(particles) - 1, ROWS).round().astype(int)]
    rows = []
    for point in chosen:
        tables = tables_at(size, point, size.users)
        flat = {f"{table}.{key}": value for table, of in tables.items() for key, value in of.items()}
        rows.append(flat)
    table = pd.DataFrame(rows).drop(columns=["world.users", "world.items", "world.graph"], errors="ignore")
    varying = [name for name in table if table[name].nunique() > 1]
    return table[varying]


def _short(value: float) -> float:
    return value if value == 0 or not math.isfinite(value) else float(f"{value:.4g}")
