"""Execute runs on a cluster (Dask or Ray): send them, collect results, and retry runs whose worker died.

This uses the clients' own futures instead of joblib's backends. joblib's Dask backend aborts the whole
call when the first worker dies for good, and does not report which run it had; its Ray backend returns
nothing before everything is done. With both, one run that takes too much memory would end the study.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ...errors import BadInput, ClusterError, StorageError, describe
from ...wording import counted
from ..storage.store import Record, RunStore
from .remote import Refusal, RemoteResult
from .requirements import Requirements, mismatches
from .worker import Task

CONNECT_SECONDS = 5.0
"""Time limit for a scheduler to answer."""
PROBE_SECONDS = 120.0
"""Time limit for workers to answer the probe: they load the libraries and read the study's data files."""
NO_WORKER_SECONDS = 300.0
"""Time without any worker after which a study stops. Workers that died may be restarted until then."""
DEFAULT_PORTS = {"dask": 8786, "ray": 6379}
SCHEMES = {"dask": ("tcp", "tls"), "ray": ("ray",)}


class WorkerDied(Exception):
    """The worker died during this run."""


class Cluster(ABC):
    """Workers that runs can be sent to.

    A run whose worker died is sent again. After `strikes` deaths it is sent only when nothing else is running,
    so that another death is certainly its own doing.
    """

    strikes = 1
    name = ""
    """Name in messages."""

    @abstractmethod
    def workers(self) -> int:
        """Return how many runs can be executed at a time at present."""

    @abstractmethod
    def probe_workers(self, requirements: Requirements) -> dict[str, dict[str, Any] | None]:
        """Return address → answer of every worker (see `requirements.probe_function`), None after `PROBE_SECONDS`.

        Workers that disappear meanwhile are left out.
        """

    @abstractmethod
    def send(self, task: Task, requirements: Requirements) -> None:
        """Send a run to a worker."""

    @abstractmethod
    def wait(self, timeout: float) -> list[tuple[str, RemoteResult | Refusal | Exception]]:
        """Return (run key, outcome) of runs that finished, waiting for at most `timeout` seconds.

        The outcome is `WorkerDied` when the worker died; any other exception arose in the transfer.
        """

    @abstractmethod
    def close(self) -> None:
        """Cancel unfinished runs, and close what was started for this study."""

    def check(self, requirements: Requirements) -> None:
        """Raise BadInput unless there are workers and all of them match the study."""
        until = time.monotonic() + CONNECT_SECONDS
        while not self.workers():
            if time.monotonic() > until:
                raise BadInput(
                    f"{self.name} answers but has no workers; start some, then run the same command"
                )
            time.sleep(0.1)
        answers = sorted(self.probe_workers(requirements).items())
        if silent := [address for address, answer in answers if answer is None]:
            raise BadInput(
                f"{self.name}: no answer within {PROBE_SECONDS:g} seconds from {counted(len(silent), 'worker')} "
                f"({', '.join(silent[:8])}{', …' if len(silent) > 8 else ''}); stop what hangs there, or wait, "
                "then run the same command"
            )
        lines = [
            f"{self.name}: worker {address} does not match this study: {wrong}"
            for address, answer in answers
            if answer is not None
            for wrong in mismatches(requirements, answer)
        ]
        if lines:
            shown = lines[:8] + ([f"and {len(lines) - 8} more"] if len(lines) > 8 else [])
            what = "Install the same versions on every worker, and put data files under the same path."
            raise BadInput("\n".join([*shown, what]))


def execute_on(
    cluster: Cluster,
    todo: Sequence[Task],
    store: RunStore,
    jobs: int,
    requirements: Requirements,
    patience: float = NO_WORKER_SECONDS,
) -> Iterator[Record]:
    """Execute the runs on a cluster; write each result in this process and yield its record.

    jobs: maximum at a time; workers that join later are used up to this number. Raises ClusterError when the
    cluster is gone or a worker that joined later does not match the study; StorageError when a worker on
    this machine could not write a checkpoint.
    """
    waiting, suspects = deque(todo), deque()
    under_way: dict[str, Task] = {}
    strikes: Counter[str] = Counter()
    alone = False
    seen = time.monotonic()
    while waiting or suspects or under_way:
        available = cluster.workers()
        if available:
            seen = time.monotonic()
        elif time.monotonic() - seen > patience:
            raise ClusterError(f"{cluster.name}: no worker could be reached for {patience:.0f} seconds.")
        while waiting and not alone and len(under_way) < min(jobs, available):
            task = waiting.popleft()
            under_way[task.run.key] = task
            cluster.send(task, requirements)
        if suspects and not under_way and available:
            task, alone = suspects.popleft(), True
            under_way[task.run.key] = task
            cluster.send(task, requirements)
        for key, outcome in cluster.wait(1.0):
            task = under_way.pop(key)
            label, record = task.run.label, None
            if isinstance(outcome, RemoteResult):
                record = outcome.record
            elif isinstance(outcome, Refusal):
                raise _refused(cluster, outcome)
            elif isinstance(outcome, StorageError):
                # A checkpoint could not be written on this machine, so results could not be written, either.
                raise StorageError(str(outcome))
            elif isinstance(outcome, WorkerDied) and not alone:
                strikes[key] += 1
                (waiting if strikes[key] < cluster.strikes else suspects).append(task)
            elif isinstance(outcome, WorkerDied):
                record = Record(key, label, "failed", "the worker of this run was killed (out of memory?)")
            else:
                _check_again(cluster, requirements)
                record = Record(
                    key, label, "failed", f"the run could not be sent or brought back: {describe(outcome)}"
                )
            if alone:
                alone = False
            if record is not None:
                store.write(record, outcome.unpacked() if isinstance(outcome, RemoteResult) else {})
                yield record


