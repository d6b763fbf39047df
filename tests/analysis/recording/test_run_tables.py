"""The tables that a run keeps beside its rounds: deciles, tastes, network; against plain recounts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.plots.survival import median_times
from echodrift.analysis.recording.deciles import DECILES, MAX_ROWS, NEWBORN, DecileRecord, popularity_deciles
from echodrift.analysis.recording.network import MAX_USERS, NetworkRecord
from echodrift.analysis.recording.recorder import Recorder
from echodrift.analysis.recording.taste_survival import MAX_ROWS as MAX_TASTE_ROWS
from echodrift.analysis.recording.taste_survival import TasteRecord
from echodrift.analysis.results import read_results, rows_at
from echodrift.analysis.statistics import median_survival
from echodrift.policies.registry import build_policy
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.result import Result
from echodrift.scenarios.runner import RunOptions, run_study
from echodrift.sim.recommender import PolicyRecommender
from hypothesis import given
from hypothesis import strategies as st

ROUNDS = 30
STUDY = {
    "name": "small",
    "rounds": 6,
    "seeds": 2,
    "reference": "organic",
    "world": {"users": 40, "items": 60, "topics": 5},
    "platform": {"slate": 4, "warmup": 3},
    "arms": [
        {"name": "organic", "policy": {"kind": "organic"}},
        {"name": "popular", "policy": {"kind": "popularity"}},
    ],
    "grid": {"behavior.reinforcement": [0.0, 0.1]},
}


class Witness:
    """Writes down everything that the tables are made of."""

    def __init__(self):
        self.shown, self.taken, self.live, self.shares, self.neutral = [], [], [], [], []

    def observe(self, simulation, now):
        world, slates, taken = simulation.world, now.slates[~now.organic], now.choices.taken[~now.organic]
        self.shown.append(Counter(slates[slates >= 0].tolist()))
        self.taken.append(Counter(taken[taken >= 0].tolist()))
        self.live.append(world.items.live(now.round).copy())
        self.shares.append(world.users.shares.copy())
        self.neutral.append(world.users.neutral.copy())


@pytest.fixture
def watched(make_simulation, everything):
    """A run with arrivals in which everything drifts, its recorder, and what a witness saw of it."""
    simulation = make_simulation(
        PolicyRecommender(build_policy({"kind": "popularity"}), []),
        horizon=ROUNDS,
        behavior={**everything, "reinforcement": 0.2, "disappointment": 0.1},
        arrivals=2.0,
        taste_shares=[0.6, 0.3, 0.1],
    )
    recorder, witness = Recorder(simulation, ["welfare"]), Witness()
    simulation.observers.append(witness)
    graph = (simulation.world.graph.indptr.copy(), simulation.world.graph.indices.copy())
    for _ in range(ROUNDS):
        simulation.step()
    return simulation, recorder, witness, graph


def test_masses_by_decile_are_those_of_a_plain_recount(watched):
    simulation, recorder, witness, _ = watched
    items = simulation.world.items
    table = pd.DataFrame(recorder.tables()["deciles"])
    popularity = recorder.setup.popularity
    ranked = sorted(range(items.catalog), key=lambda i: (popularity[i], items.demand[i], i))
    of = {item: 1 + place * 10 // items.catalog for place, item in enumerate(ranked)}
    assert len(items) > items.catalog
    for row in table.itertuples():
        members = [i for i in range(len(items)) if of.get(i, NEWBORN) == row.decile]
        live = witness.live[row.round]
        assert row.rounds == 1
        assert row.exposure == sum(witness.shown[row.round][i] for i in members)
        assert row.consumption == sum(witness.taken[row.round][i] for i in members)
        assert row.live == sum(live[i] for i in members)
        wanted = sum(items.demand[i] for i in members if live[i]) / items.demand[live].sum()
        assert row.demand == pytest.approx(wanted)
    slots = sum(sum(counts.values()) for counts in witness.shown)
    assert table["exposure"].sum() == slots and slots > 0
    assert table.loc[table["decile"] == NEWBORN, "exposure"].sum() > 0


@given(st.integers(1, 300), st.integers(10, 40), st.integers(0, 5), st.integers(0, 2**31))
def test_rows_of_a_long_run_are_sums_of_rounds_and_lose_nothing(rounds, catalog, newborn, seed):
    rng = np.random.default_rng(seed)
    n = catalog + newborn
    demand = rng.random(n)
    items = type("Fake", (), {"catalog": catalog, "demand": demand, "__len__": lambda self: n})()
    popularity = rng.integers(0, 3, n)
    record = DecileRecord(popularity, items)
    shown, taken = rng.integers(0, 9, (rounds, n)), rng.integers(0, 4, (rounds, n))
    live = rng.random((rounds, n)) < 0.8
    for t in range(rounds):
        record.add(t, shown[t], taken[t], live[t])
    table = pd.DataFrame(record.table())
    starts = sorted(set(table["round"]))
    assert len(starts) <= MAX_ROWS and starts[0] == 0
    of = popularity_deciles(popularity, items)
    widths = table.drop_duplicates("round")["rounds"].to_numpy()
    assert widths.sum() == rounds and (np.cumsum(widths)[:-1] == np.array(starts)[1:]).all()
    assert len(starts) > MAX_ROWS // 2 or len(starts) == rounds
    for row in table.itertuples():
        part = slice(row.round, row.round + row.rounds)
        mine = of == row.decile
        assert row.exposure == shown[part][:, mine].sum()
        assert row.consumption == taken[part][:, mine].sum()
        assert row.live == pytest.approx(live[part][:, mine].sum() / row.rounds)


@given(st.integers(1, 200), st.integers(0, 2**31))
def test_deciles_hold_a_tenth_each_and_follow_popularity(n, seed):
    rng = np.random.default_rng(seed)
    popularity = rng.integers(0, 5, n)
    items = type("Fake", (), {"catalog": n, "demand": rng.random(n), "__len__": lambda self: n})()
    of = popularity_deciles(popularity, items)
    sizes = np.bincount(of, minlength=11)[1:]
    assert sizes.sum() == n and sizes.max() - sizes.min() <= 1
    for low, high in zip(*np.triu_indices(n, 1), strict=True) if n < 30 else ():
        if popularity[low] < popularity[high]:
            assert of[low] <= of[high]


def first_loss(shares, start):
    """(users, K) the first round in which less than half of a taste is left, −1 where that never happens."""
    below = shares < np.float32(0.5) * start
    return np.where(below.any(axis=0), below.argmax(axis=0), -1)


def test_survival_of_tastes_is_that_of_a_plain_recount_and_its_median_is_kaplan_meiers(watched):
    simulation, recorder, witness, _ = watched
    users = simulation.world.users
    table = pd.DataFrame(recorder.tables()["tastes"])
    assert sorted(set(table["taste"])) == [1, 2, 3] and list(dict.fromkeys(table["round"])) == list(
        range(ROUNDS)
    )
    for suffix, seen in (("", witness.shares), ("_neutral", witness.neutral)):
        shares = np.array(seen)
        lost = first_loss(shares, users.shares_start)
        for row in table.itertuples():
            k = row.taste - 1
            kept = shares[row.round, :, k] >= np.float32(0.5) * users.shares_start[:, k]
            assert getattr(row, f"kept{suffix}") == pytest.approx(kept.mean())
            alive = (lost[:, k] < 0) | (lost[:, k] > row.round)
            assert getattr(row, f"survived{suffix}") == pytest.approx(alive.mean())
    lost = first_loss(np.array(witness.shares), users.shares_start)[:, 2]
    times, censored = np.where(lost < 0, ROUNDS - 1, lost), lost < 0
    median = median_survival(times, censored).median
    frame = table.assign(arm="a", seed=0)
    assert 0 < (~censored).mean() < 1
    found, last = median_times(frame, 3)["a"]
    assert last == ROUNDS - 1
    assert (np.isnan(found) and np.isnan(median)) or found == median


def test_the_median_time_of_a_loss_is_kaplan_meiers_over_several_seeds():
    rng = np.random.default_rng(3)
    times = {seed: rng.integers(1, 60, 40 + 20 * seed) for seed in range(3)}
    rounds = np.arange(40)
    frame = pd.concat(
        pd.DataFrame({"arm": "a", "seed": s, "round": rounds, "taste": 2, "users": len(t),
                      "survived": [(t > r).mean() for r in rounds]})
        for s, t in times.items()
    )  # fmt: skip
    together = np.concatenate(list(times.values()))
    expected = median_survival(np.minimum(together, 39), together > 39).median
    assert median_times(frame, 2)["a"] == (expected, 39)


@given(st.integers(1, 1200), st.integers(0, 2**31))
def test_long_runs_keep_the_first_and_the_last_round_of_every_taste(rounds, seed):
    rng = np.random.default_rng(seed)
    start = np.array([[0.7, 0.3, 0.0], [1.0, 0.0, 0.0], [0.5, 0.3, 0.2]], np.float32)
    users = SimpleNamespace(
        n_tastes=np.array([2, 1, 3]), shares_start=start, shares=start.copy(), neutral=start.copy()
    )
    record, seen = TasteRecord(users), []
    for t in range(rounds):
        users.shares[:] = start * rng.uniform(0.3, 1.2, start.shape).astype(np.float32) if t else start
        seen.append(users.shares.copy())
        record.add(t)
    table = pd.DataFrame(record.table())
    kept = list(dict.fromkeys(table["round"]))
    assert kept[0] == 0 and kept[-1] == rounds - 1 and len(kept) <= MAX_TASTE_ROWS + 1
    assert sorted(set(table["taste"])) == [1, 2, 3]
    assert table.groupby("taste")["users"].first().tolist() == [
        2,
        2,
        1,
    ]  # who has one taste alone is left out
    row = table[(table["round"] == rounds - 1) & (table["taste"] == 2)].iloc[0]
    now = [seen[-1][u, 1] >= 0.5 * start[u, 1] for u in (0, 2)]
    ever = [all(s[u, 1] >= 0.5 * start[u, 1] for s in seen) for u in (0, 2)]
    assert row["kept"] == pytest.approx(np.mean(now)) and row["survived"] == pytest.approx(np.mean(ever))
    assert (table["kept_neutral"] == 1).all()


def test_the_network_is_the_one_at_round_0_and_the_one_at_the_end(watched):
    simulation, recorder, _, (indptr, indices) = watched
    world = simulation.world
    tables = recorder.tables()
    users, ties = pd.DataFrame(tables["network_users"]), pd.DataFrame(tables["network_ties"])
    first = world.users.tastes_start[:, 0].argmax(axis=1)
    start, end = users[users["when"] == "start"], users[users["when"] == "end"]
    assert start["taste"].tolist() == first.tolist()
    assert start["share"].to_numpy() == pytest.approx(world.users.shares_start[:, 0])
    for row in end.itertuples():
        k = max(range(3), key=lambda k: (world.users.shares[row.user, k], -k))
        assert row.taste == world.users.tastes[row.user, k].argmax()
        assert row.share == pytest.approx(world.users.shares[row.user, k])
    assert not np.array_equal(indices, world.graph.indices)
    for when, (pointer, target), people in (
        ("start", (indptr, indices), start),
        ("end", (world.graph.indptr, world.graph.indices), end),
    ):
        graph = nx.DiGraph()
        graph.add_edges_from(
            (u, int(v)) for u in range(len(people)) for v in target[pointer[u] : pointer[u + 1]]
        )
        for by in ("community", "taste"):
            label = dict(zip(people["user"], people[by], strict=True))
            counted = Counter(tuple(sorted((int(label[u]), int(label[v])))) for u, v in graph.edges)
            part = ties[(ties["when"] == when) & (ties["by"] == by)]
            found = {(row.one, row.other): row.ties for row in part.itertuples()}
            assert found == counted


def test_of_a_large_world_a_thousand_users_are_listed_and_all_ties_counted(make_world):
    world = make_world(users=2500, items=40)
    tables = NetworkRecord(world).tables()
    users = pd.DataFrame(tables["network_users"])
    listed = users.loc[users["when"] == "start", "user"]
    assert len(listed) == MAX_USERS and listed.is_unique and listed.max() >= 2490
    ties = pd.DataFrame(tables["network_ties"])
    assert set(ties.groupby(["when", "by"])["ties"].sum()) == {world.graph.ties}


def test_a_world_without_ties_has_users_and_no_ties(make_world):
    world = make_world(graph={"kind": "none"})
    tables = NetworkRecord(world).tables()
    assert len(tables["network_ties"]["ties"]) == 0 and len(tables["network_users"]["user"]) == 120


def test_parts_go_on_from_a_checkpoint_as_if_nothing_had_happened(make_simulation):
    def parts(simulation):
        world = simulation.world
        return [DecileRecord(world.taken.copy(), world.items), TasteRecord(world.users), NetworkRecord(world)]

    def through_a_file(state):
        # what a checkpoint keeps: arrays and numbers
        return {name: np.asarray(value) for name, value in state.items()}

    simulation = make_simulation(behavior={"reinforcement": 0.2, "rewiring": 0.2}, horizon=100)
    whole, other = parts(simulation), parts(simulation)
    for t in range(100):
        now = simulation.step()
        items = simulation.world.items
        counts = [np.bincount(a[a >= 0], minlength=len(items)) for a in (now.slates, now.choices.taken)]
        for part in [*whole, *(other if t > 70 else ())]:
            if isinstance(part, DecileRecord):
                part.add(t, *counts, items.live(t))
            elif isinstance(part, TasteRecord):
                part.add(t)
        if t == 70:
            for old, new in zip(whole, other, strict=True):
                new.restore(through_a_file(old.state()))
    for one, two in zip(whole, other, strict=True):
        a, b = (part.tables() if isinstance(part, NetworkRecord) else part.table() for part in (one, two))
        np.testing.assert_equal(a, b)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("study") / "out"
    run_study(load_study(STUDY), path, RunOptions(jobs=1))
    return path


def test_tables_are_published_and_read_back(folder):
    result, results = Result(folder), read_results(folder)
    keys = ["arm", "behavior.reinforcement", "seed"]
    for name in ("deciles", "tastes", "network_users", "network_ties"):
        assert list(getattr(result, name).columns[:3]) == keys
        pd.testing.assert_frame_equal(getattr(result, name), getattr(results, name))
    assert len(result.deciles) == 8 * 6 * (DECILES + 1)
    assert result.deciles.groupby([*keys, "round"])["decile"].nunique().eq(DECILES + 1).all()
    # one picture per arm and grid point
    assert set(result.network_users["seed"]) == {0} and len(result.network_users) == 4 * 2 * 40
    point = results.points[1]
    part = rows_at(results.tastes, point.values)
    assert set(part["behavior.reinforcement"]) == {0.1} and len(part)


def test_a_folder_of_an_older_version_reads_with_empty_tables(folder, tmp_path):
    import json
    import shutil

    old = tmp_path / "old"
    shutil.copytree(folder, old)
    manifest = json.loads((old / "manifest.json").read_text())
    del manifest["sha256"]
    for name in ("deciles", "tastes", "network_users", "network_ties"):
        (old / f"{name}.parquet").unlink()
        del manifest["hashes"][f"{name}.parquet"]
    (old / "manifest.json").write_text(json.dumps(manifest))
    result, results = Result(old), read_results(old)
    for name in ("deciles", "tastes", "network_users", "network_ties"):
        assert getattr(result, name).empty and getattr(results, name).empty
        assert {"arm", "behavior.reinforcement", "seed"} <= set(getattr(results, name).columns)
