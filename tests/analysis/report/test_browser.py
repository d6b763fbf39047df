"""The two pages of a study in a real browser without a screen: what a person sees, reaches and can do."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import echodrift as ed
import numpy as np
import pandas as pd
import pytest
import tomli_w
from echodrift.analysis.report.build import build_report
from echodrift.analysis.report.interactive import build_interactive
from scipy import stats

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on this machine, so no page is opened in a browser"
    ),
]
PHONE, DESKTOP = (390, 844), (1280, 900)
HOSTILE = (
    "<img src=x onerror=window.pwned=1>'\"</script><script>window.pwned=1</script> & a name that goes on 🎸"
)
ROUNDS, SEEDS = 12, 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A finished study, small and real: four arms, one of them switched, a grid of two points, a gate."""
    policies = {"kind": "matrix_factorization", "dim": 4}
    arms: list[dict[str, Any]] = [
        {"name": "organic", "policy": {"kind": "organic"}},
        {"name": HOSTILE, "policy": {"kind": "popularity"}},
        {"name": "factors", "policy": policies},
        {"name": "switched", "policy": policies, "switch": [{"round": 6, "policy": {"kind": "random"}}]},
    ]
    gate = {
        "baseline": "factors",
        "candidate": "switched",
        "horizon": "last 5 rounds",
        "guardrail": [{"measure": "niche_exposure", "at_least": "baseline - 0.5"}],
        "goal": [{"measure": "welfare", "at_least": "baseline - 5"}],
    }
    study = {
        "name": "A study in a browser",
        "rounds": ROUNDS,
        "seeds": SEEDS,
        "primary": ["welfare", "niche_exposure"],
        "world": {"users": 60, "items": 100, "topics": 6, "providers": 10},
        "platform": {"slate": 5, "warmup": 3},
        "arms": arms,
        "grid": {"behavior.attention": [0.7, 0.9]},
        "gate": gate,
    }
    folder = Path(ed.run(study, out=tmp_path_factory.mktemp("browser") / "out", jobs=1).folder)
    build_interactive(folder)
    build_report(_one_point(folder, tmp_path_factory.mktemp("point")))
    return folder


def _one_point(folder: Path, other: Path) -> Path:
    """The study's first grid point as a study of its own: half the figures to draw, the page beside the other."""
    study = tomllib.loads((folder / "study.toml").read_text("utf-8"))
    ((key, (first, _)),) = study.pop("grid").items()
    for path in folder.glob("*.parquet"):
        table = pd.read_parquet(path)
        table[table[key] == first].drop(columns=key).to_parquet(other / path.name)
    (other / "study.toml").write_text(tomli_w.dumps(study), encoding="utf-8")
    (folder / "figures").symlink_to(other / "figures")
    (folder / "report.html").symlink_to(other / "report.html")
    return other


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    flags = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield running
        running.close()


