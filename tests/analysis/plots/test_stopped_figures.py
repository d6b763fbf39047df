"""Every figure with t intervals of a study that one looked at as it ran says that they take no account of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.plots.draw import draw
from echodrift.analysis.results import Results

TOLD = "One looked at this study as it ran"


def results(gate: dict[str, Any] | None = None, **manifest: Any) -> Results:
    grid = {"behavior.attention": [0.7, 0.9], "behavior.appetite": [1, 2]}
    names = ["arm", *grid, "seed", "round"]
    index = pd.MultiIndex.from_product([["old", "new"], *grid.values(), range(8), range(25)])
    rounds = index.to_frame(index=False, name=names)
    rng = np.random.default_rng(1)
    for name in ("niche_exposure", "welfare", "miscalibration"):
        rounds[name] = rng.uniform(0.2, 0.8, len(rounds))
    runs = rounds.groupby(names[:-1], sort=False, as_index=False).mean().drop(columns="round").assign(status="ok", error="")  # fmt: skip
    arms = [{"name": "old", "policy": {"kind": "popularity"}}, {"name": "new", "policy": {"kind": "random"}}]
    study = {"name": "s", "arms": arms, "grid": grid, "primary": ["welfare"], "gate": gate}
    return Results(Path("nowhere"), study, manifest, rounds, runs, pd.DataFrame(columns=names[:-1]))


AT = {"behavior.attention": 0.7, "behavior.appetite": 1}


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("curves", {"at": AT}),
        ("curves", {"at": AT, "vs": "old"}),
        ("multiples", {}),
        ("phase", {"vs": "old"}),
        ("grid", {}),
        ("frontier", {"at": AT}),
    ],
)
def test_figures_with_t_intervals_say_that_one_looked(
    said: Callable[..., str], kind: str, wanted: dict[str, Any]
) -> None:
    measures = () if kind == "frontier" else ("welfare",)
    for manifest in ({"stopping": {"looks": [8]}}, {"looked": {"looks": [8]}}):
        assert TOLD in said(draw(results(**manifest), *measures, kind=kind, **wanted))
    assert TOLD not in said(draw(results(), *measures, kind=kind, **wanted))


def test_figures_of_sequences_do_not(said: Callable[..., str]) -> None:
    figure = draw(results(stopping={"looks": [8]}), "welfare", kind="differences", at=AT)
    assert TOLD not in said(figure)


@pytest.mark.parametrize(
    ("horizon", "told"), [("last 20 rounds", False), ("rounds 3 to 9", True), ("all rounds", True)]
)
def test_a_phase_diagram_says_where_the_gate_judges_other_rounds(
    said: Callable[..., str], horizon: str, told: bool
) -> None:
    line = {"measure": "welfare", "at_least": "baseline - 0.1"}
    gate = {"baseline": "old", "candidate": "new", "horizon": horizon, "guardrail": [line]}
    text = said(draw(results(gate), "welfare", kind="phase"))
    assert "Limit of the gate: baseline − 0.1." in text
    assert (f"The gate judges {horizon}" in text) == told
