"""What earlier results say of a gate before it is run again."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.results import Results
from echodrift.errors import EchodriftError
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.gate_results import forecast_warnings
from scipy import stats

READ = "echodrift.analysis.results.read_results"


def study(*bounds):
    arms = [{"name": "old", "policy": {"kind": "popularity"}}, {"name": "new", "policy": {"kind": "random"}}]
    lines = [{"measure": "welfare", "at_least": bound} for bound in bounds]
    gate = {"baseline": "old", "candidate": "new", "guardrail": lines}
    return load_study({"name": "n", "rounds": 30, "seeds": 8, "arms": arms, "gate": gate})


def test_what_earlier_results_foretell(tmp_path, monkeypatch):
    """Ten earlier seeds, whose differences have mean 0 and spread 1."""
    pairs = np.random.default_rng(8).normal(0, 1, 10)
    pairs = (pairs - pairs.mean()) / pairs.std(ddof=1)
    index = pd.MultiIndex.from_product([["old", "new"], range(10), range(30)], names=["arm", "seed", "round"])
    rounds = index.to_frame(index=False)
    rounds["welfare"] = 0.5 + pairs[rounds["seed"]] * (rounds["arm"] == "new")
    runs = rounds[["arm", "seed"]].drop_duplicates().assign(status="ok", error="")
    of = study("baseline - 0.1", "baseline")
    results = Results(tmp_path, of.model_dump(mode="json"), {}, rounds, runs, pd.DataFrame())
    monkeypatch.setattr(READ, lambda folder: results)
    (tmp_path / "manifest.json").write_text("{}")
    small, zero = forecast_warnings(of, tmp_path, 8)
    needed = int(re.search(r"takes about ([\d,]+) seeds", small)[1].replace(",", ""))
    assert needed == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) ** 2 / 0.1**2, rel=0.02)
    assert (
        "guardrail[1]" in zero
        and "cannot be decided by any number of seeds; 8 seeds decide a margin of" in zero
    )
    assert forecast_warnings(study("baseline - 3"), tmp_path, 8) == []


def test_results_that_cannot_be_read_foretell_nothing(tmp_path, monkeypatch):
    def unreadable(folder):
        raise EchodriftError("it cannot be read")

    monkeypatch.setattr(READ, unreadable)
    (tmp_path / "manifest.json").write_text("{}")
    assert forecast_warnings(study("baseline - 0.1"), tmp_path, 8) == []
