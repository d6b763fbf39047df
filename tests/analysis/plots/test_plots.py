"""Figures say what the tables say, fit on their page, and survive odd studies."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis import plots
from echodrift.analysis.measures.columns import describe
from echodrift.analysis.plots.series import MOST_POINTS, curves
from echodrift.analysis.statistics import compare
from matplotlib.collections import PolyCollection
from PIL import Image
from scipy import stats

COLUMNS = ["niche_exposure", "niche_consumed", "niche_demand", "exposure_gini", "exposure_gini_consumed"]
TASTES = [
    "minority_hit_rate",
    "dominant_hit_rate",
    "minority_share",
    "minority_share_neutral",
    "dominant_share",
]
LONG = (
    "matrix factorization with 64 dimensions, reranked by calibration at weight 0.5, learning from everything"
)
NAMES = {
    "plain": ["organic", "popularity", "MF 8"],
    "one": ["organic"],
    "many": [f"arm number {i}" for i in range(12)],
    "long": [f"{LONG} {i}" for i in range(12)],
    "odd": ["<script>alert(1)</script>", "$5 off $10", "_hidden", "日本語", "a\nb\x07", "%d {x}", "\\frac"],
}


def table(arms, seeds=4, rounds=30, columns=(*COLUMNS, *TASTES, "welfare")) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = pd.MultiIndex.from_product([arms, range(seeds), range(rounds)], names=["arm", "seed", "round"])
    frame = rows.to_frame(index=False)
    for column in columns:
        frame[column] = rng.uniform(0.2, 0.8, len(frame))
    return frame


def run_table(arms, seeds=4) -> pd.DataFrame:
    frame = table(arms, seeds, rounds=1).drop(columns="round")
    frame["niche_half_life"] = np.linspace(3, 100, len(frame)).round()
    frame["niche_half_life_censored"] = frame["niche_half_life"] > 60
    return frame


def lorenz_table(arms, seeds=2) -> pd.DataFrame:
    x = np.linspace(0, 1, 101)
    keys = itertools.product(arms, range(seeds), ["start", "end"], ["exposure", "consumption", "demand"])
    return pd.concat(
        pd.DataFrame({"arm": a, "seed": s, "when": when, "what": what, "x": x, "y": x**2})
        for a, s, when, what in keys
    )


def every_figure(arms, seeds=4, rounds=30):
    styles = plots.arm_styles(arms, arms[0])
    frame, runs = table(arms, seeds, rounds), run_table(arms, seeds)
    rows = [("niche_exposure", "niche_consumed", "niche_demand")]
    yield plots.long_horizon(
        frame, rows, styles, title="A title that is long enough to need two lines on its page"
    )
    yield plots.long_horizon(frame, [("exposure_gini", "exposure_gini_consumed"), "welfare"], styles)
    yield plots.tastes(frame, styles)
    yield plots.lorenz(lorenz_table(arms), styles)
    yield plots.half_life(runs, styles)
    compared = compare(runs, arms[0], COLUMNS)
    yield plots.differences(compared, COLUMNS[:3], arms[0], styles)
    yield plots.across_grid(
        ["0", "0.02", "0.1"], [runs] * 3, ["welfare", "niche_consumed"], styles, axis="rate"
    )


@pytest.mark.parametrize(
    "kind",
    ["one", "odd", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("plain", "many", "long"))],
)
def test_nothing_written_leaves_the_page_or_lies_over_something_else(assert_legible, kind):
    for figure in every_figure(NAMES[kind]):
        assert_legible(figure)


def test_a_curve_is_the_mean_over_seeds_with_a_t_band():
    frame = table(["a", "b"], seeds=5)
    frame.loc[(frame["arm"] == "a") & (frame["seed"] == 3) & (frame["round"] == 7), "welfare"] = np.nan
    curve = curves(frame, ["welfare"])["welfare"]["a"]
    at = frame[(frame["arm"] == "a") & (frame["round"] == 7)]["welfare"].dropna()
    low, high = stats.ttest_1samp(at, 0).confidence_interval(0.95)
    assert len(at) == 4 and curve.mean[7] == pytest.approx(at.mean())
    assert (curve.mean[7] - curve.half[7], curve.mean[7] + curve.half[7]) == pytest.approx((low, high))
    figure = plots.long_horizon(frame, ["welfare"])
    line = next(line for line in figure.axes[0].lines if len(line.get_xdata()) == 30)
    assert list(line.get_ydata()) == pytest.approx(list(curve.mean))


def test_rounds_without_evaluation_are_skipped_and_not_drawn_as_gaps():
    frame = table(["a"], rounds=31)
    frame.loc[frame["round"] % 5 != 0, "welfare"] = np.nan
    assert list(curves(frame, ["welfare"])["welfare"]["a"].rounds) == [0, 5, 10, 15, 20, 25, 30]


def test_many_rounds_are_averaged_within_runs_before_the_band():
    frame = table(["a"], seeds=3, rounds=5000, columns=["welfare"])
    curve = curves(frame, ["welfare"])["welfare"]["a"]
    width = -(-5000 // MOST_POINTS)
    assert len(curve.rounds) <= MOST_POINTS
    first = frame[frame["round"] < width].groupby("seed")["welfare"].mean()
    assert curve.mean[0] == pytest.approx(first.mean())
    assert curve.half[0] == pytest.approx(stats.t.ppf(0.975, 2) * first.std() / np.sqrt(3))


def titles(figure):
    return [ax.get_title(loc="left").replace("\n", " ") for ax in figure.axes]


def test_an_exposure_curve_has_its_twins_beside_it_on_the_same_scale():
    figure = plots.long_horizon(table(["a", "b"]), [("niche_exposure", "niche_consumed", "niche_demand")])
    assert titles(figure) == [describe(name).title for name in COLUMNS[:3]]
    tops = {ax.get_position().y0 for ax in figure.axes}
    assert len(tops) == 1 and len({ax.get_ylim() for ax in figure.axes}) == 1


def test_a_missing_twin_leaves_a_note_in_its_place(said):
    frame = table(["a"]).assign(niche_consumed=np.nan)
    figure = plots.long_horizon(frame, [("niche_exposure", "niche_consumed"), "regret"])
    text = said(figure)
    assert "no value in this study" in text and describe("regret").title in text


def test_nothing_at_all_gives_a_figure_that_says_so(said):
    figure = plots.long_horizon(table(["a"]).assign(welfare=np.nan), ["welfare", "unheard_of"])
    assert "None of these measures has a value." in said(figure)


@pytest.mark.parametrize(("seeds", "rounds"), [(1, 1), (1, 30), (5, 1), (2, 2)])
def test_one_seed_or_one_round_still_gives_figures(drawn_texts, seeds, rounds):
    for figure in every_figure(["a", "b"], seeds, rounds):
        assert len(plots.render(figure, "png", 60)) > 1000
    frame = table(["a", "b"], seeds, rounds)
    figure = plots.long_horizon(frame, ["welfare"])
    bands = [c for c in figure.axes[0].collections if isinstance(c, PolyCollection)]
    if seeds == 1 and rounds > 1:
        assert all(np.isnan(curve.half).all() for curve in curves(frame, ["welfare"])["welfare"].values())
        assert "One seed: no bands." in [text for text, _ in drawn_texts(figure)]
        assert all(not len(path.vertices) for band in bands for path in band.get_paths())


def test_labels_at_line_ends_keep_their_order_and_do_not_touch(drawn_texts):
    for seed in range(5):
        ends = np.random.default_rng(seed).normal(0.5, 0.01, 10)
        frame = pd.concat(
            pd.DataFrame({"arm": f"arm {i}", "seed": 0, "round": [0, 1, 2], "welfare": [0, 1, end]})
            for i, end in enumerate(ends)
        )
        figure = plots.long_horizon(frame, ["welfare"])
        letters = {text: box for text, box in drawn_texts(figure) if len(text) == 1 and text.isalpha()}
        styles = plots.arm_styles([f"arm {i}" for i in range(10)])
        heights = [letters[styles[f"arm {i}"].letter].y0 for i in np.argsort(ends)]
        assert (np.diff(heights) >= 0.09 * figure.dpi).all()


def test_of_too_many_arms_a_panel_colors_the_reference_and_the_extremes(said):
    many = 28
    names = [f"arm {i}" for i in range(many)]
    frame = pd.concat(
        pd.DataFrame(
            {"arm": name, "seed": 0, "round": [0, 1, 2], "welfare": [0.0, 1.0, float(i % 14 + i / 100)]}
        )
        for i, name in enumerate(names)
    )
    styles = plots.arm_styles(names, reference="arm 5")
    figure = plots.long_horizon(frame, ["welfare"], styles)
    panel = next(ax for ax in figure.axes if ax.get_title(loc="left"))
    letters = {text.get_text() for text in panel.texts}
    assert letters == {styles[f"arm {i}"].letter for i in (0, 14, 1, 5, 26, 13, 27)}
    curves = [line for line in panel.lines if len(line.get_xdata()) == 3]
    assert len(curves) == many, "every arm is drawn, in gray where not in color"
    assert "the others are gray" in said(figure)
    assert len({style.letter for style in styles.values()}) == many
    assert all(len(style.letter) == 1 for style in styles.values())


def test_the_share_lost_by_minority_tastes_is_set_against_the_neutral_shadow():
    frame = table(["a"]).assign(minority_share=0.06, minority_share_neutral=0.09)
    figure = plots.tastes(frame)
    panel = next(ax for ax in figure.axes if "neutral shadow" in ax.get_title(loc="left").replace("\n", " "))
    line = next(line for line in panel.lines if len(line.get_xdata()) == 30)
    assert line.get_ydata() == pytest.approx(np.full(30, -3.0))
    assert panel.get_ylabel() == "percentage points"


def test_the_forest_shows_the_interval_of_the_table():
    runs = run_table(["a", "b"], seeds=6)
    compared = compare(runs, "a", ["welfare"])
    figure = plots.differences(compared, ["welfare"], "a")
    row = compared.iloc[0]
    ends = [tuple(line.get_xdata()) for line in figure.axes[0].lines if line.get_linewidth() == 1.4]
    assert ends == [pytest.approx((row["low"], row["high"]))]


def test_a_run_that_never_halves_is_not_a_dot_at_its_last_round(drawn_texts):
    runs = run_table(["a"], seeds=3).assign(niche_half_life=[149.0] * 3, niche_half_life_censored=[True] * 3)
    figure = plots.half_life(runs)
    assert "> 149 rounds (0 of 3)" in [text for text, _ in drawn_texts(figure)]
    assert not [line for line in figure.axes[0].lines if line.get_marker() == "o" and len(line.get_xdata())]


def test_arms_keep_their_look_and_differ_from_each_other():
    arms = NAMES["many"]
    styles = plots.arm_styles(arms, "arm number 3")
    assert styles["arm number 3"].color == "#000000"
    looks = {(s.color, str(s.dash)) for s in styles.values()}
    assert len(looks) == len({s.letter for s in styles.values()}) == 12
    assert len({s.marker for s in styles.values() if s.name != "arm number 3"}) == 11
    assert plots.arm_styles(arms[:5], "arm number 3")["arm number 4"] == styles["arm number 4"]
    assert len({s.letter for s in plots.arm_styles([str(i) for i in range(60)]).values()}) == 60


def contrast_on_white(color: str) -> float:
    """WCAG 2.1 contrast ratio against white."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 1.05 / (np.dot([0.2126, 0.7152, 0.0722], linear) + 0.05)


