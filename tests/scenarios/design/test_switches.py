"""Switches as a person writes them: what is refused, what worlds are added, what the tables then say."""

import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.report.effects import interference, recovery
from echodrift.analysis.results import Results
from echodrift.analysis.statistics import ratio_interval
from echodrift.analysis.switches import change_rounds, has_drawn_times, switched
from echodrift.errors import BadInput
from echodrift.scenarios.design.grid import grid_points
from echodrift.scenarios.design.load import dump, load_study

MF = {"kind": "matrix_factorization", "dim": 4}
CALIBRATED = [{"kind": "calibrated"}]


def study(*switches: dict, **more):
    arm = {"name": "late", "policy": more.pop("policy", MF), "switch": list(switches)}
    world = {"users": 100, "items": 80, "topics": 6, "communities": 3}
    return load_study(
        {"name": "t", "rounds": 50, "world": world, "arms": [arm, *more.pop("arms", [])], **more}
    )


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ([{"round": 50, "slate": 5}], ["switch[0].round", "never reached", "0 to 49"]),
        ([{"round": 5, "until": 5, "slate": 5}], ["until = 5", "not after"]),
        ([{"round": 5, "until": 51, "slate": 5}], ["switch[0].until", "rounds = 50"]),
        ([{"round": 5}], ["changes nothing", "rerank"]),
        ([{"round": 5, "slate": 5, "users": 0.0}], ["users", "above 0"]),
        ([{"round": 5, "slate": 5, "users": "few"}], ["group=NAME", "community=NUMBER"]),
        ([{"round": 5, "slate": 5, "users": "group=few"}], ['no group "few"', "no groups"]),
        ([{"round": 5, "slate": 5, "users": "community=3"}], ["no community 3", "0 to 2"]),
        ([{"round": 5, "retrain_every": 2, "users": 0.5}], ["retrain_every", "same for everybody"]),
        ([{"round": 5, "slate": 5}, {"round": 5, "slate": 6}], ["switch[1]", "overlaps", "slate"]),
        (
            [{"round": 5, "ramp": 10, "users": 0.5, "slate": 5}, {"round": 9, "slate": 6}],
            ["overlaps", "ramps", "round 15"],
        ),
        ([{"round": 5, "policy": {"dims": 8}}], ["switch[0].policy.dims", "unknown key", "dim"]),
        ([{"round": 5, "policy": {"kind": "matrix"}}], ["switch[0].policy.kind", "matrix"]),
        ([{"round": 5, "rerank": [{"kind": "calibrate"}]}], ["switch[0].rerank[0].kind", "calibrated"]),
        ([{"round": 5, "policy": {"kind": "oracle_item"}, "rerank": CALIBRATED}], ["cannot be reranked"]),
        ([{"rounds": 5, "slate": 5}], ["unknown key", "round"]),
        ([{"round": 40, "ramp": 20, "users": 0.5, "slate": 5}], ["switch[0].ramp", "20 rounds", "50"]),
        ([{"round": 40, "ramp": 5, "until": 43, "users": 0.5, "slate": 5}], ["switch[0].ramp", "round 43"]),
        ([{"round": 5, "slate": 5, "users": "community=01"}], ["community=NUMBER"]),
        ([{"round": 5, "policy": {}}], ["changes nothing"]),
        (
            [
                {"round": 3, "purge": [{"kind": "downweight_slate"}]},
                {"round": 5, "policy": {"kind": "hashed_mf"}},
            ],
            ["switch[1]", "purge", "hashed_mf", "no weights"],
        ),
    ],
)
def test_what_cannot_be_carried_out_is_refused_before_any_work(switches, words):
    with pytest.raises(BadInput) as error:
        study(*switches)
    for word in words:
        assert word in str(error.value)


def test_a_frozen_log_has_no_refits_to_change():
    with pytest.raises(BadInput, match=r"switch\[0\].retrain_every.*learns once"):
        study({"round": 5, "retrain_every": 2}, platform={"learn_from": "warmup"})


def test_some_can_be_taken_off_an_arm_with_rerankers_and_transforms():
    arm = {"name": "a", "policy": MF, "rerank": CALIBRATED, "transform": [{"kind": "recent_window"}]}
    arm["switch"] = [{"round": 5, "users": 0.5, "policy": {"kind": "organic"}}]
    assert len(load_study({"name": "t", "rounds": 9, "arms": [arm]}).arms) == 3


