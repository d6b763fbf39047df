"""The gate in the report, and what its answer rests on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.report.build import build_report

PRIMARY = ("minority_hit_rate", "community_gap", "exhausted_share")


@pytest.fixture
def gated(synthetic, undrawn):
    """Return a maker of studies of two arms with a gate; welfare of "b" is that of "a" plus 0.5, ± 0.01."""

    def make(folder: Path, lines: str, seeds: int = 8) -> Path:
        study = synthetic(folder, ["a", "b"], seeds=seeds, rounds=40, more=PRIMARY)
        rounds = pd.read_parquet(study / "rounds.parquet")
        rounds["welfare"] = 1.0 + (rounds["arm"] == "b") * (0.5 + 0.01 * (rounds["seed"] % 3 - 1))
        rounds.to_parquet(study / "rounds.parquet")
        with (study / "study.toml").open("a", encoding="utf-8") as file:
            file.write(f'\n[gate]\nbaseline = "a"\ncandidate = "b"\n{lines}')
        return study

    return make


@pytest.mark.parametrize(
    ("bound", "outcome", "said"),
    [
        ('at_least = "baseline - 0.05"', "PASS", "a change for the worse by 0.05 or more is ruled out"),
        ('at_least = "baseline - 0.8"', "PASS", "equivalent: shown to be within ±0.8 of the baseline (TOST"),
        ('at_most = "baseline + 0.1"', "FAIL", "holds in 0 of 8 seeds"),
        ('at_least = "baseline + 0.5"', "UNDECIDED", "seeds decide it"),
    ],
)
def test_the_gate_stands_on_top_with_numbers_and_a_graphic(read, gated, tmp_path, bound, outcome, said):
    study = gated(tmp_path, f'[[gate.goal]]\nmeasure = "welfare"\n{bound}')
    page = read(build_report(study))
    top, below = page.words.split("The answer at a glance")
    assert (
        f"The gate {outcome}" in top and said in top and "candidate 1.499" in top.replace("1.49875", "1.499")
    )
    assert "The gate" not in below
    svg = next(attributes for tag, attributes in page.tags if attributes.get("class") == "against")
    assert outcome in svg["aria-label"] and "goal welfare" in svg["aria-label"]
    places = [attributes for tag, attributes in page.tags if tag in ("rect", "circle", "line")]
    assert all(
        -1 <= float(value) <= 221 for one in places for key, value in one.items() if key in ("x", "x1", "cx")
    )


def test_a_gate_that_cannot_be_judged_says_why_and_the_page_stands(read, gated, tmp_path):
    study = gated(tmp_path, '[[gate.goal]]\nmeasure = "<welfare>"\nat_least = "baseline"')
    page = read(build_report(study))
    assert "The gate could not be judged" in page.words and '"<welfare>"' in page.words
    assert "All paired comparisons" in page.words


def test_a_study_stopped_by_its_results_says_so_and_has_wider_intervals(read, gated, tmp_path):
    lines = '[[gate.goal]]\nmeasure = "welfare"\nat_least = "baseline - 0.05"'
    study = gated(tmp_path, lines)
    plain = read(build_report(study)).words
    manifest = json.loads((study / "manifest.json").read_text("utf-8"))
    manifest["stopping"] = {"looks": [8], "decided": True, "stopped": "everything was decided"}
    (study / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    words = read(build_report(study)).words
    assert "stopped by a rule" in words and "looked at after 8 seeds. Everything was decided." in words
    assert "95 % confidence sequence" in words and "confidence sequence" not in plain
    assert _width(words) > 1.2 * _width(plain)


def _width(words: str) -> float:
    """Width of the interval of welfare at a glance."""
    row = words.split("The answer at a glance")[1].split("Setup")[0]
    low, high = re.findall(r"\[([+−][\d.]+) to ([+−][\d.]+)\]", row)[-1]
    return float(high.replace("−", "-")) - float(low.replace("−", "-"))


def test_priors_and_the_assumption_that_drives_the_answer(read, gated, tmp_path):
    lines = (
        '[[gate.goal]]\nmeasure = "welfare"\nat_least = "baseline - 0.05"\n[uncertainty]\ndesign = "draws"\n'
        '[uncertainty.priors]\n"x.drives" = { uniform = [0.0, 1.0] }\n"x.idle" = { choice = ["<p>", "q"] }\n'
    )
    study = gated(tmp_path, lines, seeds=64)
    rng = np.random.default_rng(2)
    draws = pd.DataFrame(
        {"seed": range(64), "x.drives": rng.random(64), "x.idle": rng.choice(["<p>", "q"], 64)}
    )
    draws.to_parquet(study / "draws.parquet")
    rounds = pd.read_parquet(study / "rounds.parquet")
    effect = rounds["seed"].map(draws.set_index("seed")["x.drives"]) + 0.05 * np.sin(rounds["seed"])
    rounds["welfare"] = 1.0 + effect * (rounds["arm"] == "b")
    rounds.to_parquet(study / "rounds.parquet")
    rounds.groupby(["arm", "seed"])["welfare"].mean().reset_index().assign(
        status="ok", error=None
    ).to_parquet(study / "runs.parquet")
    page = read(build_report(study))
    part = page.words.split("What the answer rests on")[1].split("Setup")[0]
    assert "uniform, 0 to 1" in part and "one of <p>, q" in part
    index = {
        key: float(re.search(rf"{key} (−?[\d.]+) \[", part)[1].replace("−", "-"))
        for key in ("x.drives", "x.idle")
    }
    assert index["x.drives"] > 0.9 and abs(index["x.idle"]) < 0.2
    assert (study / "figures" / "sensitivity-welfare.png").exists()
    assert "of plausible behaviors" in page.words.split("The answer at a glance")[0]
