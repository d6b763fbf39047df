"""Decide whether a study can continue in the results folder of another one, and which runs would be repeated."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...disk import CHANGED, json_digest
from ...errors import EchodriftError, StorageError
from ...keys import differences, expand_key, set_value
from ...wording import counted, short, toml, unquoted
from ..code.identity import Identities, changed_parts
from ..design.drawn_studies import drawn_studies
from ..design.draws import draw_identity
from ..design.grid import grid_points
from ..design.labels import labels
from ..design.plan import cell_of, expand, prefix_digest, seeds_of, widest_slate
from ..design.run import PlannedRun
from ..model_version import version
from ..specs.data_files import input_files
from ..specs.study import Study
from .checkpoints import has_checkpoint
from .folder import Folder, is_run_name
from .ledger import (
    KEYS,
    STUDY,
    Facts,
    damaged_copies,
    refuse_newer,
    refuse_older,
    stored_facts,
)
from .requested import planned_runs, stored_study
from .store import RunStore

CHOOSE = "choose another folder with --out"
MOST_LINES = 8
IGNORED = ("name", "description", "seeds", "reference", "primary", "gate")
"""Fields of a study that do not affect results."""


def check_folder(folder: Folder, study: Study) -> Study | None:
    """Raise StorageError unless the folder is missing, empty, or contains this study or a part of it.

    A part: fewer arms, grid values, seeds or rounds, or another title; its finished runs are reused.
    Returns the study in the folder; None if there is none.
    """
    return _check_continues(folder.path, study) if folder.has_study() else None


def _check_continues(folder: Path, study: Study) -> Study:
    """Return the study in a folder, or raise StorageError if `study` cannot continue from its runs.

    It can if every arm at every grid point of the stored study is also part of `study`, with the same
    settings, data files and model version, and with at least as many rounds.
    """
    facts = stored_facts(folder)
    refuse_newer(folder, facts)
    refuse_older(folder, facts)
    try:
        stored = stored_study(folder)
        refusal = _refusal(stored, study, facts)
    except StorageError:
        raise
    except EchodriftError as error:
        kept = f"(its runs stay), or {CHOOSE}"
        raise StorageError(
            f"{folder} holds a study that cannot be compared: {error}\n"
            f"If it is the one that you want to go on with, remove {folder / 'runs' / STUDY} {kept}"
        ) from None
    if refusal:
        lines = "".join(f"\n  {line}" for line in refusal[:MOST_LINES])
        more = f"\n  and {len(refusal) - MOST_LINES} more" if len(refusal) > MOST_LINES else ""
        raise StorageError(
            f'{folder} holds another study, "{stored.name}". What differs:{lines}{more}{_advice(facts)}{_edited(folder)}\n{CHOOSE}'
        )
    return stored


def _edited(folder: Path) -> str:
    """Return a line for a person who changed the study in the folder and runs that; otherwise an empty string."""
    return (
        f"\n{folder / 'runs' / STUDY} was changed after echodrift wrote it. To run what stands there now, copy it to a "
        "file of your own and run that with another --out"
        if damaged_copies(folder).get(STUDY) == CHANGED
        else ""
    )


def _advice(facts: Facts | None) -> str:
    if facts is None or facts.echodrift == version():
        return ""
    return (
        f"\nThe folder was written by echodrift {facts.echodrift}, this is {version()}: values that are not in your "
        "file are defaults, which may have changed; --set KEY=VALUE keeps an old one"
    )


def _refusal(stored: Study, study: Study, facts: Facts | None) -> list[str]:
    """Return the reasons why a study cannot continue from the runs of another one; empty if it can."""
    inputs, now = facts.inputs if facts else {}, {}
    same_draws = draw_identity(stored.uncertainty) == draw_identity(study.uncertainty)
    seed = seeds_of(stored)[0] if same_draws else None
    wanted = _cells(study, now, seed)
    cells = _cells(stored, facts.digests if facts else {}, seed)
    lines = [
        f"{key}: {path} has other content (SHA-256 {file['sha256'][:12]}… there, {now[path][:12]}… now)"
        for key, file in inputs.items()
        for path in [input_files(study).get(key, file["path"])]
        if now.get(path, file["sha256"]) != file["sha256"]
    ]
    fit = all(_rounds_continue(rounds, wanted.get(cell, set())) for cell, rounds in cells.items())
    if fit and same_draws:
        return lines
    lines += _slate_difference(stored, study)
    lines += _missing_parts(stored, study)
    lines += _order_difference(stored, study)
    one, other = _comparable(stored), _comparable(study)
    for data in (one, other):
        data["arms"] = {name: arm for name, arm in data["arms"].items() if name in one["arms"]}
    for name in set(one["arms"]) - set(other["arms"]):
        del one["arms"][name]
    if study.rounds > stored.rounds:
        # More rounds alone are allowed.
        del one["rounds"], other["rounds"]
    for key in set(one.get("grid") or {}) & set(other.get("grid") or {}):
        # Missing values are reported by _missing_parts.
        del one["grid"][key], other["grid"][key]
    lines += [
        f"{key}: {short(unquoted(old))} there, {short(unquoted(new))} now"
        for key, old, new in differences(one, other)
    ]
    return lines or ["its arms and grid values are combined in other ways"]


def _cells(study: Study, digests: dict[str, str], seed: int | None) -> dict[str, set[int]]:
    """Return hash of the inputs of each arm at each grid point, except its number of rounds → these numbers.

    digests: path → hash of data files, filled as files are read. seed: its draw is applied, so that values that
    priors override are ignored; None leaves them as they are.
    """
    found: dict[str, set[int]] = {}
    for _, point in grid_points(study):
        if seed is not None:
            point = drawn_studies(study, point, [seed])[0][0]
        for arm in point.arms:
            found.setdefault(prefix_digest(cell_of(point, arm, digests)), set()).add(point.rounds)
    return found


def _rounds_continue(stored: set[int], wanted: set[int]) -> bool:
    """Return whether runs with these numbers of rounds stay in the tables, or all become longer."""
    return stored <= wanted or len(stored) == 1 and max(wanted, default=0) >= max(stored)


def _order_difference(stored: Study, study: Study) -> list[str]:
    """Return a message if the same priors are in another order."""
    if stored.uncertainty is None or study.uncertainty is None:
        return []
    one, other = list(stored.uncertainty.priors), list(study.uncertainty.priors)
    if one == other or sorted(one) != sorted(other):
        return []
    at = next(place for place, (key, now) in enumerate(zip(one, other, strict=True)) if key != now)
    places = f'"{one[at]}" is number {at + 1} there, "{other[at]}" now'
    return [f"uncertainty.priors: the same keys in another order, which changes every draw: {places}"]


def _slate_difference(stored: Study, study: Study) -> list[str]:
    one, other = widest_slate(stored), widest_slate(study)
    if one == other:
        return []
    known = {arm.name for arm in stored.arms}
    alone = [study.model_copy(update={"arms": [arm]}) for arm in study.arms if arm.name not in known]
    wide = [f'arm "{each.arms[0].name}"' for each in alone if widest_slate(each) > one]
    by = f" ({', '.join(wide)})" if wide else ""
    why = "all arms live in a world that is made for the widest slate of the study, so every run would be another one"
    return [f"widest slate: {one} there, {other} now{by}: {why}"]


def _missing_parts(stored: Study, study: Study) -> list[str]:
    """Return the arms and grid values of the folder that the study lacks."""
    named = {arm.name for arm in study.arms}
    lines = [
        f"arms[{arm.name}]: there, but not in this study: its runs would vanish from the tables"
        for arm in stored.arms
        if arm.name not in named
    ]
    for key, values in stored.grid.items():
        gone = [value for value in values if value not in study.grid.get(key, values)]
        if gone:
            lines.append(f'grid."{key}": {short(toml(gone))} there, but not in this study')
    return lines


def _comparable(study: Study) -> dict[str, Any]:
    """Return the fields that affect results, with arms keyed by name because their order is irrelevant."""
    data = study.model_dump(mode="json", exclude_none=True)
    for name in IGNORED:
        data.pop(name, None)
    # Its values are written out.
    data["world"].pop("preset", None)
    for key in input_files(study):
        # Their contents are compared separately.
        *parents, last = key.split(".")
        inside = data
        for step in parents:
            inside = inside[step]
        inside[last] = "a file"
    samples = {
        key: prior
        for key, prior in (data.get("uncertainty") or {}).get("priors", {}).items()
        if "sample" in prior
    }
    if samples:
        # One line for all rows; the file that they come from may move.
        count = counted(len(next(iter(samples.values()))["sample"]), "joint row")
        data["uncertainty"]["sample"] = f"{count} ({json_digest(samples)[:12]}…)"
        for key in samples:
            del data["uncertainty"]["priors"][key]
    for key in study.uncertainty.priors if study.uncertainty else ():
        for each in expand_key(data, key):
            set_value(data, each, "drawn")
    data["arms"] = {f"[{arm['name']}]": arm for arm in data["arms"]}
    return data


def extension_notes(
    stored: Study | None, study: Study, plan: Sequence[PlannedRun], folder: Path, store: RunStore
) -> list[str]:
    """Return notes before a study continues in a folder: runs that are repeated, and seeds that leave the tables.

    stored: the study in the folder, from `check_folder`.
    """
    notes = [
        f"note: {folder / 'runs' / name} {what}; it is written again"
        for name, what in damaged_copies(folder).items()
    ]
    if stored is None and any(is_run_name(name) for name in store.names()):
        notes.append(
            f"note: the study of the runs in {folder} is lost (neither its plan nor its study.toml can be read); those "
            "that belong to this study are taken over"
        )
    if stored is None or stored == study:
        return notes
    wanted = set(seeds_of(study))
    gone = [seed for seed in seeds_of(stored) if seed not in wanted]
    if gone:
        notes.append(
            f"note: this study has {counted(len(gone), 'seed')} less than the folder ({short(toml(gone))}): their runs stay "
            "in runs/ and leave the tables"
        )
    if study.rounds <= stored.rounds:
        return notes
    facts = stored_facts(folder)
    earlier: dict[str, dict[int, str]] = {}
    for run in expand(stored, facts.digests if facts else None, facts.code if facts else None):
        earlier.setdefault(run.prefix_key, {})[run.study.rounds] = run.key
    repeated: dict[tuple[int, int], int] = {}
    for run in {run.key: run for run in plan}.values():
        begun = [
            rounds
            for rounds, key in earlier.get(run.prefix_key, {}).items()
            if rounds < run.study.rounds and _finished(store, key)
        ]
        if begun and not _finished(store, run.key) and not has_checkpoint(folder, run):
            pair = max(begun), run.study.rounds
            repeated[pair] = repeated.get(pair, 0) + 1
    return notes + [
        f"note: {counted(number, 'run')} {'has' if number == 1 else 'have'} {had} of {wanted_rounds} rounds and no kept "
        f"state: {'it is' if number == 1 else 'they are'} run again from round 0"
        for (had, wanted_rounds), number in repeated.items()
    ]


def code_note(plan: Sequence[PlannedRun], folder: Path, store: RunStore) -> str:
    """Return a note on the finished runs in a folder that are repeated because their code changed, and on the others.

    Before the new plan is written into the folder. Empty if no code changed.
    """
    facts = stored_facts(folder)
    if facts is None or not any(run.code for run in plan):
        return ""
    try:
        before = planned_runs(folder)
    except StorageError:
        return ""
    recorded = facts.code or {}
    shown = [name for name in before.column_names if name not in KEYS]
    earlier = {json.dumps([row[name] for name in shown]): row["key"] for row in before.to_pylist()}
    changes: dict[str, None] = {}
    repeated, kept = set(), set()
    for run, label in zip(plan, labels(plan), strict=True):
        old = earlier.get(json.dumps(list(label.values())), "")
        if _finished(store, run.key):
            kept.add(run.key)
        elif old != run.key and _finished(store, old):
            found = list(_changed_code(recorded, run.code))
            changes |= dict.fromkeys(found)
            repeated |= {run.key} if found else set()
    if not repeated:
        return ""
    return (
        f"note: {_finished_runs(len(repeated))} run again, because the code has changed: {', '.join(changes)}. "
        f"{_finished_runs(len(kept))} taken over"
    )


def _finished_runs(count: int) -> str:
    return f"{counted(count, 'finished run')} {'is' if count == 1 else 'are'}"


def _changed_code(before: Identities, now: Identities) -> Iterator[str]:
    """Yield the code that is not what it was, as "shop:Recent (module shop.signs)"."""
    for name, parts in now.items():
        changed = changed_parts(before[name], parts) if name in before else ["not recorded before"]
        if changed:
            yield f"{name} ({', '.join(changed)})"


def _finished(store: RunStore, key: str) -> bool:
    try:
        record = store.peek(key)
    except OSError:
        return False
    return record is not None and record.status == "ok"
