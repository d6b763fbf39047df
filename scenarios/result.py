"""The results of a study: its tables, comparisons, figures, gate and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, did_you_mean
from .design.grid import design_keys
from .specs.files import read_toml
from .specs.study import Study
from .specs.validation import validate_study
from .storage.folder import Folder

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ..analysis.gate.answer import Answer

COMPARED = ("arm", "measure", "difference", "low", "high", "n", "verdict")
"""Columns of a comparison after those of the grid, unless all are asked for."""


class Result:
    """The results of a study, read from its folder on first access."""

    def __init__(self, folder: str | Path, temporary: TemporaryDirectory[str] | None = None) -> None:
        """Open a finished results folder; raises StorageError if results are missing or were changed.

        temporary: a temporary folder to keep as long as this object.
        """
        self.folder = Path(folder)
        if not self.folder.exists():
            raise BadInput(f"{self.folder}: there is no such folder")
        if self.folder.is_file():
            raise BadInput(f"{self.folder} is a file; name the folder of a study's results")
        self.manifest: dict[str, Any] = Folder(self.folder).verify()
        self._temporary = temporary

    def __repr__(self) -> str:
        failed = f", {self.manifest['failed']} failed" if self.manifest["failed"] else ""
        return f'Result("{self.manifest["study"]}", {self.manifest["runs"]} runs{failed}, in {self.folder})'

    @cached_property
    def study(self) -> Study:
        """The study as run, every default spelled out. Code that it names is not imported."""
        file = self.folder / "study.toml"
        return validate_study(read_toml(file), str(file))

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """One row per round: arm, grid columns, seed, round, then one column per measure."""
        return self._table("rounds")

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row per run: arm, grid columns, seed, status, error, seconds, summaries, notes."""
        return self._table("runs")

    @cached_property
    def lorenz(self) -> pd.DataFrame:
        """Lorenz curves: arm, grid columns, seed, when, what, x, y."""
        return self._table("lorenz")

    @cached_property
    def deciles(self) -> pd.DataFrame:
        """Exposure, consumption and demand by popularity decile of items: arm, grid columns, seed, round, decile, …"""
        return self._table("deciles")

    @cached_property
    def tastes(self) -> pd.DataFrame:
        """Persistence of tastes: arm, grid columns, seed, round, taste (1 = dominant), users, kept, survived, …"""
        return self._table("tastes")

    @cached_property
    def network_users(self) -> pd.DataFrame:
        """Users at the start and the end of the first run of each arm: when, user, community, taste, share."""
        return self._table("network_users")

    @cached_property
    def network_ties(self) -> pd.DataFrame:
        """Ties of the same runs between communities and between dominant tastes: when, by, one, other, ties."""
        return self._table("network_ties")

    @property
    def failed(self) -> pd.DataFrame:
        """The rows of `runs` whose run ended in an error."""
        return self.runs[self.runs["status"] == "failed"]

    def _table(self, name: str) -> pd.DataFrame:
        import pandas as pd

        file = f"{name}.parquet"
        if file not in self.manifest["hashes"]:
            # Folders of older versions lack some tables.
            return pd.DataFrame(columns=["arm", *design_keys(self.study), "seed"])
        # Again, since the file may have been changed after this object was made.
        Folder(self.folder).verify_file(file, self.manifest)
        return pd.read_parquet(self.folder / file)

    def _independent(self, name: str) -> pd.DataFrame:
        """Return a table without the rows of a Saltelli design that share draws with others, replicates averaged."""
        from ..analysis.saltelli import independent_rows

        uncertainty = self.study.uncertainty
        described = None if uncertainty is None else uncertainty.model_dump(mode="json")
        return independent_rows(getattr(self, name), described, design_keys(self.study), name)

    @cached_property
    def draws(self) -> pd.DataFrame | None:
        """What each seed drew from the priors: seed, then one column per dotted key; None without uncertainty."""
        return None if self.study.uncertainty is None else self._table("draws")

    def compare(
        self,
        *measures: str,
        reference: str | None = None,
        arms: Sequence[str] | None = None,
        level: float = 0.95,
        method: str = "t",
        all_columns: bool = False,
    ) -> pd.DataFrame:
        """Return every arm minus the reference, paired by seed, with intervals: one row per arm and measure.

        measures: columns of `runs`; the study's primary measures if omitted. reference: the
        study's own, or its first arm. With a grid, one block of rows per grid point. Of a Saltelli design, only
        the independent rows are used, each averaged over its replicates. method: "t", "bca"
        (bootstrap) or "permutation" (sign flips).
        Columns: grid keys, arm, measure, difference, low, high, n (seeds with a value in both arms), verdict. With
        all_columns also those of `echodrift.analysis.statistics.compare`: the two means, missing seeds, p-values, …
        """
        import pandas as pd

        from ..analysis.gate.sequential import compare_of

        compare = compare_of(self.manifest)
        primary = [name for name in self.study.primary if name in self.runs]
        for name in measures:
            if name not in self.runs.columns:
                raise BadInput(
                    f'no measure "{name}" in these results.{did_you_mean(name, self.runs.columns)}'
                )
        reference = reference or self.study.reference or self.study.arms[0].name
        wanted = list(measures) or primary
        keys, runs = design_keys(self.study), self._independent("runs")
        groups = runs.groupby(keys, sort=False) if keys else [((), runs)]
        parts = []
        for values, rows in groups:
            part = compare(rows, reference, wanted, primary=primary, arms=arms, level=level, method=method)
            for place, (key, value) in enumerate(zip(keys, values, strict=True)):
                part.insert(place, key, value)
            parts.append(part)
        table = pd.concat(parts, ignore_index=True)
        return table if all_columns else table[[*keys, *COMPARED]]

    def plot(
        self,
        *measures: str,
        kind: str = "curves",
        by: str | Sequence[str] = "arm",
        vs: str | None = None,
        at: Mapping[str, Any] | None = None,
        arms: Sequence[str] = (),
        rounds: tuple[int | None, int | None] = (None, None),
        limit: float | None = None,
    ) -> Figure:
        """Return one figure of the study, a matplotlib Figure; what `echodrift plot` writes into a file.

        measures: columns of `rounds`; the study's primary measures if omitted. kind: "curves" over
        the rounds (mean and 95 % band over seeds), or another of `analysis.plots.request.KINDS`. by: "arm", or
        keys that the study varies. vs: show differences from this arm, paired by seed. at: values of
        design keys (the first value of each key if omitted). arms: those to show. rounds: first and last
        round, both included. limit: value at which a phase diagram draws its line, in the measure's own unit;
        the gate's limit if omitted. Raises BadInput for unknown names, with the closest known one.
        """
        from ..analysis.plots.draw import draw
        from ..analysis.results import read_results

        if not len(self.rounds):
            raise BadInput("every run of this study failed, so there is nothing to plot; see .failed")
        return draw(
            read_results(self.folder), *measures, kind=kind, by=by, vs=vs, at=at, arms=arms, rounds=rounds,
            limit=limit,
        )  # fmt: skip

    def sensitivity(self, measure: str, arm: str | None = None, vs: str | None = None) -> pd.DataFrame:
        """Return sensitivity indices of a measure's mean over the last 20 rounds: which assumptions drive it.

        measure: a column of `runs`. arm: one arm, or all. vs: the arm that differences are taken from; the
        study's reference if omitted. Rows: grid point, arm, what (the arm's own mean, or its
        difference from the reference), key. Columns: see `echodrift.analysis.sensitivity.sensitivity`.
        Raises BadInput for a study without [uncertainty].
        """
        from ..analysis.results import read_results
        from ..analysis.sensitivity import sensitivity

        return sensitivity(read_results(self.folder), measure, arm=arm, reference=vs)

    def gate(self) -> Answer:
        """Judge the `[gate]` of the study: `.outcome` is "PASS", "FAIL" or "UNDECIDED"; print it for the table.

        Raises BadInput if the study has none.
        """
        from .gate_results import judge_folder

        return judge_folder(self.folder)

    def query(self, sql: str) -> pd.DataFrame:
        """Return the result of a SELECT over the tables (`rounds`, `runs`, `lorenz`, …; the dialect of DuckDB).

        Raises BadInput for an invalid query, StorageError if a table was changed.
        """
        from .inspection.query import Query

        return Query(self.folder).table(sql).to_pandas()

    def report(self) -> Path:
        """Write report.html and figures/ into the folder, replacing earlier ones; return the path of the page."""
        from ..analysis.report.build import build_report

        return Path(build_report(self.folder))
