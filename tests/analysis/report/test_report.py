"""The report page: complete, self-contained, harmless with hostile names, honest when runs failed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.report.build import build_report
from echodrift.analysis.report.tables import _within
from echodrift.analysis.statistics import half_life_fit
from echodrift.errors import BadInput, StorageError

# measure: (start, end per arm are spread between low and high, noise over rounds, evaluated every)
MEASURES = {
    "niche_exposure": (0.35, 0.04, 0.75, 0.01, 1),
    "niche_consumed": (0.32, 0.03, 0.6, 0.02, 1),
    "niche_demand": (0.40, 0.36, 0.41, 0.001, 1),
    "exposure_gini": (0.6, 0.3, 0.93, 0.005, 1),
    "exposure_gini_consumed": (0.65, 0.4, 0.95, 0.006, 1),
    "coverage": (0.8, 0.1, 0.95, 0.005, 1),
    "coverage_consumed": (0.3, 0.05, 0.4, 0.01, 1),
    "average_popularity": (12.0, 4.0, 41.0, 0.4, 1),
    "average_popularity_consumed": (14.0, 6.0, 45.0, 0.8, 1),
    "extinct_share": (0.05, 0.0, 0.8, 0.004, 1),
    "extinct_share_consumed": (0.3, 0.1, 0.9, 0.004, 1),
    "exhausted_share": (0.0, 0.0, 0.03, 0.002, 1),
    "popularity_lift": (0.2, -0.2, 1.9, 0.05, 1),
    "popularity_lift_consumed": (0.3, -0.1, 2.1, 0.08, 1),
    "minority_hit_rate": (0.30, 0.12, 0.66, 0.01, 1),
    "dominant_hit_rate": (0.55, 0.45, 0.88, 0.01, 1),
    "satisfied_visits": (0.5, 0.4, 0.8, 0.01, 1),
    "minority_share": (0.1, 0.03, 0.12, 0.0005, 1),
    "minority_share_neutral": (0.1, 0.085, 0.092, 0.0005, 1),
    "dominant_share": (0.6, 0.6, 0.85, 0.001, 1),
    "miscalibration": (0.9, 0.3, 1.6, 0.02, 1),
    "miscalibration_current": (0.9, 0.2, 1.3, 0.02, 1),
    "effective_tastes": (2.4, 1.5, 2.3, 0.003, 1),
    "effective_tastes_distinct": (2.2, 1.3, 2.1, 0.003, 1),
    "welfare": (1.0, 0.8, 1.9, 0.02, 1),
    "welfare_start": (1.0, 0.7, 1.7, 0.02, 1),
    "regret": (0.5, 0.0, 0.7, 0.01, 5),
    "homogenization": (0.02, 0.02, 0.2, 0.003, 1),
    "pairs_compared": (0.9, 0.3, 0.95, 0.003, 1),
    "community_gap": (0.005, 0.002, 0.06, 0.002, 1),
    "taste_assortativity": (0.4, 0.38, 0.5, 0.001, 5),
    "intra_user_diversity": (0.7, 0.3, 0.72, 0.004, 5),
    "inter_user_diversity": (0.8, 0.4, 0.82, 0.004, 5),
    "modularity": (0.6, 0.6, 0.62, 0.001, 5),
}
ARMS = ["organic", "popularity", "MF 8", "MF 64", "MF 8 + calibrated", "oracle_item", "oracle_slate"]


def synthetic(
    folder: Path,
    arms: list[str] = ARMS,
    seeds: int = 10,
    rounds: int = 150,
    grid: dict[str, list] | None = None,
    measures: dict = MEASURES,
    failed: list[tuple[str, int]] | None = None,
    extra: dict | None = None,
) -> Path:
    """Write a results folder with plausible, wholly invented curves."""
    rng = np.random.default_rng(5)
    grid = grid or {}
    points = [dict(zip(grid, values, strict=True)) for values in _product(list(grid.values()))]
    t = np.arange(rounds)
    tables, runs, lorenz = [], [], []
    x = np.linspace(0, 1, 101)
    for a, arm in enumerate(arms):
        place = ((a * 3 + 1) % max(len(arms), 2)) / max(len(arms) - 1, 1)
        for p, point in enumerate(points):
            for seed in range(seeds):
                key = {"arm": arm, **point, "seed": seed}
                if failed is not None and (arm, seed) in failed:
                    runs.append(
                        {**key, "status": "failed", "error": "PolicyError: NaN in <scores>", "seconds": 0.1}
                    )
                    continue
                table = {}
                for name, (start, low, high, noise, every) in measures.items():
                    end = low + (high - low) * (place + 0.1 * p) / (1 + 0.1 * len(points))
                    level = end + 0.06 * (high - low) * rng.normal()
                    values = level + (start - level) * np.exp(-t / 30) + noise * rng.normal(size=rounds)
                    if name.startswith("extinct"):
                        values[: min(20, rounds)] = np.nan
                    values[t % every != 0] = np.nan
                    table[name] = values
                frame = pd.DataFrame(table).assign(round=t, **key)
                tables.append(frame[["arm", *grid, "seed", "round", *measures]])
                half = 20 + 200 * place + 30 * rng.random()
                runs.append(
                    {**key, "status": "ok", "error": None, "seconds": 1.5}
                    | {"niche_half_life": min(half, float(rounds)), "niche_half_life_censored": half > rounds}
                    | frame[list(measures)].tail(20).mean().to_dict()
                )
                for when in ("start", "end"):
                    for what, power in {"exposure": 2.0, "consumption": 3.0, "demand": 2.2}.items():
                        power += (4 * place if when == "end" and what != "demand" else 0) + 0.1 * rng.random()
                        lorenz.append(
                            pd.DataFrame({**key, "when": when, "what": what, "x": x, "y": x**power})
                        )
    folder.mkdir(parents=True, exist_ok=True)
    empty = pd.DataFrame(columns=["arm", *grid, "seed", "round", *measures])
    pd.concat(tables or [empty]).to_parquet(folder / "rounds.parquet")
    pd.DataFrame(runs).to_parquet(folder / "runs.parquet")
    curve = pd.DataFrame(columns=["arm", *grid, "seed", "when", "what", "x", "y"])
    pd.concat(lorenz or [curve]).to_parquet(folder / "lorenz.parquet")
    lines = [
        'name = "Does calibration bring the niche back?"',
        'description = "Invented numbers,\\nto look at the page."',
        f"rounds = {rounds}\nseeds = {seeds}",
        'primary = ["niche_consumed", "minority_hit_rate", "community_gap", "welfare"]',
        "[world]\nusers = 1000\nitems = 2000\ntaste_shares = [0.6, 0.3, 0.1]",
        '[world.graph]\nkind = "watts_strogatz"\ndegree = 10',
        "[behavior]\nattention = 0.85\nappetite = 2\n[platform]\nslate = 10",
    ]
    for arm in arms:
        lines.append(
            f'[[arms]]\nname = {json.dumps(arm)}\npolicy = {{ kind = "matrix_factorization", dim = 8 }}'
        )
    lines.append("[grid]")
    lines += [f"{json.dumps(key)} = {json.dumps(values)}" for key, values in grid.items()]
    (folder / "study.toml").write_text("\n".join(lines), encoding="utf-8")
    manifest = {
        "versions": {"echodrift": "0.1.0", "numpy": "2.0"},
        "seeds": list(range(seeds)),
        "command": "echodrift run default --out out/a",
        "hashes": {"study.toml": "ab12"},
        "notes": ["The log holds 610 users after the filters."],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest | (extra or {})), encoding="utf-8")
    return folder


def _product(lists: list[list]) -> list[list]:
    if not lists:
        return [[]]
    return [[value, *rest] for value in lists[0] for rest in _product(lists[1:])]


class Page(HTMLParser):
    """Tags with their attributes, and the text of the page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += f" {data}"

    @property
    def words(self) -> str:
        """The text with every run of white space as one blank."""
        return " ".join(self.text.split())


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made and not drawn, where a test is about the words and tables of the page."""
    from echodrift.analysis import plots

    dot = bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c6360f8cfc000000301010018dd8db00000000049454e44ae426082"
    )
    monkeypatch.setattr(plots, "render", lambda figure, kind: dot if kind == "png" else b"<svg/>")


FEW = {name: MEASURES[name] for name in ("niche_exposure", "niche_consumed", "niche_demand", "welfare")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A whole study: seven arms, every measure."""
    made = synthetic(tmp_path_factory.mktemp("study"), seeds=3, rounds=40)
    build_report(made)
    return made


