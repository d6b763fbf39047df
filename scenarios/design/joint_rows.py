"""Joint rows of settings from a file (`uncertainty.sample`), written into the priors of a study when it is loaded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import BadInput, Mistake, did_you_mean
from ...wording import short

if TYPE_CHECKING:
    import pandas as pd

WEIGHT = "weight"
"""Column of the weights of the rows."""
MOST_ROWS = 100_000
"""Most rows of a file."""


def fill_joint_rows(data: dict[str, Any]) -> None:
    """Write the rows of `uncertainty.sample` into the priors of a raw study, in place.

    Rows are sorted by their content and columns by name, so that a draw does not depend on their order in the file. A study whose priors hold
    rows already (as every stored study does) is left as it is. Raises BadInput with file, row and column.
    """
    uncertainty = data.get("uncertainty")
    path = uncertainty.get("sample") if isinstance(uncertainty, dict) else None
    if not isinstance(uncertainty, dict) or not isinstance(path, str):
        return
    priors = uncertainty.setdefault("priors", {})
    if not isinstance(priors, dict):
        return
    if any(isinstance(prior, dict) and "sample" in prior for prior in priors.values()):
        return
    table = _read(Path(path))
    keys = sorted(name for name in table if name != WEIGHT)
    both = sorted(set(keys) & set(priors))
    if both:
        raise _wrong(path, f'"{both[0]}" is a column here and has a prior, too. Remove one of them')
    rows = range(len(table[keys[0]]))
    order = sorted(rows, key=lambda row: [repr(table[name][row]) for name in sorted(table)])
    for name in keys:
        priors[name] = {"sample": [table[name][row] for row in order]}
        if WEIGHT in table:
            priors[name]["weights"] = [float(table[WEIGHT][row]) for row in order]


def _read(path: Path) -> dict[str, list[Any]]:
    """Return column → values of a file; raises BadInput."""
    import pandas as pd

    read = {".parquet": pd.read_parquet, ".csv": pd.read_csv}.get(path.suffix.lower())
    if read is None:
        raise _wrong(path, "joint rows come from a .parquet or a .csv file")
    try:
        frame: pd.DataFrame = read(path)
    except FileNotFoundError:
        near = [each.name for each in path.parent.glob("*")] if path.parent.is_dir() else []
        raise _wrong(path, f"there is no such file.{did_you_mean(path.name, near)}") from None
    except (OSError, ValueError) as error:
        raise _wrong(path, f"cannot be read ({short(str(error).splitlines()[0])})") from None
    names = [str(name) for name in frame.columns]
    if not 1 <= len(frame) <= MOST_ROWS:
        raise _wrong(path, f"has {len(frame):,} rows; 1 to {MOST_ROWS:,} are possible")
    if not [name for name in names if name != WEIGHT]:
        raise _wrong(path, 'has no settings: its columns are keys of a study, such as "behavior.search"')
    table = {name: frame[column].tolist() for name, column in zip(names, frame.columns, strict=True)}
    for name, values in table.items():
        for row, value in enumerate(values):
            if value is None or isinstance(value, float) and not math.isfinite(value):
                raise _wrong(path, f'row {row + 1}, column "{name}": is missing or not a finite number')
            if not isinstance(value, str | int | float | bool):
                raise _wrong(
                    path, f'row {row + 1}, column "{name}": {short(repr(value))} is neither a number nor text'
                )
            if name == WEIGHT and (isinstance(value, str) or value <= 0):
                raise _wrong(
                    path, f'row {row + 1}, column "{name}": {short(repr(value))} must be a number above 0'
                )
    return table


def _wrong(path: Path | str, text: str) -> BadInput:
    key = ("uncertainty", "sample")
    return BadInput(Mistake(f"{path}: {text}", key, (key,)))
