"""A study's folder read back: the tables, the study as run, the manifest; one grid point at a time."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from ..keys import expand_key, set_value
from .saltelli import independent

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
    """What a study left in its folder.

    Of a Saltelli design the tables here have the independent rows alone, replicates averaged
    (`analysis.saltelli`): what intervals may rest on.
    """

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
        """Dotted keys that vary from point to point: those of the grid and of the zip tables."""
        return design_keys(self.study)

    @cached_property
    def draws(self) -> pd.DataFrame | None:
        """What each seed drew from the priors: seed, then one column per dotted key; None without uncertainty."""
        path = self.folder / "draws.parquet"
        return _table(path, ["seed"]) if self.study.get("uncertainty") and path.is_file() else None

    @cached_property
    def every_run(self) -> pd.DataFrame:
        """`runs` with all rows of a Saltelli design, of which `runs` has the independent ones alone."""
        return _table(self.folder / "runs.parquet", ["arm", *self.grid, "seed", "status"])

    @cached_property
    def measures(self) -> list[str]:
        """Measure columns, splits included, in the order of the tables."""
        keys = {"arm", *self.grid, "seed", "round"}
        return [name for name in self.rounds.columns if name not in keys]

    @cached_property
    def deciles(self) -> pd.DataFrame:
        """Exposure, consumption and demand by popularity decile and round; see `analysis.deciles`."""
        return self._more(
            "deciles", ["round", "rounds", "decile", "exposure", "consumption", "demand", "live"]
        )

    @cached_property
    def tastes(self) -> pd.DataFrame:
        """How long tastes last, by rank of taste and round; see `analysis.taste_survival`."""
        shares = ["kept", "kept_neutral", "survived", "survived_neutral"]
        return self._more("tastes", ["round", "taste", "users", *shares])

    @cached_property
    def network_users(self) -> pd.DataFrame:
        """Users at round 0 and at the end, first seed of each arm; see `analysis.network`."""
        return self._more("network_users", ["when", "user", "community", "taste", "share"])

    @cached_property
    def network_ties(self) -> pd.DataFrame:
        """Ties between communities and between dominant tastes, for the same runs; see `analysis.network`."""
        return self._more("network_ties", ["when", "by", "one", "other", "ties"])

    def arms_at(self, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the arms as they are at a grid point, given by the values that its rows have in the tables."""
        study = {"arms": deepcopy(self.study["arms"])}
        for key, value in values.items():
            if key.startswith("arms["):
                for each in expand_key(study, key):
                    set_value(study, each, _as_written(self.study, key, value))
        return study["arms"]

    def at(self, table: pd.DataFrame, point: Point) -> pd.DataFrame:
        """Return the rows of a table that belong to a grid point."""
        return _at(table, point.values)

    def _more(self, name: str, columns: list[str]) -> pd.DataFrame:
        """A table that folders of older versions lack: empty there."""
        table = _table(self.folder / f"{name}.parquet", ["arm", *self.grid, "seed", *columns], optional=True)
        return independent(table, self.study.get("uncertainty"), self.grid, name)

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


def design_keys(study: dict[str, Any]) -> list[str]:
    """Return the dotted keys that vary from point to point of a study as run."""
    return [*(study.get("grid") or {}), *(key for table in study.get("zip") or () for key in table)]


def _as_written(study: dict[str, Any], key: str, value: Any) -> Any:
    """Return a value of a design key as the study has it: a column of mixed types holds text."""
    lists = [study.get("grid") or {}, *(study.get("zip") or ())]
    known = [each for values in lists for each in values.get(key, ())]
    return next(
        (each for each in known if each == value or json.dumps(each, ensure_ascii=False) == value), value
    )


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
    grid = design_keys(study)

    def table(name: str, *columns: str, optional: bool = False) -> pd.DataFrame:
        whole = _table(folder / f"{name}.parquet", ["arm", *grid, "seed", *columns], optional)
        return independent(whole, study.get("uncertainty"), grid, name)

    return Results(
        folder=folder,
        study=study,
        manifest=_read(manifest, lambda path: json.loads(path.read_text("utf-8")))
        if manifest.is_file()
        else {},
        rounds=table("rounds", "round"),
        runs=table("runs", "status"),
        lorenz=table("lorenz", "when", "what", "x", "y", optional=True),
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
