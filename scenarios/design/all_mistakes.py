"""Find what else is wrong with a study that has mistakes already, so that all are reported together.

Left out is what only follows from a mistake that is reported, or cannot be known before it is corrected.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...agents.generate import check_world
from ...agents.settings import WorldConfig
from ...disk import check_regular
from ...errors import BadInput, KeyPath, Mistake, Mistakes, did_you_mean, key_path
from ..specs.data_files import input_files
from ..specs.study import Study
from ..specs.validation import validate
from .check_gate import bad_measure, check_gate
from .components import spell_out_in
from .grid import varied_keys
from .plan import widest_slate

CODE = re.compile(r'"(kind|model)": "[^"]*:')
"""Classes and models by their paths, which are imported only for a study whose schema is right."""


def check_names(study: Study) -> None:
    """Raise BadInput for measures that do not exist and data files that are folders, one line per mistake."""
    from ...analysis.measures import MEASURES, USUAL

    wrong = []
    for name in study.measures:
        base, _, part = name.partition(":")
        if name == USUAL:
            continue
        if base not in MEASURES:
            close = did_you_mean(name, MEASURES)
            text = f'there is no measure "{name}".{close} `echodrift list measures` shows all'
            wrong.append(Mistake(text, ("measures",)))
        elif part:
            kind = part.partition("=")[0]
            split = kind if kind in ("group", "community", "profile") else "group"
            text = f'"{name}" names a part of the users: write "{base}", and split_by = ["{split}"] for its parts'
            wrong.append(Mistake(text, ("measures",)))
    for name in study.primary:
        if ":" in name or name not in MEASURES:
            wrong += [
                Mistake(text, ("primary",), (("primary",), *about))
                for text, *about in bad_measure(study, name)
            ]
    for key, path in input_files(study).items():
        if os.path.isdir(path):
            wrong.append(Mistake(f"{path} is a folder; name the file in it", key_path(key)))
            continue
        try:
            check_regular(Path(path))
        except OSError as error:
            wrong.append(Mistake(f"{path} cannot be read: {error.strerror or error}", key_path(key)))
    if wrong:
        raise BadInput(*wrong)


def beside_components(study: Study) -> list[Mistake]:
    """Return the mistakes of a study with a valid schema that have nothing to do with its policies and rerankers."""
    wrong = Mistakes()
    with wrong.collect():
        check_names(study)
    if not varied_keys(study) and not study.zip:
        with wrong.collect():
            check_gate(study)
        with wrong.collect():
            slates = [arm.platform.get("slate", 1) for arm in study.arms]
            if isinstance(study.world, WorldConfig) and all(isinstance(slate, int) for slate in slates):
                check_world(study.world, study.behavior, widest_slate(study), study.rounds)
    return list(wrong.found)


def beside_schema(data: dict[str, Any], wrong: Iterable[Mistake]) -> list[Mistake]:
    """Return the mistakes in the parts of a study that its schema accepts. wrong: what the schema rejects.

    What is wrong is taken out of the study, and the rest is checked as a study of its own.
    """
    rest, removed = copy.deepcopy(data), set[KeyPath]()
    found: dict[Mistake, None] = {}
    study = None
    while study is None:
        before = len(removed)
        for path in {path for mistake in wrong for path in (mistake.path, *mistake.about) if path}:
            removed |= _take_out(rest, path)
        if len(removed) == before:
            return list(found)
        try:
            study = validate(Study, rest)
        except BadInput as error:
            wrong = error.mistakes
            found |= dict.fromkeys(mistake for mistake in wrong if not _follows(mistake, removed))
    other = Mistakes()
    for place, arm in enumerate(study.arms):
        with other.collect():
            if not CODE.search(json.dumps(arm.model_dump(mode="json"))):
                spell_out_in(study, place)
    mistakes = [*other.found, *beside_components(study)]
    return [*found, *(mistake for mistake in mistakes if not _follows(mistake, removed))]


def _take_out(rest: dict[str, Any], path: KeyPath) -> set[KeyPath]:
    """Remove what a mistake is about, and return the keys that can no longer be checked.

    Of an arm only one of its keys is removed or replaced; otherwise a whole table or value of the study.
    """
    part, arms = str(path[0]), rest.get("arms")
    count = len(arms) if isinstance(arms, list) else 0
    if part != "arms":
        rest.pop(part, None)
        if part == "name":
            rest["name"] = "study"
        overrides = range(count) if part == "platform" else ()
        return {(part,), *(("arms", place, "platform") for place in overrides)}
    unnamed: set[KeyPath] = {("reference",), ("gate",)}
    place, key = (*path[1:3], None, None)[:2]
    if not isinstance(arms, list) or not isinstance(place, int) or place >= count:
        rest["arms"] = [{"name": "arm", "policy": {"kind": "random"}}]
        removed = {("arms",), *unnamed}
    elif not isinstance(arms[place], dict) or key is None:
        arms[place] = {"name": f"arm {place}", "policy": {"kind": "random"}}
        removed = {("arms", place), *unnamed}
    elif key == "name":
        arms[place]["name"] = f"arm {place}"
        removed = {("arms", place, "name"), *unnamed}
    else:
        arms[place].pop(key, None)
        if key == "policy":
            arms[place]["policy"] = {"kind": "random"}
        return {("arms", place, key)}
    for name in ("reference", "gate"):
        rest.pop(name, None)
    return removed


def _follows(mistake: Mistake, removed: Iterable[KeyPath]) -> bool:
    """Return whether a mistake may only be there because something was taken out of the study."""
    paths = [path for path in (mistake.path, *mistake.about) if path]
    if not paths:
        return True
    return any(path[: len(gone)] == gone or gone[: len(path)] == path for path in paths for gone in removed)
