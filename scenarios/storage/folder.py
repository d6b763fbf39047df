"""The results folder of a study: check that it is usable, lock it, publish the tables, and verify them."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...disk import (
    TEMPORARY,
    bytes_digest,
    cannot_write,
    file_digest,
    move_in,
    read_file,
    sealed,
    unsealed,
    write_atomically,
)
from ...errors import StorageError
from ...wording import short
from . import bundles, checkpoint_files, ledger
from .lock import describe_lock_holder, locked
from .store import RunStore

if TYPE_CHECKING:
    from ..design.run import PlannedRun
    from ..specs.study import Study

RUNS = "runs"
MANIFEST = "manifest.json"
_RESULTS = (MANIFEST, "study.toml", "figures", "report.html", "report.json", "interactive.html")
TABLES = ("rounds", "runs", "lorenz", "deciles", "tastes", "network_users", "network_ties")


def is_run_name(name: str) -> bool:
    """Return whether a folder in `runs/` is, by its name, the folder of a run."""
    return "-seed" in name and not name.startswith((".", TEMPORARY))


class Folder:
    """A results folder.

    While a study runs, there is only `runs/`, with the requested study and one folder per finished run. Tables,
    study.toml and the manifest are written next to it at the end, in that order.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = RunStore(path / RUNS)

    @property
    def planned_study_file(self) -> Path:
        """The file of the requested study; the plan has its content, too."""
        return self.path / RUNS / ledger.STUDY

    def requested_study(self) -> str | None:
        """Return the requested study as TOML, from the plan or else from its file; None if neither can be read."""
        plan = ledger.read_plan(self.path)
        if plan is not None:
            return plan.study
        try:
            return read_file(self.planned_study_file).decode()
        except (OSError, ValueError):
            return None

    def study_name(self) -> str:
        """Return the name of the study; empty if it cannot be read."""
        try:
            text = self.requested_study() or read_file(self.path / "study.toml").decode()
            return str(tomllib.loads(text)["name"])
        except (OSError, ValueError, KeyError):
            return ""

    def has_study(self) -> bool:
        """Return whether there is a study in the folder; False if the folder is missing, empty or has lost it.

        Raises StorageError if it contains anything else.
        """
        try:
            if not self.path.exists():
                return False
            if not self.path.is_dir():
                raise StorageError(f"{self.path} is a file, not a folder; choose another folder with --out")
            entries = sorted(entry.name for entry in self.path.iterdir())
        except OSError as error:
            raise StorageError(
                f"{self.path}: cannot be looked into: {error.strerror or error}; choose another folder with --out"
            ) from None
        if self.planned_study_file.exists() or self.requested_study() is not None:
            return True
        if (self.path / MANIFEST).exists() and (self.path / "study.toml").exists():
            return True
        ours = [name for name in entries if name.startswith(TEMPORARY)]
        if any(map(is_run_name, self.store.names())):
            # What lies beside the runs of a study that is lost.
            ours += [name for name in entries if name in _RESULTS or name.endswith(".parquet")]
        if set(entries) - set(ours) - {RUNS, checkpoint_files.FOLDER} or self._runs_are_foreign():
            found = ", ".join(name for name in entries if name not in ours)
            raise StorageError(
                f"{self.path} holds files that are not results of echodrift ({short(found)}); "
                f"choose another folder with --out"
            )
        return False

    def _runs_are_foreign(self) -> bool:
        """Return whether `runs/`, without a study, contains anything that echodrift does not write there."""
        if not self.store.folder.is_dir():
            return self.store.folder.exists()
        known = (".lock", TEMPORARY, ledger.FACTS, ledger.PLAN, bundles.FOLDER)
        return any(
            not entry.name.startswith(known) and not is_run_name(entry.name)
            for entry in self.store.folder.iterdir()
        )

    def locked(self) -> AbstractContextManager[None]:
        """Create the folder and lock it against other processes; the lock of a killed process is void."""
        return locked(self.path)

    def begin(
        self, study: Study, plan: Sequence[PlannedRun] | None = None, most_seeds: int | None = None
    ) -> None:
        """Remove temporary files of killed processes and record the plan and the study. Only while locked.

        plan: the runs of the study, if they are already expanded. most_seeds: of a study that stops when it is
        decided.
        """
        from ..design.load import dump
        from ..design.plan import expand

        try:
            for leftover in self.path.glob(f"{TEMPORARY}*"):
                leftover.unlink()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.store.clear_unfinished()
        ledger.begin(self.store.folder, expand(study) if plan is None else plan, dump(study), most_seeds)

    def publish(self, study: Study, tables: Mapping[str, bytes | Path], manifest: dict[str, Any]) -> None:
        """Write the tables, the study as run and finally the manifest with their hashes.

        tables: name → bytes of its Parquet file, or a temporary file in this folder, which is renamed.
        """
        from ..design.load import dump

        files: dict[str, bytes | Path] = {f"{name}.parquet": data for name, data in tables.items()}
        files["study.toml"] = dump(study).encode()
        hashes = {}
        try:
            for name, data in files.items():
                if isinstance(data, Path):
                    hashes[name] = file_digest(data)
                    move_in(data, self.path / name)
                else:
                    hashes[name] = bytes_digest(data)
                    write_atomically(self.path / name, data)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        finally:
            for data in files.values():
                if isinstance(data, Path):
                    data.unlink(missing_ok=True)
        facts = ledger.stored_facts(self.path)
        self.write_manifest({**manifest, "store": facts and ledger.facts_to_json(facts), "hashes": hashes})

    def write_manifest(self, content: dict[str, Any]) -> None:
        """Write the manifest with its own hash; raises StorageError."""
        write_atomically(self.path / MANIFEST, json.dumps(sealed(content), indent=2).encode())

    def verify(self) -> dict[str, Any]:
        """Return the manifest of a finished study; raises StorageError if results are missing or changed."""
        ledger.refuse_newer(self.path, ledger.stored_facts(self.path))
        manifest = self.manifest()
        for name in manifest["hashes"]:
            self.verify_file(name, manifest)
        return manifest

    @property
    def repair_advice(self) -> str:
        """The command that restores damaged or missing files from the runs, as an instruction."""
        plan = ledger.read_plan(self.path)
        restored = ""
        for file in (self.planned_study_file, self.path / "study.toml"):
            try:
                found = read_file(file).decode()
                tomllib.loads(found)
            except (OSError, ValueError):
                continue
            if plan is None or plan.study == found:
                break
        else:
            if plan is None:
                return f"run the study again with --out {shlex.quote(str(self.path))}"
            file = self.planned_study_file
            restored = f"echodrift verify {shlex.quote(str(self.path))} --mend && "
        command = f"echodrift run {shlex.quote(str(file))} --out {shlex.quote(str(self.path))}"
        return f"type: {restored}{command}{self._until(plan)} (its finished runs are taken over)"

    def _until(self, plan: ledger.StoredPlan | None) -> str:
        """Return the options of the command for a study that stops when it is decided; otherwise an empty string."""
        try:
            most = plan.most_seeds if plan else unsealed(read_file(self.path / MANIFEST))["stopping"]["most"]
        except (OSError, ValueError, KeyError, TypeError):
            most = None
        return "" if most is None else f" --until decided --max-seeds {most}"

    def manifest(self) -> dict[str, Any]:
        """Return the manifest of a finished study without verifying its tables; raises StorageError."""
        try:
            manifest = unsealed(read_file(self.path / MANIFEST))
            manifest["hashes"] = {str(name): str(digest) for name, digest in manifest["hashes"].items()}
        except FileNotFoundError:
            if self.requested_study() is not None:
                advice = self.repair_advice
                process = describe_lock_holder(self.path)
                if process:
                    advice = f"{process} works in it. To see how far it is, type: echodrift status {shlex.quote(str(self.path))}"
                raise StorageError(f"{self.path} holds a study that is not finished; {advice}") from None
            raise StorageError(f"{self.path} holds no results of echodrift (no {MANIFEST})") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(
                f"{self.path / MANIFEST} cannot be read ({error}); {self.repair_advice}"
            ) from None
        return manifest

    def is_complete(self, study: Study, runs: int) -> bool:
        """Return whether all tables exist, are intact, and belong to this study with this many runs."""
        from ..design.plan import study_digest

        try:
            manifest = self.verify()
        except StorageError:
            return False
        named = {f"{name}.parquet" for name in TABLES}
        facts = ledger.stored_facts(self.path)
        return (
            manifest.get("study_sha256") == study_digest(study)
            and manifest.get("runs") == runs
            and not manifest.get("failed")
            and "stopping" not in manifest
            and manifest.get("store") == (facts and ledger.facts_to_json(facts))
            and named <= set(manifest["hashes"])
        )

    def verify_file(self, name: str, manifest: Mapping[str, Any]) -> None:
        """Raise StorageError unless a file of the folder matches its hash in the manifest."""
        path = self.path / name
        try:
            digest = file_digest(path)
        except OSError as error:
            raise StorageError(f"{path} cannot be read ({error.strerror})\n{self.repair_advice}") from None
        if digest != manifest["hashes"].get(name):
            raise StorageError(
                f"{path} is not what the study wrote (see {MANIFEST}): it was cut off or changed\n{self.repair_advice}"
            )
