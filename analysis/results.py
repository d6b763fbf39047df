"""A study's folder read back: the tables, the study as run, the manifest; one grid point at a time."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

END = 20
"""Rounds at the end of a run over which a measure is averaged for comparisons."""


@dataclass(frozen=True)
class Point:
    """One grid point: its values and its part of the tables."""

    number: int
    """1, 2, … in the order of the grid."""
    values: dict[str, Any]
    """Dotted key → value; empty without a grid."""
    rounds: pd.DataFrame
    runs: pd.DataFrame
    """One row per run, failed ones included; measures are means of the last `END` rounds."""
    lorenz: pd.DataFrame

    @property
    def label(self) -> str:
        """The point in words: key = value, key = value."""
        return ", ".join(f"{key} = {value}" for key, value in self.values.items())


@dataclass(frozen=True)
class Results:
    """What a study left in its folder."""

    folder: Path
    study: dict[str, Any]
    """`study.toml` as run, every default spelled out."""
    manifest: dict[str, Any]
    rounds: pd.DataFrame
    runs: pd.DataFrame
    lorenz: pd.DataFrame

    @cached_property
    def arms(self) -> list[str]:
        """Names in the order of the study."""
        named = [arm["name"] for arm in self.study["arms"]]
        return named + [name for name in dict.fromkeys(self.runs["arm"]) if name not in named]

    @property
    def reference(self) -> str:
        """The arm that others are compared with."""
        return self.study.get("reference") or self.arms[0]

    @property
    def primary(self) -> list[str]:
        """Measures named beforehand."""
        return list(self.study.get("primary", []))

    @property
    def grid(self) -> list[str]:
        """Dotted keys that vary."""
        return list(self.study.get("grid") or {})

    @cached_property
    def measures(self) -> list[str]:
        """Measure columns, splits included, in the order of the tables."""
        keys = {"arm", *self.grid, "seed", "round"}
        return [name for name in self.rounds.columns if name not in keys]

    @cached_property
    def points(self) -> list[Point]:
        """The grid points, in the order in which the runs list them; one without values when there is no grid."""
        runs = self._with_ends()
        if not self.grid:
            return [Point(1, {}, self.rounds, runs, self.lorenz)]
        found = runs[self.grid].drop_duplicates()
        points = []
        for number, row in enumerate(found.itertuples(index=False), 1):
            values = dict(zip(self.grid, row, strict=True))
            parts = [_at(table, values) for table in (self.rounds, runs, self.lorenz)]
            points.append(Point(number, values, *parts))
        return points

    @cached_property
    def span(self) -> int:
        """Rounds that comparisons average over: the last `END`, or all of a shorter study."""
        ran = self.rounds["round"].max() + 1 if len(self.rounds) else self.study.get("rounds", END)
        return int(min(END, ran))

    def _with_ends(self) -> pd.DataFrame:
        """Runs with every measure's mean over the last `END` rounds of the run, NaN left out."""
        keys = ["arm", *self.grid, "seed"]
        runs = self.runs.drop(columns=[name for name in self.measures if name in self.runs.columns])
        last = self.rounds.groupby(keys, sort=False)["round"].transform("max")
        tail = self.rounds[self.rounds["round"] > last - END]
        return runs.merge(tail.groupby(keys, sort=False)[self.measures].mean().reset_index(), "left", keys)


def _at(table: pd.DataFrame, values: dict[str, Any]) -> pd.DataFrame:
    """Rows of one grid point."""
    for key, value in values.items():
        table = table[table[key] == value]
    return table


def read_results(folder: Path) -> Results:
    """Read a study's folder; BadInput says which file is missing or cannot be read."""
    folder = Path(folder)
    for name in ("study.toml", "runs.parquet", "rounds.parquet"):
        if not (folder / name).is_file():
            raise BadInput(
                f"{folder} holds no finished study: {name} is missing. "
                f"`echodrift run STUDY --out {folder}` writes one (and goes on with one that was interrupted)."
            )
    study = _read(folder / "study.toml", lambda path: tomllib.loads(path.read_text("utf-8")))
    if not study.get("arms"):
        raise BadInput(
            f"{folder / 'study.toml'} lists no arms: it is not a study as `echodrift run` writes it."
        )
    manifest = folder / "manifest.json"
    grid = list(study.get("grid") or {})
    return Results(
        folder=folder,
        study=study,
        manifest=_read(manifest, lambda path: json.loads(path.read_text("utf-8")))
        if manifest.is_file()
        else {},
        rounds=_table(folder / "rounds.parquet", ["arm", *grid, "seed", "round"]),
        runs=_table(folder / "runs.parquet", ["arm", *grid, "seed", "status"]),
        lorenz=_table(
            folder / "lorenz.parquet", ["arm", *grid, "seed", "when", "what", "x", "y"], optional=True
        ),
    )


def _table(path: Path, keys: list[str], optional: bool = False) -> pd.DataFrame:
    """A parquet file with the columns `keys`; without rows, or without an optional file, an empty table with them."""
    import pandas as pd

    table = pd.DataFrame() if optional and not path.is_file() else _read(path, pd.read_parquet)
    missing = [key for key in keys if key not in table.columns]
    if missing and len(table):
        raise BadInput(f'{path} lacks the column "{missing[0]}": it is not a table of this study.')
    return table.assign(**{key: pd.Series(dtype=object) for key in missing})


def _read(path: Path, how: Any) -> Any:
    try:
        return how(path)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path} cannot be read ({error}). Was it changed or cut off after the study ran?"
        ) from error
