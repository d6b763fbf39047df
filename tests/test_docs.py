"""The Python blocks and `echodrift` lines of the pages in docs/ run as printed, on smaller worlds and fewer rounds."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import echodrift
import matplotlib
import numpy as np
import pytest
from echodrift.cli import app
from typer.testing import CliRunner

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = {page.name: BLOCK.findall(page.read_text(encoding="utf-8")) for page in sorted(DOCS.glob("*.md"))}
SMALL = {"world.users": 50, "world.items": 80, "platform.warmup": 5}
STUDY = """
name = "my study"
rounds = 6
seeds = 3
reference = "organic"
primary = ["niche_exposure"]
measures = ["niche_exposure", "welfare"]

[world]
users = 50
items = 80

[[arms]]
name = "organic"
policy = { kind = "organic" }

[[arms]]
name = "MF 8"
policy = { kind = "matrix_factorization", dim = 8 }

[grid]
"behavior.reinforcement" = [0.0, 0.1]
"behavior.attention" = [0.5, 0.85]

[gate]
baseline = "organic"
candidate = "MF 8"
horizon = "last 3 rounds"

[[gate.guardrail]]
measure = "niche_exposure"
at_least = "baseline - 0.5"
"""
FEWER = "--rounds 3 --seeds 2 --jobs 1 --quiet --set world.users=50 --set world.items=80"
TUNING = "--trials 1 --jobs 1"
BRIEFER: dict[str, str] = {"run": f"{FEWER} --no-report", "tune": TUNING}
"""What is put behind a command that would take long."""
NAMES = {
    "DIR": "out/my-study",
    "STUDY": "my-study.toml",
    "LOG": "ratings.csv",
    "my_study.toml": "my-study.toml",
}
EXITS = {"gate": {0, 3, 4}}


def python(page: str) -> list[str]:
    return [text for language, text in PAGES[page] if language == "python"]


def commands() -> list[tuple[str, str]]:
    """Return (page, command) of all lines that can be typed: no cluster, no files of others, nothing optional.

    Gates that run their study first are in the README too, and run by its test.
    """
    lines = [
        (page, line.partition("  #")[0].strip())
        for page, blocks in PAGES.items()
        for language, text in blocks
        if language in ("", "sh")
        for line in text.splitlines()
        if re.match("echodrift (run|gate|compare|plot|status|query|evaluate|tune) ", line)
    ]
    return [
        (page, line)
        for page, line in lines
        if not re.search(r"--scheduler|\[|backend dask| T |…|gate (gate|my_study)", line)
    ]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of one's own, its results, and a log."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "my-study.toml").write_text(STUDY)
    rows = [(u, (u * 7 + i * (5 + u % 3)) % 120, 1 + i % 5, 1000 + i) for u in range(130) for i in range(22)]
    lines = ["userId,movieId,rating,timestamp", *(",".join(map(str, row)) for row in rows)]
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n")
    genres = [
        "movieId,title,genres",
        *(f"{i},Title {i},{'Drama' if i % 3 else 'Comedy'}" for i in range(120)),
    ]
    (folder / "movies.csv").write_text("\n".join(genres) + "\n")
    echodrift.run(folder / "my-study.toml", out=folder / "out/my-study")
    return folder


def smaller(real: Callable[..., Any], most: dict[str, int], **more: Any) -> Callable[..., Any]:
    """Return a function as printed in the docs, with numbers that are not larger than these."""

    def run(*given: Any, **options: Any) -> Any:
        fewer = {name: min(options.get(name, number), number) for name, number in most.items()}
        if "set" in more:
            options["set"] = {**options.get("set", {}), **more["set"]}
        return real(*given, **{**options, **fewer})

    return run


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if python(page)])
def test_python_blocks(page: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a page share their names; `result` is there, as the text says."""
    matplotlib.use("agg")
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(
        echodrift, "run", smaller(echodrift.run, {"rounds": 2, "seeds": 32, "jobs": 1}, set=SMALL)
    )
    monkeypatch.setattr(echodrift, "evaluate", smaller(echodrift.evaluate, {"seeds": 2, "jobs": 1}))
    monkeypatch.setattr(echodrift, "tune", smaller(echodrift.tune, {"trials": 2}))
    monkeypatch.setattr(echodrift, "calibrate", smaller(echodrift.calibrate, {"design": 32, "logs": 2}))
    monkeypatch.setattr("echodrift.scenarios.calibration.search.WAVES", 1)
    monkeypatch.setattr("echodrift.scenarios.calibration.calibrate.WAVES", 1)
    names = {"__name__": "__main__", "result": echodrift.Result(workplace / "out/my-study"), "np": np}
    for text in python(page):
        exec(compile(text, page, "exec"), names)  # noqa: S102  they are our own


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), commands())
def test_commands(page: str, command: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    _, name, *given = shlex.split(command)
    words = [NAMES.get(word, word) for word in given]
    if name != "gate":
        words += shlex.split(BRIEFER.get(name, ""))
        if "--out" not in words and name == "run":
            words += ["--out", "out/" + re.sub(r"\W+", "-", command)]
    done = CliRunner().invoke(app, [name, *words])
    assert done.exit_code in EXITS.get(name, {0}), f"{command}\n{done.output}"


def test_every_page_with_code_is_seen() -> None:
    assert {"backends.md", "designs.md", "long-runs.md", "plots.md"} <= {
        page for page in PAGES if python(page)
    }
    assert {page for page, _ in commands()} >= {"gate.md", "long-runs.md", "plots.md", "results-folder.md"}