class Visit:
    """A page that was opened, and what went wrong on it."""

    def __init__(self, browser: Any, path: Path, size: tuple[int, int], **options: Any) -> None:
        self.wrong: list[str] = []
        self.requests: list[str] = []
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        self.page = context.new_page()
        self.page.on("console", lambda said: self.wrong.append(f"console: {said.text}"))
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))
        self.page.on("requestfailed", lambda request: self.wrong.append(f"failed: {request.url[:80]}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_load_state("load")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.page.context.close()

    def ask(self, script: str, *rest: Any) -> Any:
        return self.page.evaluate(script, *rest)

    def curves(self, chart: str = "#values") -> int:
        """Lines (not bands) that the first chart of a section draws."""
        return self.ask(
            f"document.querySelector('{chart} .chart').data.filter(t => t.meta !== undefined).length"
        )


@pytest.fixture(params=["report.html", "interactive.html"])
def name(request) -> str:
    return request.param


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_page_loads_alone_and_fits(browser, folder, name, size):
    with Visit(browser, folder / name, size) as visit:
        assert visit.wrong == []
        # a data: image is no request to anywhere
        assert [url for url in visit.requests if not url.startswith("data:")] == [(folder / name).as_uri()]
        assert visit.ask("document.documentElement.scrollWidth") <= size[0]
        assert visit.ask("document.documentElement.lang") == "en" and visit.page.title()
        assert visit.ask("window.pwned === undefined") and HOSTILE in visit.ask("document.body.textContent")
        levels = visit.ask("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))")
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        assert visit.ask(CLIPPED) == []


CLIPPED = """() => {
    // Text that sticks out of the window, or out of its own box, where nothing scrolls it into view.
    const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const text = walker.currentNode, parent = text.parentElement;
        if (!text.textContent.trim() || !parent.checkVisibility() || parent.closest('.box, pre, select, script, style, svg')) continue;
        const range = document.createRange();
        range.selectNodeContents(text);
        const box = range.getBoundingClientRect(), own = parent.getBoundingClientRect();
        if (box.right > innerWidth + 1 || box.left < -1) found.push(['window', text.textContent.slice(0, 40)]);
        if (parent.tagName === 'BUTTON' && (box.right > own.right + 1 || box.bottom > own.bottom + 1)) found.push(['button', text.textContent.slice(0, 40)]);
    }
    return found;
}"""


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_every_figure_of_the_report_is_there_and_says_what_it_shows(browser, folder, size):
    with Visit(browser, folder / "report.html", size) as visit:
        pictures = visit.ask(
            "[...document.images].map(i => [i.naturalWidth, i.naturalHeight, i.alt, i.getBoundingClientRect().width])"
        )
        assert len(pictures) == len(list((folder / "figures").glob("*.png"))) >= 10
        for width, height, words, shown in pictures:
            assert width > 500 and height > 100 and len(words) > 30
            assert 300 < shown <= size[0]
        drawn = visit.ask(
            "[...document.querySelectorAll('svg.against')].map(s => [s.getAttribute('aria-label'), s.getBoundingClientRect().width])"
        )
        assert len(drawn) == 2 and all("≥ baseline" in words and width > 100 for words, width in drawn)
        assert visit.page.locator("#gate .verdict b").inner_text() in ("PASS", "FAIL", "UNDECIDED")
        top = "s => document.querySelector(s).getBoundingClientRect().top"
        assert visit.ask(top, "#gate") < visit.ask(top, "#answer")


def test_a_dark_screen_keeps_the_report_readable(browser, folder, name):
    with Visit(browser, folder / name, DESKTOP, color_scheme="dark") as visit:
        assert visit.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert visit.ask("getComputedStyle(document.body).color") == "rgb(26, 26, 26)"


def walk(visit: Visit, most: int = 400) -> list[dict[str, Any]]:
    """Press Tab until the focus leaves the page; what was reached, with its name and outline."""
    reached = []
    for _ in range(most):
        visit.page.keyboard.press("Tab")
        at = visit.ask(
            """() => { const e = document.activeElement, s = getComputedStyle(e); return e === document.body ? null :
            { tag: e.tagName, id: e.id || e.dataset.arm || '', name: e.ariaLabel || e.labels?.[0]?.textContent || e.textContent,
              outline: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2, seen: e.getBoundingClientRect().width > 0 } }"""
        )
        if at is None:
            return reached
        reached.append(at)
    raise AssertionError("Tab never leaves the page")


def test_tab_reaches_every_control_and_shows_where_it_is(browser, folder, name):
    with Visit(browser, folder / name, PHONE) as visit:
        controls = visit.ask(
            "[...document.querySelectorAll('a[href], button, input, select, summary, [tabindex]')]"
            ".filter(e => e.checkVisibility() && !e.disabled).length"
        )
        reached = walk(visit)
        assert len(reached) >= controls > 5
        for at in reached:
            assert at["outline"] and at["seen"] and at["name"].strip(), at
        if name == "interactive.html":
            ids = [at["id"] for at in reached]
            wanted = [
                "measure",
                "point",
                "reference",
                "from",
                "to",
                "bands",
                "0",
                "1",
                "2",
                "3",
                "all",
                "none",
                "round",
            ]
            assert [one for one in ids if one in wanted] == wanted


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_key_hides_an_arm_and_brings_it_back(browser, folder, key):
    with Visit(browser, folder / "interactive.html", DESKTOP) as visit:
        before, gaps = visit.curves(), visit.curves("#differences")
        button = visit.page.locator("#arms button").nth(2)
        button.focus()
        for pressed, curves in (("false", before - 1), ("true", before)):
            visit.page.keyboard.press(key)
            assert button.get_attribute("aria-pressed") == pressed
            assert visit.curves() == curves and visit.curves("#differences") == gaps - (pressed == "false")
            drawn = visit.page.locator("#values .chart").first.locator(
                ".scatterlayer path.js-line[style*='stroke-width: 2px']"
            )
            assert drawn.count() == curves
        label = visit.page.locator("#values .chart").first.get_attribute("aria-label")
        assert "factors" in label
        visit.page.locator("#none").click()
        assert visit.curves() == 0 and "0 of" in visit.page.locator("#status").inner_text()
        visit.page.locator("#all").click()
        assert visit.curves() == before and visit.wrong == []


def test_the_numbers_of_a_round_are_those_of_the_tables(browser, folder):
    with Visit(browser, folder / "interactive.html", DESKTOP) as visit:
        page = visit.page
        page.locator("#measure").select_option(
            label=page.locator("#measure option", has_text="(welfare)").inner_text()
        )
        page.locator("#point").select_option("1")
        page.locator("#round").focus()
        page.keyboard.press("Home")
        for _ in range(8):
            page.keyboard.press("ArrowRight")
        assert page.locator("#which").inner_text() == "8"
        rows = [row.locator("td").all_inner_texts() for row in page.locator("#table tbody tr").all()]
        arms = json.loads(page.locator("#data").text_content())["arms"]
        rounds = pd.read_parquet(folder / "rounds.parquet")
        here = rounds[(rounds["behavior.attention"] == 0.9) & (rounds["round"] == 8)]
        table = here.pivot(index="seed", columns="arm", values="welfare")
        for arm, (value, gap) in zip(arms, rows, strict=False):
            half = stats.sem(table[arm]) * stats.t.ppf(0.975, SEEDS - 1)
            assert _numbers(value) == pytest.approx(
                [table[arm].mean(), table[arm].mean() - half, table[arm].mean() + half], abs=2e-3
            )
            if arm != arms[0]:
                test = stats.ttest_rel(table[arm], table[arms[0]])
                low, high = test.confidence_interval()
                mean = (table[arm] - table[arms[0]]).mean()
                assert _numbers(gap) == pytest.approx([mean, low, high], abs=2e-3)
            else:
                assert gap == "–"
        page.locator("#reference").select_option("2")
        other = [row.locator("td").nth(1).inner_text() for row in page.locator("#table tbody tr").all()]
        low, high = stats.ttest_rel(table[arms[1]], table[arms[2]]).confidence_interval()
        assert other[2] == "–"
        assert _numbers(other[1])[1:] == pytest.approx([low, high], abs=2e-3)
        assert "factors" in page.locator("#gaps-title").inner_text() and visit.wrong == []


def _numbers(text: str) -> list[float]:
    words = text.replace("−", "-").replace("[", " ").replace("]", " ").replace("to", " ").split()
    return [float(word.replace(",", "")) for word in words]


def test_hovering_tells_the_value_and_names_stay_names(browser, folder):
    with Visit(browser, folder / "interactive.html", DESKTOP) as visit:
        chart = visit.page.locator("#values .chart").first
        visit.page.locator("#none").click()
        visit.page.locator("#arms button").nth(1).click()
        chart.scroll_into_view_if_needed()
        x, y = visit.ask(
            "() => { const c = document.querySelector('#values .chart'), t = c.data.find(t => t.meta !== undefined), l = c._fullLayout,"
            " b = c.getBoundingClientRect(); return [b.left + l.margin.l + l.xaxis.l2p(t.x[5]), b.top + l.margin.t + l.yaxis.l2p(t.y[5])] }"
        )
        visit.page.mouse.move(x, y)
        chart.locator(".hoverlayer text").first.wait_for()
        told = "".join(chart.locator(".hoverlayer text").all_text_contents())
        assert "round 5" in told and "<img src=x" in told
        assert visit.ask("document.querySelectorAll('.chart a, .chart image').length") == 0
        assert visit.ask("window.pwned === undefined") and visit.wrong == []


def test_scales_bands_and_rounds_can_be_chosen(browser, folder):
    with Visit(browser, folder / "interactive.html", DESKTOP) as visit:
        page, first = visit.page, "document.querySelector('#values .chart')"
        bands = f"{first}.data.filter(t => t.fill === 'toself').length"
        assert visit.ask(bands) > 0
        page.locator("#bands").press("Space")
        assert visit.ask(bands) == 0
        page.locator("#from").fill("3")
        page.locator("#from").press("Enter")
        page.locator("#to").fill("999")
        page.locator("#to").press("Tab")
        assert visit.ask(f"{first}.layout.xaxis.range") == [3, ROUNDS - 1]
        page.locator("#measure").select_option(
            label=page.locator("#measure option", has_text="(niche_exposure)").inner_text()
        )
        assert page.locator("#values .chart").count() == 3
        spans = visit.ask("[...document.querySelectorAll('#values .chart')].map(c => c.layout.yaxis.range)")
        np.testing.assert_allclose(spans, [spans[0]] * 3)
        if page.locator("#log").is_enabled():
            page.locator("#log").check()
            assert visit.ask(f"{first}.layout.yaxis.type") == "log"
        assert visit.wrong == []


def test_no_script_runs_that_the_page_did_not_bring(browser, folder):
    with Visit(browser, folder / "interactive.html", DESKTOP) as visit:
        visit.ask(
            "() => { const s = document.createElement('script'); s.textContent = 'window.pwned = 1'; document.body.append(s) }"
        )
        assert visit.ask("window.pwned === undefined")
        assert any("Content Security Policy" in said for said in visit.wrong)
