"""What the report says of a study that stopped when it was decided: intervals that hold however often one looks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .statistics import confidence_sequence

if TYPE_CHECKING:
    import pandas as pd


def told(manifest: Mapping[str, Any]) -> str:
    """Return how the study was stopped, in words; nothing where its seeds were set beforehand."""
    stopping = manifest.get("stopping")
    if not stopping:
        return ""
    looks = ", ".join(map(str, stopping.get("looks") or []))
    at = f" It was looked at after {looks} seeds." if looks else ""
    why = str(stopping.get("stopped") or "").strip().rstrip(".")
    why = f" {why[:1].upper()}{why[1:]}." if why else ""
    return (
        f"This study stopped by a rule and not at a number of seeds set beforehand.{at}{why} Intervals of the gate and "
        "of the primary measures are therefore confidence sequences, which hold however often one looks and are "
        "wider. The t intervals and p-values of all other measures, and the bands of the curves, take no account of "
        "the looks: read them as a description."
    )


def always_valid(comparison: pd.DataFrame, runs: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Give the primary rows of `statistics.compare` confidence sequences (level 95 %) in place of t intervals."""
    table = comparison.copy()
    by_seed = runs.set_index(["arm", "seed"]).sort_index()
    for place, row in table[table["primary"].astype(bool)].iterrows():
        here, there = (by_seed.loc[name][row["measure"]] for name in (row["arm"], reference))
        found = confidence_sequence((here - there).dropna().to_numpy(float))
        table.loc[place, ["low", "high", "p"]] = [found.low, found.high, math.nan]
        if found.reason and math.isnan(found.low):
            table.loc[place, ["verdict", "reason"]] = ["cannot say", found.reason]
        elif row["verdict"] in ("higher", "lower") and found.low <= 0 <= found.high:
            table.loc[place, "verdict"] = "no clear difference"
    return table
