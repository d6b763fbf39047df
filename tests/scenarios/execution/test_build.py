"""What `check` knows beforehand about arms in their world: settings with which every run would fail are refused."""

from __future__ import annotations

from typing import Any

import pytest
from echodrift.errors import BadInput
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.execution.build import build_run
from echodrift.scenarios.runner import check_runnable


def a_study(
    world: dict[str, Any] | None = None, platform: dict[str, Any] | None = None, **arm: Any
) -> dict[str, Any]:
    return {
        "name": "small",
        "rounds": 3,
        "seeds": 1,
        "world": {"users": 20, "items": 30, "topics": 5, "providers": 4, **(world or {})},
        "platform": {"slate": 3, "warmup": 3, **(platform or {})},
        "arms": [{"name": "a", "policy": {"kind": "popularity"}, **arm}],
    }


def fair(**fields: Any) -> dict[str, Any]:
    return {"rerank": [{"kind": "exposure_fair", **fields}]}


WEIGHED = {"policy": {"kind": "matrix_factorization"}, "transform": [{"kind": "position_debias"}]}


@pytest.mark.parametrize(
    ("study", "key", "said"),
    [
        (a_study(**fair(shares=[1, 2, 3])), "arms[0].rerank[0]", "3 numbers, but there are 4 groups"),
        (a_study(**fair(groups="topics", shares=[1, 2])), "arms[0].rerank[0]", "2 numbers, but there are 5 groups"),
        (a_study(**fair(groups="popularity", shares=[1, 2])), "arms[0].rerank[0]", "but there are 3 groups"),
        (a_study({"creators": {}}, **fair(shares=[1] * 4)), "arms[0].rerank[0]", "known in a run only"),
        (a_study({"items": 1}, {"slate": 1}, **fair(groups="providers")), "arms[0].rerank[0]", "does not know"),
        (
            a_study(switch=[{"round": 1, "rerank": [{"kind": "consumption", "success": [0.1, 0.2]}]}]),
            "arms[0].switch[0].rerank[0]",
            "2 numbers, but items have 5 topics",
        ),
        (a_study({"creators": {}}, {"learn_from": "organic"}), "arms[0].platform.learn_from", "world.creators"),
        (a_study(platform={"keep_exposures": 0}, **WEIGHED), "arms[0].platform.keep_exposures", "at least 1"),
        (a_study({"communities": 30}, switch=[{"round": 1, "slate": 2, "users": "community=2"}]), "switch[0].users", "no user"),
    ],
)  # fmt: skip
def test_a_setting_with_which_every_run_fails_is_refused(study: dict[str, Any], key: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_runnable(load_study(study))
    assert key in str(caught.value) and said in str(caught.value)


@pytest.mark.parametrize(
    "study",
    [
        a_study(**fair(shares=[1, 2, 3, 4])),
        a_study({"providers": 100}, **fair(shares=[1] * 100)),
        a_study(**fair(groups="topics", shares=[1] * 5)),
        a_study(**fair(groups="popularity", shares=[1, 1, 1])),
        a_study({"communities": 30}, switch=[{"round": 1, "slate": 2, "users": "community=1"}]),
        a_study({"graph": {"kind": "stochastic_block", "within": 5e-324}}),
        # A newborn that is worth far more than the whole catalog
        a_study({"items": 1, "arrivals": 3.0}, {"slate": 1}) | {"behavior": {"match": 1000.0}},
        a_study({"quality_sd": 1e6, "idiosyncrasy": 1e6})
        | {"behavior": {"match": 1e6, "social": 1e6, "fatigue": 1e6}},
    ],
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_the_largest_allowed_settings_run(study: dict[str, Any]) -> None:
    chosen = load_study(study)
    check_runnable(chosen)
    run = build_run(chosen, chosen.arms[0], 0)
    for _ in range(chosen.rounds):
        run.step()


@pytest.mark.parametrize(
    "study",
    [
        a_study({"topics": 10**30}),
        a_study({"quality_sd": 1e308}),
        a_study({"influence_spread": 100}),
        a_study(platform={"warmup": 10**9}),
        a_study({"arrivals": 1e20}),
        a_study({"retirements": -1.0}),
        a_study() | {"behavior": {"outside": -1e300}},
        a_study(policy={"kind": "ials", "regularization": 5e-324}),
        a_study(policy={"kind": "mult_vae", "batch": 2**62}),
    ],
)
def test_numbers_beyond_all_computing_are_refused(study: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"must be|beyond 64 bits"):
        load_study(study)
