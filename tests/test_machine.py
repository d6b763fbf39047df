"""Free memory: what control groups leave, on planted files, and that everybody asks the same reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from echodrift import machine
from echodrift.errors import PolicyError
from echodrift.policies.histories.ease import Ease
from echodrift.policies.interactions import Interactions
from echodrift.policies.testing.example import example_observation
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.execution.memory import describe_memory
from numpy.random import default_rng

GIB = 2**30
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
V2 = ("memory.max", "memory.current")


def group(folder: Path, names: tuple[str, str], limit: int | str, used: int, stat: str | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    if stat is not None:
        (folder / "memory.stat").write_text(stat)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The file that says which groups the process is in."""
    return tmp_path / "self"


def test_version_2_counts_every_group_on_the_way_up(tmp_path: Path, own: Path) -> None:
    """File cache that can be dropped is free; "max" is no limit."""
    own.write_text("0::/work/job\n")
    group(tmp_path / "work/job", V2, 8 * GIB, 3 * GIB, f"anon 5\ninactive_file {GIB}\nactive_file 7\n")
    group(tmp_path / "work", V2, 7 * GIB, 4 * GIB, "inactive_file 0\n")
    group(tmp_path, V2, "max", 1, "inactive_file 0\n")
    group(tmp_path / "other", V2, 1, 0, "inactive_file 0\n")
    assert sorted(machine.cgroup_free_bytes(own, tmp_path)) == [3 * GIB, 6 * GIB]


def test_version_1_counts_the_memory_controller_alone(tmp_path: Path, own: Path) -> None:
    own.write_text("5:cpu,cpuacct:/x\n4:hugetlb,memory:/work/job\n1:name=systemd:/y\n")
    root = tmp_path / "memory"
    group(root / "work/job", V1, 4 * GIB, 2 * GIB, f"inactive_file 9\ntotal_inactive_file {GIB // 2}\n")
    group(root / "work", V1, 3 * GIB, 2 * GIB, "total_inactive_file 0\n")
    group(tmp_path / "x", V1, 1, 0, "total_inactive_file 0\n")
    assert sorted(machine.cgroup_free_bytes(own, tmp_path)) == [GIB, 4 * GIB - 3 * GIB // 2]


@pytest.mark.parametrize(("listed", "names", "mount"), [("0::/a/b", V2, ""), ("4:memory:/a/b", V1, "memory")])
def test_a_container_finds_its_limit_in_the_root(
    tmp_path: Path, own: Path, listed: str, names: tuple[str, str], mount: str
) -> None:
    """Its group has the path of the host, which is not there."""
    own.write_text(f"{listed}\n")
    group(tmp_path / mount, names, 5000, 2000, "inactive_file 600\ntotal_inactive_file 600\n")
    assert machine.cgroup_free_bytes(own, tmp_path) == [3600]


def test_no_limit_without_files(tmp_path: Path, own: Path) -> None:
    assert machine.cgroup_free_bytes(own, tmp_path) == []
    own.write_text("0::/work\n4:memory:/work\n")
    assert machine.cgroup_free_bytes(own, tmp_path) == []


def test_a_limit_without_statistics_holds_too(tmp_path: Path, own: Path) -> None:
    own.write_text("0::/work\n")
    group(tmp_path / "work", V2, 5000, 2000)
    assert machine.cgroup_free_bytes(own, tmp_path) == [3000]


def test_more_cache_than_use_is_not_more_than_the_limit(tmp_path: Path, own: Path) -> None:
    own.write_text("0::/\n")
    group(tmp_path, V2, 5000, 2000, "inactive_file 3000\n")
    assert machine.cgroup_free_bytes(own, tmp_path) == [5000]


@pytest.mark.parametrize(("room", "free"), [([], 9 * GIB), ([7, 5], 5), ([10 * GIB], 9 * GIB), ([-3], 0)])
def test_free_is_the_least_of_machine_and_groups(
    monkeypatch: pytest.MonkeyPatch, room: list[int], free: int
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=9 * GIB))
    monkeypatch.setattr(machine, "cgroup_free_bytes", lambda own, root: room)
    assert machine.free_bytes() == free


def test_no_more_is_free_than_this_machine_has() -> None:
    assert 0 < machine.free_bytes() <= psutil.virtual_memory().total


def test_the_planner_and_ease_ask_the_same_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the planner lets through, EASE must not refuse for a cache that only one of them counts as free."""
    monkeypatch.setattr(machine, "cgroup_free_bytes", lambda own, root: [3 * 2**20])
    seen = example_observation(users=1000, items=1000)
    every, same = np.arange(1000, dtype=np.int32), np.zeros(1000, np.int8)
    seen = replace(seen, log=Interactions(every, every, same.astype(np.int32), same.astype(np.int16), same))
    with pytest.raises(PolicyError, match=r"ease: .* and 3\.0 MiB are free"):
        Ease().fit(seen, default_rng(0))
    study = load_study({"name": "s", "arms": [{"name": "a", "policy": {"kind": "ease"}}]})
    assert "2.7 MiB are free" in describe_memory(study)  # the planner leaves a tenth to others
