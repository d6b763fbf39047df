"""`[uncertainty] sample`: joint rows from a file become priors that are drawn together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from echodrift.errors import BadInput
from echodrift.scenarios.design.draws import draws_of
from echodrift.scenarios.design.load import dump, load_study
from echodrift.scenarios.runner import RunOptions, run_study
from echodrift.scenarios.specs.uncertainty import Uncertainty
from hypothesis import given
from hypothesis import strategies as st

ROWS = pd.DataFrame(
    {
        "behavior.search": [0.2, 0.5, 0.9, 1.1],
        "behavior.match": [8.0, 6.0, 5.0, 4.0],
        "behavior.appetite": [1, 2, 3, 4],
        "behavior.examination": ["cascade", "cascade", "power", "power"],
    }
)


def study(
    tmp_path: Path, rows: pd.DataFrame = ROWS, name: str = "rows.parquet", **more: Any
) -> dict[str, Any]:
    path = tmp_path / name
    rows.to_csv(path, index=False) if name.endswith(".csv") else rows.to_parquet(path)
    uncertainty = {"sample": str(path), **more.pop("uncertainty", {})}
    return {
        "name": "t",
        "rounds": 2,
        "seeds": 8,
        "world": {"users": 30, "items": 40, "topics": 5},
        "platform": {"slate": 4, "warmup": 2},
        "arms": [{"name": "a", "policy": {"kind": "popularity"}}],
        "uncertainty": uncertainty,
        **more,
    }


def drawn(found: Any, seeds: int = 8) -> list[dict[str, Any]]:
    return draws_of(found.uncertainty, range(seeds))


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_rows_are_drawn_together(tmp_path: Path, name: str) -> None:
    draws = drawn(load_study(study(tmp_path, name=name)))
    rows = {tuple(row) for row in ROWS.itertuples(index=False)}
    assert {tuple(draw[name] for name in ROWS) for draw in draws} == rows
    # Sobol' points: eight seeds cover four rows twice each.
    assert set(Counter(tuple(draw.values()) for draw in draws).values()) == {2}
    assert isinstance(draws[0]["behavior.appetite"], int)


def test_the_order_of_the_file_does_not_matter_and_seeds_keep_their_rows(tmp_path: Path) -> None:
    one = drawn(load_study(study(tmp_path)))
    other = drawn(load_study(study(tmp_path, ROWS.iloc[[2, 0, 3, 1]], "other.parquet")))
    assert one == other
    assert drawn(load_study(study(tmp_path)), 32)[:8] == one


def test_weights_and_priors_beside_them(tmp_path: Path) -> None:
    beside = {"priors": {"behavior.attention": {"uniform": [0.5, 0.9]}}}
    rows = ROWS[["behavior.search", "behavior.match"]].assign(weight=[5.0, 1.0, 1.0, 1.0])
    draws = drawn(load_study(study(tmp_path, rows, uncertainty=beside)), 64)
    assert Counter(draw["behavior.search"] for draw in draws)[0.2] == 40
    assert len({draw["behavior.attention"] for draw in draws}) == 64
    assert all(draw["behavior.match"] == 8.0 for draw in draws if draw["behavior.search"] == 0.2)


def test_a_stored_study_needs_the_file_no_more(tmp_path: Path) -> None:
    first = load_study(study(tmp_path))
    (tmp_path / "rows.parquet").unlink()
    (tmp_path / "again.toml").write_text(dump(first))
    again = load_study(tmp_path / "again.toml")
    assert dump(again) == dump(first) and drawn(again) == drawn(first)


def test_such_a_study_runs_and_says_what_was_drawn(tmp_path: Path) -> None:
    rows = ROWS.drop(columns="behavior.examination")
    result = run_study(load_study(study(tmp_path, rows)), tmp_path / "out", RunOptions())
    runs = pd.read_parquet(tmp_path / "out/runs.parquet")
    assert result is not None and (runs["status"] == "ok").all()
    text = (tmp_path / "out/runs/study.toml").read_text()
    assert "rows.parquet" in text and "sample" in text


@pytest.mark.parametrize(
    ("rows", "more", "told"),
    [
        (ROWS.assign(**{"behavior.nosuch": 1.0}), {}, "behavior.nosuch"),
        (ROWS.assign(**{"behavior.search": [0.1, 0.2, None, 0.4]}), {}, 'row 3, column "behavior.search": is missing'),
        (ROWS.assign(**{"behavior.search": [0.1, 0.2, 9.0, 0.4]}), {}, 'row 3, column "behavior.search": behavior.search: must be at least 0 and at most 4'),
        (ROWS.assign(weight=[1.0, 0.0, 1.0, 1.0]), {}, 'row 2, column "weight": 0.0 must be a number above 0'),
        (ROWS.iloc[:0], {}, "has 0 rows"),
        (ROWS[[]].assign(weight=1.0), {}, "has no settings"),
        (ROWS, {"priors": {"behavior.search": {"uniform": [0.1, 0.5]}}}, 'column "behavior.search" has a prior under'),
        (ROWS, {"design": "saltelli"}, "joint rows depend on each other"),
    ],
)  # fmt: skip
def test_bad_rows_are_told_with_their_place(
    tmp_path: Path, rows: pd.DataFrame, more: dict, told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        load_study(study(tmp_path, rows, uncertainty=more))


def test_a_file_that_is_not_there_or_not_a_table(tmp_path: Path) -> None:
    found = study(tmp_path)
    found["uncertainty"]["sample"] = str(tmp_path / "row.parquet")
    with pytest.raises(BadInput, match=r"no such file.*rows.parquet"):
        load_study(found)
    (tmp_path / "row.parquet").write_text("not a table")
    with pytest.raises(BadInput, match="cannot be read"):
        load_study(found)
    found["uncertainty"]["sample"] = "rows.xlsx"
    with pytest.raises(BadInput, match=r"end[s]? in \.parquet, \.csv or \.tsv"):
        load_study(found)


@given(
    st.lists(st.floats(0.1, 10), min_size=1, max_size=8).map(lambda w: [round(x, 3) for x in w]),
    st.integers(0, 5),
)
def test_any_block_of_seeds_covers_the_weights(weights: list[float], block: int) -> None:
    config = Uncertainty.model_validate(
        {
            "sampler": "latin_hypercube",
            "priors": {
                "a": {"sample": list(range(len(weights))), "weights": weights},
                "b": {"sample": [-place for place in range(len(weights))], "weights": weights},
            },
        }
    )
    draws = draws_of(config, range(20 * block, 20 * block + 20))
    assert all(draw["a"] == -draw["b"] for draw in draws)
    counts = Counter(draw["a"] for draw in draws)
    for place, weight in enumerate(weights):
        # A Latin hypercube has one point in each twentieth.
        assert abs(counts[place] - 20 * weight / sum(weights)) < 2
