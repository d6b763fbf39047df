"""The schema of a preset of a generated world (TOML): its settings, and how like a log it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from ...agents.behavior import Behavior
from ...agents.settings import WorldConfig
from ...config import Config, plain
from ...errors import BadInput, KeyPath, Mistake, did_you_mean
from ...sim.platform import Platform
from .files import presets, read_toml
from .validation import traced, validate


class LikenessRow(Config):
    """One statistic of the log and of the preset's simulated logs."""

    statistic: str = Field(min_length=1)
    """What is compared."""
    log: float
    """Its value in the log."""
    world: float
    """Its mean over simulated logs."""
    tolerance: float = Field(ge=0)
    """Difference up to which it counts as matched, in units of the statistic."""
    within: bool
    """Whether it is matched."""


class Likeness(Config):
    """Which log a preset is like, and what it matches and misses of it."""

    log: str = Field(min_length=1)
    """The log, in words."""
    users: int = Field(ge=1)
    """Users of the log after its filter; simulated logs were compared at this size."""
    items: int = Field(ge=1)
    """Items of the log after its filter."""
    pairs: int = Field(ge=1)
    """Different user-item pairs of the log after its filter."""
    filter: str = Field(min_length=1)
    """How the log was collected, in words; simulated logs passed through the same filter."""
    rows: list[LikenessRow] = Field(min_length=1)
    """The statistics that were compared."""


class Preset(Config):
    """Settings of a generated world that is like a log. Those that it does not set have their usual defaults."""

    name: str = Field(min_length=1)
    """What it is, as a title."""
    description: str = Field(min_length=1)
    """How it was made, and what it is good for."""
    world: WorldConfig = WorldConfig()
    """As in a study, except `preset`, `creators` and graphs from files."""
    behavior: Behavior = Behavior()
    """As in a study."""
    platform: Platform = Platform()
    """Only `warmup` and `slate`, which the first log depends on."""
    likeness: Likeness
    """What it matches and misses."""

    def values(self) -> dict[str, dict[str, Any]]:
        """Return what the preset sets: "world", "behavior" or "platform" → key → value."""
        parts = {part: getattr(self, part) for part in PRESET_KEYS}
        return {
            part: config.model_dump(mode="json", exclude_none=True, include=config.model_fields_set)
            for part, config in parts.items()
        }


PRESET_KEYS: dict[str, tuple[str, ...]] = {
    "world": tuple(key for key in WorldConfig.model_fields if key not in ("preset", "creators")),
    "behavior": tuple(Behavior.model_fields),
    "platform": ("slate", "warmup"),
}
"""Part of a study → the settings that a preset may contain."""
_REFUSED = {
    ("world", "preset"): "a preset does not build on another one: copy what it sets",
    ("world", "creators"): "belongs into the study: a study could not turn off the creators of a preset",
    ("world", "graph", "path"): "a preset refers to no other file: choose a graph that is generated",
}
"""Keys of a study that have no place in a preset, and why."""


def is_preset_path(preset: str) -> bool:
    """Return whether `world.preset` names a file, not a preset that comes with echodrift."""
    return preset.endswith(".toml")


def load_preset(preset: str) -> Preset:
    """Return a preset by name or path; BadInput names the file and the key, or `world.preset` if there is none."""
    where: KeyPath = ("world", "preset")
    known = presets()
    if not is_preset_path(preset) and preset not in known:
        raise BadInput(
            Mistake(
                f'there is no preset "{preset}".{did_you_mean(preset, known)} Presets: {", ".join(known) or "none"}; '
                "a path to a preset file ends in .toml",
                where,
            )
        )
    path = Path(preset) if is_preset_path(preset) else known[preset]
    try:
        data = read_toml(path)
    except BadInput as error:
        raise BadInput(Mistake(str(error), where)) from None
    return _validated(plain(data, str(path)), str(path))


def _validated(data: dict[str, Any], label: str) -> Preset:
    """Return the preset of the plain data of a file; every mistake starts with the file."""
    wrong = [Mistake(why, path) for path, why in _REFUSED.items() if _has(data, path)]
    platform = data.get("platform")
    wrong += [
        Mistake("a preset sets only slate and warmup of the platform", ("platform", key))
        for key in (platform if isinstance(platform, dict) else ())
        if key in Platform.model_fields and key not in PRESET_KEYS["platform"]
    ]
    try:
        if wrong:
            raise BadInput(*wrong)
        return validate(Preset, data)
    except BadInput as error:
        raise traced(error, label) from None


def _has(data: Any, path: KeyPath) -> bool:
    for step in path:
        if not isinstance(data, dict) or step not in data:
            return False
        data = data[step]
    return True
