"""The command line: what each command prints, one clear message per mistake, documented exit codes."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import echodrift
import numpy as np
import pandas as pd
import pytest
from echodrift.cli import app
from echodrift.errors import BadInput, ExitCode, StorageError
from typer.testing import CliRunner

Call = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parents[2]
TINY = """
name = "Is it tiny?"
description = "A study for tests."
rounds = 3
seeds = 2
reference = "none"
primary = ["welfare"]

[world]
users = 20
items = 30

[[arms]]
name = "none"
policy = { kind = "organic" }

[[arms]]
name = "top"
policy = { kind = "popularity" }
platform = { slate = 4 }

[grid]
"behavior.reinforcement" = [0.0, 0.02]
"""


class Fake:
    def __init__(self, study: Any, arm: Any, seed: int) -> None:
        self.rounds, self.notes = study.rounds, []
        self.rng = np.random.default_rng(seed)

    def step(self) -> dict[str, float]:
        return {"welfare": self.rng.random()}

    def tables(self) -> dict[str, dict[str, list]]:
        return {"lorenz": {"when": [], "what": [], "x": [], "y": []}}


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Runs that take no time, and a report that is one word."""
    build = types.ModuleType("build")
    build.build_run = Fake  # type: ignore[attr-defined]
    build.check_study = lambda study: None  # type: ignore[attr-defined]
    report = types.ModuleType("report")
    report.build_report = lambda folder: _page(folder)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "echodrift.scenarios.execution.build", build)
    monkeypatch.setitem(sys.modules, "echodrift.analysis.report.build", report)
    return build


def _page(folder: Path) -> Path:
    (folder / "report.html").write_text("page")
    return folder / "report.html"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


def test_run_writes_tables_and_a_report(call: Call, tiny: Path, builder: types.ModuleType) -> None:
    code, out, err = call("run", "tiny.toml", "--jobs", "1", "--set", "rounds=5", "--seeds", "3")
    assert code == 0, err
    place = Path("out/is-it-tiny").absolute()
    assert f"Report: {place}/report.html" in out and f"Tables: {place}" in out
    assert "12 runs, 1 at a time" in err
    rounds = pd.read_parquet("out/is-it-tiny/rounds.parquet")
    assert len(rounds) == 2 * 2 * 3 * 5
    (tiny / "out/is-it-tiny/report.html").unlink()
    assert call("report", "out/is-it-tiny") == (0, "Report: out/is-it-tiny/report.html\n", "")
    assert (tiny / "out/is-it-tiny/report.html").exists()


def test_quiet_and_no_report(call: Call, tiny: Path, builder: types.ModuleType) -> None:
    assert call("run", "tiny.toml", "--out", "here", "--jobs", "1", "--no-report", "--quiet") == (0, "", "")
    assert {path.name for path in (tiny / "here").iterdir()} == {
        "rounds.parquet", "runs.parquet", "lorenz.parquet", "deciles.parquet", "tastes.parquet",
        "network_users.parquet", "network_ties.parquet", "study.toml", "manifest.json", "runs"
    }  # fmt: skip