@pytest.fixture(scope="module")
def page(folder) -> Page:
    return Page(folder / "report.html")


def test_the_page_answers_the_question_and_shows_every_family(page):
    for words in (
        "Does calibration bring the niche back?",
        "The answer at a glance",
        "Setup",
        "Exposure: what is shown",
        "Tastes: who is served",
        "Echo: likeness",
        "Welfare: what people get",
        "All paired comparisons",
        "Median niche half-life",
        "echodrift run default --out out/a",
        "Niche exposure alone is never called harm",
        "The log holds 610 users after the filters.",
        "taste_shares",
    ):
        assert words in page.words, words
    assert all(arm in page.words for arm in ARMS)


def test_the_page_needs_nothing_from_elsewhere(page):
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed")
        for key, value in attributes.items():
            assert not key.startswith("on")
            if key in ("src", "href", "action", "srcset", "poster"):
                assert value.startswith("data:image/png;base64,")
    css = (Path(build_report.__code__.co_filename).parent / "report.html.jinja").read_text("utf-8")
    assert "url(" not in css and "@import" not in css


def test_every_picture_says_what_it_shows_and_lies_in_the_folder_too(folder, page):
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) >= 9 and all(len(attributes["alt"]) > 30 for attributes in pictures)
    png = sorted(path.stem for path in (folder / "figures").glob("*.png"))
    assert png == sorted(path.stem for path in (folder / "figures").glob("*.svg")) and len(png) == len(
        pictures
    )


