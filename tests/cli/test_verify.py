"""`echodrift verify`: what it prints, its exit codes, and a folder that is mended."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from echodrift.errors import ExitCode
from echodrift.scenarios.storage.folder import Folder

Call = Callable[..., tuple[int, str, str]]
STUDY = """
name = "tiny"
rounds = 3
seeds = 1
world = { users = 20, items = 30 }
arms = [{ name = "a", policy = { kind = "random" } }]
"""


def test_verify(call: Call, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(STUDY)
    out = tmp_path / "out"
    assert call("run", tmp_path / "s.toml", "--out", out, "--quiet")[0] == ExitCode.OK
    code, text, _ = call("verify", out)
    assert code == ExitCode.OK
    assert text.startswith("tiny: finished\n") and ", 0 damaged files; 1 of 1 run intact" in text

    held = out / "runs/study.toml"
    whole = held.read_bytes()
    held.write_text("name = 'another'\n")
    page = out / "report.html"
    page.write_bytes(page.read_bytes().replace(b"1", b"2", 1))
    code, text, _ = call("verify", out)
    assert code == ExitCode.STORAGE
    assert (
        "damaged:\n  report.html was changed or cut off\n  runs/study.toml was changed or cut off\ntype: "
        in text
    )
    code, text, _ = call("verify", out, "--mend", "--json")
    found = json.loads(text)
    assert code == ExitCode.STORAGE and found["mended"] == ["runs/study.toml"] and held.read_bytes() == whole
    assert found["damaged"] == [{"file": "report.html", "what": "was changed or cut off"}] and not found["ok"]
    assert call("report", out)[0] == ExitCode.OK and call("verify", out)[0] == ExitCode.OK

    with Folder(out).locked():
        code, text, _ = call("verify", out)
        assert code == ExitCode.OK and "note: a study runs in it (process " in text
        assert call("verify", out, "--mend")[0] == ExitCode.STORAGE


def test_verify_of_no_results(call: Call, tmp_path: Path) -> None:
    code, _, error = call("verify", tmp_path / "none")
    assert code == ExitCode.BAD_INPUT and "there is no such folder" in error
    code, _, error = call("verify", tmp_path)
    assert code == ExitCode.STORAGE and "holds no results of echodrift" in error
