"""The interactive page: its numbers are those of the tables, names cannot break out of it, it loads nothing."""

from __future__ import annotations

import base64
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.report import interactive, interactive_data
from echodrift.analysis.report.interactive import build_interactive, json_in_html
from echodrift.analysis.results import read_results
from echodrift.cli import entry
from echodrift.errors import BadInput
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

NASTY = [
    "</script><script>window.pwned=1</script>",
    "<!--<script>",
    "quotes \" and ' and `",
    "line\nbreak\u2028and\u2029more",
    "<a href='https://example.org'>link</a><b>bold</b>",
    "emoji 🎸 %{y} $x^2$ {{ 7*7 }} &amp; &lt;",
]


def study(folder: Path, arms=("a", "b", "c"), seeds=6, rounds=40, points=(None,), measures=None) -> Path:
    """Write the tables of an invented study; `rounds` of NaN every other round for `regret`."""
    rng = np.random.default_rng(3)
    measures = measures or ("niche_exposure", "niche_consumed", "welfare", "regret")
    parts = []
    for point in points:
        for place, arm in enumerate(arms):
            for seed in range(seeds):
                values = (
                    rng.normal(0.3 + 0.1 * place, 0.02, (rounds, len(measures))).cumsum(axis=0) / 10 + 0.2
                )
                table = pd.DataFrame(values, columns=list(measures)).assign(arm=arm, seed=seed)
                table = table.assign(round=range(rounds), **({} if point is None else {"x.y": point}))
                if "regret" in measures:
                    table.loc[table["round"] % 2 == 1, "regret"] = np.nan
                parts.append(table)
    table = pd.concat(parts, ignore_index=True)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / "rounds.parquet")
    keys = [key for key in ("arm", "x.y", "seed") if key in table]
    table[keys].drop_duplicates().assign(status="ok", error=None).to_parquet(folder / "runs.parquet")
    text = ['name = "invented"', f"rounds = {rounds}", 'primary = ["welfare"]']
    text += ["[[arms]]\nname = " + json.dumps(arm, ensure_ascii=False) for arm in arms]
    text += [f'[grid]\n"x.y" = {list(points)}'] if points != (None,) else []
    (folder / "study.toml").write_text("\n".join(text), encoding="utf-8")
    return folder


def unpacked(data: dict, what: str) -> np.ndarray:
    """Numbers [point, measure, arm or pair, mean or half, bin] as the page's script works them out."""
    rows = len(data["arms"] if what == "curves" else data["pairs"])
    shape = (len(data["points"]), len(data["measures"]), rows, 2, data["bins"])
    packed = np.frombuffer(base64.b64decode(data[what]["numbers"]), "<i2").reshape(shape).astype(float)
    packed[packed == interactive_data.MISSING] = np.nan
    offset, step, half = (
        np.array(data[what]["scales"]).reshape(*shape[:2], 3).transpose(2, 0, 1)[..., None, None]
    )
    packed[:, :, :, 0] = packed[:, :, :, 0] * step + offset
    packed[:, :, :, 1] = packed[:, :, :, 1] * half
    return packed


def test_curves_and_differences_are_those_of_the_tables(tmp_path):
    folder = study(tmp_path, points=(1, 2))
    data = interactive_data.page_data(read_results(folder))
    assert json.loads(json_in_html(data)) == data
    names = [measure["name"] for measure in data["measures"]]
    table = pd.read_parquet(folder / "rounds.parquet")
    curves, gaps = unpacked(data, "curves"), unpacked(data, "differences")
    for p, point in enumerate((1, 2)):
        cube = table[table["x.y"] == point].set_index(["arm", "seed", "round"])
        for name, arm in (("welfare", "b"), ("niche_exposure", "c"), ("regret", "a")):
            values = cube.loc[arm][name].unstack("seed")
            m, a = names.index(name), data["arms"].index(arm)
            np.testing.assert_allclose(curves[p, m, a, 0], values.mean(axis=1), atol=1e-4)
            low, high = stats.t.interval(0.95, 5, values.mean(axis=1), stats.sem(values, axis=1))
            np.testing.assert_allclose(curves[p, m, a, 1], (high - low) / 2, atol=1e-4)
        here, there = data["pairs"][1]
        pair = (cube.loc[data["arms"][here]] - cube.loc[data["arms"][there]])["welfare"].unstack("seed")
        m = names.index("welfare")
        np.testing.assert_allclose(gaps[p, m, 1, 0], pair.mean(axis=1), atol=1e-4)
        test = stats.ttest_1samp(pair, 0, axis=1).confidence_interval()
        np.testing.assert_allclose(gaps[p, m, 1, 1], (test.high - test.low) / 2, atol=1e-4)


def test_many_rounds_are_averaged_within_each_run_and_nothing_is_lost_of_a_jump(tmp_path):
    folder = study(tmp_path, arms=("a", "b"), seeds=3, rounds=1000, measures=("welfare",))
    table = pd.read_parquet(folder / "rounds.parquet")
    table["welfare"] = np.where(table["round"] >= 500, 1.0, 0.0) + 0.001 * table["seed"]
    table.to_parquet(folder / "rounds.parquet")
    data = interactive_data.page_data(read_results(folder))
    assert data["width"] == 4 and data["bins"] == 250
    curve = unpacked(data, "curves")[0, 0, 0, 0]
    np.testing.assert_allclose(curve, np.where(np.arange(250) >= 125, 1.001, 0.001), atol=1e-4)