def test_tables_scroll_in_a_box_of_their_own(folder):
    text = (folder / "report.html").read_text("utf-8")
    boxes = re.findall(r'<div class="box" tabindex="0" role="group" aria-label="[^"]+">\s*<table', text)
    assert text.count("<table") == len(boxes) > 5
    assert ".box { overflow-x: auto" in text and "width=device-width" in text


def test_the_numbers_on_the_page_are_those_of_the_tables(folder, page):
    runs = pd.read_parquet(folder / "runs.parquet").pivot(index="seed", columns="arm", values="welfare")
    difference = (runs["popularity"] - runs["organic"]).mean()
    assert f"{difference:+.3f}".replace("-", "−") in page.words


def test_the_same_tables_give_the_same_page(tmp_path):
    folder = synthetic(tmp_path, ARMS[:2], seeds=2, rounds=12, measures=FEW)
    build_report(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    build_report(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_hostile_names_and_errors_are_harmless(tmp_path, undrawn):
    arms = ['<script>alert("x")</script>', "</style><img src=x onerror=alert(1)>", "{{ 7*7 }}", "$a$ & 'b'"]
    study = synthetic(tmp_path / "s", arms, seeds=2, rounds=12, measures=FEW, failed=[(arms[1], 0)])
    text = build_report(study).read_text("utf-8")
    page = Page(study / "report.html")
    assert {"script", "iframe"}.isdisjoint(tag for tag, _ in page.tags)
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert all(name in page.text for name in arms) and "PolicyError: NaN in <scores>" in page.text
    assert "<scores>" not in text


def test_failed_runs_are_listed_and_their_pairs_left_out(tmp_path, undrawn):
    study = synthetic(tmp_path / "s", ARMS[:3], seeds=3, rounds=12, measures=FEW, failed=[("MF 8", 2)])
    page = Page(build_report(study))
    assert "1 of 9 runs failed" in page.words and "Failed runs" in page.words
    assert "PolicyError: NaN in <scores>" in page.words and "without 2" in page.words


@pytest.mark.parametrize("which", ["all", "reference", "others"])
def test_a_study_without_finished_runs_still_gives_a_page(tmp_path, undrawn, which):
    lost = {"all": ARMS[:2], "reference": ARMS[:1], "others": ARMS[1:2]}[which]
    failed = [(arm, seed) for arm in lost for seed in range(2)]
    page = Page(build_report(synthetic(tmp_path, ARMS[:2], seeds=2, rounds=12, measures=FEW, failed=failed)))
    assert f"{len(failed)} of 4 runs failed" in page.words and "Failed runs" in page.words
    said = {
        "all": "No run finished",
        "reference": 'No run of the reference arm "organic" finished',
        "others": "",
    }
    assert said[which] in page.words
    assert (
        "higher" not in page.words.replace("“Higher” and", "").lower().split("all paired")[0]
        or which == "none"
    )


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"seeds": 3}, "3 seeds: intervals are wide"),
        ({"seeds": 1}, "there are no intervals at all"),
        ({"rounds": 1}, "The runs have 1 round"),
        ({"measures": FEW | {"exhausted_share": (0.4, 0.4, 0.5, 0.0, 1)}}, "used up more than 20 %"),
        (
            {"measures": FEW},
            "not taken in this study: minority_hit_rate, community_gap",
        ),
    ],
)
def test_warnings(tmp_path, undrawn, keywords, words):
    settings = {"arms": ARMS[:2], "seeds": 2, "rounds": 12, "measures": FEW} | keywords
    assert words in Page(build_report(synthetic(tmp_path, **settings))).words


