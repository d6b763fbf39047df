"""Numbers about a whole run: the effective rank of a factor model after its last fit, and what the report says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import echodrift
import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.report.tables import warnings
from echodrift.analysis.results import read_results
from echodrift.policies.factors.spectrum import effective_rank_of
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.execution.build import build_run

MF = {"kind": "matrix_factorization", "dim": 6}
STUDY: dict[str, Any] = {
    "name": "x",
    "rounds": 6,
    "seeds": 1,
    "measures": ["welfare", "slate_stability"],
    "primary": ["welfare"],
    "world": {"users": 60, "items": 80},
    "platform": {"slate": 5, "warmup": 10},
    "arms": [
        {"name": "organic", "policy": {"kind": "organic"}},
        {"name": "weak", "policy": {**MF, "regularization": 0.1}},
        {"name": "strong", "policy": {**MF, "regularization": 30.0}},
        {"name": "hashed", "policy": {"kind": "hashed_mf", "dim": 4}},
        {"name": "switched", "policy": MF, "switch": [{"round": 3, "policy": {"kind": "popularity"}}]},
    ],
}


@pytest.fixture(scope="module")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(echodrift.run(STUDY, out=tmp_path_factory.mktemp("ranks") / "out", jobs=1).folder)


def test_the_effective_rank_is_that_of_the_scores_by_brute_force(study_folder: Path) -> None:
    ranks = echodrift.Result(study_folder).runs.set_index("arm")["effective_rank"]
    study = load_study(STUDY)
    for arm in study.arms[1:4]:
        run = build_run(study, arm, 0)
        for _ in range(study.rounds):
            run.step()
        if arm.name == "hashed":
            assert 1 <= ranks["hashed"] <= 6
            continue
        log, policy = run.simulation.log.view(), run.simulation.recommender.policy
        users, items = np.unique(log.user), np.unique(log.item)
        of_users, of_items = policy._cold.factors(policy._users, policy._items, users, 80)
        singular = np.linalg.svd((of_users @ of_items[items].T).astype(float), compute_uv=False)
        rank = effective_rank_of(singular[singular > 1e-6 * singular[0]])
        assert ranks[arm.name] == pytest.approx(rank, rel=1e-3)
    assert ranks["strong"] < ranks["weak"] and np.isnan(ranks["organic"]) and np.isnan(ranks["switched"])


def test_the_report_tells_that_models_are_nearly_the_same_and_that_slates_are_frozen(
    study_folder: Path,
) -> None:
    def told(strong: float, stability: float) -> list[str]:
        results = read_results(study_folder)
        results.runs["effective_rank"] = results.runs["arm"].map(
            {"weak": 2.31, "strong": strong, "hashed": 5.01}
        )
        results.rounds["slate_stability"] = results.rounds["arm"].map({"weak": stability, "strong": 0.9})
        return warnings(results)

    ranks = "Factor models with an effective rank below 5: weak (2.3), strong (5.0)."
    frozen = "Slates hardly change from visit to visit: weak (95 %)."
    assert [sum(text.startswith(start) for text in told(4.99, 0.95)) for start in (ranks, frozen)] == [1, 1]
    assert not any("effective rank" in text or "hardly change" in text for text in told(5.2, 0.5))


def test_a_resumed_run_has_the_same_summaries(tmp_path: Path) -> None:
    study = {**STUDY, "arms": STUDY["arms"][:2]}
    whole = echodrift.run(study, out=tmp_path / "whole", jobs=1).runs
    echodrift.run({**study, "rounds": 4}, out=tmp_path / "out", jobs=1, keep_state=True)
    resumed = echodrift.run(study, out=tmp_path / "out", jobs=1).runs
    pd.testing.assert_frame_equal(resumed.drop(columns="seconds"), whole.drop(columns="seconds"))


def test_slopes_are_those_of_a_straight_line() -> None:
    from echodrift.scenarios.execution.worker import summaries

    rounds = pd.DataFrame(
        {"round": range(40), "niche_exposure": [0.3 - 0.002 * r for r in range(40)], "welfare": 1.0}
    )
    rounds.loc[7, "niche_exposure"] = np.nan
    found = summaries(rounds)
    assert found["niche_exposure_slope"] == pytest.approx(-0.2) and "welfare_slope" not in found
    noisy = rounds.assign(niche_exposure=np.random.default_rng(0).random(40))
    expected = 100 * np.polyfit(noisy["round"], noisy["niche_exposure"], 1)[0]
    assert summaries(noisy)["niche_exposure_slope"] == pytest.approx(expected)
    assert np.isnan(summaries(rounds.head(1))["niche_exposure_slope"])