def _refused(cluster: Cluster, refusal: Refusal) -> ClusterError:
    wrong = "; ".join(refusal.wrong)
    return ClusterError(
        f"{cluster.name}: worker {refusal.where} came later and does not match this study: {wrong}.\n"
        "Stop that worker, or install the same versions there."
    )


def _check_again(cluster: Cluster, requirements: Requirements) -> None:
    """Raise ClusterError if a transfer failed because a worker has another version of echodrift."""
    try:
        cluster.check(requirements)
    except BadInput as error:
        raise ClusterError(str(error)) from None


def address_of(backend: str, text: str) -> str:
    """Return the address of a scheduler in the form its client expects, or raise BadInput.

    Dask: tcp://HOST:PORT or tls://HOST:PORT; HOST:PORT and HOST count as tcp, the port is 8786 when
    omitted. Ray: `auto`, ray://HOST:PORT (its client server, 10001 when omitted), or HOST:PORT of the head
    node (6379 when omitted).
    """
    given = text.strip().rstrip("/")
    if backend == "ray" and given.lower() == "auto":
        return "auto"
    examples = {
        "dask": "tcp://10.0.0.5:8786",
        "ray": "auto, 10.0.0.5:6379 or ray://10.0.0.5:10001",
    }[backend]
    match = re.fullmatch(
        r"(?:([A-Za-z][A-Za-z0-9+.-]*)://)?(\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]@?#]+)(?::([0-9]{1,5}))?", given
    )
    if match is None or not match[2].isascii():
        raise BadInput(f"scheduler = {text!r}: not an address; write it like {examples}")
    scheme, host, port = match[1], match[2], match[3]
    if scheme is not None:
        scheme = scheme.lower()
        if scheme in ("http", "https"):
            raise BadInput(
                f"scheduler = {text!r}: that is a web page (the dashboard?), not the scheduler; write {examples}"
            )
        if scheme not in SCHEMES[backend]:
            other = next((name for name, schemes in SCHEMES.items() if scheme in schemes), None)
            hint = f" Addresses that start with {scheme}:// belong to --backend {other}." if other else ""
            raise BadInput(
                f"scheduler = {text!r}: {backend} does not take {scheme}:// addresses; write {examples}.{hint}"
            )
    number = int(port) if port else 10001 if scheme == "ray" else DEFAULT_PORTS[backend]
    if not 1 <= number <= 65535:
        raise BadInput(f"scheduler = {text!r}: port {number} does not exist (1 to 65535)")
    if backend == "dask":
        scheme = scheme or "tcp"
    return f"{scheme}://{host.lower()}:{number}" if scheme else f"{host.lower()}:{number}"


def check_reachable(address: str, scheduler: str) -> None:
    """Raise BadInput unless something listens at the address."""
    import socket

    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
            return
    except TimeoutError:
        why = f"no answer within {CONNECT_SECONDS:g} seconds"
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
    raise BadInput(no_answer_message(scheduler, address, why))


def no_answer_message(scheduler: str, address: str, why: str) -> str:
    """Return the message for a scheduler that does not answer."""
    return (
        f"the {scheduler} at {address} does not answer ({why}). Nothing was started. "
        "Is it running, and can this machine reach it?"
    )


def with_timeout(seconds: float, work: Callable[[], Any]) -> Any:
    """Return the result of `work`, or raise TimeoutError and leave it running in its thread."""
    import threading

    outcome: list[tuple[bool, Any]] = []

    def do() -> None:
        try:
            outcome.append((True, work()))
        except BaseException as error:  # noqa: BLE001  raised again in the thread that waits
            outcome.append((False, error))

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    succeeded, value = outcome[0]
    if succeeded:
        return value
    raise value