def test_keys_by_number_mean_the_arms_as_written():
    other = {"name": "other", "policy": {**MF, "dim": 5}}
    of = study({"round": 5, "slate": 5, "users": 0.5}, arms=[other], grid={"arms[1].policy.dim": [6, 9]})
    assert [arm.name for arm in of.arms] == ["late", "other", "late · 0 %", "late · 100 %"]
    assert [point.arms[1].policy["dim"] for _, point in grid_points(of)] == [6, 9]


def test_a_world_that_two_arms_share_is_added_once():
    tenth = {"name": "tenth", "policy": MF, "switch": [{"round": 5, "slate": 5, "users": 0.1}]}
    of = study({"round": 5, "slate": 5, "users": 0.5}, arms=[tenth])
    assert [arm.name for arm in of.arms] == ["late", "tenth", "late · 0 %", "late · 100 %"]
    found = switched(of.model_dump(mode="json", exclude_none=True)["arms"])
    assert {(one.nobody, one.everybody) for one in found} == {("late · 0 %", "late · 100 %")}


def test_switches_for_different_groups_may_start_together():
    both = [{"round": 5, "slate": 5, "users": f"community={c}"} for c in (0, 1)]
    assert len(study(*both).arms[0].switch) == 2


def test_the_worlds_that_are_added():
    partial = study({"round": 5, "slate": 5, "users": 0.5})
    assert [arm.name for arm in partial.arms] == ["late", "late · 0 %", "late · 100 %"]
    assert partial.arms[1].switch == [] and partial.arms[2].switch[0].users == 1.0
    whole = study({"round": 5, "slate": 5})
    assert [arm.name for arm in whole.arms] == ["late", "late · 0 %"]
    there = study({"round": 5, "slate": 5}, arms=[{"name": "plain", "policy": MF}])
    assert [arm.name for arm in there.arms] == ["late", "plain"]


def test_a_study_written_out_and_read_again_is_the_same():
    once = study({"round": 5, "slate": 5, "users": 0.5}, {"round": 20, "policy": {"dim": 8}})
    import tomllib

    assert load_study(tomllib.loads(dump(once))) == once
    written_out = {"name": "plain", "policy": {**MF, "iterations": 15}}
    once = study({"round": 5, "slate": 5}, arms=[written_out])
    assert load_study(tomllib.loads(dump(once))) == once


def test_added_worlds_follow_the_grid():
    grid = {"arms[late].switch[0].round": [5, 9], "arms[late].policy.dim": [4, 8]}
    points = grid_points(study({"round": 5, "slate": 5, "users": 0.5}, grid=grid))
    for values, point in points:
        late, nobody, everybody = point.arms
        assert everybody.switch[0].round == late.switch[0].round == values["arms[late].switch[0].round"]
        assert nobody.policy["dim"] == everybody.policy["dim"] == values["arms[late].policy.dim"]


def test_a_grid_over_all_arms_that_have_a_value():
    plain = {"name": "plain", "policy": MF}
    grid = {"arms[*].policy.dim": [4, 8], "arms[*].switch[0].round": [5, 9]}
    of = study(
        {"round": 5, "slate": 5}, arms=[plain, {"name": "pop", "policy": {"kind": "popularity"}}], grid=grid
    )
    assert [arm.name for arm in of.arms] == ["late", "plain", "pop"]  # plain is the world without the switch
    points = grid_points(of)
    assert [(p.arms[0].policy["dim"], p.arms[0].switch[0].round) for _, p in points] == [
        (4, 5), (4, 9), (8, 5), (8, 9),
    ]  # fmt: skip
    assert all(p.arms[1].policy["dim"] == p.arms[0].policy["dim"] for _, p in points)
    assert {len(p.arms) for _, p in points} == {3}


def test_a_grid_over_all_arms_is_refused_where_none_fits():
    with pytest.raises(BadInput, match="none of arms has a value there"):
        study({"round": 5, "slate": 5}, grid={"arms[*].policy.dims": [4, 8]})
    with pytest.raises(BadInput, match="sets the same thing"):
        study({"round": 5, "slate": 5}, grid={"arms[*].policy.dim": [4], "arms[late].policy.dim": [8]})