def test_a_quiet_study_has_no_warnings(tmp_path, undrawn):
    study = synthetic(tmp_path, ["a", "b"], seeds=20, rounds=40, measures={**FEW, **_primary()})
    assert not [
        1 for tag, attributes in Page(build_report(study)).tags if attributes.get("class") == "notice"
    ]


def _primary():
    return {name: MEASURES[name] for name in ("minority_hit_rate", "community_gap", "exhausted_share")}


@pytest.mark.parametrize("values", [[0.0, 0.02], ["low", "high"], [[0.6, 0.4], [0.9, 0.1]]])
def test_a_grid_gives_figures_at_every_point(tmp_path, undrawn, values):
    grid = {"behavior.reinforcement": values}
    stored = {"behavior.reinforcement": [v if not isinstance(v, list) else json.dumps(v) for v in values]}
    study = synthetic(tmp_path, ["a", "b"], seeds=2, rounds=12, grid=stored, measures=FEW)
    page = Page(build_report(study))
    names = {path.stem for path in (study / "figures").glob("*.png")}
    assert {"grid", "niche-1", "niche-2", "differences-1", "differences-2"} <= names
    for value in stored["behavior.reinforcement"]:
        assert f"behavior.reinforcement = {value}" in page.words
    assert grid.keys() == stored.keys()


def test_points_of_a_grid_are_compared_each_on_its_own(tmp_path, undrawn):
    study = synthetic(tmp_path, ["a", "b"], seeds=3, rounds=12, grid={"x.y": [1, 2]}, measures=FEW)
    runs = pd.read_parquet(study / "runs.parquet")
    text = Page(build_report(study)).words
    for value in (1, 2):
        table = runs[runs["x.y"] == value].pivot(index="seed", columns="arm", values="welfare")
        assert f"{(table['b'] - table['a']).mean():+.3f}".replace("-", "−") in text


@pytest.mark.slow
def test_a_large_grid_keeps_to_the_primary_measures(tmp_path, undrawn):
    study = synthetic(tmp_path, ["a", "b"], seeds=2, rounds=12, grid={"x.y": list(range(9))}, measures=FEW)
    build_report(study)
    names = {path.stem for path in (study / "figures").glob("*.png")}
    assert {"primary-9", "differences-9", "grid"} <= names and "lorenz-1" not in names


