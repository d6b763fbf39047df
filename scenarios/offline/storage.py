"""The output folder of an evaluation or a tuning."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ...disk import TEMPORARY, cannot_write, write_atomically
from ...errors import StorageError
from ..storage.store import parquet

if TYPE_CHECKING:
    import pandas as pd

OURS = {"evaluation.json", "tuning.json", "best.toml"} | {
    f"{name}.{kind}"
    for name in ("metrics", "summary", "differences", "users", "trials")
    for kind in ("parquet", "csv")
}
"""Files of earlier results, which are replaced."""


def check_folder(path: Path, ours: Collection[str] = OURS, of: str = "an evaluation") -> None:
    """Raise StorageError unless the folder is missing, empty, or holds results of this kind only.

    ours: names of their files. of: what they are results of.
    """
    try:
        if not path.exists():
            return
        if not path.is_dir():
            raise StorageError(f"{path} is a file, not a folder; choose another folder with --out")
        foreign = sorted(
            {entry.name for entry in path.iterdir() if not entry.name.startswith(TEMPORARY)} - set(ours)
        )
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be read: {error.strerror or error}; choose another folder with --out"
        ) from None
    if foreign:
        raise StorageError(
            f"{path} holds files that are not results of {of} ({', '.join(foreign[:3])}); "
            "choose another folder with --out"
        )


def make_folder(path: Path) -> None:
    """Make the folder; raises StorageError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_table(folder: Path, name: str, table: pd.DataFrame) -> None:
    """Write a table as Parquet and as CSV."""
    write_atomically(folder / f"{name}.parquet", parquet(table))
    write_atomically(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