def arms():
    return [
        {"name": "organic", "policy": {"kind": "organic"}, "switch": []},
        {"name": "late", "policy": MF, "switch": [{"round": 20, "slate": 5, "users": 0.5}]},
        {"name": "late · 0 %", "policy": MF, "switch": []},
        {"name": "late · 100 %", "policy": MF, "switch": [{"round": 20, "slate": 5}]},
    ]


def test_naive_and_true_effect_of_a_planted_interference():
    # the switched gain 3, and give 1 of what they gain to everybody else when half of the people are switched
    noise = np.random.default_rng(0).normal(size=(8, 4))
    table = []
    for seed in range(8):
        for arm, mean, yes, no in (("late · 0 %", 0, 0, 0), ("late · 100 %", 3, 0, 0), ("late", 2, 3, 1)):
            own = noise[seed, 0]
            table.append(
                {
                    "arm": arm,
                    "seed": seed,
                    "welfare": mean + own,
                    "welfare:treated=yes": yes + own if arm == "late" else np.nan,
                    "welfare:treated=no": no + own if arm == "late" else np.nan,
                }
            )
    which = switched(arms())[0]
    (effect,) = interference(pd.DataFrame(table), which, ["welfare", "unknown"])
    assert effect.naive.mean == pytest.approx(2) and effect.true.mean == pytest.approx(3)
    assert effect.bias.mean == pytest.approx(-1) and effect.bias.n == 8


def test_recovery_of_a_planted_half():
    # .6 without a recommender; the arm is at .2 before round 20, and at .4 from round 30 on
    table = []
    rng = np.random.default_rng(1)
    for seed in range(6):
        shift = rng.normal() / 100
        for round in range(60):
            level = {"organic": 0.6, "late · 0 %": 0.2, "late": 0.2, "late · 100 %": 0.2}
            if round >= 20:
                level["late · 100 %"] = 0.2 + 0.2 * min((round - 20) / 10, 1)
            for arm, value in level.items():
                welfare = 1.0 - (0.04 if arm == "late · 100 %" and round >= 20 else 0)
                table.append(
                    {
                        "arm": arm,
                        "seed": seed,
                        "round": round,
                        "niche_exposure": value + shift,
                        "welfare": welfare,
                    }
                )
    which = switched(arms())[0]
    found = recovery(pd.DataFrame(table), which, "organic")
    assert found.lost.mean == pytest.approx(0.4) and found.regained.mean == pytest.approx(0.2)
    assert found.share.mean == pytest.approx(0.5)
    assert found.rounds == pytest.approx(7)  # the running mean over 5 rounds of a line that is half way at 5
    assert found.cost.mean == pytest.approx(0.04 / 20)


def test_a_late_switch_is_judged_by_the_rounds_since():
    late = [{**arm, "switch": [{**s, "round": 40} for s in arm["switch"]]} for arm in arms()]
    which = switched(late)[0]
    table = [
        {"arm": arm, "seed": seed, "round": round, "niche_exposure": level + seed / 100}
        for seed in range(6)
        for round in range(50)
        for arm, level in (
            ("organic", 0.6),
            ("late · 0 %", 0.2),
            ("late", 0.2),
            ("late · 100 %", 0.4 if round >= 40 else 0.2),
        )
    ]
    found = recovery(pd.DataFrame(table), which, "organic")
    assert found.regained.mean == pytest.approx(0.2) and found.share.mean == pytest.approx(0.5)
    # a failed run leaves its seed out, and no more
    without = pd.DataFrame(table).query("not (arm == 'late · 100 %' and seed == 2)")
    found = recovery(without, which, "organic")
    assert found.share.n == 5 and found.share.mean == pytest.approx(0.5) and found.rounds == 4
    few = recovery(pd.DataFrame(table).query("seed < 4"), which, "organic")
    assert np.isnan(few.rounds) and few.cost.reason == "too few seeds to say"


def test_the_jackknife_of_a_ratio_is_near_the_delta_method():
    rng = np.random.default_rng(2)
    below = rng.normal(5, 0.5, 200)
    above = 0.3 * below + rng.normal(0, 0.2, 200)
    found = ratio_interval(above, below)
    ratio = above.mean() / below.mean()
    error = np.sqrt(np.var(above - ratio * below, ddof=1) / 200) / below.mean()
    assert found.mean == pytest.approx(ratio)
    assert found.high - found.mean == pytest.approx(1.972 * error, rel=0.02)
    assert np.isnan(ratio_interval(above, below - 5).mean)


