"""The study that a folder was made for, and its planned runs: from the plan, or else from what remains."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import BadInput, EchodriftError, StorageError
from ..design.load import load_study
from ..design.plan import expand
from ..specs.study import Study
from .folder import RUNS, Folder
from .ledger import PLAN, plan_table, read_plan, stored_facts

if TYPE_CHECKING:
    import pyarrow as pa


def stored_study(folder: Path) -> Study:
    """Return the requested study of a folder: of its plan, else of its file, else that of the finished tables.

    Raises EchodriftError if none can be read.
    """
    results = Folder(folder)
    plan = read_plan(folder)
    if plan is not None:
        return load_study(tomllib.loads(plan.study))
    try:
        return load_study(results.planned_study_file)
    except EchodriftError:
        try:
            results.verify_file("study.toml", results.manifest())
        except StorageError:
            pass
        else:
            return load_study(folder / "study.toml")
        raise


def planned_runs(folder: Path) -> pa.Table:
    """Return the planned runs of a folder, as from `ledger.plan_table`.

    If its plan is damaged, or of a version of echodrift that stored no hash of it, it is made again from the study.
    Raises StorageError if that cannot be read either.
    """
    found = read_plan(folder)
    if found is not None:
        return found.table
    facts = stored_facts(folder)
    try:
        study = stored_study(folder)
        return plan_table(expand(study, facts.digests, facts.code) if facts else expand(study))
    except BadInput as error:
        raise StorageError(
            f"{folder / RUNS / PLAN} cannot be read, nor made again from the study: {error}\n{Folder(folder).repair_advice}"
        ) from None
