"""Select the independent rows of a Saltelli design, and average their replicates.

For each pair (A, B) of independent draws the design has the rows A and B and rows mixed from both. Mixed rows share
coordinates with A and B, so an interval over all rows would be too narrow. Comparisons of arms therefore use only
the rows A and B, which are independent draws from the priors, each averaged over its replicates. All rows share the
same replicates (random numbers), so such an interval does not reflect how much worlds differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

Uncertainty = Mapping[str, Any] | None
"""`[uncertainty]` of a study as run."""


def is_saltelli(uncertainty: Uncertainty) -> bool:
    """Whether the seeds of a study are the rows of a Saltelli design."""
    return (uncertainty or {}).get("design") == "saltelli"


def rows_per_pair(uncertainty: Mapping[str, Any]) -> int:
    """Return the number of rows of the design per pair of draws."""
    return (2 if uncertainty["second_order"] else 1) * len(uncertainty["priors"]) + 2


def locate_seeds(uncertainty: Mapping[str, Any], seeds: ArrayLike) -> tuple[NDArray[np.int64], ...]:
    """Return pair, row in the pair (0 = A, last = B) and replicate of every seed; arrays (seeds,)."""
    row, replicate = np.divmod(np.asarray(seeds, np.int64), int(uncertainty["replicates"]))
    pair, kind = np.divmod(row, rows_per_pair(uncertainty))
    return pair, kind, replicate


def independent_rows(
    table: pd.DataFrame, uncertainty: Uncertainty, keys: Sequence[str], name: str
) -> pd.DataFrame:
    """Return the rows of a table that comparisons use; for any other design, the table itself.

    keys: grid columns. name: "rounds" and "runs" are averaged over the replicates (a row that lacks one is left out
    of "rounds" and failed in "runs"); other tables keep the first replicate. A row has the seed of its first replicate.
    """
    if uncertainty is None or not is_saltelli(uncertainty) or table.empty:
        return table
    replicates = int(uncertainty["replicates"])
    _, kind, replicate = locate_seeds(uncertainty, table["seed"])
    unmixed = (kind == 0) | (kind == rows_per_pair(uncertainty) - 1)
    if name not in ("rounds", "runs"):
        return table[unmixed & (replicate == 0)]
    table, replicate = table[unmixed], replicate[unmixed]
    labels = ["arm", *keys, "seed", *(["round"] if name == "rounds" else [])]
    grouped = table.assign(seed=table["seed"] - replicate).groupby(labels, sort=False, dropna=False)
    if name == "rounds":
        found = grouped.mean()[grouped.size() == replicates]
        return found.reset_index()[table.columns]
    return _runs(table, grouped, replicates)


def _runs(table: pd.DataFrame, grouped: Any, replicates: int) -> pd.DataFrame:
    numbers = [name for name in table.select_dtypes("number") if name not in grouped.keys]
    others = [name for name in table.columns if name not in numbers and name not in grouped.keys]
    found = grouped[numbers].mean()
    complete = (grouped["status"].agg(lambda status: (status == "ok").all())) & (grouped.size() == replicates)
    found[~complete] = np.nan
    for name in others:
        found[name] = grouped[name].first()
    found["status"] = np.where(complete, "ok", "failed")
    if "error" in others:
        found["error"] = grouped["error"].agg(lambda errors: next((text for text in errors if text), ""))
    if "niche_half_life_censored" in others:
        # A mean that includes a censored time is itself censored.
        censored = grouped["niche_half_life_censored"].agg(
            lambda values: any(value is True for value in values)
        )
        found["niche_half_life_censored"] = censored.astype(object).where(complete, None)
    if "seconds" in numbers:
        found["seconds"] = grouped["seconds"].sum()
    return found.reset_index()[table.columns]