def test_what_was_run_can_be_run_again_from_its_own_file(
    call: Call, tiny: Path, builder: types.ModuleType
) -> None:
    call("run", "tiny.toml", "--out", "a", "--jobs", "1", "--set", "rounds=4")
    call("run", "a/study.toml", "--out", "b", "--jobs", "1")
    assert (tiny / "a/rounds.parquet").read_bytes() == (tiny / "b/rounds.parquet").read_bytes()
    assert (tiny / "a/study.toml").read_text() == (tiny / "b/study.toml").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "tiny.toml", "--set", "world.userz=1"], 2, '--set world.userz=1: world.userz: unknown key. Did you mean "users"?'),
        (["run", "tiny.toml", "--rounds", "0"], 2, "--rounds 0: rounds: must be at least 1"),
        (["run", "tiny.toml", "--seeds", "0"], 2, "--seeds 0: seeds: must be 1 to 100000"),
        (["run", "tiny.toml", "--jobs", "0"], 2, "jobs = 0: must be a whole number of at least 1"),
        (["run", "tiny.toml", "--set", "rounds"], 2, "--set rounds: write it as key=value"),
        (["run", "tiyn.toml"], 2, 'tiyn.toml: there is no such file. Did you mean "tiny.toml"?'),
        (["run", "nothing-like-it"], 2, 'no study "nothing-like-it"'),
        (["describe", "tiny.toml", "--set", "arms[top].policy.kind=popularty"], 2, 'Did you mean "popularity"?'),
        (["check", "tiny.toml", "--set", "primary=['welfar']"], 2, 'primary: there is no measure "welfar". Did you mean "welfare"?'),
        (["check", "tiny.toml", "--set", "measures=['x']"], 2, 'measures: there is no measure "x".'),
        (["run", "tiny.toml", "--out", "tiny.toml"], 6, "tiny.toml is a file, not a folder"),
        (["run", "tiny.toml", "--out", "."], 6, "holds files that are not results of echodrift (tiny.toml)"),
        (["report", "nowhere"], 2, "nowhere: there is no such folder"),
        (["check", "tiny.toml", "--set", "primary=['welfar']"], 2, "error: --set primary=['welfar']: primary: there is no measure"),
        (["check", "tiny.toml", "--set", "grid={}", "--set", "world={log='.'}"], 2, "is a folder; name the file in it"),
        (["run", "tiny.toml", "--rounds", "0", "--quiet"], 2, "--rounds 0: rounds: must be at least 1"),
    ],
)  # fmt: skip
def test_mistakes_get_one_message_and_write_nothing(
    call: Call, tiny: Path, builder: types.ModuleType, arguments: list[str], code: int, message: str
) -> None:
    found = call(*arguments)
    assert found[0] == code
    assert found[2].startswith("error: ") and message in found[2] and "Traceback" not in found[2]
    assert [path.name for path in tiny.iterdir()] == ["tiny.toml"]


@pytest.mark.parametrize(
    "arguments", [["run", "--jobs", "x"], ["list", "polices"], ["run", "--backend", "mpi"], ["rum"]]
)
def test_wrong_usage_is_bad_input(call: Call, arguments: list[str]) -> None:
    assert call(*arguments)[0] == ExitCode.BAD_INPUT


def test_a_failed_run_is_reported_at_the_end(call: Call, tiny: Path, builder: types.ModuleType) -> None:
    def failing(study: Any, arm: Any, seed: int) -> Fake:
        if arm.name == "top":
            raise FloatingPointError("scores are NaN")
        return Fake(study, arm, seed)

    builder.build_run = failing  # type: ignore[attr-defined]
    code, out, err = call("run", "tiny.toml", "--jobs", "1", "--out", "o")
    assert code == ExitCode.RUN_FAILED
    assert (
        "4 of 8 runs failed" in err
        and '4×, first in arm "top", seed 0: FloatingPointError: scores are NaN' in err
    )
    assert f"Report: {Path('o').absolute()}/report.html" in out
    builder.build_run = Fake  # type: ignore[attr-defined]
    assert call("run", "tiny.toml", "--jobs", "1", "--out", "o", "--quiet")[0] == 0


def raising(error: BaseException) -> Callable[..., Any]:
    def raises(*_: object, **__: object) -> Any:
        raise error

    return raises


def test_another_study_in_the_folder(call: Call, tiny: Path, builder: types.ModuleType) -> None:
    call("run", "tiny.toml", "--jobs", "1", "--out", "o", "--quiet")
    code, _, err = call("run", "tiny.toml", "--jobs", "1", "--out", "o", "--set", "world.items=31")
    assert code == ExitCode.STORAGE
    assert err.splitlines() == [
        f'error: {Path("o").absolute()} holds another study, "Is it tiny?". What differs:',
        "         world.items: 30 there, 31 now",
        "       choose another folder with --out",
    ]


