"""Execute a run in a worker that may be on another machine: it returns the result and writes nothing."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ...machine import one_thread
from ..storage.store import Record, parquet
from .requirements import Requirements, check_here, mismatches, probe_function, probed_names
from .worker import Cancelled, Task, execute

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class RemoteResult:
    """The result of a finished or failed run. Stands in for the store while the run is executed."""

    record: Record | None = None
    tables: dict[str, bytes] = field(default_factory=dict)
    """Table → Parquet file."""

    def write(self, record: Record, tables: dict[str, pd.DataFrame]) -> None:
        """Keep the result; called like `RunStore.write`."""
        self.record = record
        self.tables = {name: parquet(table) for name, table in tables.items()}

    def unpacked(self) -> dict[str, pd.DataFrame]:
        """Return the tables. The store writes them again, so files do not depend on the worker's version of pyarrow."""
        import io

        import pandas as pd

        return {name: pd.read_parquet(io.BytesIO(data)) for name, data in self.tables.items()}


@dataclass(frozen=True)
class Refusal:
    """The answer of a worker that does not match the study."""

    where: str
    wrong: list[str]


def remote_function() -> Callable[..., Any]:
    """Return the function that a worker runs: `pack` makes its arguments, `unpack` reads its result.

    Like the probe (see `requirements.probe_function`) it is pickled by value, and the run is sent as bytes, so that
    neither the scheduler nor a worker with another version of echodrift has to understand them. Such a worker calls
    `perform_packed` of its own version, so that name and its arguments stay.
    """
    probe = probe_function()

    def do(
        versions: dict,
        files: dict,
        packages: tuple,
        payload: bytes,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> Any:
        import importlib

        try:
            remote = importlib.import_module("echodrift.scenarios.execution.remote")
        except ImportError:
            return probe(packages, {key: path for key, (path, _) in files.items()})
        return remote.perform_packed(versions, files, payload, is_cancelled)

    return do


def pack(task: Task, requirements: Requirements) -> tuple[Any, ...]:
    """Return the arguments of `remote_function`."""
    import cloudpickle

    return requirements.versions, requirements.files, probed_names(requirements), cloudpickle.dumps(task)


def perform_packed(
    versions: dict[str, Any], files: dict[str, Any], payload: bytes, is_cancelled: Callable[[], bool] | None
) -> bytes:
    """Execute a packed run; versions are compared before anything is unpickled."""
    requirements = Requirements(versions, files)
    refusal = _refusal(requirements)
    if refusal is not None:
        return pickle.dumps(refusal)
    return pickle.dumps(execute_remotely(pickle.loads(payload), is_cancelled))


def unpack(given: Any, requirements: Requirements) -> RemoteResult | Refusal:
    """Return what `remote_function` returned."""
    if isinstance(given, bytes):
        return pickle.loads(given)
    return Refusal(given["where"], mismatches(requirements, given))


def execute_remotely(task: Task, is_cancelled: Callable[[], bool] | None = None) -> RemoteResult:
    """Execute one run in a worker and return its result.

    is_cancelled: called after every round; when true, the run ends with `Cancelled`.
    """

    def tick() -> None:
        if is_cancelled is not None and is_cancelled():
            raise Cancelled

    result: Any = RemoteResult()
    with one_thread():
        execute(task, result, tick)
    return result


def _refusal(requirements: Requirements) -> Refusal | None:
    """Return how this worker differs from the requirements, or None."""
    wrong, where = _checked(_frozen(requirements), _stamps(requirements))
    return Refusal(where, list(wrong)) if wrong else None


def _frozen(requirements: Requirements) -> tuple:
    return tuple(requirements.versions.items()), tuple(requirements.files.items())


def _stamps(requirements: Requirements) -> tuple:
    """Return sizes and modification times, which show whether a data file was replaced."""
    found = []
    for path, _ in requirements.files.values():
        try:
            status = os.stat(path)
            found.append((status.st_size, status.st_mtime_ns))
        except OSError:
            found.append(None)
    return tuple(found)


@lru_cache(maxsize=8)
def _checked(frozen: tuple, stamps: tuple) -> tuple[tuple[str, ...], str]:
    requirements = Requirements(dict(frozen[0]), dict(frozen[1]))
    answer = check_here(requirements)
    return tuple(mismatches(requirements, answer)), answer["where"]
