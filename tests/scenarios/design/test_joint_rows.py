"""`[uncertainty] sample`: joint rows from a file become priors that are drawn together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest
from echodrift.cli.catalog import describe
from echodrift.errors import BadInput, StorageError
from echodrift.scenarios.design.draws import draw_identity, draws_of
from echodrift.scenarios.design.load import dump, load_study
from echodrift.scenarios.design.plan import expand
from echodrift.scenarios.runner import RunOptions, run_study
from hypothesis import HealthCheck, given, settings
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
    result = run_study(load_study(study(tmp_path)), tmp_path / "out", RunOptions())
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


def test_values_that_are_allowed_beside_each_other_only(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "behavior.attention": [1.5, 0.9],
            "behavior.examination": ["power", "cascade"],
            "behavior.search": 0.5,
        }
    )
    assert {draw["behavior.attention"] for draw in drawn(load_study(study(tmp_path, rows)))} == {1.5, 0.9}
    with pytest.raises(BadInput, match='row 1, column "behavior.attention": .*at most 1'):
        load_study(study(tmp_path, rows.assign(**{"behavior.examination": "cascade"})))


def test_paths_of_data_are_relative_to_the_file_of_the_rows(tmp_path: Path) -> None:
    (tmp_path / "ties.csv").write_text("0,1\n1,2\n")
    (tmp_path / "rows.tsv").write_text("world.graph.path\tbehavior.search\nties.csv\t0.5\n")
    of = {**study(tmp_path), "world": {"users": 30, "items": 40, "graph": {"kind": "edges", "path": "x.csv"}}}
    of["uncertainty"] = {"sample": str(tmp_path / "rows.tsv")}
    assert drawn(load_study(of), 1)[0]["world.graph.path"] == str(tmp_path / "ties.csv")


def test_all_forms_of_a_file_give_the_same_draws(tmp_path: Path) -> None:
    rows = ROWS.assign(weight=[1, 2, 3, 4]).astype({"behavior.appetite": float})
    rows["behavior.search"] /= 3
    forms = [study(tmp_path, rows, name) for name in ("rows.parquet", "rows.csv")]
    rows[rows.columns[::-1]].to_csv(tmp_path / "rows.tsv", sep="\t", index=False)
    forms.append({**forms[0], "uncertainty": {"sample": str(tmp_path / "rows.tsv")}})
    identities = [draw_identity(load_study(form).uncertainty) for form in forms]
    assert identities[0] == identities[1] == identities[2]
    one, other = ({run.key for run in expand(load_study(forms[at]))} for at in (0, 2))
    assert one == other


def test_other_values_are_other_runs(tmp_path: Path) -> None:
    one = expand(load_study(study(tmp_path)))
    other = expand(load_study(study(tmp_path, ROWS.assign(**{"behavior.match": 7.0}))))
    assert not {run.key for run in one} & {run.key for run in other}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("rows.csv", "behavior.search,behavior.match\n0.1,5,3\n", "line 2 has 3 fields, but the header has 2"),
        ("rows.csv", "behavior.search\n0.1\n\n9\n", 'line 4, column "behavior.search": .*at most 4'),
        ("rows.csv", "behavior.search\n0.1\nnan\n", 'line 3, column "behavior.search": is missing or not'),
        ("rows.csv", "behavior.appetite\n2\n1.5\n", 'line 3, column "behavior.appetite": .*whole number'),
        ("rows.tsv", "behavior.search\tweight\n0.1\t-1\n", 'line 2, column "weight": -1 must be'),
        ("rows.tsv", "behavior.search\tbehavior.search\n0.1\t1\n", "two columns are named"),
        ("rows.csv", "behavior.serch\n0.1\n", 'rows.csv, line 2, column "behavior.serch".*Did you mean "search"'),
        ("rows.csv", "rounds\n4\n", 'rows.csv, column "rounds": a prior cannot be over rounds'),
        ("rows.csv", "", "has 0 rows"),
    ],
)  # fmt: skip
def test_bad_text_files_are_told_with_their_line(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=told):
        load_study({**study(tmp_path), "uncertainty": {"sample": str(tmp_path / name)}})


def test_an_option_names_another_file_or_takes_the_place_of_a_column(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(dump(load_study(study(tmp_path))))
    ROWS.iloc[:1].to_parquet(tmp_path / "one.parquet")
    option = "--set uncertainty.sample=…"
    other = load_study(file, [(option, "uncertainty.sample", str(tmp_path / "one.parquet"))])
    assert {draw["behavior.search"] for draw in drawn(other)} == {0.2}
    with pytest.raises(BadInput, match=rf"^{option}: .*nosuch.parquet: there is no such file"):
        load_study(file, [(option, "uncertainty.sample", str(tmp_path / "nosuch.parquet"))])
    held = ("--set …", "uncertainty.priors.behavior.search", {"choice": [0.7]})
    for source in (file, study(tmp_path)):
        draws = drawn(load_study(source, [held]))
        assert {draw["behavior.search"] for draw in draws} == {0.7}
        assert {draw["behavior.match"] for draw in draws} == {8.0, 6.0, 5.0, 4.0}


def test_a_study_goes_on_with_the_same_rows_only(tmp_path: Path) -> None:
    first = load_study(study(tmp_path, seeds=3))
    run_study(first, tmp_path / "out", RunOptions())
    before = pd.read_parquet(tmp_path / "out/draws.parquet")
    moved = load_study(study(tmp_path, ROWS.iloc[::-1], "moved.csv", seeds=5))
    run_study(moved, tmp_path / "out", RunOptions())
    after = pd.read_parquet(tmp_path / "out/draws.parquet")
    assert len(after) == 5 and after[:3].equals(before)
    other = load_study(study(tmp_path, ROWS.iloc[:3], seeds=5))
    with pytest.raises(StorageError, match=r"uncertainty.sample: 4 joint rows \(.*3 joint rows") as told:
        run_study(other, tmp_path / "out", RunOptions())
    assert "0.2" not in str(told.value)


def test_what_is_described_names_the_file_and_not_the_rows(tmp_path: Path) -> None:
    text = describe(
        load_study(study(tmp_path, uncertainty={"priors": {"behavior.attention": {"choice": [0.7]}}}))
    )
    assert "4 joint rows of 4 keys from " in text and "rows.parquet" in text
    assert "sample = [" not in text and '"behavior.attention"' in text


@given(
    weights=st.lists(st.floats(0.01, 10), min_size=1, max_size=40).map(lambda w: [round(x, 3) for x in w]),
    block=st.integers(2, 30),
    number=st.integers(0, 5),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_weights_blocks_and_the_order_of_rows(
    tmp_path: Path, weights: list[float], block: int, number: int, order: Random
) -> None:
    """In every block of seeds each row comes as often as its weight says, rounded; rows may stand in any order."""
    rows = [{"behavior.search": (place + 1) / 100, "weight": weight} for place, weight in enumerate(weights)]
    how = {"sampler": "latin_hypercube", "block": block}
    seeds = range(block * number, block * (number + 1))
    one = draws_of(load_study(study(tmp_path, pd.DataFrame(rows), uncertainty=how)).uncertainty, seeds)
    order.shuffle(rows)
    assert (
        draws_of(load_study(study(tmp_path, pd.DataFrame(rows), uncertainty=how)).uncertainty, seeds) == one
    )
    counts = Counter(draw["behavior.search"] for draw in one)
    for place, weight in enumerate(weights):
        assert abs(counts[(place + 1) / 100] - block * weight / sum(weights)) < 1 + 1e-9