def test_the_report_shows_the_switch_and_both_effects(tmp_path):
    import echodrift as ed

    result = ed.run(
        {
            "name": "late",
            "rounds": 8,
            "seeds": 2,
            "reference": "organic",
            "world": {"users": 80, "items": 90, "topics": 5},
            "platform": {"warmup": 10},
            "measures": ["niche_exposure", "niche_consumed", "welfare", "minority_hit_rate"],
            "primary": ["niche_consumed", "welfare"],
            "arms": [
                {"name": "organic", "policy": {"kind": "organic"}},
                {
                    "name": "MF",
                    "policy": MF,
                    "switch": [{"round": 4, "rerank": CALIBRATED, "users": 0.5, "ramp": 2}],
                },
            ],
        },
        out=tmp_path / "late",
    )
    page = result.report().read_text("utf-8")
    assert "Changes in mid-run" in page
    assert "Round 4 on, 50 % of the users, over 2 rounds: rerank = calibrated" in page
    assert "A/B − true" in page and "Lost before round 4" in page
    assert (tmp_path / "late" / "figures" / "switches.png").is_file()
    assert {"MF · 0 %", "MF · 100 %"} <= set(result.runs["arm"])
    assert result.rounds["welfare:treated=yes"].notna().sum() == 2 * 8


def test_every_grid_point_is_told_with_its_own_switch(tmp_path):
    import echodrift as ed
    from echodrift.analysis.report.interactive_data import page_data
    from echodrift.analysis.report.switches import switch_sections
    from echodrift.analysis.results import read_results

    late = [{"round": 3, "rerank": [{"kind": "calibrated", "candidates": 40}], "users": 0.5}]
    given = {
        "name": "when",
        "rounds": 8,
        "seeds": 2,
        "world": {"users": 60, "items": 90, "topics": 5},
        "platform": {"warmup": 10},
        "measures": ["niche_exposure"],
        "primary": ["niche_exposure"],
        "arms": [
            {"name": "organic", "policy": {"kind": "organic"}},
            {"name": "MF", "policy": MF, "switch": late},
        ],
        "grid": {
            "arms[*].switch[0].rerank[0].candidates": [40, "all"],
            "arms[*].switch[0].round": [2, 5],
        },
    }
    result = ed.run(given, out=tmp_path / "when")
    results = read_results(tmp_path / "when")
    for point, (candidates, first) in zip(
        results.points, [(40, 2), (40, 5), ("all", 2), ("all", 5)], strict=True
    ):
        (page,) = switch_sections(results, point)
        assert page["changes"][0].startswith(f"Round {first} on") and page["everybody"] == "MF · 100 %"
        assert results.arms_at(point.values)[1]["switch"][0]["rerank"][0]["candidates"] == candidates
        assert change_rounds(results, ["MF"], point.values) == [first]
        assert page["recoveries"] == [] or page["recoveries"][0]["first"] == str(first)
    assert change_rounds(results, ["MF"], {}) == [2, 5] and change_rounds(results, ["organic"], {}) == []
    assert page_data(results)["marks"] == [[2], [5], [2], [5]]

    # rounds down, candidates across
    figure = result.plot("niche_exposure", kind="multiples", by=["arms[*].switch[0].round"])
    dotted = [
        {float(line.get_xdata()[0]) for line in ax.lines if line.get_linestyle() == ":"} for ax in figure.axes
    ]
    assert [found for found in dotted if found] == [{2.0}, {2.0}, {5.0}, {5.0}]


def test_a_switch_whose_time_a_prior_draws_is_marked_nowhere():
    prior = {"priors": {"arms[late].switch[0].round": {"uniform": [2, 9], "whole": True}}}
    asked = study({"round": 3, "slate": 5}, uncertainty=prior, seeds=8)
    results = Results(Path(), tomllib.loads(dump(asked)), {}, *[pd.DataFrame({"arm": []})] * 3)
    assert has_drawn_times(results.study) and change_rounds(results, ["late"], {}) == []
