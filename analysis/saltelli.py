"""Tables of a Saltelli design: which rows are independent, and their replicates averaged.

The design has, for each pair (A, B) of independent draws, the rows A and B and rows mixed from both. Mixed rows
share coordinates with A and B, so an interval over all rows would be too narrow. What compares arms rests on the
rows A and B alone, which are independent draws from the priors, each averaged over its replicates. All rows have
the same replicates (random numbers), so such an interval says nothing about how much worlds differ.
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
    """Whether a study's seeds are the rows of a Saltelli design."""
    return (uncertainty or {}).get("design") == "saltelli"


def rows_per_pair(uncertainty: Mapping[str, Any]) -> int:
    """Return how many rows the design makes of each pair of draws."""
    return (2 if uncertainty["second_order"] else 1) * len(uncertainty["priors"]) + 2


def locate_seeds(uncertainty: Mapping[str, Any], seeds: ArrayLike) -> tuple[NDArray[np.int64], ...]:
    """Return pair, row in the pair (0 = A, the last = B) and replicate of every seed; arrays (seeds,)."""
    row, replicate = np.divmod(np.asarray(seeds, np.int64), int(uncertainty["replicates"]))
    pair, kind = np.divmod(row, rows_per_pair(uncertainty))
    return pair, kind, replicate


def independent_rows(
    table: pd.DataFrame, uncertainty: Uncertainty, keys: Sequence[str], name: str
) -> pd.DataFrame:
    """Return the rows of a table that comparisons rest on; the table itself for any other design.

    keys: grid columns. name: "rounds" and "runs" are averaged over the replicates (a row lacking one is left
    out, or failed); other tables keep the first replicate. The seed of a row is that of its first replicate.
    """
    if uncertainty is None or not is_saltelli(uncertainty) or table.empty:
        return table
    replicates = int(uncertainty["replicates"])
    _, kind, replicate = locate_seeds(uncertainty, table["seed"])
    apart = (kind == 0) | (kind == rows_per_pair(uncertainty) - 1)
    if name not in ("rounds", "runs"):
        return table[apart & (replicate == 0)]
    table, replicate = table[apart], replicate[apart]
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
    whole = (grouped["status"].agg(lambda status: (status == "ok").all())) & (grouped.size() == replicates)
    found[~whole] = np.nan
    for name in others:
        found[name] = grouped[name].first()
    found["status"] = np.where(whole, "ok", "failed")
    if "error" in others:
        found["error"] = grouped["error"].agg(lambda errors: next((text for text in errors if text), ""))
    if "niche_half_life_censored" in others:
        # a mean with a time that is only known to be longer is itself only known to be longer
        censored = grouped["niche_half_life_censored"].agg(
            lambda values: any(value is True for value in values)
        )
        found["niche_half_life_censored"] = censored.astype(object).where(whole, None)
    if "seconds" in numbers:
        found["seconds"] = grouped["seconds"].sum()
    return found.reset_index()[table.columns]