def test_splits_get_figures_and_tables_of_their_own(tmp_path, undrawn):
    parts = {f"minority_hit_rate:group={name}": MEASURES["minority_hit_rate"] for name in ("main", "niche")}
    study = synthetic(tmp_path, ["a", "b"], seeds=2, rounds=12, measures={**FEW, **parts})
    words = Page(build_report(study)).words
    assert (study / "figures" / "groups-minority_hit_rate.png").exists()
    assert "By part of the population" in words and "minority_hit_rate:group=niche" in words


@pytest.mark.parametrize("lost", ["study.toml", "runs.parquet", "rounds.parquet"])
def test_a_folder_without_results_is_answered_with_what_to_type(tmp_path, lost):
    study = synthetic(tmp_path, ["a"], seeds=1, rounds=2, measures=FEW)
    (study / lost).unlink()
    with pytest.raises(BadInput, match=rf"{lost} is missing.*echodrift run"):
        build_report(study)
    assert not (study / "report.html").exists()


@pytest.mark.parametrize("broken", ["study.toml", "runs.parquet", "manifest.json"])
def test_a_broken_file_is_named(tmp_path, broken):
    study = synthetic(tmp_path, ["a"], seeds=1, rounds=2, measures=FEW)
    (study / broken).write_bytes(b"\xff{[not this")
    with pytest.raises(BadInput, match=broken):
        build_report(study)


def test_without_lorenz_and_manifest_there_is_still_a_page(tmp_path, undrawn):
    study = synthetic(tmp_path, ["a", "b"], seeds=2, rounds=3, measures=FEW)
    (study / "lorenz.parquet").unlink()
    (study / "manifest.json").unlink()
    assert "How to reproduce" in Page(build_report(study)).words


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path, undrawn, monkeypatch):
    study = synthetic(tmp_path, ["a", "b"], seeds=2, rounds=3, measures=FEW)
    old = build_report(study).read_bytes()

    def full(path, content):
        path.open("wb").write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("echodrift.disk.write_synced", full)
    with pytest.raises(StorageError, match="No space left") as full_disk:
        build_report(study)
    assert "make room" in str(full_disk.value)
    assert str(full_disk.value).endswith(f"echodrift report {study}")
    assert (study / "report.html").read_bytes() == old
    assert not list(study.rglob(".unfinished*"))


@pytest.mark.parametrize(("number", "way"), [(13, "write permission"), (30, "file system writable"), (5, "")])
def test_a_folder_that_cannot_be_written_is_not_called_full(tmp_path, undrawn, monkeypatch, number, way):
    study = synthetic(tmp_path / "my study", ["a", "b"], seeds=2, rounds=3, measures=FEW)

    def refused(path, content):
        raise OSError(number, "refused")

    monkeypatch.setattr("echodrift.disk.write_synced", refused)
    with pytest.raises(StorageError) as found:
        build_report(study)
    message = str(found.value)
    assert "make room" not in message and way in message
    assert message.endswith(f"echodrift report '{study}'")


def test_the_page_says_what_was_changed_and_how_many_rounds_it_averages(tmp_path, undrawn):
    change = "world.users: 1000 → <200>"
    study = synthetic(tmp_path, ["a", "b"], seeds=2, rounds=12, measures=FEW, extra={"changed": [change]})
    words = Page(build_report(study)).words
    assert f"Changed from the study as written: {change}; statements above" in words
    assert "mean difference over the last 12 rounds" in words and "last 20 rounds" not in words
    assert words.count(change) == 1
    (study / "manifest.json").write_text('{"changed": []}', encoding="utf-8")
    assert "Changed from the study" not in Page(build_report(study)).words


@pytest.mark.parametrize(("seeds", "said"), [(4, False), (5, True)])
def test_verdicts_take_five_seeds_and_numbers_do_not(tmp_path, undrawn, seeds, said):
    apart = {"a": 1.0, "b": 2.0}
    study = synthetic(tmp_path, list(apart), seeds=seeds, rounds=12, measures=FEW)
    rounds = pd.read_parquet(study / "rounds.parquet")
    rounds["welfare"] = rounds["arm"].map(apart) + 0.01 * rounds["seed"] * (rounds["arm"] == "b")
    rounds.to_parquet(study / "rounds.parquet")
    words = Page(build_report(study)).words
    row = words.split("All paired comparisons")[1].split(" welfare ")[1]
    assert ("higher (better for users)" in row) == said
    assert ("too few seeds to say" in row) == (not said)
    assert f"+{1 + 0.005 * (seeds - 1):.2f}" in row


