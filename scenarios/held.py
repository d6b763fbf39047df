"""The study that a results folder holds, as its own files tell it; what somebody changed there is not taken."""

from __future__ import annotations

from pathlib import Path

from ..errors import EchodriftError, StorageError
from .ledger import Facts, read_plan, version
from .load import load_study
from .plan import expand
from .spec import Study


def held_study(folder: Path, held: Path, facts: Facts | None) -> Study:
    """Return the study in the file `held`; where that cannot be read, the one of the finished tables.

    Raises EchodriftError where neither can be read, StorageError where the file was changed since: runs of
    other values would come to lie beside those that are there.
    """
    try:
        study = load_study(held)
    except EchodriftError:
        published = folder / "study.toml"
        if held == published or not _is_published(folder):
            raise
        held, study = published, load_study(published)
    if label := _not_planned(folder, study, facts):
        raise StorageError(
            f"{held} was changed after echodrift wrote it: {label} is not the run that was planned.\n"
            "Put it back as it was. To run what stands there now, copy it to a file of your own and run that with "
            "another --out"
        )
    return study


def _is_published(folder: Path) -> bool:
    """Whether the study of the finished tables is what was written."""
    from .folder import Folder

    there = Folder(folder)
    try:
        there.verify_file("study.toml", there.manifest())
    except StorageError:
        return False
    return True


def _not_planned(folder: Path, study: Study, facts: Facts | None) -> str:
    """Return the first run of a study that the folder's own plan lacks; empty where there is none, or no plan.

    The plan may be that of a longer study, whose process was killed before it wrote the study down.
    """
    plan = read_plan(folder)
    if plan is None or not len(plan) or facts is None or facts.echodrift != version():
        return ""
    try:
        seeds, courses = set(plan["seed"].to_pylist()), set(plan["course"].to_pylist())
    except KeyError:
        return ""
    runs = expand(study, facts.digests)
    return next((run.label for run in runs if run.seed in seeds and run.course not in courses), "")