def test_no_difference_stays_exactly_none(tmp_path):
    folder = study(tmp_path, arms=("a", "b"), measures=("welfare",))
    table = pd.read_parquet(folder / "rounds.parquet")
    same = (table["arm"] == "b") & (table["round"] < 20)
    table.loc[same, "welfare"] = table.loc[
        (table["arm"] == "a") & (table["round"] < 20), "welfare"
    ].to_numpy()
    table.to_parquet(folder / "rounds.parquet")
    gap = unpacked(interactive_data.page_data(read_results(folder)), "differences")[0, 0, 0]
    assert (gap[:, :20] == 0).all() and (gap[0, 20:] != 0).all()


@pytest.mark.parametrize(("seeds", "banded"), [(1, False), (2, True)])
def test_one_seed_has_no_bands(tmp_path, seeds, banded):
    data = interactive_data.page_data(read_results(study(tmp_path, seeds=seeds, measures=("welfare",))))
    assert np.isfinite(unpacked(data, "curves")[:, :, :, 1]).all() == banded


def test_exposure_stands_beside_what_is_taken_and_wanted(tmp_path):
    names = ["niche_exposure", "niche_consumed", "niche_demand", "coverage", "coverage_consumed", "welfare"]
    names += [
        "minority_share",
        "minority_share_neutral",
        "popularity_lift:group=x",
        "popularity_lift_consumed:group=x",
    ]
    data = interactive_data.page_data(read_results(study(tmp_path, measures=names)))
    groups = {
        one["name"]: [data["measures"][place]["name"] for place in one["group"]] for one in data["measures"]
    }
    assert groups["niche_exposure"] == groups["niche_demand"] == names[:3]
    assert groups["coverage_consumed"] == names[3:5] and groups["welfare"] == ["welfare"]
    assert groups["minority_share"] == groups["minority_share_neutral"] == names[6:8]
    assert groups[names[8]] == groups[names[9]] == names[8:]


def test_a_page_that_would_grow_too_large_says_what_it_left_out(tmp_path, monkeypatch):
    results = read_results(study(tmp_path, arms=[str(i) for i in range(8)], points=tuple(range(9)), seeds=2))
    whole = interactive_data.contents(results)
    assert (whole.left_out, whole.bins, len(whole.pairs)) == ("", 40, 28)
    monkeypatch.setattr(interactive_data, "BUDGET", 60_000)
    less = interactive_data.contents(results)
    assert "differences from arms other than 0" in less.left_out and len(less.pairs) == 7 and less.bins == 40
    monkeypatch.setattr(interactive_data, "BUDGET", 15_000)
    least = interactive_data.contents(results)
    assert least.measures == ["welfare"] and "all but the primary measures" in least.left_out
    assert least.left_out in build_interactive(results.folder).read_text("utf-8")


class Page(HTMLParser):
    """Tags, and the text of every script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.open = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open = tag == "script"
        if self.open:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.open = False

    def handle_data(self, data):
        if self.open:
            self.scripts[-1] += data


def test_names_cannot_break_out_and_nothing_is_loaded(tmp_path):
    folder = study(tmp_path, arms=NASTY, seeds=2, rounds=5)
    text = build_interactive(folder).read_text("utf-8")
    page = Page(text)
    assert [tag for tag, _ in page.tags].count("script") == len(page.scripts) == 3
    assert json.loads(page.scripts[0])["arms"] == NASTY
    for tag, attributes in page.tags:
        assert not {"src", "href", "style"} & set(attributes) and tag not in (
            "link",
            "iframe",
            "object",
            "base",
        )
        assert not any(key.startswith("on") for key in attributes)
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and policy.count("sha256-") == 2
    assert "unsafe-eval" not in policy and "script-src 'unsafe-inline'" not in policy


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_in_a_page_comes_back_whole_and_never_ends_its_script(value):
    text = json_in_html(value)
    assert json.loads(text) == value and text.isascii()
    assert not set("<>&") & set(text)


def test_the_same_tables_give_the_same_page(tmp_path):
    folder = study(tmp_path, seeds=2)
    assert build_interactive(folder).read_bytes() == build_interactive(folder).read_bytes()


def test_every_run_failed_still_gives_a_page(tmp_path):
    folder = study(tmp_path, seeds=2, rounds=3)
    rounds = pd.read_parquet(folder / "rounds.parquet")
    rounds.iloc[:0].to_parquet(folder / "rounds.parquet")
    runs = pd.read_parquet(folder / "runs.parquet")
    runs.assign(status="failed", error="no").to_parquet(folder / "runs.parquet")
    assert "No run finished" in build_interactive(folder).read_text("utf-8")


def test_without_plotly_the_error_says_what_to_install_before_any_work(tmp_path, monkeypatch, capsys):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "plotly" else real(name, *rest)
    )
    with pytest.raises(BadInput, match=r'pip install "echodrift\[interactive\]"'):
        interactive.plotly_script()
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["echodrift", "run", "default", "--out", str(out), "--interactive"])
    # In this process: main() runs it in a child of its own.
    assert entry._run() == 2 and not out.exists()
    assert 'pip install "echodrift[interactive]"' in capsys.readouterr().err