def test_a_full_disk(
    call: Call, tiny: Path, builder: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from echodrift.scenarios.storage import store

    synced = []

    def full(handle: int) -> None:
        synced.append(handle)
        if len(synced) > 16:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    code, _, err = call("run", "tiny.toml", "--jobs", "1", "--out", "o", "--quiet")
    assert code == ExitCode.STORAGE
    assert (
        "(No space left on device)" in err
        and f"2 of 8 runs are finished and kept in {Path('o').absolute()}" in err
    )
    assert "Make room" in err and "--out" in err and "same command again" in err
    monkeypatch.undo()
    assert not list((tiny / "o").rglob(".unfinished*"))


def test_a_read_only_folder(
    call: Call, tiny: Path, builder: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "mkdir", raising(OSError(errno.EROFS, "Read-only file system")))
    code, _, err = call("run", "tiny.toml", "--jobs", "1", "--out", "o", "--quiet")
    assert code == ExitCode.STORAGE and f"cannot write {tiny}/o/runs: it is read-only" in err
    assert err.endswith("Choose another folder with --out.\n")
    assert not (tiny / "o").exists()


def test_ctrl_c(call: Call, tiny: Path, builder: types.ModuleType) -> None:
    def stopped(study: Any, arm: Any, seed: int) -> Fake:
        if arm.name == "top":
            raise KeyboardInterrupt
        return Fake(study, arm, seed)

    builder.build_run = stopped  # type: ignore[attr-defined]
    code, _, err = call("run", "tiny.toml", "--jobs", "1", "--out", "o", "--quiet")
    assert code == ExitCode.INTERRUPTED
    assert err.startswith("Stopped. ") and err.count("\n") == 1
    assert f"1 of 8 runs are finished and kept in {Path('o').absolute()}" in err and "same command" in err


def test_ctrl_c_before_the_runs(call: Call, tiny: Path, builder: types.ModuleType) -> None:
    late = SystemError("a compiled function returned a result with an exception set")
    late.__cause__ = KeyboardInterrupt()
    for stop in (KeyboardInterrupt(), late):
        builder.check_study = raising(stop)  # type: ignore[attr-defined]
        assert call("run", "tiny.toml", "--out", "o") == (ExitCode.INTERRUPTED, "", "Stopped.\n")


def test_what_options_changed_is_in_the_manifest(call: Call, tiny: Path, builder: types.ModuleType) -> None:
    more = ("--set", "arms[top].platform.slate=5", "--set", "world.users=20", "--seeds", "1")
    assert call("run", "tiny.toml", "--jobs", "1", "--out", "o", "--no-report", *more)[0] == 0
    manifest = json.loads((tiny / "o/manifest.json").read_text())
    assert sorted(manifest["changed"]) == ["arms[top].platform.slate: 4 → 5", "seeds: 2 → 1"]
    assert call("run", "tiny.toml", "--jobs", "1", "--out", "p", "--no-report")[0] == 0
    assert json.loads((tiny / "p/manifest.json").read_text())["changed"] == []
    result = echodrift.run("tiny.toml", rounds=2, set={"world.graph": {"kind": "none"}})
    assert result.manifest["changed"][0].split(":")[0] == "rounds"
    assert any(
        line.startswith("world.graph.kind: watts_strogatz → none") for line in result.manifest["changed"]
    )


def test_notes_about_a_log_are_told(call: Call, tiny: Path, builder: types.ModuleType) -> None:
    class Noted(Fake):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self.notes = ["3 rows were merged."]

    builder.build_run = Noted  # type: ignore[attr-defined]
    builder.check_study = lambda study: ["3 rows were merged."]  # type: ignore[attr-defined]
    assert call("check", "tiny.toml")[2] == "note: 3 rows were merged.\n"
    assert call("run", "tiny.toml", "--jobs", "1", "--out", "o")[2].count("note: 3 rows were merged.\n") == 1
    assert "note" not in call("run", "tiny.toml", "--jobs", "1", "--out", "o", "--quiet")[2]


def test_an_unforeseen_error_is_one_line_unless_debugging(
    call: Call, tiny: Path, builder: types.ModuleType
) -> None:
    builder.check_study = raising(RuntimeError("boom\nand more"))  # type: ignore[attr-defined]
    code, _, err = call("check", "tiny.toml")
    assert code == ExitCode.BUG
    first, second = err.splitlines()
    assert first == "error: RuntimeError: boom" and "--debug" in second
    done = CliRunner().invoke(app, ["check", "tiny.toml", "--debug"])
    assert isinstance(done.exception, RuntimeError)


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError("no figures"), 1), (StorageError("the disk is full"), 6)]
)
def test_a_report_that_fails_leaves_the_tables(
    call: Call, tiny: Path, builder: types.ModuleType, error: Exception, code: int
) -> None:
    sys.modules["echodrift.analysis.report.build"].build_report = raising(error)  # type: ignore[attr-defined]
    found, _, err = call("run", "tiny.toml", "--jobs", "1", "--out", "o", "--quiet")
    assert found == code and str(error) in err
    if code == ExitCode.BUG:
        assert (
            f"the tables are complete in {Path('o').absolute()}" in err
            and f"echodrift report {Path('o').absolute()}" in err
        )
    assert len(pd.read_parquet("o/runs.parquet")) == 8


