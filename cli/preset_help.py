"""Help text of a preset of a world: what it is like, its settings, and how to use it."""

from __future__ import annotations

import textwrap
from pathlib import Path

from ..errors import EchodriftError
from ..scenarios.specs.files import library, presets, read_toml
from ..scenarios.specs.presets import Likeness, is_preset_path, load_preset
from ..wording import counted, toml, toml_key

HEADS = ("statistic", "log", "world", "tolerance", "")
"""Columns of the table of likeness; the last one marks what is missed."""


def is_preset(source: str) -> bool:
    """Return whether a name, or the file at a path, is a preset and not a study."""
    if not is_preset_path(source):
        return source in presets() and source not in library()
    try:
        data = read_toml(Path(source))
    except EchodriftError:
        return False
    return "likeness" in data and "arms" not in data


def describe_preset(source: str) -> str:
    """Return the help text of a preset, by name or path."""
    preset = load_preset(source)
    values = preset.values()
    settings = [
        f"  {part}.{toml_key(key)} = {toml(value)}" for part in values for key, value in values[part].items()
    ]
    lines = [f"{source} (world)", "", preset.name, "", preset.description.strip()]
    lines += ["", "What it sets, where a study does not", *(settings or ["  nothing"])]
    lines += ["", "How like the log it is", *(f"  {line}" for line in _likeness(preset.likeness))]
    lines += ["", "In a study", "  [world]", f"  preset = {toml(source)}"]
    return "\n".join(lines)


def _likeness(likeness: Likeness) -> list[str]:
    missed = sum(not row.within for row in likeness.rows)
    size = f"{likeness.users:,} users, {likeness.items:,} items, {likeness.pairs:,} pairs"
    table = [
        (
            row.statistic,
            *(f"{value:.4g}" for value in (row.log, row.world)),
            f"± {row.tolerance:.3g}",
            "" if row.within else "missed",
        )
        for row in likeness.rows
    ]
    widths = [max(map(len, column)) for column in zip(HEADS, *table, strict=True)]
    out = textwrap.wrap(
        f"{likeness.log}: {size}. Filter, also of the simulated logs: {likeness.filter}.", 100
    )
    for name, *cells in (HEADS, *table):
        *numbers, mark = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        out.append("  ".join([name.ljust(widths[0]), *numbers, mark.strip()]).rstrip())
    matched = len(likeness.rows) - missed
    return [*out, f"{matched} of {counted(len(likeness.rows), 'statistic')} matched"]
