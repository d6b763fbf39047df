"""Seconds per phase and arm: kept where they are asked for, and nothing else depends on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import echodrift
import pytest
from echodrift.cli import app
from echodrift.scenarios.storage.store import Record, record_from_json, record_to_json
from echodrift.sim.loop import Simulation
from typer.testing import CliRunner

STUDY: dict[str, Any] = {
    "name": "timed",
    "rounds": 3,
    "seeds": 2,
    "world": {"users": 30, "items": 40, "topics": 4},
    "platform": {"warmup": 2, "slate": 4},
    "arms": [
        {"name": "none", "policy": {"kind": "organic"}},
        {"name": "best sellers", "policy": {"kind": "popularity"}},
    ],
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same study with and without timings."""
    folder = tmp_path_factory.mktemp("timings")
    for name, timings in (("timed", True), ("plain", False)):
        echodrift.run(STUDY, out=folder / name, timings=timings)
    return folder / "timed", folder / "plain"


def test_the_manifest_has_the_mean_seconds_of_each_phase_per_arm(both: tuple[Path, Path]) -> None:
    timed, plain = (json.loads((folder / "manifest.json").read_text()) for folder in both)
    assert "timings" not in plain
    assert list(timed["timings"]) == ["none", "best sellers"]
    for found in timed["timings"].values():
        assert found["runs"] == 2 and list(found["seconds"]) == ["build", *Simulation.PHASES]
        assert all(seconds >= 0 for seconds in found["seconds"].values()) and found["seconds"]["build"] > 0


def test_tables_and_keys_do_not_depend_on_timings(both: tuple[Path, Path]) -> None:
    timed, plain = both
    for table in ("rounds", "lorenz", "deciles", "tastes"):
        assert (timed / f"{table}.parquet").read_bytes() == (plain / f"{table}.parquet").read_bytes()
    assert sorted(path.name for path in timed.glob("runs/*seed*")) == sorted(
        path.name for path in plain.glob("runs/*seed*")
    )


def test_a_record_that_was_not_timed_reads_as_before() -> None:
    assert "phases" not in record_to_json(Record("key", "label", "ok"))
    record = Record("key", "label", "ok", phases={"build": 0.5})
    assert record_from_json(record_to_json(record)) == record


def test_the_command_prints_a_row_per_phase_and_what_was_not_timed(both: tuple[Path, Path]) -> None:
    done = CliRunner().invoke(
        app, ["run", str(both[0] / "study.toml"), "--out", str(both[0]), "--no-report", "--timings"]
    )
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert any("none" in line and "best sellers" in line for line in lines)
    for phase in ("build", *Simulation.PHASES, "all"):
        assert sum(line.split()[:1] == [phase] for line in lines) == 1
    untimed = CliRunner().invoke(
        app, ["run", str(both[1] / "study.toml"), "--out", str(both[1]), "--no-report", "--timings"]
    )
    assert untimed.exit_code == 0 and "No run was timed" in untimed.stdout
