"""`echodrift.calibrate`: settings of a simulated world are found again; its files; what stops it beforehand."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from echodrift.errors import BadInput, StorageError
from echodrift.scenarios.calibration import search as searching
from echodrift.scenarios.calibration.calibrate import calibrate
from echodrift.scenarios.calibration.first_logs import FirstLog, collect
from echodrift.scenarios.calibration.pairs import Filter
from echodrift.scenarios.calibration.recovery import recover
from echodrift.scenarios.calibration.search import Job, Known, Search, Simulated
from echodrift.scenarios.calibration.space import QUANTITIES, Size, configs, tables_at, values_at
from echodrift.scenarios.calibration.summary_statistics import summarize
from echodrift.scenarios.execution.progress import Progress
from echodrift.sim.streams import Streams
from hypothesis import given, settings
from hypothesis import strategies as st

SIZE = Size(users=120, items=160, pairs=3000, capped=False, has_topics=True, degree=0, repeat=200)
FILTER = Filter(5, None, 3)
MIDDLE = np.full(len(SIZE.quantities), 0.5)


@given(
    st.lists(st.floats(0, 1), min_size=len(QUANTITIES), max_size=len(QUANTITIES)),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 4, 14]),
)
def test_every_point_is_a_world(point: list[float], capped: bool, has_topics: bool, degree: int) -> None:
    size = dataclasses.replace(SIZE, capped=capped, has_topics=has_topics, degree=degree)
    place = np.array(point[: len(size.quantities)])
    world, behavior = configs(tables_at(size, place, 150))
    value = values_at(size, place)
    assert world.users == 150 and world.tastes == value["tastes"]
    assert (1 + behavior.search) * behavior.match == pytest.approx(value["(1+κ)·match"], rel=1e-3)
    for quantity in size.quantities:
        assert quantity.low - 1e-9 <= value[quantity.name] <= quantity.high + 1e-9
    assert ("activity_tail" in value) is not capped and ("tag_noise" in value) is has_topics


def collected(**changes) -> FirstLog:
    tables = tables_at(SIZE, MIDDLE, 192)
    found = collect(tables, dataclasses.replace(SIZE, **changes), FILTER, 0)
    assert found is not None
    return found


def test_a_simulated_log_is_collected_like_the_real_one() -> None:
    found = collected()
    assert found.pairs.users == 120 and 160 / 2 < found.pairs.items <= 2 * 160 and 0 < found.passing <= 1
    assert found.pairs.item_counts.min() >= 3
    # Items with few users are left out after the pairs have been counted, and a round adds several pairs.
    assert 0.85 * 3000 < len(found.pairs) < 1.05 * 3000
    again = collected()
    assert (again.pairs.item == found.pairs.item).all() and again.rounds == found.rounds
    assert len(collected(pairs=1500).pairs) < len(found.pairs)


def test_a_limit_keeps_what_was_taken_most_often() -> None:
    size = dataclasses.replace(SIZE, capped=True, pairs=120 * 12, degree=4)
    point = np.full(len(size.quantities), 0.5)
    found = collect(tables_at(size, point, 120), size, Filter(1, 12, 1), 0)
    assert found is not None
    assert found.pairs.user_counts.max() == 12 and found.pairs.user_counts.mean() > 11.5
    assert found.pairs.ties is not None and found.pairs.ties.shape == (found.pairs.users,) * 2


def test_people_who_take_nothing_make_no_log() -> None:
    tables = tables_at(SIZE, MIDDLE, 192)
    tables["behavior"]["outside"] = 1000.0
    assert collect(tables, dataclasses.replace(SIZE, pairs=200), FILTER, 0) is None


def small_search(tmp_path: Path | None = None) -> Search:
    size, how = dataclasses.replace(SIZE, pairs=2000), FILTER
    known = Known(None if tmp_path is None else tmp_path / "simulations.json", "a")
    found = collect(tables_at(size, MIDDLE, 192), size, how, 12_345)
    assert found is not None
    observed = summarize(found.pairs, Streams(0))
    return Search(size, how, observed, 2, Progress(), known)


@pytest.fixture
def shuffle_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer shuffles, in this process only."""
    monkeypatch.setattr("echodrift.scenarios.calibration.log_spectrum.SHUFFLES", 2)


def test_what_was_simulated_is_not_simulated_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = small_search(tmp_path)
    search.jobs = 1
    jobs = [Job(MIDDLE, 192, seed) for seed in range(2)]
    first = search.simulate(jobs)
    monkeypatch.setattr(searching._Work, "__call__", lambda *_: pytest.fail("simulated again"))
    search.known = Known(tmp_path / "simulations.json", "a")
    again = search.simulate(jobs)
    assert [each.statistics for each in again] == [each.statistics for each in first]
    assert len(Known(tmp_path / "simulations.json", "another log")) == 0
    damaged = (tmp_path / "simulations.json").read_text()
    (tmp_path / "simulations.json").write_text(damaged[:-9])
    assert len(Known(tmp_path / "simulations.json", "a")) == 0


