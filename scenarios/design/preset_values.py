"""Fill a study with the values of its world's preset, and say where it leaves what the preset is like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...agents.settings import WorldConfig
from ...errors import BadInput, KeyPath, Mistake
from ...wording import toml
from ..specs.presets import PRESET_KEYS, Likeness, Preset, load_preset
from ..specs.study import Study
from ..specs.validation import Placed, arm_names, traced
from .grid import grid_points

AFTER_THE_LOG = {
    "behavior.organic",
    "behavior.reinforcement",
    "behavior.disappointment",
    "behavior.movement",
    "behavior.fatigue",
    "behavior.fatigue_recovery",
    "behavior.rewiring",
}
"""Settings that act from round 0 on: the first log, and so its likeness, does not depend on them."""
MOST_NAMED = 8
"""Settings that a note lists; the rest are counted."""


def as_written(study: Study) -> dict[str, Any]:
    """Return a study as plain data; with a preset, without the defaults that the preset is to fill in."""
    data = study.model_dump(mode="json", exclude_none=True)
    if isinstance(study.world, WorldConfig) and study.world.preset is not None:
        for part in PRESET_KEYS:
            given = getattr(study, part).model_fields_set
            data[part] = {key: value for key, value in data[part].items() if key in given}
    return data


def fill_from_preset(data: dict[str, Any], label: str, placed: Placed) -> list[tuple[KeyPath, str]]:
    """Write what a raw study leaves out, in place: the values of its preset, else the defaults.

    A study that leaves out nothing does not need its preset. Of a table without its `kind` (`world.graph`), only the
    fields that are written replace those of the preset. Returns (path, where it comes from) of the preset's values, for
    messages. Raises BadInput for a preset that cannot be used.
    """
    world = data.get("world")
    if not isinstance(world, dict) or not isinstance(world.get("preset"), str):
        return []
    if "log" in world:
        text = "a preset is a generated world, and world.log makes this one from a log; remove one of them"
        mistake = Mistake(text, ("world", "preset"), (("world", "preset"), ("world", "log")))
        raise traced(BadInput(mistake), label, placed, arm_names(data))
    parts = {part: data.setdefault(part, {}) for part in PRESET_KEYS}
    if not all(isinstance(given, dict) for given in parts.values()):
        return []  # Which is a mistake that the schema reports.
    if all(key in given for part, given in parts.items() for key in PRESET_KEYS[part]):
        return []
    try:
        preset = load_preset(world["preset"])
    except BadInput as error:
        raise traced(error, label, placed, arm_names(data)) from None
    source = f"{label} with world.preset = {toml(world['preset'])}"
    values, filled = preset.values(), []
    for part, given in parts.items():
        config = getattr(preset, part).model_dump(mode="json", exclude_none=True)
        for key in PRESET_KEYS[part]:
            own, preset_value = given.get(key), values[part].get(key)
            if isinstance(own, dict) and isinstance(preset_value, dict) and "kind" not in own:
                given[key] = {**preset_value, **own}
            elif key not in given:
                given[key] = config[key]
            else:
                continue
            if preset_value is not None:
                filled.append(((part, key), source))
    return filled


def preset_notes(study: Study) -> list[str]:
    """Return a note if the study, or what varies in it, leaves the settings that its preset was measured with."""
    if not isinstance(study.world, WorldConfig) or study.world.preset is None:
        return []
    where = f"world.preset = {toml(study.world.preset)}"
    try:
        preset = load_preset(study.world.preset)
    except BadInput as error:
        said = str(error).removeprefix("world.preset: ")
        return [f"{where}: how like its log this world still is cannot be told: {said}"]
    points = [set(_differing(point, preset)) for _, point in grid_points(study)]
    somewhere = set().union(*points)
    drawn = set(_drawn(study))
    names = [
        key
        + (
            " (drawn from a prior)"
            if key in drawn
            else ""
            if all(key in at for at in points)
            else " (varied)"
        )
        for key in [*_compared(), "world"]
        if key in somewhere | drawn
    ]
    if not names:
        return []
    verb = "differs" if len(names) == 1 else "differ"
    size = _size(preset.likeness) if somewhere & {"world", "world.users", "world.items"} else ""
    return [
        f"{where}: {_listed(names)} {verb} from the preset, so what is measured of its likeness{size} does not hold"
    ]


def _compared() -> Iterator[str]:
    """Yield the settings that the first log depends on, as dotted keys."""
    keys = (f"{part}.{key}" for part, keys in PRESET_KEYS.items() for key in keys)
    yield from (key for key in [*keys, "world.creators"] if key not in AFTER_THE_LOG)


def _differing(study: Study, preset: Preset) -> Iterator[str]:
    """Yield the settings in which a study, without anything that varies, differs from the preset's world."""
    if not isinstance(study.world, WorldConfig):
        yield "world"
        return
    for key in _compared():
        part, field = key.split(".")
        if getattr(getattr(study, part), field) != getattr(getattr(preset, part), field):
            yield key


def _drawn(study: Study) -> Iterator[str]:
    """Yield the settings over which there are priors; a prior inside a table counts for the whole table."""
    compared = set(_compared())
    for key in study.uncertainty.priors if study.uncertainty else ():
        part, _, inside = key.partition(".")
        setting = f"{part}.{inside.partition('.')[0].partition('[')[0]}" if inside else part
        if setting in compared or setting == "world":
            yield setting


def _size(likeness: Likeness) -> str:
    return f", at {likeness.users:,} users and {likeness.items:,} items,"


def _listed(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMED:
        names = [*names[: MOST_NAMED - 1], f"{len(names) - MOST_NAMED + 1} more settings"]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