def test_columns_equal_in_all_arms_are_named_once_and_have_no_p(tmp_path, undrawn):
    study = synthetic(tmp_path, ["a", "b", "c"], seeds=5, rounds=12, measures=FEW)
    rounds = pd.read_parquet(study / "rounds.parquet")
    rounds["niche_demand"] = 0.4 + 0.01 * rounds["seed"]
    rounds.loc[rounds["arm"] == "b", "niche_exposure"] = rounds.loc[
        rounds["arm"] == "a", "niche_exposure"
    ].to_numpy()
    rounds.to_parquet(study / "rounds.parquet")
    words = Page(build_report(study)).words.split("All paired comparisons")[1]
    assert "Equal in every arm and every seed" in words and words.count("niche_demand ") == 1
    row = words.split(" niche_exposure ")[1]
    assert re.search(
        r"equal in every seed 0 pp 0 pp to 0 pp [\d. %]+ 5 – ", row.replace("0.0", "0").replace("+0", "0")
    )


def test_settings_without_use_are_not_shown_as_if_they_had_one(tmp_path, undrawn):
    study = synthetic(tmp_path, ["a", "b"], seeds=2, rounds=3, measures=FEW)
    toml = (study / "study.toml").read_text("utf-8")
    toml = toml.replace("slate = 10", "slate = 10\nwarmup = 15").replace("users = 1000\n", "")
    toml = toml.replace("dim = 8 }", 'dim = 8, model = "als", learning_rate = 0.05, confidence = 3.0 }', 1)
    toml = toml.replace("dim = 8 }", 'dim = 8, model = "bpr", learning_rate = 0.07, confidence = 4.0 }', 1)
    for world, warmup in (
        ("items = 2000", "warmup 15"),
        ('log = "/a/b"', "warmup not used: the log replaces it"),
    ):
        (study / "study.toml").write_text(toml.replace("items = 2000", world), encoding="utf-8")
        words = Page(build_report(study)).words.split("How to reproduce")[0]
        assert warmup in words
        assert "confidence = 3.0" in words and "learning_rate = 0.05" not in words
        assert "learning_rate = 0.07" in words and "confidence = 4.0" not in words


PLANTED = {
    "decays": 0.4 * 2 ** (-np.arange(60) / 15),
    "levels off": 0.3 + 0.1 * np.exp(-np.arange(60) / 8),
    "slow": 0.4 * 2 ** (-np.arange(60) / 150),
    "stays": np.full(60, 0.3),
    "grows": 0.1 + 0.002 * np.arange(60),
    "drops at once": np.where(np.arange(60) == 0, 0.6, 0.1),
}


def exposed(folder: Path, seeds: int, rounds: int, **keywords) -> dict[str, list[str]]:
    """Cells of the half-life table of a study with planted niche exposure: arm → median, halved, fit, form."""
    synthetic(folder, list(PLANTED), seeds, rounds, measures=FEW, **keywords)
    rng, table = np.random.default_rng(8), pd.read_parquet(folder / "rounds.parquet")
    curves = [PLANTED[arm][when] for arm, when in zip(table["arm"], table["round"], strict=True)]
    table["niche_exposure"] = np.array(curves) + 0.004 * rng.normal(size=len(table))
    table.to_parquet(folder / "rounds.parquet")
    html = build_report(folder).read_text("utf-8")
    body = re.search(r"Median niche half-life.*?<tbody>(.*?)</tbody>", html, re.DOTALL)
    assert body and ("fitted half-life" in html) == ("Form of the decay" in html)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in body[1].strip().splitlines()]
    words = [[re.sub("<[^>]*>", "", cell) for cell in row] for row in cells]
    return {name[2:].strip(): rest for name, *rest in words}


