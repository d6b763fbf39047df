"""Results of an evaluation: a tidy table, means with intervals, and differences paired by seed."""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....errors import BadInput, did_you_mean
from ..score import Outcome
from ..split_size import SplitSize, averaging_unit, describe_sizes
from ..storage import make_folder, write_atomically, write_table
from .table import as_text

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("policy", "seed", "metric", "value", "standard_error", "users"),
    *("fit_seconds", "rank_seconds", "status", "error"),
)


class Evaluation:
    """The results of an evaluation; tables are pandas DataFrames."""

    def __init__(
        self,
        policies: list[str],
        specs: dict[str, dict[str, Any]],
        metrics: list[str],
        seeds: list[int],
        split: str,
        drawn: bool,
        notes: list[str],
    ) -> None:
        self.policies, self.specs, self.metric_names, self.seeds = policies, specs, metrics, seeds
        self.split, self.drawn = split, drawn
        self.notes = notes
        """What was dropped, merged or decided, as sentences."""
        self.split_sizes: dict[int, SplitSize] = {}
        """Seed → size of its split, without seeds whose split leaves nothing to test."""
        self.outcomes: list[Outcome] = []

    def add_outcomes(self, outcomes: list[Outcome]) -> None:
        """Store the outcomes in the order of policies and seeds, and their remarks as notes."""
        seed = {number: place for place, number in enumerate(self.seeds)}
        policy = {name: place for place, name in enumerate(self.policies)}
        self.outcomes = sorted(outcomes, key=lambda one: (policy[one.policy], seed[one.seed]))
        remarks = [f"{one.policy}: {remark}" for one in self.outcomes for remark in one.remarks]
        self.notes = list(dict.fromkeys([*self.notes, *remarks]))

    @property
    def metrics(self) -> pd.DataFrame:
        """One row per policy, seed and metric: value (mean over users), its standard error, timings, error."""
        import pandas as pd

        rows = []
        for one in self.outcomes:
            for metric in self.metric_names:
                found = one.values.get(metric)
                value, error, count = (
                    (found.value, found.error, found.count) if found else (math.nan, math.nan, 0)
                )
                rows.append(
                    (one.policy, one.seed, metric, value, error, count, one.fit_seconds, one.rank_seconds,
                     one.status, one.error)
                )  # fmt: skip
        return pd.DataFrame(rows, columns=list(COLUMNS))

    @property
    def failed(self) -> pd.DataFrame:
        """Policy, seed and error of every failure."""
        import pandas as pd

        rows = [(one.policy, one.seed, one.error) for one in self.outcomes if one.status != "ok"]
        return pd.DataFrame(rows, columns=["policy", "seed", "error"])

    @property
    def sample_size(self) -> str:
        """Number of splits and users (or test pairs) behind the means, as text."""
        found = list(self.split_sizes.values())
        if len(self.seeds) > 1 and not self.drawn:
            return f"{len(self.seeds)} fits on the same {describe_sizes(found[:1], 'test')}"
        return describe_sizes(found, "test")

    @property
    def interval(self) -> str:
        """The meaning of `half` in the summary, as text."""
        if len(self.seeds) < 2:
            return (
                f"± standard error of the mean over {averaging_unit(self.split_sizes.values())} (one split)"
            )
        if self.drawn:
            return f"± half of the 95 % t interval over {len(self.seeds)} splits"
        return f"± half of the 95 % t interval over {len(self.seeds)} fits on the same split"

    @property
    def summary(self) -> pd.DataFrame:
        """One row per policy and metric: mean over seeds, half of its interval (see `interval`), seeds, seconds."""
        import pandas as pd

        from ....analysis.statistics import t_interval

        rows = []
        for (policy, metric), part in self.metrics.groupby(["policy", "metric"], sort=False):
            mean, half, _, n = t_interval(part["value"].to_numpy(float))
            if len(self.seeds) < 2:
                half = part["standard_error"].iloc[0]
            rows.append(
                (
                    policy,
                    metric,
                    float(mean),
                    float(half),
                    int(n),
                    part["fit_seconds"].mean(),
                    part["rank_seconds"].mean(),
                )
            )
        return pd.DataFrame(
            rows, columns=["policy", "metric", "mean", "half", "n", "fit_seconds", "rank_seconds"]
        )

    def compare(self, reference: str | None = None) -> pd.DataFrame:
        """Return every policy minus a reference (the first one), paired by seed; see `analysis.statistics.compare`."""
        from ....analysis.statistics import compare

        reference = reference or self.policies[0]
        if reference not in self.policies:
            raise BadInput(
                f'no policy is named "{reference}" ({", ".join(self.policies)}).'
                f"{did_you_mean(reference, self.policies)}"
            )
        wide = self.metrics.pivot(index=["policy", "seed"], columns="metric", values="value")
        wide = wide.reset_index().rename(columns={"policy": "arm"})
        others = [name for name in self.policies if name != reference]
        table = compare(wide, reference, self.metric_names, primary=self.metric_names, arms=others)
        columns = [
            "arm",
            "measure",
            "mean_arm",
            "mean_reference",
            "difference",
            "low",
            "high",
            "n",
            "p",
            "verdict",
        ]
        return table[columns].rename(
            columns={"arm": "policy", "measure": "metric", "mean_arm": "mean_policy"}
        )

    @property
    def users(self) -> pd.DataFrame:
        """One row per policy, seed, user (or test pair) and metric, for metrics with a value per user."""
        import pandas as pd

        parts = [
            pd.DataFrame(
                {
                    "policy": one.policy,
                    "seed": one.seed,
                    "user": one.labels,
                    "metric": metric,
                    "value": values,
                }
            )
            for one in self.outcomes
            for metric, values in one.per_user.items()
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(
            columns=["policy", "seed", "user", "metric", "value"]
        )  # fmt: skip

    def write(self, folder: Path, per_user: bool = False) -> None:
        """Write metrics, summary, differences (with several seeds), and users if `per_user`; raises StorageError."""
        make_folder(folder)
        write_table(folder, "metrics", self.metrics)
        write_table(folder, "summary", self.summary)
        if len(self.seeds) > 1 and len(self.policies) > 1:
            write_table(folder, "differences", self.compare())
        if per_user:
            write_table(folder, "users", self.users)
        about = {
            "echodrift": version("echodrift"),
            "policies": self.specs,
            "metrics": self.metric_names,
            "split": self.split,
            "seeds": self.seeds,
            "interval": self.interval,
            "notes": self.notes,
        }
        write_atomically(folder / "evaluation.json", json.dumps(about, indent=1, ensure_ascii=False).encode())

    def __str__(self) -> str:
        return as_text(self)

    __repr__ = __str__