def test_letters_can_be_read_on_white():
    for style in plots.arm_styles(NAMES["many"]).values():
        assert contrast_on_white(style.ink) >= 4.0, style.ink


def test_files_are_the_same_every_time_and_the_svg_is_well_formed():
    def some():
        return itertools.islice(every_figure(NAMES["odd"], rounds=5), 4, 6)

    for first, second in zip(some(), some(), strict=True):
        svg = plots.render(first, "svg")
        assert svg == plots.render(second, "svg")
        assert plots.render(first, "png") == plots.render(second, "png")
        ET.fromstring(svg)
        assert b"<script>" not in svg and b"<dc:date>" not in svg


def test_pictures_stand_on_pure_white():
    picture = Image.open(io.BytesIO(plots.render(plots.long_horizon(table(["a", "b"]), ["welfare"]), "png")))
    assert picture.convert("RGB").getpixel((2, 2)) == (255, 255, 255)


def test_figures_touch_no_global_state():
    code = (
        "import matplotlib, sys; before = dict(matplotlib.rcParams)\n"
        "import pandas as pd; from echodrift.analysis import plots\n"
        "f = pd.DataFrame({'arm': 'a', 'seed': 0, 'round': [0, 1], 'welfare': [0.0, 1.0]})\n"
        "plots.render(plots.long_horizon(f, ['welfare']), 'png')\n"
        "assert dict(matplotlib.rcParams) == before\n"
        "from matplotlib._pylab_helpers import Gcf; assert not Gcf.figs\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
