"""Read the interim looks of a sequentially stopped study (`--until decided`) from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Looks:
    """The interim looks that `--until` took at a study, also if it was later extended to a set number of seeds."""

    counts: tuple[int, ...]
    """Number of seeds at each look."""
    seeds: tuple[int, ...]
    """All seeds of the study in the order they were run; empty if the manifest lists none."""
    why: str
    """Why the study stopped, as text."""


FIGURE_WARNING = (
    "One looked at this study as it ran (--until decided); the intervals and bands here take no account of that and are "
    "too narrow for a conclusion."
)


def figure_warning(manifest: Mapping[str, Any]) -> str:
    """Return the warning for figures with t intervals of a study with interim looks; else an empty string."""
    return "" if looks_of(manifest) is None else FIGURE_WARNING


def looks_of(manifest: Mapping[str, Any]) -> Looks | None:
    """Return the interim looks recorded in a manifest; None if the number of seeds was set in advance."""
    stopping = manifest.get("stopping") or manifest.get("looked")
    if not stopping:
        return None
    seeds = manifest.get("seeds")
    return Looks(
        counts=tuple(int(count) for count in stopping.get("looks") or ()),
        seeds=tuple(int(seed) for seed in seeds) if isinstance(seeds, list) else (),
        why=str(stopping.get("stopped") or "").strip().rstrip("."),
    )