@pytest.mark.slow
def test_settings_of_simulated_worlds_are_found_again() -> None:
    """Each of 128 worlds in turn is the log: 90 % sets hold the truth about as often as they say."""
    search = small_search()
    search.run_design(128, 0)
    table = recover(search, 0, 100, particles=512)
    assert (table["worlds"] == 100).all()
    sure = table["identified"] > 0.5
    assert table["held"][sure].between(0.84, 0.97).all(), table.to_string()
    # Of the others, some are a little too narrow: with 15 settings and 128 worlds, chance looks like influence.
    assert table["held"].min() > 0.78 and 0.86 < table["held"].mean() < 0.94, table.to_string()
    # At least how unequal people are.
    assert "activity_tail" in set(table["quantity"][sure]), table.to_string()
    # What is never seen stays open.
    assert not table.set_index("quantity").loc["κ", "identified"] > 0.5


def write_log(path: Path, users: int = 130, items: int = 120, each: int = 24) -> Path:
    rng = np.random.default_rng(0)
    odds = np.geomspace(1, 0.05, items)
    rows = ["user,item"]
    for user in range(users):
        own = odds * np.where((np.arange(items) + user) % 4 == 0, 6, 1)
        count = int(np.clip(each * rng.lognormal(0, 0.4), 8, items / 2))
        for item in rng.choice(items, count, replace=False, p=own / own.sum()):
            rows.append(f"{user},{item}")
    path.write_text("\n".join(rows))
    return path


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("calibrated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "WAVES", 1)
        patch.setattr("echodrift.scenarios.calibration.calibrate.WAVES", 1)
        result = calibrate(
            write_log(folder / "log.csv"), design=64, logs=3, out=folder / "out", progress=False
        )
    return result, folder / "out"


@pytest.mark.slow
def test_all_of_it_is_written(calibrated) -> None:
    result, out = calibrated
    assert {each.name for each in out.iterdir()} == {
        "preset.toml", "not-ruled-out.parquet", "matches.csv", "settings.csv", "calibration.json", "simulations.json",
        "index.html", "figures",
    }  # fmt: skip
    preset = tomllib.loads((out / "preset.toml").read_text())
    assert preset["name"] == "out" and "log.csv" in preset["description"]
    assert preset["likeness"]["users"] == result.size.users == 130
    configs({"world": preset["world"], "behavior": preset["behavior"]})
    assert preset["platform"]["warmup"] > 0 and preset["behavior"]["repeat"] == 200
    rows = pd.read_parquet(out / "not-ruled-out.parquet")
    assert len(rows) == 512 and "behavior.search" in rows and "world.users" not in rows
    assert json.loads((out / "calibration.json").read_text())["verdict"] == result.verdict
    page = (out / "index.html").read_text()
    assert result.verdict in page and page.count("data:image/png") == 3
    assert not result.match_table["statistic"].isin(["topic_divergence", "friends_ratio"]).any()
    assert result.match_table.set_index("statistic").loc["pairs", "world"] > 1000


@pytest.mark.slow
def test_a_calibration_goes_on_and_gives_the_same(calibrated, monkeypatch: pytest.MonkeyPatch) -> None:
    result, out = calibrated
    monkeypatch.setattr(searching, "WAVES", 1)
    monkeypatch.setattr("echodrift.scenarios.calibration.calibrate.WAVES", 1)
    monkeypatch.setattr(searching._Work, "__call__", lambda *_: pytest.fail("simulated again"))
    preset = (out / "preset.toml").read_bytes()
    again = calibrate(out.parent / "log.csv", design=64, logs=3, out=out, progress=False, jobs=1)
    assert (out / "preset.toml").read_bytes() == preset
    pd.testing.assert_frame_equal(again.settings, result.settings)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"design": 100}, "--design 100: must be a power of two, such as 64 or 128"),
        ({"design": 8}, "--design 8: must be a whole number from 32"),
        ({"logs": 1}, "--logs 1: must be"),
        ({"item_users": 0}, "--item-users 0: must be"),
        ({"repeat": -1}, "--repeat -1: must be"),
        ({"min_rating": -1}, "--min-rating"),
        ({"item_users": 5_000}, "too short to calibrate from"),
        ({"items": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_bad_input_is_told_before_anything_is_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict, told: str
) -> None:
    monkeypatch.setattr(searching._Work, "__call__", lambda *_: pytest.fail("simulated"))
    with pytest.raises(BadInput, match=told):
        calibrate(write_log(tmp_path / "log.csv"), out=tmp_path / "out", progress=False, **change)
    assert not (tmp_path / "out").exists()


def test_a_short_log_is_refused_with_its_size(tmp_path: Path) -> None:
    path = write_log(tmp_path / "log.csv", users=40)
    with pytest.raises(
        BadInput, match=r"too short .* 40 users, .* 100 users, 100 items, 2,000 pairs are the least"
    ):
        calibrate(path, progress=False)


def test_a_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("precious")
    with pytest.raises(StorageError, match="thesis.tex"):
        calibrate(write_log(tmp_path / "log.csv"), out=tmp_path / "out", progress=False)


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.integers(1, 10**6), st.integers(0, 2**31))
def test_results_are_found_by_their_job(point: list[float], people: int, seed: int) -> None:
    known = Known()
    job = Job(np.array(point), people, seed)
    assert known.find(job) is None
    known.add(Simulated(job, {"items": 3.0}))
    found = known.find(Job(np.array(point), people, seed))
    assert found is not None and found.statistics == {"items": 3.0}
    assert known.find(Job(np.array(point), people + 1, seed)) is None
