"""`echodrift plot` and `Result.plot`: any figure alone, and clear words for what cannot be drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from echodrift.analysis.plots.request import KINDS, request
from echodrift.analysis.plots.style import render, resize
from echodrift.analysis.results import read_results
from echodrift.errors import BadInput
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.result import Result
from echodrift.scenarios.runner import RunOptions, run_study
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

ATTENTION, RATE = "behavior.attention", "behavior.reinforcement"
STUDY = {
    "name": "small",
    "rounds": 12,
    "seeds": 3,
    "reference": "organic",
    "primary": ["niche_exposure", "welfare"],
    "world": {"users": 40, "items": 60, "topics": 5},
    "platform": {"slate": 4, "warmup": 3},
    "arms": [
        {"name": "organic", "policy": {"kind": "organic"}},
        {"name": "popular", "policy": {"kind": "popularity"}},
        {"name": "by chance", "policy": {"kind": "random"}},
    ],
    "grid": {ATTENTION: [0.5, 0.9], RATE: [0.0, 0.02, 0.1]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("study") / "out"
    run_study(load_study(STUDY), path, RunOptions(jobs=1))
    return path


@pytest.fixture(scope="module")
def results(folder):
    return read_results(folder)


def curves_of(ax, length: int) -> list[np.ndarray]:
    return [np.asarray(line.get_ydata(), float) for line in ax.lines if len(line.get_xdata()) == length]


def test_every_kind_is_drawn_from_what_a_study_leaves(folder):
    result = Result(folder)
    for kind in KINDS:
        if kind == "sensitivity":
            with pytest.raises(BadInput, match="uncertainty"):
                result.plot(kind=kind)
            continue
        figure = result.plot(kind=kind)
        assert figure.get_figwidth() == 5.4 and figure.axes, kind


def test_differences_stand_below_the_curves_and_are_paired_by_seed_and_round(folder):
    result = Result(folder)
    figure = result.plot("niche_exposure", vs="organic", at={ATTENTION: 0.9, RATE: 0.1})
    above, below = figure.axes
    assert above.get_position().y0 > below.get_position().y1
    rounds = result.rounds[(result.rounds[ATTENTION] == 0.9) & (result.rounds[RATE] == 0.1)]
    wide = rounds.pivot(index=["seed", "round"], columns="arm", values="niche_exposure")
    for ax, table in (
        (above, wide),
        (below, 100 * wide.drop(columns="organic").sub(wide["organic"], axis=0)),
    ):
        expected = [table[arm].groupby("round").mean().to_numpy() for arm in table]
        drawn = curves_of(ax, 12)
        assert len(drawn) == len(expected)
        for mean in expected:
            assert any(np.allclose(mean, line) for line in drawn)


def test_by_a_key_there_is_a_line_per_value_and_a_panel_per_arm(folder):
    result = Result(folder)
    figure = result.plot(
        "welfare", by=RATE, at={ATTENTION: "0.9"}, arms=["popular", "by chance"], rounds=(2, 9)
    )
    assert len([ax for ax in figure.axes if ax.axison]) == 2
    table = result.rounds[(result.rounds[ATTENTION] == 0.9) & result.rounds["round"].between(2, 9)]
    for ax, arm in zip(figure.axes, ["popular", "by chance"], strict=False):
        part = table[table["arm"] == arm]
        expected = [part[part[RATE] == v].groupby("round")["welfare"].mean() for v in (0.0, 0.02, 0.1)]
        drawn = curves_of(ax, 8)
        assert len(drawn) == 3 and all(np.allclose(e, d) for e, d in zip(expected, drawn, strict=True))


def test_a_file_is_written_with_the_ending_that_says_what_it_is(call, folder, tmp_path):
    for ending, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        path = tmp_path / f"f{ending}"
        how = ("-o", path, "--width", 4, "--dpi", 50, "--at", f"{RATE}=0.1")
        assert call("plot", folder, "niche_exposure", "--vs", "organic", *how) == (0, f"Figure: {path}\n", "")
        first = path.read_bytes()
        assert first.startswith(start)
        assert call("plot", folder, "niche_exposure", "--vs", "organic", *how)[0] == 0
        assert path.read_bytes() == first, "the same tables give the same bytes"
    assert Image.open(tmp_path / "f.png").width == 200
    ET.fromstring((tmp_path / "f.svg").read_bytes())


def test_without_a_name_the_file_is_named_after_what_it_shows(call, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("plot", folder, "welfare", "--vs", "by chance")[1] == "Figure: welfare-vs-by-chance.svg\n"
    assert call("plot", folder, "--kind", "ridge")[1] == "Figure: ridge.svg\n"
    assert {path.name for path in tmp_path.iterdir()} == {"welfare-vs-by-chance.svg", "ridge.svg"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["niche_expsure"], 'Did you mean "niche_exposure"?'),
        (["--vs", "organics"], 'Did you mean "organic"?'),
        (["--arms", "poplar"], 'Did you mean "popular"?'),
        (["--kind", "frontiers"], 'Did you mean "frontier"?'),
        (["--by", "behavior.atention"], 'Did you mean "behavior.attention"?'),
        (["--at", "behavior.attention=0.7"], "(0.5, 0.9)"),
        (["--at", "attention=0.5"], "not a key of the grid"),
        (["--at", "behavior.attention"], "write key=value"),
        (["--at", f"{RATE}=0.1", "--by", RATE], "leave out one of the two"),
        (["--kind", "ridge", "exposre"], 'Did you mean "exposure"?'),
        (["--kind", "phase", "welfare", "niche_exposure"], "shows one measure"),
        (["--kind", "lorenz", "welfare"], "takes no measure"),
        (["--kind", "frontier", "welfare"], "two measures"),
        (["--kind", "network", "--vs", "organic"], "vs is for"),
        (["--limit", "0.1"], "limit is for phase"),
        (["--rounds", "3"], "write A:B"),
        (["--rounds", "12:"], "rounds 0 to 11"),
        (["--rounds", "5:3"], "rounds 0 to 11"),
        (["--rounds", "5:900"], "rounds 0 to 11; write 5:11"),
        (["--rounds", ":12"], "rounds 0 to 11; write 0:11"),
        (["--kind", "phase", "--limit", "nan"], "limit = nan: must be a finite number"),
        (["--vs", "organic", "--arms", "organic"], "nothing to compare"),
        (["-o", "f.jpg"], ".svg, .png, .pdf"),
        (["-o", "f"], ".svg, .png, .pdf"),
        (["-o", "nowhere/f.svg"], "there is no folder"),
        (["--width", "0.1"], "out of range"),
        (["--dpi", "0"], "out of range"),
    ],
)
def test_what_cannot_be_drawn_is_said_and_nothing_is_written(
    call, folder, tmp_path, monkeypatch, words, said
):
    monkeypatch.chdir(tmp_path)
    code, out, err = call("plot", folder, *words)
    assert (code, out) == (2, "") and said in " ".join(err.split()), err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_results_is_said(call, tmp_path):
    code, _, err = call("plot", tmp_path / "gone")
    assert code == 2 and "there is no such folder" in err


WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["organic", "popular", "welfare", "niche_exposure", RATE, ATTENTION, "0.1", "arm", *KINDS]
    ),
)


@given(
    measures=st.lists(WORDS, max_size=3),
    kind=WORDS,
    by=st.one_of(WORDS, st.lists(WORDS, max_size=3)),
    vs=st.none() | WORDS,
    at=st.dictionaries(WORDS, WORDS | st.floats() | st.integers(), max_size=2),
    arms=st.lists(WORDS, max_size=2),
    rounds=st.tuples(st.none() | st.integers(-5, 20), st.none() | st.integers(-5, 20)),
    limit=st.none() | st.floats(),
)
def test_whatever_is_asked_for_is_answered_or_refused_in_words(results, measures, **wanted):
    try:
        asked = request(results, measures, **wanted)
    except BadInput as error:
        assert str(error)
        return
    assert asked.kind in KINDS and set(asked.arms) <= set(results.arms) and asked.arms
    assert set(asked.by) | set(asked.at) == {RATE, ATTENTION} and not set(asked.by) & set(asked.at)


def test_a_smaller_figure_shrinks_its_text_and_a_larger_one_does_not(folder):
    plain, small, large = (Result(folder).plot("welfare") for _ in range(3))
    resize(small, width=2.7)
    resize(large, width=8, height=6)
    assert small.get_figwidth() == 2.7 and tuple(large.get_size_inches()) == (8, 6)
    assert small.get_figheight() == pytest.approx(plain.get_figheight() / 2)
    sizes = [[text.get_fontsize() for text in figure.texts] for figure in (plain, small, large)]
    assert np.allclose(np.array(sizes[1]) * 2, sizes[0]) and sizes[2] == sizes[0]
    assert len(render(small, "png", 40)) > 500
