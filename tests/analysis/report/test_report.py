"""The report page: complete, self-contained, harmless with hostile names, honest when runs failed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from echodrift.analysis.report.build import build_report
from echodrift.errors import BadInput, StorageError

ARMS = ["organic", "popularity", "MF 8", "MF 64", "MF 8 + calibrated", "oracle_item", "oracle_slate"]


@pytest.fixture(scope="module")
def folder(synthetic, tmp_path_factory) -> Path:
    """A whole study: seven arms, every measure."""
    made = synthetic(tmp_path_factory.mktemp("study"), ARMS, seeds=3, rounds=40, more="all")
    build_report(made)
    return made


@pytest.fixture(scope="module")
def page(folder, read):
    return read(folder / "report.html")


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


def test_the_same_tables_give_the_same_page(synthetic, tmp_path):
    folder = synthetic(tmp_path, ARMS[:2], seeds=2, rounds=12)
    build_report(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    build_report(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_hostile_names_and_errors_are_harmless(synthetic, read, tmp_path, undrawn):
    arms = ['<script>alert("x")</script>', "</style><img src=x onerror=alert(1)>", "{{ 7*7 }}", "$a$ & 'b'"]
    study = synthetic(tmp_path / "s", arms, seeds=2, rounds=12, failed=[(arms[1], 0)])
    text = build_report(study).read_text("utf-8")
    page = read(study / "report.html")
    assert {"script", "iframe"}.isdisjoint(tag for tag, _ in page.tags)
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert all(name in page.text for name in arms) and "PolicyError: NaN in <scores>" in page.text
    assert "<scores>" not in text


def test_failed_runs_are_listed_and_their_pairs_left_out(synthetic, read, tmp_path, undrawn):
    study = synthetic(tmp_path / "s", ARMS[:3], seeds=3, rounds=12, failed=[("MF 8", 2)])
    page = read(build_report(study))
    assert "1 of 9 runs failed" in page.words and "Failed runs" in page.words
    assert "PolicyError: NaN in <scores>" in page.words and "without 2" in page.words


@pytest.mark.parametrize("which", ["all", "reference", "others"])
def test_a_study_without_finished_runs_still_gives_a_page(synthetic, read, tmp_path, undrawn, which):
    lost = {"all": ARMS[:2], "reference": ARMS[:1], "others": ARMS[1:2]}[which]
    failed = [(arm, seed) for arm in lost for seed in range(2)]
    page = read(build_report(synthetic(tmp_path, ARMS[:2], seeds=2, rounds=12, failed=failed)))
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
        ({"more": {"exhausted_share": (0.4, 0.4, 0.5, 0.0, 1)}}, "used up more than 20 %"),
        (
            {},
            "not taken in this study: minority_hit_rate, community_gap",
        ),
    ],
)
def test_warnings(synthetic, read, tmp_path, undrawn, keywords, words):
    settings = {"arms": ARMS[:2], "seeds": 2, "rounds": 12} | keywords
    assert words in read(build_report(synthetic(tmp_path, **settings))).words


def test_a_quiet_study_has_no_warnings(synthetic, read, tmp_path, undrawn):
    study = synthetic(
        tmp_path,
        ["a", "b"],
        seeds=20,
        rounds=40,
        more=["minority_hit_rate", "community_gap", "exhausted_share"],
    )
    assert not [
        1 for tag, attributes in read(build_report(study)).tags if attributes.get("class") == "notice"
    ]


@pytest.mark.parametrize("values", [[0.0, 0.02], ["low", "high"], [[0.6, 0.4], [0.9, 0.1]]])
def test_a_grid_gives_figures_at_every_point(synthetic, read, tmp_path, undrawn, values):
    grid = {"behavior.reinforcement": values}
    stored = {"behavior.reinforcement": [v if not isinstance(v, list) else json.dumps(v) for v in values]}
    study = synthetic(tmp_path, ["a", "b"], seeds=2, rounds=12, grid=stored)
    page = read(build_report(study))
    names = {path.stem for path in (study / "figures").glob("*.png")}
    assert {"grid", "niche-1", "niche-2", "differences-1", "differences-2"} <= names
    for value in stored["behavior.reinforcement"]:
        assert f"behavior.reinforcement = {value}" in page.words
    assert grid.keys() == stored.keys()


def test_points_of_a_grid_are_compared_each_on_its_own(synthetic, read, tmp_path, undrawn):
    study = synthetic(tmp_path, ["a", "b"], seeds=3, rounds=12, grid={"x.y": [1, 2]})
    runs = pd.read_parquet(study / "runs.parquet")
    text = read(build_report(study)).words
    for value in (1, 2):
        table = runs[runs["x.y"] == value].pivot(index="seed", columns="arm", values="welfare")
        assert f"{(table['b'] - table['a']).mean():+.3f}".replace("-", "−") in text


@pytest.mark.slow
def test_a_large_grid_keeps_to_the_primary_measures(synthetic, tmp_path, undrawn):
    study = synthetic(tmp_path, ["a", "b"], seeds=2, rounds=12, grid={"x.y": list(range(9))})
    build_report(study)
    names = {path.stem for path in (study / "figures").glob("*.png")}
    assert {"primary-9", "differences-9", "grid"} <= names and "lorenz-1" not in names


def test_splits_get_figures_and_tables_of_their_own(synthetic, read, tmp_path, undrawn):
    parts = [f"minority_hit_rate:group={name}" for name in ("main", "niche")]
    study = synthetic(tmp_path, ["a", "b"], seeds=2, rounds=12, more=parts)
    words = read(build_report(study)).words
    assert (study / "figures" / "groups-minority_hit_rate.png").exists()
    assert "By part of the population" in words and "minority_hit_rate:group=niche" in words


@pytest.mark.parametrize("lost", ["study.toml", "runs.parquet", "rounds.parquet"])
def test_a_folder_without_results_is_answered_with_what_to_type(synthetic, tmp_path, lost):
    study = synthetic(tmp_path, ["a"], seeds=1, rounds=2)
    (study / lost).unlink()
    with pytest.raises(BadInput, match=rf"{lost} is missing.*echodrift run"):
        build_report(study)
    assert not (study / "report.html").exists()


@pytest.mark.parametrize("broken", ["study.toml", "runs.parquet", "manifest.json"])
def test_a_broken_file_is_named(synthetic, tmp_path, broken):
    study = synthetic(tmp_path, ["a"], seeds=1, rounds=2)
    (study / broken).write_bytes(b"\xff{[not this")
    with pytest.raises(BadInput, match=broken):
        build_report(study)


def test_without_lorenz_and_manifest_there_is_still_a_page(synthetic, read, tmp_path, undrawn):
    study = synthetic(tmp_path, ["a", "b"], seeds=2, rounds=3)
    (study / "lorenz.parquet").unlink()
    (study / "manifest.json").unlink()
    assert "How to reproduce" in read(build_report(study)).words


def test_a_page_that_cannot_be_written_leaves_the_old_one(synthetic, tmp_path, undrawn, monkeypatch):
    study = synthetic(tmp_path, ["a", "b"], seeds=2, rounds=3)
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
def test_a_folder_that_cannot_be_written_is_not_called_full(
    synthetic, tmp_path, undrawn, monkeypatch, number, way
):
    study = synthetic(tmp_path / "my study", ["a", "b"], seeds=2, rounds=3)

    def refused(path, content):
        raise OSError(number, "refused")

    monkeypatch.setattr("echodrift.disk.write_synced", refused)
    with pytest.raises(StorageError) as found:
        build_report(study)
    message = str(found.value)
    assert "make room" not in message and way in message
    assert message.endswith(f"echodrift report '{study}'")


def test_the_page_says_what_was_changed_and_how_many_rounds_it_averages(synthetic, read, tmp_path, undrawn):
    change = "world.users: 1000 → <200>"
    study = synthetic(tmp_path, ["a", "b"], seeds=2, rounds=12, extra={"changed": [change]})
    words = read(build_report(study)).words
    assert f"Changed from the study as written: {change}; statements above" in words
    assert "mean difference over the last 12 rounds" in words and "last 20 rounds" not in words
    assert words.count(change) == 1
    (study / "manifest.json").write_text('{"changed": []}', encoding="utf-8")
    assert "Changed from the study" not in read(build_report(study)).words


@pytest.mark.parametrize(("seeds", "said"), [(4, False), (5, True)])
def test_verdicts_take_five_seeds_and_numbers_do_not(synthetic, read, tmp_path, undrawn, seeds, said):
    apart = {"a": 1.0, "b": 2.0}
    study = synthetic(tmp_path, list(apart), seeds=seeds, rounds=12)
    rounds = pd.read_parquet(study / "rounds.parquet")
    rounds["welfare"] = rounds["arm"].map(apart) + 0.01 * rounds["seed"] * (rounds["arm"] == "b")
    rounds.to_parquet(study / "rounds.parquet")
    words = read(build_report(study)).words
    row = words.split("All paired comparisons")[1].split(" welfare ")[1]
    assert ("higher (better for users)" in row) == said
    assert ("too few seeds to say" in row) == (not said)
    assert f"+{1 + 0.005 * (seeds - 1):.2f}" in row


def test_columns_equal_in_all_arms_are_named_once_and_have_no_p(synthetic, read, tmp_path, undrawn):
    study = synthetic(tmp_path, ["a", "b", "c"], seeds=5, rounds=12)
    rounds = pd.read_parquet(study / "rounds.parquet")
    rounds["niche_demand"] = 0.4 + 0.01 * rounds["seed"]
    rounds.loc[rounds["arm"] == "b", "niche_exposure"] = rounds.loc[
        rounds["arm"] == "a", "niche_exposure"
    ].to_numpy()
    rounds.to_parquet(study / "rounds.parquet")
    words = read(build_report(study)).words.split("All paired comparisons")[1]
    assert "Equal in every arm and every seed" in words and words.count("niche_demand ") == 1
    row = words.split(" niche_exposure ")[1]
    assert re.search(
        r"equal in every seed 0 pp 0 pp to 0 pp [\d. %]+ 5 – ", row.replace("0.0", "0").replace("+0", "0")
    )


def test_settings_without_use_are_not_shown_as_if_they_had_one(synthetic, read, tmp_path, undrawn):
    study = synthetic(tmp_path, ["a", "b"], seeds=2, rounds=3)
    toml = (study / "study.toml").read_text("utf-8")
    toml = toml.replace("slate = 10", "slate = 10\nwarmup = 15").replace("users = 1000\n", "")
    toml = toml.replace("dim = 8 }", 'dim = 8, model = "als", learning_rate = 0.05, confidence = 3.0 }', 1)
    toml = toml.replace("dim = 8 }", 'dim = 8, model = "bpr", learning_rate = 0.07, confidence = 4.0 }', 1)
    for world, warmup in (
        ("items = 2000", "warmup 15"),
        ('log = "/a/b"', "warmup not used: the log replaces it"),
    ):
        (study / "study.toml").write_text(toml.replace("items = 2000", world), encoding="utf-8")
        words = read(build_report(study)).words.split("How to reproduce")[0]
        assert warmup in words
        assert "confidence = 3.0" in words and "learning_rate = 0.05" not in words
        assert "learning_rate = 0.07" in words and "confidence = 4.0" not in words


def test_warnings_of_runs_stand_at_the_top_once_with_their_arms(synthetic, read, tmp_path, undrawn):
    note = "warning: the regularization is <too strong>."
    extra = {"notes": ["A plain note.", note]}
    study = synthetic(tmp_path, ["a", "b", "c"], seeds=2, rounds=3, extra=extra)
    runs = pd.read_parquet(study / "runs.parquet")
    runs["notes"] = ["A plain note." + (f"\n{note}" if arm in "ab" else "") for arm in runs["arm"]]
    runs.to_parquet(study / "runs.parquet")
    words = read(build_report(study)).words
    top, below = words.split("The answer at a glance")
    assert "The regularization is <too strong> (arms: a, b)." in top
    assert "too strong" not in below and "A plain note." in below
