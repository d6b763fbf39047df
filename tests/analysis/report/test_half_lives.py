"""Half-lives of niche exposure in the report: fitted where the mean curve decays, and nowhere else."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.report.build import build_report
from echodrift.analysis.report.tables import _within
from echodrift.analysis.statistics import half_life_fit

PLANTED = {
    "decays": 0.4 * 2 ** (-np.arange(60) / 15),
    "levels off": 0.3 + 0.1 * np.exp(-np.arange(60) / 8),
    "slow": 0.4 * 2 ** (-np.arange(60) / 150),
    "stays": np.full(60, 0.3),
    "grows": 0.1 + 0.002 * np.arange(60),
    "drops at once": np.where(np.arange(60) == 0, 0.6, 0.1),
}


@pytest.fixture
def exposed(synthetic, undrawn):
    """Return a maker of studies with planted niche exposure, and of the cells of their half-life table.

    Arm → median, halved, fit, form.
    """

    def make(folder: Path, seeds: int, rounds: int, **keywords) -> dict[str, list[str]]:
        synthetic(folder, list(PLANTED), seeds, rounds, **keywords)
        rng, table = np.random.default_rng(8), pd.read_parquet(folder / "rounds.parquet")
        curves = [PLANTED[arm][when] for arm, when in zip(table["arm"], table["round"], strict=True)]
        table["niche_exposure"] = np.array(curves) + 0.004 * rng.normal(size=len(table))
        table.to_parquet(folder / "rounds.parquet")
        html = build_report(folder).read_text("utf-8")
        body = re.search(r"Median niche half-life.*?<tbody>(.*?)</tbody>", html, re.DOTALL)
        assert body and ("Fitted half-life:" in html) == ("Form of the decay" in html)
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in body[1].strip().splitlines()]
        words = [[re.sub("<[^>]*>", "", cell) for cell in row] for row in cells]
        return {name[2:].strip(): rest for name, *rest in words}

    return make


def test_a_fitted_half_life_is_told_where_the_mean_curve_decays_and_nowhere_else(exposed, tmp_path):
    found = {arm: tuple(cells[2:]) for arm, cells in exposed(tmp_path, seeds=8, rounds=60).items()}
    fit, form = found["decays"]
    half, low, high = map(int, re.fullmatch(r"(\d+) rounds \[(\d+) to (\d+)\]", fit).groups())
    assert 14 <= low <= half <= high <= 16 and form == "exponential"
    assert found["levels off"][0].startswith("never: levels off at 0.3")
    assert found["levels off"][1] == "exponential to a floor"
    assert found["slow"][0] == "not within 58 rounds"
    for arm, words in (
        ("stays", "no decay is seen"),
        ("grows", "it grows"),
        ("drops at once", "no decay is seen"),
    ):
        assert found[arm] == (words, "–")


@pytest.mark.parametrize(("seeds", "rounds"), [(1, 60), (8, 39)])
def test_no_half_life_is_fitted_to_too_few_seeds_or_rounds(exposed, tmp_path, seeds, rounds):
    assert all(len(cells) == 2 for cells in exposed(tmp_path, seeds, rounds).values())


def test_an_arm_with_one_seed_left_has_no_fitted_half_life(exposed, tmp_path):
    found = exposed(tmp_path, 2, 60, failed=[("decays", 1)])
    assert found["decays"][2:] == ["–", "–"]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.2, 3.4, "< 1 to 3"), (20, np.inf, "20 to > 58"), (80, 90, ""), (0.2, 0.9, ""), (np.nan, np.nan, "")],
)
def test_an_interval_of_a_half_life_ends_with_the_run(low, high, words):
    nothing = half_life_fit(np.arange(8.0), np.zeros((2, 8)))
    assert _within(replace(nothing, low=low, high=high, horizon=58.0)) == words
