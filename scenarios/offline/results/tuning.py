"""Results of a tuning: a table of trials, the best settings as a line for a study, and their test score."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....policies.search_space import Range, SearchSpace
from ....wording import counted, toml
from ..inline_toml import write_option
from ..metric_list import RequestedMetric
from ..score import Outcome
from ..specs import Contender
from ..split_size import SplitSize, averaging_unit, describe_sizes
from ..storage import make_folder, write_atomically, write_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Trial:
    """One trial: the settings that were tried, and their value."""

    number: int
    fields: dict[str, Any]
    """Fields that differ from the policy as given."""
    spec: dict[str, Any]
    status: str = "ok"
    error: str = ""
    value: float = math.nan
    """The metric on the validation part, mean over seeds."""
    values: list[float] = field(default_factory=list)
    """The same per seed."""
    fit_seconds: float = math.nan
    rank_seconds: float = math.nan


class Tuning:
    """The results of `tune`; tables are pandas DataFrames."""

    def __init__(
        self,
        base: Contender,
        metric: RequestedMetric,
        split: str,
        seeds: list[int],
        space: SearchSpace,
        notes: list[str],
    ) -> None:
        self.base, self.metric, self.split, self.seeds, self.space = base, metric, split, seeds, space
        self.notes = notes
        self.trials_done: list[Trial] = []
        self.test: list[tuple[str, Outcome]] = []
        """("default" or "best", outcome on the test part)."""
        self.validation_sizes: list[SplitSize] = []
        """Size of the validation part of every seed."""
        self.test_sizes: list[SplitSize] = []
        """Size of the test part, once per seed; the users are the same."""

    def add(self, trial: Trial) -> None:
        """Add a trial; trials may come in any order."""
        self.trials_done.append(trial)
        self.trials_done.sort(key=lambda one: one.number)

    @property
    def best(self) -> Trial | None:
        """The trial with the best value, the earlier one at a tie; None if all failed."""
        sign = -1 if self.metric.definition.better == "lower" else 1
        return max(
            (one for one in self.trials_done if one.status == "ok"),
            key=lambda one: sign * one.value,
            default=None,
        )

    @property
    def best_spec(self) -> dict[str, Any] | None:
        """`kind` and the fields of the best trial."""
        return None if self.best is None else self.best.spec

    @property
    def line(self) -> str:
        """The best settings as a line for a study's arm, or for `--policy @file`."""
        if self.best_spec is None:
            return ""
        text = f"policy = {toml(self.best_spec)}"
        if self.base.rerank:
            text += f"\nrerank = {toml(self.base.rerank)}"
        return text

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial: number, value, a column per field searched, spec, seconds, status, error."""
        import pandas as pd

        rows = [
            {
                "trial": one.number,
                self.metric.label: one.value,
                **{name: _cell(one.fields.get(name)) for name in sorted(self.space)},
                "spec": write_option(one.spec),
                "fit_seconds": one.fit_seconds,
                "rank_seconds": one.rank_seconds,
                "status": one.status,
                "error": one.error,
            }
            for one in self.trials_done
        ]
        return pd.DataFrame(rows)

    @property
    def failed(self) -> pd.DataFrame:
        """The trials that ended in an error."""
        trials = self.trials
        return trials[trials["status"] != "ok"]

    def test_value(self, name: str) -> tuple[float, float, str]:
        """Return the mean of "default" or "best" on the test part, half of its interval, and an error."""
        from ....analysis.statistics import t_interval

        found = [outcome for label, outcome in self.test if label == name]
        broken = next((one.error for one in found if one.status != "ok"), "")
        if broken or not found:
            return math.nan, math.nan, broken
        values = [one.values[self.metric.label].value for one in found]
        if len(values) == 1:
            return values[0], found[0].values[self.metric.label].error, ""
        mean, half, _, _ = t_interval(np.array(values))
        return float(mean), float(half), ""

    def __str__(self) -> str:
        best, failed = self.best, len(self.failed)
        tried = counted(len(self.trials_done), "trial") + (f", {failed} failed" if failed else "")
        lines = [f"{tried}; {self.metric.label} on the validation part ({self.split}):"]
        if best is None:
            return f"{tried}: there is no best one."
        lines.append(f"  {describe_sizes(self.validation_sizes, 'validation')}")
        default = self.trials_done[0]
        lines.append(f"  default  {_shown(default.value)}  {write_option(default.spec)}")
        if best.number:
            lines.append(f"  best     {_shown(best.value)}  {write_option(best.spec)}  (trial {best.number})")
        else:
            lines.append("  no trial was better than the default")
        over = (
            f"95 % t interval over {len(self.seeds)} fits"
            if len(self.seeds) > 1
            else f"standard error over {averaging_unit(self.test_sizes)}"
        )
        if self.test:
            lines += [f"on the test part (± {over}):", f"  {describe_sizes(self.test_sizes[:1], 'test')}"]
            for name in dict.fromkeys(label for label, _ in self.test):
                value, half, error = self.test_value(name)
                text = error or _shown(value) + (f" ± {half:.4f}" if math.isfinite(half) else "")
                lines.append(f"  {name:<7}  {text}")
        return "\n".join([*lines, "", self.line])

    __repr__ = __str__

    def write(self, folder: Path) -> None:
        """Write trials, best.toml and how it was done; raises StorageError."""
        make_folder(folder)
        write_table(folder, "trials", self.trials)
        if self.best is not None:
            write_atomically(folder / "best.toml", f"{self.line}\n".encode())
        test_values = {
            name: self.test_value(name)[0] for name in dict.fromkeys(label for label, _ in self.test)
        }
        about = {
            "echodrift": version("echodrift"),
            "policy": self.base.spec,
            "metric": self.metric.label,
            "validation": self.split,
            "seeds": self.seeds,
            "space": {name: _describe_range(where) for name, where in self.space.items()},
            "test": {name: value if math.isfinite(value) else None for name, value in test_values.items()},
            "notes": self.notes,
        }
        write_atomically(folder / "tuning.json", json.dumps(about, indent=1, ensure_ascii=False).encode())


def _cell(value: Any) -> Any:
    """Return a field's value for a table; lists and tables as JSON."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else json.dumps(value)


def _shown(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "failed"


def _describe_range(where: Any) -> str:
    if isinstance(where, Range):
        return f"{where.low:g}:{where.high:g}:{'log' if where.log else 'linear'}"
    return ",".join(map(str, where.values))