def test_describe(call: Call, tiny: Path) -> None:
    code, out, _ = call("describe", "tiny.toml")
    assert code == 0
    for part in (
        "Is it tiny?\n\nA study for tests.\n",
        "  none: organic  (reference)\n",
        "platform.slate = 4\n",
        "behavior.reinforcement = 0.0, 0.02",
        "2 arms × 2 grid points × 2 seeds = 8 runs, 24 rounds in all",
        "generated: 20 users, 30 items",
        "attention = 0.85",
    ):
        assert part in out
    assert out.count("A study for tests.") == 1
    _, out, _ = call("describe", "tiny.toml", "--set", "grid={}")
    assert "2 arms × 2 seeds = 4 runs" in out and "grid" not in out.lower()


def test_describe_knows_policies_and_rerankers(call: Call, tiny: Path) -> None:
    for kind, line in (
        ("ease", "l2  (number, ≥ 1e-09"),
        ("calibrated", "weight  (number"),
        ("oracle_item", "none"),
    ):
        code, out, _ = call("describe", kind)
        assert code == 0 and out.startswith(kind) and f"  {line}" in out
    assert "What `echodrift tune` tries\n  l2 = 1:3000" in call("describe", "ease")[1]
    code, _, err = call("describe", "eese")
    assert (
        code == 2
        and 'no study, world, policy, reranker, log transform or measure "eese". Did you mean "ease"?' in err
    )
    code, _, err = call("describe", "ease", "--set", "rounds=3")
    assert code == 2 and "ease is a kind" in err


def test_check_warns_where_conclusions_stand_on_little(
    call: Call, tiny: Path, builder: types.ModuleType
) -> None:
    code, out, _ = call("check", "tiny.toml")
    assert code == 0
    assert "warning: 2 seeds: too few seeds to say; a verdict takes 5" in out and "warning: 3 rounds" in out
    assert '"Is it tiny?" is fine: 2 arms, 2 design points, 8 runs of 3 rounds.' in out
    assert "warning: 5 seeds: intervals will be wide" in call("check", "tiny.toml", "--set", "seeds=5")[1]
    _, out, _ = call("check", "tiny.toml", "--set", "seeds=20", "--set", "rounds=100")
    assert "warning" not in out


