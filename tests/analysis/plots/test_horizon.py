"""Figures of the long horizon and the grid: what is drawn is what the tables say, and nothing overlaps."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis import plots
from echodrift.analysis.plots.frontier import frontier, pareto
from echodrift.analysis.plots.horizon import with_differences
from echodrift.analysis.plots.multiples import multiples
from echodrift.analysis.plots.phase import axis, phase
from echodrift.analysis.plots.ridge import colors, ridge
from echodrift.analysis.plots.sensitivity import sensitivity
from echodrift.analysis.plots.society import network, sunflower
from echodrift.analysis.plots.survival import survival
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.collections import PathCollection, PolyCollection, QuadMesh

NAMES = {
    "one": ["organic"],
    "plain": ["organic", "popularity", "MF 8"],
    "odd": ["<script>alert(1)</script>", "$5 off $10", "_hidden", "日本語", "a\nb\x07", "%d {x}", "\\frac"],
    "thirty": [
        f"MF {i} dimensions, calibrated at weight 0.5, learning from everything {i}" for i in range(30)
    ],
}
KEYS = ("behavior.reinforcement", "world.graph")


def rounds_of(arms, seeds=3, rounds=25, **keys) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    index = pd.MultiIndex.from_product([arms, *keys.values(), range(seeds), range(rounds)])
    frame = index.to_frame(index=False, name=["arm", *keys, "seed", "round"])
    for name in ("niche_exposure", "welfare", "miscalibration"):
        frame[name] = rng.uniform(0.2, 0.8, len(frame))
    return frame


def deciles_of(arms, seeds=2, rounds=9) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    index = pd.MultiIndex.from_product([arms, range(seeds), range(0, 2 * rounds, 2), range(11)])
    frame = index.to_frame(index=False, name=["arm", "seed", "round", "decile"])
    for name in ("exposure", "consumption"):
        frame[name] = rng.integers(0, 50, len(frame))
    return frame.assign(rounds=2, demand=rng.random(len(frame)), live=1.0)


def tastes_of(arms, seeds=2, rounds=9, ranks=3) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    index = pd.MultiIndex.from_product([arms, range(seeds), range(rounds), range(1, ranks + 1)])
    frame = index.to_frame(index=False, name=["arm", "seed", "round", "taste"]).assign(users=50)
    for name in ("kept", "kept_neutral", "survived", "survived_neutral"):
        frame[name] = rng.random(len(frame))
    return frame


def network_of(arms, users=120, communities=5, topics=9):
    rng = np.random.default_rng(4)
    index = pd.MultiIndex.from_product([arms, ["start", "end"], range(users)])
    people = index.to_frame(index=False, name=["arm", "when", "user"]).assign(seed=0, share=0.5)
    people["community"] = people["user"] % communities
    people["taste"] = rng.integers(0, topics, len(people))
    ties = []
    for arm, when, (by, n) in itertools.product(
        arms, ["start", "end"], [("community", communities), ("taste", topics)]
    ):
        for one, other in itertools.combinations_with_replacement(range(n), 2):
            ties.append((arm, 0, when, by, one, other, int(rng.integers(1, 40))))
    return people, pd.DataFrame(ties, columns=["arm", "seed", "when", "by", "one", "other", "ties"])


def indices_of(n) -> pd.DataFrame:
    values = np.linspace(0.6, 0.0, n)
    table = pd.DataFrame({"key": [f"behavior.some_rather_long_key_{i}" for i in range(n)], "index": values})
    return table.assign(low=values - 0.1, high=values + 0.1, method="First order")


def every_figure(arms, seeds=3, rounds=25):
    styles = plots.arm_styles(arms, arms[0])
    frame = rounds_of(arms, seeds, rounds)
    yield frontier(frame, styles)
    yield ridge(deciles_of(arms, seeds), styles)
    yield survival(tastes_of(arms, seeds, min(rounds, 9)), styles)
    yield network(*network_of(arms), styles)
    yield with_differences(frame, ["niche_exposure"], arms[0], styles, marks=[min(10, rounds - 1)])
    yield with_differences(frame, ["niche_exposure", "welfare", "miscalibration"], arms[0], styles)
    few = arms[:4]
    grid = rounds_of(
        few,
        seeds,
        3,
        **{KEYS[0]: [0.0, 0.01, 0.5], KEYS[1]: ["none", '{"kind": "watts_strogatz", "degree": 4}']},
    )
    yield multiples(grid, "welfare", KEYS, styles, marks=lambda values: [1])
    yield multiples(grid.drop(columns=KEYS[1]), "niche_exposure", KEYS[:1], styles)
    yield phase(grid, "niche_exposure", KEYS, styles, limit=0.5)
    yield phase(grid, "welfare", KEYS[::-1], styles, zero=True)
    yield sensitivity(indices_of(20), "Welfare of " + arms[-1])


@pytest.mark.parametrize(
    "kind", ["plain", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("one", "odd", "thirty"))]
)
def test_nothing_written_leaves_the_page_or_lies_over_something_else(assert_legible, kind):
    for figure in every_figure(NAMES[kind]):
        assert_legible(figure)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "rounds"), [(1, 1), (1, 30), (2, 2)])
def test_one_seed_or_one_round_still_gives_figures(seeds, rounds):
    for figure in every_figure(["a", "b"], seeds, rounds):
        assert len(plots.render(figure, "png", 60)) > 1000


def test_tables_without_any_value_say_so(said):
    frame = rounds_of(["a"]).assign(welfare=np.nan, niche_exposure=np.nan)
    empty = deciles_of(["a"]).iloc[:0]
    for figure in (
        frontier(frame),
        ridge(empty, plots.arm_styles(["a"])),
        survival(tastes_of(["a"]).iloc[:0], plots.arm_styles(["a"])),
        network(*(table.iloc[:0] for table in network_of(["a"])), plots.arm_styles(["a"])),
        multiples(frame.assign(k=1), "welfare", ["k"]),
        phase(frame.assign(k=1, j=2), "welfare", ("k", "j")),
        sensitivity(indices_of(3).assign(index=np.nan), "Welfare"),
    ):
        text = said(figure)
        assert re.search(r"no |Nothing|None|hold", text), text


def test_a_flow_is_the_mean_over_seeds_of_every_deciles_share():
    frame = deciles_of(["a", "b"])
    figure = ridge(frame)
    for ax, arm in zip(figure.axes, "ab", strict=False):
        part = frame[frame["arm"] == arm]
        total = part.groupby(["seed", "round"])["exposure"].transform("sum")
        mean = (
            part.assign(share=part["exposure"] / total).groupby(["decile", "round"])["share"].mean().unstack()
        )
        top = mean.cumsum()
        bands = [c for c in ax.collections if isinstance(c, PolyCollection)]
        assert len(bands) == 11 == len(colors())
        for decile, band in enumerate(bands):
            corners = {tuple(np.round(v, 9)) for v in band.get_paths()[0].vertices}
            assert {(float(r), round(top.loc[decile, r], 9)) for r in mean.columns} <= corners
        strips = [p for p in ax.patches if p.get_x() > 1]
        last = part[part["round"] == 16].assign(
            d=lambda t: t["demand"] / t.groupby("seed")["demand"].transform("sum")
        )
        assert [p.get_height() for p in strips] == pytest.approx(last.groupby("decile")["d"].mean().tolist())


@given(st.integers(1, 25), st.integers(1, 4), st.integers(0, 2**31))
def test_pareto_optimal_is_what_nobody_dominates(n, m, seed):
    rng = np.random.default_rng(seed)
    values, better = rng.integers(0, 4, (n, m)).astype(float), rng.choice([-1, 1], m)
    values[rng.random(n) < 0.1, 0] = np.nan
    signed = values * better
    for i, optimal in enumerate(pareto(values, better)):
        beaten = any(
            np.isfinite(signed[j]).all() and (signed[j] >= signed[i]).all() and (signed[j] > signed[i]).any()
            for j in range(n)
        )
        assert optimal == (np.isfinite(signed[i]).all() and not beaten)


def test_the_frontier_ends_at_the_means_of_the_last_rounds_and_rings_the_best():
    frame = rounds_of(["a", "b", "c"], rounds=60)
    figure = frontier(frame, span=20)
    ax = figure.axes[0]
    last = frame[frame["round"] >= 40].groupby("arm")[["niche_exposure", "welfare", "miscalibration"]].mean()
    points = next(c for c in ax.collections if isinstance(c, PathCollection))
    assert np.allclose(np.asarray(points.get_offsets()), last[["niche_exposure", "welfare"]])
    assert np.allclose(points.get_array(), last["miscalibration"])
    best = pareto(last.to_numpy(), (1, 1, -1))
    rings = [line for line in ax.lines if line.get_marker() == "o" and line.get_markerfacecolor() == "none"]
    assert sorted(float(r.get_xdata()[0]) for r in rings) == pytest.approx(
        sorted(last["niche_exposure"][best])
    )


def test_a_phase_diagram_has_the_means_over_seeds_in_its_cells_and_its_line_at_the_limit():
    xs, ys = [0.0, 0.01, 0.05], [1, 2, 4, 8]
    frame = rounds_of(["a"], 3, 1, x=xs, y=ys)
    frame["welfare"] = frame["x"] * 100 + frame["seed"] * 0.01  # 0, 1 and 5
    figure = phase(frame, "welfare", ("x", "y"), limit=3.0)
    ax = figure.axes[0]
    mesh = next(c for c in ax.collections if isinstance(c, QuadMesh))
    mean = frame.groupby(["y", "x"])["welfare"].mean().unstack()
    assert np.allclose(mesh.get_array().reshape(4, 3), mean)
    line = np.concatenate(
        [p.vertices for c in ax.collections if not isinstance(c, QuadMesh) for p in c.get_paths()]
    )
    # the mean is 3 halfway between 1.01 and 5.01, less a hundredth
    assert line[:, 0] == pytest.approx(0.01 + 0.04 * (3 - 1.01) / 4)


def test_a_cell_whose_side_is_not_known_has_a_dot(said):
    """Clearly above the limit, clearly below, around it, and four seeds, which are too few to say."""
    cells = {
        "above": [1.0, 1.01, 0.99, 1.0, 1.0],
        "below": [0.0, 0.01, 0.02, 0, 0],
        "around": [0.2, 0.5, 0.9, 0.4, 0.6],
    }
    cells["few"] = cells["above"][:4]
    frame = pd.DataFrame(
        [
            {"arm": "a", "x": name, "y": 1, "seed": seed, "welfare": value}
            for name, values in cells.items()
            for seed, value in enumerate(values)
        ]
    )
    figure = phase(frame, "welfare", ("x", "y"), limit=0.5)
    dots = {round(line.get_xdata()[0]) for line in figure.axes[0].lines if line.get_marker() == "o"}
    assert dots == {list(cells).index("around"), list(cells).index("few")}
    assert "interval holds that limit, or there are fewer than 5 seeds" in said(figure)


def test_small_multiples_say_how_many_seeds_a_panel_has(said):
    frame = rounds_of(["a", "b"], 6, 2, k=[1, 2])
    notes = [
        said(multiples(table, "welfare", ["k"]))
        for table in (frame, frame[(frame["k"] == 1) | (frame["seed"] < 2)], frame[frame["seed"] < 1])
    ]
    assert "mean of 6 seeds" in notes[0] and "mean of 2 to 6 seeds" in notes[1] and "One seed" in notes[2]


def test_between_names_the_line_runs_along_the_edges_of_cells():
    frame = rounds_of(["a"], 2, 1, x=["p", "q", "r"], y=["s", "t"])
    frame["welfare"] = (frame["x"] == "r").astype(float)
    ax = phase(frame, "welfare", ("x", "y"), limit=0.5).axes[0]
    edges = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linewidth() == 1.8]
    assert len(edges) == 2 and all(set(line.get_xdata()) == {1.5} for line in edges)


@given(st.lists(st.floats(-1e3, 1e3, allow_nan=False), min_size=1, max_size=9, unique=True))
def test_every_value_has_a_cell_of_its_own_that_can_be_seen(values):
    found = axis("k", sorted(values))
    assert len(found.edges) == len(values) + 1 and (np.diff(found.edges) > 0).all()
    assert (np.diff(found.edges) >= 0.059 * (found.edges[-1] - found.edges[0])).all()
    assert all(a <= c <= b for a, c, b in zip(found.edges[:-1], found.centers, found.edges[1:], strict=True))


@settings(max_examples=25)
@given(
    st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=7, unique=True),
    st.integers(1, 2),
    st.integers(1, 9),
)
@example(["a", "b"], 2, 45)
def test_small_multiples_have_a_panel_per_point_whatever_the_names_are(names, seeds, points):
    frame = rounds_of(names, seeds, 2, k=[i / 7 for i in range(points)])
    figure = multiples(frame, "welfare", ["k"])
    panels = [ax for ax in figure.axes if ax.axison]
    assert len(panels) == points
    for place in (0, points - 1):
        lines = curves(panels[place])
        for name in names:
            part = frame[(frame["arm"] == name) & (frame["k"] == place / 7)]
            mean = part.groupby("round")["welfare"].mean().to_numpy()
            assert any(np.allclose(mean, line) for line in lines)
    assert len({ax.get_ylim() for ax in panels}) == 1


def curves(ax) -> list[np.ndarray]:
    return [np.asarray(line.get_ydata(), float) for line in ax.lines if len(line.get_xdata()) == 2]


def test_a_dot_stands_for_a_person_in_the_disc_of_the_community(said):
    people, ties = network_of(["a"], users=60, communities=3)
    figure = network(people, ties, plots.arm_styles(["a"]))
    for ax, when in zip(figure.axes, ("start", "end"), strict=False):
        part = people[people["when"] == when]
        discs = [p for p in ax.patches]
        dots = [c for c in ax.collections if isinstance(c, PathCollection)]
        assert len(discs) == len(dots) == 3
        for community, (disc, cloud) in enumerate(zip(discs, dots, strict=True)):
            places = np.asarray(cloud.get_offsets())
            assert len(places) == (part["community"] == community).sum()
            assert (np.hypot(*(places - disc.center).T) <= disc.radius).all()
        for one, other in itertools.combinations(discs, 2):
            assert np.hypot(*np.subtract(one.center, other.center)) >= one.radius + other.radius
    # the same tastes at the start are the same colors
    part = ties[(ties["when"] == "end") & (ties["by"] == "community")]
    inside = part.loc[part["one"] == part["other"], "ties"].sum() / part["ties"].sum()
    assert f"within a community {100 * inside:.0f} %" in said(figure)


def test_places_in_a_disc_lie_in_it_and_apart():
    spots = sunflower(200)
    assert (np.hypot(*spots.T) <= 1).all()
    gaps = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1)) + 9 * np.eye(200)
    assert gaps.min() > 0.8 / np.sqrt(200)


def test_bars_of_sensitivity_are_the_largest_indices_with_their_intervals():
    table = indices_of(20).sample(frac=1, random_state=0)
    ax = sensitivity(table, "Welfare").axes[0]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(np.linspace(0.6, 0, 20)[:16])
    segments = ax.collections[0].get_segments()
    assert [tuple(s[:, 0]) for s in segments] == [
        pytest.approx((v - 0.1, v + 0.1)) for v in np.linspace(0.6, 0, 20)[:16]
    ]


def test_survival_shows_every_rank_beside_its_neutral_shadow():
    frame = tastes_of(["a", "b"])
    figure = survival(frame)
    panels = [ax for ax in figure.axes if ax.axison]
    assert len(panels) == 6
    for place, (rank, name) in enumerate(itertools.product((1, 2, 3), ("survived", "survived_neutral"))):
        part = frame[frame["taste"] == rank]
        for arm in "ab":
            mean = part[part["arm"] == arm].groupby("round")[name].mean().to_numpy()
            lines = [
                np.asarray(line.get_ydata(), float)
                for line in panels[place].lines
                if len(line.get_xdata()) == 9
            ]
            assert any(np.allclose(mean, line) for line in lines)
    assert all(ax.get_ylim()[1] <= 1.03 for ax in panels)


def test_the_same_tables_give_the_same_bytes():
    pairs = zip(every_figure(["a", "b"], 2, 3), every_figure(["a", "b"], 2, 3), strict=True)
    for place, (first, second) in enumerate(pairs):
        for kind in ("svg", "pdf") if place < 2 else ("svg",):
            assert plots.render(first, kind) == plots.render(second, kind)
