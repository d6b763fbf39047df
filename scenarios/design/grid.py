"""Expand `[grid]` and `[[zip]]` into design points: each is a validated study of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from ...analysis.results import design_keys as keys_of
from ...config import plain
from ...errors import BadInput, KeyPath, did_you_mean
from ...keys import expand_key, parse_key, set_value
from ..specs.study import Study
from ..specs.validation import validate_study
from .size import count_points, multiplied
from .switches import refresh_comparison_arms

VARIED = ("world", "behavior", "platform", "arms", "rounds")
"""Parts of a study that a grid can vary."""
MAX_POINTS = 10_000
"""Most points that a design may have."""
_POINTS: dict[tuple[str, str], list[tuple[dict[str, Any], Study]]] = {}
"""The points of the last study, which several checks look at one after the other."""
DESIGN_TABLES = ("grid", "zip", "uncertainty")
"""Tables of a study that define what varies; the study at a design point has none of them."""


def design_keys(study: Study) -> list[str]:
    """Return the dotted keys that vary from point to point: first those of the grid, then those of each zip table."""
    return keys_of({"grid": study.grid, "zip": study.zip})


def varied_keys(study: Study) -> list[str]:
    """Return all dotted keys that vary: from point to point, or from seed to seed by a prior."""
    return [*design_keys(study), *(study.uncertainty.priors if study.uncertainty else ())]


def grid_points(study: Study, label: str = "study") -> list[tuple[dict[str, Any], Study]]:
    """Return (values, study) for every point: all combinations of the grid and the rows of each zip table.

    The last key or table varies fastest. values: dotted key → value at this point; study: the whole study
    with those values, without grid, zip tables and uncertainty. If nothing varies, one point without
    values. Raises BadInput for an invalid key or value, one line per mistake.
    """
    if not varied_keys(study) and not study.zip:
        return [({}, study)]
    known = study.model_dump_json(), label
    if known in _POINTS:
        return list(_POINTS[known])
    count = count_points(study)
    if count > MAX_POINTS:
        raise BadInput(f"{label}: {multiplied(study)}: at most {MAX_POINTS:,} design points are allowed")
    base = study.model_dump(mode="json", exclude_none=True, exclude=set(DESIGN_TABLES))
    _check(study, base, label)
    sides = [[{key: value} for value in values] for key, values in study.grid.items()]
    sides += [
        [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        for table in study.zip
    ]
    points = []
    for parts in itertools.product(*sides):
        point = {key: value for part in parts for key, value in part.items()}
        data = plain(base, label)
        placed = [
            (set_value(data, each, plain(value, label)), f"{_where(study, label, key)} = {value!r}")
            for key, value in point.items()
            for each in expand_key(base, key)
        ]
        points.append((point, refresh_comparison_arms(validate_study(data, label, placed))))
    _POINTS.clear()
    _POINTS[known] = points
    return list(points)


def _where(study: Study, label: str, key: str) -> str:
    """Return the place in the file at which a study varies a key, for messages."""
    if key in study.grid:
        return f'{label}: grid."{key}"'
    number = next(number for number, table in enumerate(study.zip) if key in table)
    return f'{label}: zip[{number}]."{key}"'


def _entries(study: Study, label: str) -> Iterator[tuple[str, str, list[Any] | None]]:
    """Yield (place in the file, key, values) of every key that varies; values is None for a prior."""
    for key, values in study.grid.items():
        yield f'grid."{key}"', key, values
    for number, table in enumerate(study.zip):
        for key, values in table.items():
            yield f'zip[{number}]."{key}"', key, values
    if study.uncertainty is not None:
        for key in study.uncertainty.priors:
            yield study.uncertainty.source(key), key, None


def _check(study: Study, base: dict[str, Any], label: str) -> None:
    """Raise BadInput for keys that cannot vary, keys that set the same value, and invalid lists of values."""
    wrong: list[str] = []
    paths: dict[str, list[KeyPath]] = {}
    for written, key, values in _entries(study, label):
        where = f"{label}: {written}"
        try:
            found = [parse_key(base, each) for each in expand_key(base, key)]
        except BadInput as error:
            wrong.append(f"{where}: {error}")
            continue
        part, *inside = found[0]
        if values is None and part == "rounds":
            wrong.append(f"{where}: a prior cannot be over rounds: runs of one study would not be comparable")
        elif part not in VARIED or part == "arms" and (len(inside) < 3 or inside[1] == "name"):
            close = did_you_mean(str(part), VARIED)
            who = "a prior is over" if values is None else f"a {written[: written.find('[')]} varies rounds,"
            who = "a grid varies rounds," if written.startswith("grid") else who
            wrong.append(
                f"{where}: {who} world.…, behavior.…, platform.…, arms[name].policy.… (arms[*]: all "
                "that have it), "
                f"arms[name].rerank[0].…, arms[name].switch[0].… or arms[name].platform.….{close}"
            )
        elif part == "world" and _varies_preset(study, key, inside, values):
            wrong.append(
                f"{where}: a preset cannot vary: its values are filled in before anything varies. Vary the settings "
                'themselves ("world.quality_sd", …), or write one study for each preset'
            )
        if values == []:
            wrong.append(f"{where}: the list of values is empty")
        listed = values or []
        if written.startswith("grid") and any(value in listed[:i] for i, value in enumerate(listed)):
            wrong.append(f"{where}: the same value is listed twice")
        for other, taken in paths.items():
            if any(one[: len(two)] == two or two[: len(one)] == one for one in found for two in taken):
                wrong.append(f"{where}: sets the same thing as {other}")
        paths[written] = found
    wrong += _bad_zip_tables(study, label)
    if wrong:
        raise BadInput("\n".join(wrong))


def _varies_preset(study: Study, key: str, inside: list[str | int], values: list[Any] | None) -> bool:
    """Return whether `world.preset` varies, alone or in whole tables of a world. values: None for a prior."""
    if inside:
        return inside == ["preset"]
    prior = study.uncertainty.priors[key] if study.uncertainty and values is None else None
    tables = values or (prior.choice if prior else None) or []
    return any(isinstance(table, dict) and "preset" in table for table in tables)


def _bad_zip_tables(study: Study, label: str) -> Iterator[str]:
    """Yield mistakes about the shape of zip tables: empty, of unequal lengths, or with duplicate rows."""
    for number, table in enumerate(study.zip):
        where = f"{label}: zip[{number}]"
        if not table:
            yield f'{where}: the table is empty; write "dotted.key" = [values], all lists equally long'
            continue
        first, length = next((key, len(values)) for key, values in table.items())
        uneven = next(((key, len(values)) for key, values in table.items() if len(values) != length), None)
        if uneven is not None:
            yield (
                f'{where}: "{first}" has {length} values and "{uneven[0]}" has {uneven[1]}; what varies together '
                "needs lists of the same length"
            )
            continue
        rows = list(zip(*table.values(), strict=True))
        if any(row in rows[:place] for place, row in enumerate(rows)):
            yield f"{where}: the same combination of values is listed twice"
