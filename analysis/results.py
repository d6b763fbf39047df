"""Read the results in a study's folder: its tables, the study as run, and the manifest, by grid point."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..disk import unsealed
from ..errors import BadInput
from ..keys import expand_key, set_value
from .saltelli import independent_rows

if TYPE_CHECKING:
    import pandas as pd

END = 20
"""Rounds at the end of a run over which a measure is averaged for comparisons."""


@dataclass(frozen=True)
class Point:
    """One grid point: its values and its rows of the tables."""

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
        """The point as text: key = value, key = value."""
        return ", ".join(f"{key} = {value}" for key, value in self.values.items())


@dataclass(frozen=True)
class Results:
    """The results of a study, as read from its folder.

    For a Saltelli design the tables contain only the independent rows, averaged over replicates
    (`analysis.saltelli`), since only these are valid for intervals.
    """

    folder: Path
    study: dict[str, Any]
    """`study.toml` as run, with all defaults."""
    manifest: dict[str, Any]
    rounds: pd.DataFrame
    runs: pd.DataFrame
    lorenz: pd.DataFrame

    @cached_property
    def arms(self) -> list[str]:
        """Names of the arms in the order of the study."""
        named = [arm["name"] for arm in self.study["arms"]]
        return named + [name for name in dict.fromkeys(self.runs["arm"]) if name not in named]

    @property
    def reference(self) -> str:
        """The arm that others are compared with."""
        return self.study.get("reference") or self.arms[0]

    @property
    def primary(self) -> list[str]:
        """Measures named in advance, for which verdicts are not adjusted."""
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
        """As `runs`, but with all rows of a Saltelli design, not only the independent ones."""
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
        """Return the arms with their settings at a grid point, given its values as in the tables."""
        study = {"arms": deepcopy(self.study["arms"])}
        for key, value in values.items():
            if key.startswith("arms["):
                for each in expand_key(study, key):
                    set_value(study, each, _as_written(self.study, key, value))
        return study["arms"]

    def _more(self, name: str, columns: list[str]) -> pd.DataFrame:
        """Return a table that folders of older versions lack; empty there."""
        table = _table(self.folder / f"{name}.parquet", ["arm", *self.grid, "seed", *columns], optional=True)
        return independent_rows(table, self.study.get("uncertainty"), self.grid, name)

    @cached_property
    def points(self) -> list[Point]:
        """The grid points, in the order of the runs table; a single one without values if there is no grid."""
        runs = self._with_ends()
        if not self.grid:
            return [Point(1, {}, self.rounds, runs, self.lorenz)]
        found = runs[self.grid].drop_duplicates()
        points = []
        for number, row in enumerate(found.itertuples(index=False), 1):
            values = dict(zip(self.grid, row, strict=True))
            parts = [rows_at(table, values) for table in (self.rounds, runs, self.lorenz)]
            points.append(Point(number, values, *parts))
        return points

    @cached_property
    def span(self) -> int:
        """Number of rounds that comparisons average over: the last `END`, or all of a shorter study."""
        ran = self.rounds["round"].max() + 1 if len(self.rounds) else self.study.get("rounds", END)
        return int(min(END, ran))

    def _with_ends(self) -> pd.DataFrame:
        """Return the runs with every measure's mean over the last `END` rounds of the run, NaN left out."""
        keys = ["arm", *self.grid, "seed"]
        runs = self.runs.drop(columns=[name for name in self.measures if name in self.runs.columns])
        return runs.merge(means(self.rounds, keys, self.measures, END), "left", keys)


def design_keys(study: dict[str, Any]) -> list[str]:
    """Return the dotted keys that vary from point to point of a study as run."""
    return [*(study.get("grid") or {}), *(key for table in study.get("zip") or () for key in table)]


def _as_written(study: dict[str, Any], key: str, value: Any) -> Any:
    """Return a value of a design key as the study has it; columns of mixed types are stored as text."""
    lists = [study.get("grid") or {}, *(study.get("zip") or ())]
    known = [each for values in lists for each in values.get(key, ())]
    return next(
        (each for each in known if each == value or json.dumps(each, ensure_ascii=False) == value), value
    )


def rows_at(table: pd.DataFrame, values: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows with these values of design keys."""
    for key, value in values.items():
        table = table[table[key] == value]
    return table


def means(rounds: pd.DataFrame, keys: Sequence[str], measures: Sequence[str], last: int) -> pd.DataFrame:
    """Return the mean of every run over its last `last` rounds in the table, NaN left out: keys, then measures."""
    by = list(keys)
    end = rounds.groupby(by, sort=False)["round"].transform("max")
    tail = rounds[rounds["round"] > end - last]
    return tail.groupby(by, sort=False)[list(measures)].mean().reset_index()


def cubes(
    rounds: pd.DataFrame,
    measures: Sequence[str],
    arms: Sequence[str],
    seeds: ArrayLike,
    bins: int,
    *,
    width: int = 1,
    first: int = 0,
) -> Iterator[NDArray[np.float64]]:
    """Yield each measure as (arms, bins, seeds): every run averaged over bins of `width` rounds, NaN if missing.

    first: round in which the first bin begins. Other arms, seeds and rounds are ignored.
    """
    import pandas as pd

    arm = pd.Index(arms).get_indexer(pd.Index(rounds["arm"]))
    seed = pd.Index(np.asarray(seeds)).get_indexer(pd.Index(rounds["seed"]))
    place = (rounds["round"].to_numpy(np.int64) - first) // width
    ours = (arm >= 0) & (seed >= 0) & (place >= 0) & (place < bins)
    shape = (len(arms), bins, len(np.asarray(seeds)))
    size = int(np.prod(shape))
    at = np.asarray(np.ravel_multi_index((arm[ours], place[ours], seed[ours]), shape))
    for name in measures:
        values = rounds[name].to_numpy(np.float64, na_value=np.nan)[ours]
        seen = np.isfinite(values)
        count = np.bincount(at[seen], minlength=size)
        total = np.bincount(at[seen], values[seen], minlength=size)
        yield np.divide(total, count, out=np.full(size, np.nan), where=count > 0).reshape(shape)


def read_results(folder: Path) -> Results:
    """Read a study's folder; BadInput names a file that is missing or cannot be read."""
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
        rows = _table(folder / f"{name}.parquet", ["arm", *grid, "seed", *columns], optional)
        return independent_rows(rows, study.get("uncertainty"), grid, name)

    return Results(
        folder=folder,
        study=study,
        manifest=_read(manifest, lambda path: unsealed(path.read_bytes())) if manifest.is_file() else {},
        rounds=table("rounds", "round"),
        runs=table("runs", "status"),
        lorenz=table("lorenz", "when", "what", "x", "y", optional=True),
    )


def _table(path: Path, keys: list[str], optional: bool = False) -> pd.DataFrame:
    """Read a parquet file with the columns `keys`; without rows, or if an optional file is missing, an empty table."""
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
