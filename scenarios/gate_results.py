"""The gate of a results folder: a forecast of what a run can decide, and the gate's answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, EchodriftError
from ..wording import counted, format_key
from .specs.study import Study

if TYPE_CHECKING:
    from ..analysis.gate.answer import Answer


def forecast_warnings(study: Study, folder: Path, seeds: int, sequential: bool = False) -> list[str]:
    """Return warnings about lines of the gate that this many seeds will probably not decide.

    The forecast uses the spread between seeds of earlier results in the folder. Each warning names the number of
    seeds, and the margin, with which a change without effect is decided with probability .8.
    """
    from ..analysis.gate.lines import spreads
    from ..analysis.gate.remarks import SEQUENCE, decidable_margin, fewest_seeds, seeds_to_decide
    from ..analysis.results import read_results

    gate = study.gate
    method = SEQUENCE if sequential else "t"
    if gate is None or seeds < fewest_seeds(method, gate.level) or not (folder / "manifest.json").is_file():
        return []
    try:
        found = spreads(read_results(folder), gate.model_dump(mode="json", exclude_none=True))
    except EchodriftError:
        return []  # Results of another study, or damaged ones: the run itself reports them.
    lines = []
    for (path, line), (sd, distance, n) in zip(gate.lines, found, strict=True):
        if not sd > 0 or n < 3 or not distance >= 0:
            continue
        margin = decidable_margin(sd, seeds, gate.level, method)
        needed = seeds_to_decide(sd, distance, gate.level, method) if distance > 0 else None
        if needed is not None and needed <= seeds:
            continue
        takes = (
            f"takes about {needed:,} seeds"
            if needed is not None
            else "cannot be decided by any number of seeds"
        )
        lines.append(
            f"warning: {format_key(path)}: at the spread of the {n} seeds run before, a change without effect on "
            f"{line.measure} {takes}; {counted(seeds, 'seed')} decide a margin of {margin:.2g}"
        )
    return lines


def judge_folder(folder: Path, *, over_behaviors: bool = True) -> Answer:
    """Judge a finished study's folder by the gate in its study.toml; over_behaviors as in `judge`.

    Raises StorageError if results are missing or were changed, BadInput if there is no gate.
    """
    from ..analysis.gate.judge import answer
    from ..analysis.results import read_results
    from .storage.folder import Folder

    if not folder.exists():
        raise BadInput(f"{folder}: there is no such folder")
    Folder(folder).verify()
    results: Any = read_results(folder)
    if not results.study.get("gate"):
        raise BadInput(
            f"the study in {folder} has no [gate]. Add one to the study file and type: echodrift gate STUDY "
            f"--out {folder} (finished runs are taken over)"
        )
    return answer(results, over_behaviors=over_behaviors)
