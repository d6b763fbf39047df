"""How many runs a study has is known before any list of that length exists, and absurd numbers are refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from echodrift.errors import BadInput
from echodrift.scenarios.api import run
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.design.plan import expand
from echodrift.scenarios.design.size import check_runs, count_runs, multiplied
from echodrift.scenarios.runner import RunOptions, check_runnable
from hypothesis import given
from hypothesis import strategies as st

KEYS = [
    "behavior.reinforcement",
    "behavior.attention",
    "behavior.organic",
    "world.tag_noise",
    "world.idiosyncrasy",
]


def study(**fields: Any) -> dict[str, Any]:
    arms = [{"name": name, "policy": {"kind": kind}} for name, kind in (("a", "popularity"), ("b", "random"))]
    return {
        "name": "large",
        "rounds": 3,
        "seeds": 2,
        "world": {"users": 20, "items": 30},
        "arms": arms,
        **fields,
    }


@given(lengths=st.lists(st.integers(1, 4), max_size=3), zipped=st.integers(0, 3), seeds=st.integers(1, 4))
def test_the_product_is_the_length_of_the_plan(lengths, zipped, seeds):
    grid = {
        key: [round(0.1 * n + 0.1, 1) for n in range(length)]
        for key, length in zip(KEYS, lengths, strict=False)
    }
    table = {"platform.slate": [5, 6, 7][:zipped], "platform.warmup": [2, 3, 4][:zipped]}
    chosen = load_study(study(grid=grid, zip=[table] if zipped else [], seeds=seeds))
    assert count_runs(chosen) == len(expand(chosen))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"grid": {key: [n / 1e6 for n in range(1000)] for key in KEYS[:2]}},
            "2 arms × 1,000,000 design points × 2 seeds",
        ),
        ({"grid": {KEYS[0]: [n / 1e7 for n in range(200_000)]}}, "2 arms × 200,000 design points × 2 seeds"),
        ({"seeds": 200_000}, "must be 1 to 100000"),
    ],
)
def test_absurd_numbers_are_refused_at_once(fields, said):
    with pytest.raises(BadInput, match=said):
        load_study(study(**fields))


def test_many_runs_are_refused_until_they_are_asked_for():
    chosen = load_study(study(seeds=list(range(60_000))))
    with pytest.raises(BadInput, match=r"2 arms × 60,000 seeds = 120,000 runs.*--max-runs 120000"):
        check_runs(chosen)
    with pytest.raises(BadInput, match="--max-runs 120000"):
        run(study(seeds=60_000))
    with pytest.raises(BadInput, match=r"max_runs=3\b|--max-runs 4"):
        run(study(), max_runs=3)
    assert RunOptions(max_runs=120_000).full_study(chosen) is chosen
    assert multiplied(chosen) == "2 arms × 60,000 seeds"


@pytest.mark.parametrize("wrong", [0, -1, True, 2.5, "many"])
def test_a_limit_is_a_whole_number(wrong):
    with pytest.raises(BadInput, match="max_runs"):
        check_runs(load_study(study()), wrong)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"measures": ["welfare:group=a"]},
            r'measures: "welfare:group=a" names a part.*split_by = \["group"\]',
        ),
        ({"measures": ["welfare:community=0"]}, r'split_by = \["community"\]'),
        (
            {"primary": ["welfare:group=a"]},
            r'primary: "welfare:group=a" is not computed: add split_by = \["group"\]',
        ),
        ({"primary": ["welfare:group=nobody"], "split_by": ["group"]}, 'there is no group "nobody"'),
    ],
)
def test_parts_of_users_are_named_where_they_can_be(fields, said):
    with pytest.raises(BadInput, match=said):
        check_runnable(load_study(study(**fields)))


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
@pytest.mark.parametrize("field", ["log", "items", "tags", "social", "graph"])
def test_what_may_never_end_is_not_read(tmp_path: Path, monkeypatch, kind, field):
    monkeypatch.chdir(tmp_path)
    path, listener = "there", None
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = "/dev/zero"
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
    log = tmp_path / "log.csv"
    log.write_text("user,item\n" + "".join(f"{n % 7},{n % 5}\n" for n in range(70)))
    world = {"users": 20, "items": 30, "graph": {"kind": "edges", "path": path}}
    if field != "graph":
        world = {"log": str(log), field: path}
    try:
        with pytest.raises(BadInput, match=f"it is a {kind}, not a file"):
            check_runnable(load_study(study(world=world)))
    finally:
        if listener is not None:
            listener.close()


def test_a_pipe_is_no_study(tmp_path: Path):
    os.mkfifo(tmp_path / "study.toml")
    with pytest.raises(BadInput, match="it is a pipe, not a file"):
        load_study(tmp_path / "study.toml")
