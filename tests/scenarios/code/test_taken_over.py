"""Which finished runs the next command takes over: those of the same code, and none whose code nothing identifies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from echodrift.disk import json_digest
from echodrift.policies.outside import http_policy
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.design.plan import expand
from echodrift.scenarios.execution.progress import Progress
from echodrift.scenarios.runner import RunOptions, run_study
from echodrift.scenarios.storage import ledger, versions

URL = "http://127.0.0.1:1"


class Told(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


class Fake:
    """A run that takes no time, and is counted."""

    built: list[str] = []
    notes: list[str] = []

    def __init__(self, study: Any, arm: Any, seed: int) -> None:
        Fake.built.append(arm.name)
        self.rounds = study.rounds

    def step(self) -> dict[str, float]:
        return {"welfare": 1.0}

    def tables(self) -> dict[str, dict[str, list]]:
        return {"lorenz": {"x": [0.0], "y": [0.0]}}


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the command: go(version that the service tells) is (arms that were run, what was said, manifest)."""
    monkeypatch.setattr("echodrift.scenarios.execution.worker.build", Fake)
    arms = [
        {"name": "own", "policy": {"kind": "popularity"}},
        {"name": "web", "policy": {"kind": "http", "url": URL}},
    ]
    study = load_study({"name": "services", "rounds": 2, "seeds": 2, "arms": arms})

    def run(version: str | None) -> tuple[list[str], list[str], dict[str, Any]]:
        monkeypatch.setattr(http_policy, "service_version", lambda fields: version)
        Fake.built.clear()
        told = Told()
        run_study(study, tmp_path / "out", RunOptions(progress=told))
        manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
        return list(Fake.built), told.lines, manifest

    return run


def test_a_service_is_taken_over_while_it_tells_the_same_version(go: Any) -> None:
    assert go("1")[0] == ["own", "web", "own", "web"]
    assert go("1")[0] == []
    built, said, manifest = go("2")
    assert built == ["web", "web"]
    assert said == [
        f"note: 2 finished runs are run again, because the code has changed: {URL} (service). 2 finished runs are taken over"
    ]
    assert manifest["store"]["code"] == {URL: {"service": "2"}}
    assert go("1")[0] == [], "its earlier runs are still there"


def test_a_service_without_a_version_is_never_taken_over(go: Any) -> None:
    go(None)
    built, said, _ = go(None)
    assert built == ["web", "web"]
    [line] = said
    assert line.startswith(
        f"note: 2 finished runs are run again, because nothing tells whether {URL} is still"
    )


def test_a_folder_from_before_keys_covered_code_says_what_it_repeats(go: Any, tmp_path: Path) -> None:
    go(None)
    facts = tmp_path / "out" / "runs" / "store.json"
    old = json.loads(facts.read_text())
    del old["code"], old["sha256"]
    facts.write_text(json.dumps({**old, "format": 1}))
    # As the earlier version had named them: without the code in the key.
    study = load_study(tmp_path / "out" / "study.toml")
    with_code = expand(study, code={URL: None})
    for old_run, run in zip(expand(study), with_code, strict=True):
        place = tmp_path / "out" / "runs"
        if old_run.key != run.key:
            record = json.loads((place / run.key / "run.json").read_text())["record"] | {"key": old_run.key}
            (place / run.key).rename(place / old_run.key)
            outer = {"sha256": json_digest(record), "record": record}
            (place / old_run.key / "run.json").write_text(json.dumps(outer))
    pq.write_table(ledger.plan_table(expand(study)), tmp_path / "out" / "runs" / "plan.parquet")
    facts.write_text(json.dumps({**old, "format": 1}))
    built, said, _ = go("1")
    assert built == ["web", "web"]
    assert said[0].startswith("note: 2 finished runs are run again") and "(not recorded before)" in said[0]


def test_a_study_of_several_numeric_versions_says_so(go: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "_versions", lambda: (("python", "3.11.1"), ("numpy", "2.0.0")))
    assert not any("different versions" in note for note in go("1")[2]["notes"])
    monkeypatch.setattr(versions, "_versions", lambda: (("python", "3.11.1"), ("numpy", "2.1.0")))
    notes = go("2")[2]["notes"]
    [warning] = [note for note in notes if "different versions" in note]
    assert "2 runs with numpy 2.0.0; 2 runs with numpy 2.1.0" in warning
