"""One rule for what an interval over seeds says: the same words in comparisons, gate and report."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.statistics import Interval, compare, verdict
from echodrift.analysis.statistics.conclusions import COLLAPSED, HIGHER, LOWER, TOO_FEW, UNKNOWN


@pytest.mark.parametrize(
    ("low", "high", "n", "reference", "said"),
    [
        (0.1, 0.3, 5, 0.0, "higher"),
        (-0.3, -0.1, 5, 0.0, "lower"),
        (0.1, 0.3, 5, 0.5, "lower"),
        (-0.1, 0.3, 5, 0.0, "no clear difference"),
        (0.0, 0.3, 5, 0.0, "no clear difference"),
        (0.0, 0.0, 5, 0.0, "equal in every seed"),
        (0.2, 0.2, 5, 0.0, "higher"),
        (0.1, 0.3, 4, 0.0, "too few seeds to say"),
        (0.0, 0.0, 4, 0.0, "too few seeds to say"),
        (np.nan, np.nan, 1, 0.0, "too few seeds to say"),
        (np.nan, np.nan, 9, 0.0, "too few seeds to say"),
        (np.nan, np.nan, 0, 0.0, "cannot say"),
    ],
)
def test_what_is_said(low: float, high: float, n: int, reference: float, said: str) -> None:
    assert verdict(Interval((low + high) / 2, low, high, n), reference) == said


def test_an_adjusted_test_decides_on_clear_and_the_number_of_seeds_before_it() -> None:
    apart = Interval(0.2, 0.1, 0.3, 8)
    assert verdict(apart, clear=False) == "no clear difference"
    assert verdict(Interval(0.2, -0.1, 0.5, 8), clear=True) == "higher"
    assert verdict(Interval(0.2, 0.1, 0.3, 4), clear=True) == TOO_FEW


def test_an_end_on_the_limit_counts_as_the_side_it_comes_from() -> None:
    above, below, on = (Interval(0, low, high, 5) for low, high in ((0.0, 1.0), (-1.0, 0.0), (0.0, 0.0)))
    assert [verdict(each, touching=HIGHER) for each in (above, on)] == [HIGHER, HIGHER]
    assert [verdict(each, touching=LOWER) for each in (below, on)] == [LOWER, LOWER]
    assert verdict(below, touching=HIGHER) == verdict(above, touching=LOWER) == "no clear difference"


@pytest.mark.parametrize("primary", [["m"], []])
def test_comparisons_say_nothing_below_five_pairs(primary: list[str]) -> None:
    for n, said in ((4, TOO_FEW), (5, HIGHER)):
        values = [*np.zeros(n), *(1 + 0.01 * np.arange(n))]
        runs = pd.DataFrame({"arm": ["old"] * n + ["new"] * n, "seed": [*range(n)] * 2, "m": values})
        row = compare(runs, "old", ["m"], primary=primary).iloc[0]
        assert row["verdict"] == said and row["low"] > 0


def test_collapsed_models_are_never_said_not_to_differ() -> None:
    rng = np.random.default_rng(0)
    runs = pd.DataFrame(
        [
            {"arm": arm, "seed": seed, "same": rng.normal(), "other": shift + 0.01 * rng.normal(), "effective_rank": rank}
            for arm, shift, rank in (("MF 8", 0, 2.4), ("MF 64", 1, 3.1), ("wide", 1, 30.0), ("organic", 0, np.nan))
            for seed in range(12)
        ]
    )  # fmt: skip
    table = compare(runs, "MF 8", ["same", "other"], primary=["same", "other"]).set_index(["arm", "measure"])
    assert table.loc[("MF 64", "same"), "verdict"] == COLLAPSED
    # A clear difference is one, whatever the models; other pairs are compared as ever.
    assert table.loc[("MF 64", "other"), "verdict"] == "higher"
    for arm in ("wide", "organic"):
        assert table.loc[(arm, "same"), "verdict"] == "no clear difference"
    again = compare(runs.drop(columns="effective_rank"), "MF 8", ["same"], primary=["same"])
    assert (again["verdict"] == "no clear difference").all()
    # The mean over seeds counts, and too few seeds say nothing at all.
    runs.loc[(runs["arm"] == "MF 64") & (runs["seed"] == 0), "effective_rank"] = 60.0
    once = compare(runs, "MF 8", ["same"], arms=["MF 64"], primary=["same"])
    assert once["verdict"].tolist() == ["no clear difference"]
    few = compare(runs[runs["seed"].between(1, 4)], "MF 8", ["same"], arms=["MF 64"], primary=["same"])
    assert few["verdict"].tolist() == [TOO_FEW]


@pytest.mark.parametrize(
    ("low", "high", "n", "said"),
    [
        (-0.1, 0.3, 5, COLLAPSED), (0.0, 0.0, 5, COLLAPSED), (0.1, 0.3, 5, HIGHER), (-0.1, 0.3, 4, TOO_FEW),
        (np.nan, np.nan, 0, UNKNOWN),
    ],
)  # fmt: skip
def test_what_is_said_of_collapsed_models(low: float, high: float, n: int, said: str) -> None:
    assert verdict(Interval((low + high) / 2, low, high, n), collapsed=True) == said
