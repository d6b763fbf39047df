"""A run in a worker that may sit on another machine: it sends back what it found and writes nothing."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ...machine import one_thread
from ..storage.store import Record, parquet
from .terms import COMPARED, WHERE_PRESENT, Terms, ask, complaints, probe
from .worker import Task, carry_out

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Parcel:
    """A finished or failed run on its way home. It takes the place of the store while the run is carried out."""

    record: Record | None = None
    tables: dict[str, bytes] = field(default_factory=dict)
    """Table → Parquet file."""

    def write(self, record: Record, tables: dict[str, pd.DataFrame]) -> None:
        """Keep a run, as `RunStore.write` does."""
        self.record = record
        self.tables = {name: parquet(table) for name, table in tables.items()}

    def unpacked(self) -> dict[str, pd.DataFrame]:
        """Return the tables. The store writes them anew, so its files do not depend on the worker's pyarrow."""
        import io

        import pandas as pd

        return {name: pd.read_parquet(io.BytesIO(data)) for name, data in self.tables.items()}


@dataclass(frozen=True)
class Refusal:
    """The answer of a worker that does not go with the study."""

    where: str
    wrong: list[str]


class Unwanted(BaseException):
    """Nobody waits for this run any more."""


def envoy() -> Callable[..., Any]:
    """Return the function that goes out with a run: `pack` makes its arguments, `unpack` reads what it gives.

    It travels by value, like `versions.probe`, and the run as bytes: neither a scheduler on the way nor a
    worker with another echodrift has to understand either.
    """
    ask_here = probe()

    def do(
        versions: dict,
        files: dict,
        packages: tuple,
        payload: bytes,
        unwanted: Callable[[], bool] | None = None,
    ) -> Any:
        import importlib

        try:
            remote = importlib.import_module("echodrift.scenarios.execution.remote")
        except ImportError:
            return ask_here(packages, {key: path for key, (path, _) in files.items()})
        return remote.perform_packed(versions, files, payload, unwanted)

    return do


def pack(task: Task, terms: Terms) -> tuple[Any, ...]:
    """Return the arguments of the envoy."""
    import cloudpickle

    return terms.versions, terms.files, COMPARED + WHERE_PRESENT, cloudpickle.dumps(task)


def perform_packed(
    versions: dict[str, Any], files: dict[str, Any], payload: bytes, unwanted: Callable[[], bool] | None
) -> bytes:
    """Do the run of an envoy; versions are compared before anything is unpacked."""
    terms = Terms(versions, files)
    refusal = _refusal(terms)
    if refusal is not None:
        return pickle.dumps(refusal)
    return pickle.dumps(perform(pickle.loads(payload), unwanted))


def unpack(given: Any, terms: Terms) -> Parcel | Refusal:
    """Return what an envoy brought back."""
    if isinstance(given, bytes):
        return pickle.loads(given)
    return Refusal(given["where"], complaints(terms, given))


def perform(task: Task, unwanted: Callable[[], bool] | None = None) -> Parcel:
    """Do one run in a worker and return it.

    unwanted: asked after every round; when true, the run ends with `Unwanted`.
    """

    def tick() -> None:
        if unwanted is not None and unwanted():
            raise Unwanted

    parcel: Any = Parcel()
    with one_thread():
        carry_out(task, parcel, tick)
    return parcel


def _refusal(terms: Terms) -> Refusal | None:
    """Return why this worker is the wrong one, or None."""
    wrong, where = _checked(_frozen(terms), _stamps(terms))
    return Refusal(where, list(wrong)) if wrong else None


def _frozen(terms: Terms) -> tuple:
    return tuple(terms.versions.items()), tuple(terms.files.items())


def _stamps(terms: Terms) -> tuple:
    """Return what shows that a data file is another one than before."""
    found = []
    for path, _ in terms.files.values():
        try:
            status = os.stat(path)
            found.append((status.st_size, status.st_mtime_ns))
        except OSError:
            found.append(None)
    return tuple(found)


@lru_cache(maxsize=8)
def _checked(frozen: tuple, stamps: tuple) -> tuple[tuple[str, ...], str]:
    terms = Terms(dict(frozen[0]), dict(frozen[1]))
    answer = ask({key: path for key, (path, _) in terms.files.items()})
    return tuple(complaints(terms, answer)), answer["where"]