def test_check_tells_of_more_dimensions_than_the_world_has_users_or_items(
    call: Call, tiny: Path, builder: types.ModuleType
) -> None:
    def warned(dim: int, *changes: str) -> bool:
        arms = f'[{{name="none",policy={{kind="organic"}}}},{{name="b",policy={{kind="bandit",policy={{kind="ials",dim={dim}}}}}}}]'
        options = [part for change in (f"arms={arms}", *changes) for part in ("--set", change)]
        code, out, err = call("check", "tiny.toml", *options)
        assert code == 0, err
        said = f'warning: arm "b": dim = {dim} of ials is more than the 20 users'
        assert out.count("dim = ") == out.count(said) <= 1
        return said in out

    # 20 users, 30 items
    assert (warned(20), warned(21)) == (False, True)
    assert warned(25, "world.items=22") and not warned(19, "world.items=22")
    # new items may come in any number, new users do not
    assert not warned(17, "world.items=15", "world.arrivals=1") and warned(21, "world.arrivals=1")


def test_one_is_singular(call: Call, tiny: Path, builder: types.ModuleType) -> None:
    one = ("--set", "grid={}", "--set", "seeds=1", "--set", 'arms=[{name="a",policy={kind="random"}}]')
    one = (*one, "--set", "reference=a", "--set", "rounds=1")
    assert "is fine: 1 arm, 1 run of 1 round." in call("check", "tiny.toml", *one)[1]
    assert "1 arm × 1 seed = 1 run, 1 round in all" in call("describe", "tiny.toml", *one)[1]
    assert "1 run, 1 at a time" in call("run", "tiny.toml", *one, "--jobs", "1")[2]


def test_schema_is_a_json_schema_of_both_worlds_with_words_for_every_field(call: Call) -> None:
    code, out, _ = call("schema")
    schema = json.loads(out)
    assert code == 0 and set(schema["required"]) == {"name", "arms"}
    assert [part["$ref"] for part in schema["properties"]["world"]["oneOf"]] == [
        "#/$defs/WorldConfig",
        "#/$defs/LogConfig",
    ]
    for owner in (schema, *schema["$defs"].values()):
        for name, field in owner["properties"].items():
            assert field.get("description") or name == "kind", f"{owner['title']}.{name}"


@pytest.mark.parametrize(
    ("what", "some"),
    [
        ("policies", ["popularity", "organic", "oracle_slate"]),
        ("rerankers", ["calibrated", "consumption", "mmr"]),
        ("measures", ["welfare", "niche_exposure"]),
        ("studies", ["default"]),
        ("worlds", []),
    ],
)
def test_lists(call: Call, what: str, some: list[str]) -> None:
    code, out, err = call("list", what)
    assert code == 0, err
    for name in some:
        (line,) = [line for line in out.splitlines() if line.split()[0] == name]
        assert len(line.split()) > 2


def test_help_names_the_exit_codes_and_they_are_documented(call: Call) -> None:
    _, out, _ = call("--help")
    words = " ".join(re.sub("[│╭╮╰╯─]", " ", out).split())
    documented = (ROOT / "docs/exit-codes.md").read_text()
    for code in ExitCode:
        assert f"{code.value} " in words
        assert re.search(rf"^\| {code.value} \|", documented, re.MULTILINE), code
    assert set(re.findall(r"^\| (\d+) \|", documented, re.MULTILINE)) == {
        str(code.value) for code in ExitCode
    }


@pytest.mark.parametrize(
    "code",
    [
        "import echodrift",
        "import sys; sys.argv[1:] = ['--help']; from echodrift.cli import app; app(standalone_mode=False)",
    ],
)
def test_starting_loads_nothing_heavy(code: str) -> None:
    """What makes a start slow is what it imports."""
    heavy = (
        "{'numpy', 'scipy', 'pandas', 'pydantic', 'numba', 'matplotlib', 'mesa', 'implicit', 'jax', 'joblib'}"
    )
    told = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print('loaded', {heavy} & set(sys.modules))"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.splitlines()[-1] == "loaded set()"