def test_a_fitted_half_life_is_told_where_the_mean_curve_decays_and_nowhere_else(tmp_path, undrawn):
    found = {arm: tuple(cells[2:]) for arm, cells in exposed(tmp_path, seeds=8, rounds=60).items()}
    fit, form = found["decays"]
    half, low, high = map(int, re.fullmatch(r"(\d+) rounds \[(\d+) to (\d+)\]", fit).groups())
    assert 14 <= low <= half <= high <= 16 and form == "exponential"
    assert found["levels off"][0].startswith("never: levels off at 0.3")
    assert found["levels off"][1] == "exponential to a floor"
    assert found["slow"][0] == "not within 58 rounds"
    for arm, words in (
        ("stays", "no decay is seen"),
        ("grows", "it grows"),
        ("drops at once", "no decay is seen"),
    ):
        assert found[arm] == (words, "–")


@pytest.mark.parametrize(("seeds", "rounds"), [(1, 60), (8, 39)])
def test_no_half_life_is_fitted_to_too_few_seeds_or_rounds(tmp_path, undrawn, seeds, rounds):
    assert all(len(cells) == 2 for cells in exposed(tmp_path, seeds, rounds).values())


def test_an_arm_with_one_seed_left_has_no_fitted_half_life(tmp_path, undrawn):
    found = exposed(tmp_path, 2, 60, failed=[("decays", 1)])
    assert found["decays"][2:] == ["–", "–"]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.2, 3.4, "< 1 to 3"), (20, np.inf, "20 to > 58"), (80, 90, ""), (0.2, 0.9, ""), (np.nan, np.nan, "")],
)
def test_an_interval_of_a_half_life_ends_with_the_run(low, high, words):
    nothing = half_life_fit(np.arange(8.0), np.zeros((2, 8)))
    assert _within(replace(nothing, low=low, high=high, horizon=58.0)) == words


def test_warnings_of_runs_stand_at_the_top_once_with_their_arms(tmp_path, undrawn):
    note = "warning: the regularization is <too strong>."
    extra = {"notes": ["A plain note.", note]}
    study = synthetic(tmp_path, ["a", "b", "c"], seeds=2, rounds=3, measures=FEW, extra=extra)
    runs = pd.read_parquet(study / "runs.parquet")
    runs["notes"] = ["A plain note." + (f"\n{note}" if arm in "ab" else "") for arm in runs["arm"]]
    runs.to_parquet(study / "runs.parquet")
    words = Page(build_report(study)).words
    top, below = words.split("The answer at a glance")
    assert "The regularization is <too strong> (arms: a, b)." in top
    assert "too strong" not in below and "A plain note." in below


