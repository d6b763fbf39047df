"""The looks at a study that ran until it was decided, as its manifest tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Looks:
    """The looks at a study that `--until` took, also of one that was run on with a set number of seeds."""

    counts: tuple[int, ...]
    """Seeds after each look."""
    seeds: tuple[int, ...]
    """All seeds of the study, in the order in which it ran them; empty where the manifest has none."""
    why: str
    """Why it stopped, in words."""


FIGURE_WARNING = (
    "One looked at this study as it ran (--until decided); the intervals and bands here take no account of that and are "
    "too narrow for a conclusion."
)


def figure_warning(manifest: Mapping[str, Any]) -> str:
    """Return what figures with t intervals say of a study that one looked at as it ran; else nothing."""
    return "" if looks_of(manifest) is None else FIGURE_WARNING


def looks_of(manifest: Mapping[str, Any]) -> Looks | None:
    """Return the looks that a manifest tells of; None where the number of seeds was set beforehand."""
    told = manifest.get("stopping") or manifest.get("looked")
    if not told:
        return None
    seeds = manifest.get("seeds")
    return Looks(
        counts=tuple(int(count) for count in told.get("looks") or ()),
        seeds=tuple(int(seed) for seed in seeds) if isinstance(seeds, list) else (),
        why=str(told.get("stopped") or "").strip().rstrip("."),
    )