def test_the_face_of_the_package() -> None:
    assert all(getattr(echodrift, name) is not None for name in echodrift.__all__)
    assert set(echodrift.__all__) <= set(dir(echodrift))
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        _ = echodrift.rum  # type: ignore[attr-defined]


def test_run_from_python(tiny: Path, builder: types.ModuleType) -> None:
    result = echodrift.run("tiny.toml", rounds=4, seeds=[3], set={"world.users": 25})
    assert len(result.rounds) == 4 * 4 and set(result.rounds["seed"]) == {3}
    assert result.study.world.users == 25
    folder = result.folder
    assert folder.exists()
    del result
    assert not folder.exists()
    kept = echodrift.run(TINY_TABLES, out=tiny / "o")
    assert kept.folder == tiny / "o" and "4 runs" in repr(kept)
    with pytest.raises(BadInput, match="rounds=0: rounds: must be at least 1"):
        echodrift.run("tiny.toml", rounds=0)
    with pytest.raises(BadInput, match="must be a dictionary of dotted keys"):
        echodrift.run("tiny.toml", set=["world.users=25"])  # type: ignore[arg-type]


TINY_TABLES = {
    "name": "from a mapping",
    "rounds": 2,
    "seeds": 2,
    "primary": ["welfare"],
    "arms": [{"name": "none", "policy": {"kind": "organic"}}, {"name": "r", "policy": {"kind": "random"}}],
}


def test_loop_from_python(tiny: Path, builder: types.ModuleType) -> None:
    builder.build_loop = lambda study, arm, seed: (study, arm.name, seed)  # type: ignore[attr-defined]
    assert echodrift.loop("tiny.toml")[1:] == ("none", 0)  # type: ignore[index]
    study, arm, seed = echodrift.loop("tiny.toml", arm="top", seed=9, rounds=7)  # type: ignore[misc]
    assert (study.rounds, study.grid, arm, seed) == (7, {}, "top", 9)
    with pytest.raises(BadInput, match='no arm is named "tpo".*Did you mean "top"'):
        echodrift.loop("tiny.toml", arm="tpo")
    with pytest.raises(BadInput, match="seed = -1"):
        echodrift.loop("tiny.toml", seed=-1)


REAL = """
name = "end to end"
rounds = 4
seeds = 2

[world]
users = 40
items = 60
topics = 6
communities = 2
graph = { kind = "watts_strogatz", degree = 4 }

[platform]
slate = 5
warmup = 3
retrain_every = 2

[[arms]]
name = "organic"
policy = { kind = "organic" }

[[arms]]
name = "MF, calibrated"
policy = { kind = "matrix_factorization", dim = 4 }
rerank = [{ kind = "calibrated" }]

[[arms]]
name = "oracle"
policy = { kind = "oracle_slate" }
"""


@pytest.mark.slow
def test_end_to_end(tmp_path: Path) -> None:
    """The installed command, with the real model, in one process and in two: the same bytes; then Mesa."""
    (tmp_path / "real.toml").write_text(REAL)
    command = [sys.executable, "-c", "from echodrift.cli import main; main()"]
    for jobs, *more in (("1",), ("2", "--no-report")):
        words = ["run", "real.toml", "--out", jobs, "--jobs", jobs, *more]
        done = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "1/report.html").stat().st_size > 10_000
    for name in ("rounds.parquet", "lorenz.parquet", "study.toml"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    rounds = pd.read_parquet(tmp_path / "1/rounds.parquet")
    assert len(rounds) == 3 * 2 * 4 and rounds["niche_exposure"].between(0, 1).all()
    loop = echodrift.loop(tmp_path / "real.toml", arm="oracle", seed=1)
    loop.step()
    assert loop.steps == 1