def gated(folder: Path, lines: str, seeds: int = 8, **keywords) -> Path:
    """A study of two arms with a gate; welfare of "b" is that of "a" plus 0.5, ± 0.01."""
    study = synthetic(folder, ["a", "b"], seeds=seeds, rounds=40, measures={**FEW, **_primary()}, **keywords)
    rounds = pd.read_parquet(study / "rounds.parquet")
    rounds["welfare"] = 1.0 + (rounds["arm"] == "b") * (0.5 + 0.01 * (rounds["seed"] % 3 - 1))
    rounds.to_parquet(study / "rounds.parquet")
    with (study / "study.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[gate]\nbaseline = "a"\ncandidate = "b"\n{lines}')
    return study


@pytest.mark.parametrize(
    ("bound", "outcome", "said"),
    [
        ('at_least = "baseline - 0.05"', "PASS", "a change for the worse by 0.05 or more is ruled out"),
        ('at_least = "baseline - 0.8"', "PASS", "equivalent: shown to be within ±0.8 of the baseline (TOST"),
        ('at_most = "baseline + 0.1"', "FAIL", "holds in 0 of 8 seeds"),
        ('at_least = "baseline + 0.5"', "UNDECIDED", "seeds decide it"),
    ],
)
def test_the_gate_stands_on_top_with_numbers_and_a_graphic(tmp_path, undrawn, bound, outcome, said):
    study = gated(tmp_path, f'[[gate.goal]]\nmeasure = "welfare"\n{bound}')
    page = Page(build_report(study))
    top, below = page.words.split("The answer at a glance")
    assert (
        f"The gate {outcome}" in top and said in top and "candidate 1.499" in top.replace("1.49875", "1.499")
    )
    assert "The gate" not in below
    svg = next(attributes for tag, attributes in page.tags if attributes.get("class") == "against")
    assert outcome in svg["aria-label"] and "goal welfare" in svg["aria-label"]
    places = [attributes for tag, attributes in page.tags if tag in ("rect", "circle", "line")]
    assert all(
        -1 <= float(value) <= 221 for one in places for key, value in one.items() if key in ("x", "x1", "cx")
    )


def test_a_gate_that_cannot_be_judged_says_why_and_the_page_stands(tmp_path, undrawn):
    study = gated(tmp_path, '[[gate.goal]]\nmeasure = "<welfare>"\nat_least = "baseline"')
    page = Page(build_report(study))
    assert "The gate could not be judged" in page.words and '"<welfare>"' in page.words
    assert "All paired comparisons" in page.words


def test_a_study_stopped_by_its_results_says_so_and_has_wider_intervals(tmp_path, undrawn):
    lines = '[[gate.goal]]\nmeasure = "welfare"\nat_least = "baseline - 0.05"'
    study = gated(tmp_path, lines)
    plain = Page(build_report(study)).words
    manifest = json.loads((study / "manifest.json").read_text("utf-8"))
    manifest["stopping"] = {"looks": [8], "decided": True, "stopped": "everything was decided"}
    (study / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    words = Page(build_report(study)).words
    assert "stopped by a rule" in words and "looked at after 8 seeds. Everything was decided." in words
    assert "95 % confidence sequence" in words and "confidence sequence" not in plain
    assert _width(words) > 1.2 * _width(plain)


def _width(words: str) -> float:
    """Width of the interval of welfare at a glance."""
    row = words.split("The answer at a glance")[1].split("Setup")[0]
    low, high = re.findall(r"\[([+−][\d.]+) to ([+−][\d.]+)\]", row)[-1]
    return float(high.replace("−", "-")) - float(low.replace("−", "-"))


def test_priors_and_the_assumption_that_drives_the_answer(tmp_path, undrawn):
    lines = (
        '[[gate.goal]]\nmeasure = "welfare"\nat_least = "baseline - 0.05"\n[uncertainty]\ndesign = "draws"\n'
        '[uncertainty.priors]\n"x.drives" = { uniform = [0.0, 1.0] }\n"x.idle" = { choice = ["<p>", "q"] }\n'
    )
    study = gated(tmp_path, lines, seeds=64)
    rng = np.random.default_rng(2)
    draws = pd.DataFrame(
        {"seed": range(64), "x.drives": rng.random(64), "x.idle": rng.choice(["<p>", "q"], 64)}
    )
    draws.to_parquet(study / "draws.parquet")
    rounds = pd.read_parquet(study / "rounds.parquet")
    effect = rounds["seed"].map(draws.set_index("seed")["x.drives"]) + 0.05 * np.sin(rounds["seed"])
    rounds["welfare"] = 1.0 + effect * (rounds["arm"] == "b")
    rounds.to_parquet(study / "rounds.parquet")
    rounds.groupby(["arm", "seed"])["welfare"].mean().reset_index().assign(
        status="ok", error=None
    ).to_parquet(study / "runs.parquet")
    page = Page(build_report(study))
    part = page.words.split("What the answer rests on")[1].split("Setup")[0]
    assert "uniform, 0 to 1" in part and "one of <p>, q" in part
    index = {
        key: float(re.search(rf"{key} (−?[\d.]+) \[", part)[1].replace("−", "-"))
        for key in ("x.drives", "x.idle")
    }
    assert index["x.drives"] > 0.9 and abs(index["x.idle"]) < 0.2
    assert (study / "figures" / "sensitivity-welfare.png").exists()
    assert "of plausible behaviors" in page.words.split("The answer at a glance")[0]
