"""Organic slates that are all but certain: what is refused, what is proposed instead, and what is not refused."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from echodrift.agents.behavior import Behavior
from echodrift.agents.dynamics.organic import OrganicKeys, organic_slates
from echodrift.agents.generate import check_world
from echodrift.agents.settings import WorldConfig
from echodrift.errors import BadInput
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.execution.build import check_study
from echodrift.sim.streams import Streams

ARMS = [{"name": "a", "policy": {"kind": "organic"}}]


@pytest.mark.parametrize(
    ("world", "behavior", "widest"),
    [
        ({}, {"search": 0.1, "match": 1e6}, "behavior.match"),
        ({"items": 5_000_000}, {"search": 4.0, "match": 1e6}, "behavior.match"),
        ({"items": 200, "topics": 10_000}, {"search": 4.0, "match": 1e6}, "behavior.match"),
        ({"quality_sd": 1e6}, {"search": 0.001, "match": 0.0}, "world.quality_sd"),
        ({"idiosyncrasy": 100.0}, {"search": 1.0}, "world.idiosyncrasy"),
        ({"groups": [{"name": "a", "share": 1.0, "quality_weight": -100.0}]}, {"search": 1.0}, "world.quality_sd"),
    ],
)  # fmt: skip
def test_slates_that_are_certain_are_refused(world: dict, behavior: dict, widest: str) -> None:
    config, given = WorldConfig(**world), Behavior(**behavior)
    with pytest.raises(BadInput) as caught:
        check_world(config, given, 10)
    text = str(caught.value)
    assert text.startswith(f"behavior.search = {given.search:g}: ") and widest in text and "\n" not in text
    assert "organic slates are all but certain: two of the same visit would agree in more than 90 %" in text
    # What is proposed is accepted, and values alone may be spread as widely as anyone likes.
    proposed = float(re.search(r"Set behavior.search to at most (\S+),", text)[1])
    assert 0 < proposed < given.search
    check_world(config, given.model_copy(update={"search": proposed}), 10)
    check_world(config, given.model_copy(update={"search": 0.0}), 10)


@pytest.mark.parametrize(
    ("world", "behavior", "slate"),
    [
        ({}, {"search": 4.0}, 10),
        ({}, {"search": 2.0, "match": 10.0}, 10),
        # A slate that holds nearly the whole catalog is nearly the same anyway.
        ({"items": 11}, {"search": 1.0}, 10),
        ({"items": 10}, {"search": 4.0, "match": 1e6}, 10),
        # Many items are worth the same to everybody: chance is left among them.
        ({"quality_sd": 0.0, "idiosyncrasy": 0.0, "taste_focus": 1.0, "blend": 0.0}, {"search": 4.0, "match": 1e6}, 10),
    ],
)  # fmt: skip
def test_what_leaves_something_to_chance_is_not(world: dict, behavior: dict, slate: int) -> None:
    check_world(WorldConfig(**world), Behavior(**behavior), slate)


def test_the_limit_is_where_slates_agree(make_world) -> None:
    people, blocked = np.arange(200, dtype=np.int32), np.zeros((200, 50), np.uint8)
    settings = {"match": 0.0, "organic_popularity": 0.0, "search": 1.0}

    def agreement(quality_sd: float) -> float:
        world = make_world(
            users=200, items=400, quality_sd=quality_sd, idiosyncrasy=0.0, graph={"kind": "none"}
        )  # fmt: skip
        # Nobody could make such a world.
        world.behavior = Behavior(**settings)
        slates = [
            organic_slates(world, 0, people, np.zeros_like(people), 10, blocked, OrganicKeys.from_streams(Streams(seed)))
            for seed in (1, 2)
        ]  # fmt: skip
        return float(np.mean([np.isin(one, other).mean() for one, other in zip(*slates, strict=True)]))

    def refused(quality_sd: float) -> bool:
        try:
            check_world(
                WorldConfig(items=400, quality_sd=quality_sd, idiosyncrasy=0.0), Behavior(**settings), 10
            )
        except BadInput:
            return True
        return False

    assert (refused(5.0), refused(60.0)) == (False, True)
    assert agreement(5.0) < 0.85 and agreement(60.0) > 0.9


def test_word_on_the_street_has_a_bound() -> None:
    with pytest.raises(ValueError, match="less than or equal to 1.5"):
        Behavior(organic_popularity=1.6)


def test_check_says_it_of_studies_and_of_worlds_from_a_log(tmp_path: Path) -> None:
    def refusal(world: dict[str, Any]) -> str:
        behavior = {"search": 1.0, "match": 1e6}
        study = {"name": "t", "rounds": 2, "world": world, "behavior": behavior, "arms": ARMS}
        with pytest.raises(BadInput, match=r"behavior.search = 1: values are spread so widely") as caught:
            check_study(load_study(study))
        return str(caught.value)

    assert "world.quality_sd" in refusal({"users": 50, "items": 100})
    rng = np.random.default_rng(0)
    rows = [f"u{user},i{item}" for user in range(40) for item in rng.choice(60, 10, replace=False)]
    (tmp_path / "log.csv").write_text("\n".join(["user,item", *rows]))
    # Qualities are inferred from the log: nobody can set them.
    assert "world.quality_sd" not in refusal({"log": str(tmp_path / "log.csv"), "user_core": 0})
