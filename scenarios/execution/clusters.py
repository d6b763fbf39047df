"""Runs sent to a cluster: handed out, brought home as they finish, sent again where a worker died.

The clients' own futures are used, not joblib's backends for them. joblib's Dask backend ends the whole
call with the first worker that dies for good, and cannot say whose run it was; its Ray backend returns
nothing before everything is done. Both would lose a study to one run that takes too much memory.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ...errors import BadInput, ClusterError, StorageError
from ...wording import counted
from ..storage.store import Record, RunStore
from .remote import Parcel, Refusal
from .terms import Terms, complaints
from .worker import Task

WAIT = 5.0
"""Seconds that a scheduler has to answer."""
ANSWER = 120.0
"""Seconds that workers have to say what they have: they load the libraries, and read the study's data files."""
NO_WORKER = 300.0
"""Seconds without any worker after which a study stops: time for workers that died to be started again."""
DEFAULT_PORTS = {"dask": 8786, "ray": 6379}
SCHEMES = {"dask": ("tcp", "tls"), "ray": ("ray",)}


class Killed(Exception):
    """The worker died while it had this run."""


class Cluster(ABC):
    """Workers that runs can be sent to.

    A run that was on a worker when it died is a suspect. It is sent again; the `strikes`-th time, only
    when nothing else is under way, so that what happens then is its own doing.
    """

    strikes = 1
    name = ""
    """How messages call it."""

    @abstractmethod
    def workers(self) -> int:
        """Return how many runs can be under way at once, now."""

    @abstractmethod
    def answers(self, terms: Terms) -> dict[str, dict[str, Any] | None]:
        """Ask every worker what it has: address → answer (see `versions.probe`); None after `ANSWER` seconds.

        Workers that go away meanwhile are left out.
        """

    @abstractmethod
    def send(self, task: Task, terms: Terms) -> None:
        """Hand a run out."""

    @abstractmethod
    def returned(self, timeout: float) -> list[tuple[str, Parcel | Refusal | Exception]]:
        """Return (key of the run, what became of it) of runs that came back, waiting at most so long.

        `Killed` where the worker died; any other exception is one of the way there or back.
        """

    @abstractmethod
    def close(self) -> None:
        """Drop what is still under way; close what was started for this study."""

    def check(self, terms: Terms) -> None:
        """Raise BadInput unless there are workers and all of them go with the study."""
        until = time.monotonic() + WAIT
        while not self.workers():
            if time.monotonic() > until:
                raise BadInput(
                    f"{self.name} answers but has no workers; start some, then run the same command"
                )
            time.sleep(0.1)
        answers = sorted(self.answers(terms).items())
        if silent := [address for address, answer in answers if answer is None]:
            raise BadInput(
                f"{self.name}: no answer within {ANSWER:g} seconds from {counted(len(silent), 'worker')} "
                f"({', '.join(silent[:8])}{', …' if len(silent) > 8 else ''}); stop what hangs there, or wait, "
                "then run the same command"
            )
        lines = [
            f"{self.name}: worker {address} does not go with this study: {wrong}"
            for address, answer in answers
            if answer is not None
            for wrong in complaints(terms, answer)
        ]
        if lines:
            shown = lines[:8] + ([f"and {len(lines) - 8} more"] if len(lines) > 8 else [])
            what = "Install the same versions on every worker, and put data files under the same path."
            raise BadInput("\n".join([*shown, what]))


def carried_out(
    cluster: Cluster,
    todo: Sequence[Task],
    store: RunStore,
    jobs: int,
    terms: Terms,
    patience: float = NO_WORKER,
) -> Iterator[Record]:
    """Do the runs on a cluster and give their records as they are written here, in this process.

    jobs: at a time, at most; workers that come later are taken on up to it. Raises ClusterError where the
    cluster is gone, or a worker that came later does not go with the study; StorageError where a worker on
    this machine could not write a checkpoint.
    """
    waiting, suspects = deque(todo), deque()
    under_way: dict[str, Task] = {}
    strikes: Counter[str] = Counter()
    alone = False
    seen = time.monotonic()
    while waiting or suspects or under_way:
        there = cluster.workers()
        if there:
            seen = time.monotonic()
        elif time.monotonic() - seen > patience:
            raise ClusterError(f"{cluster.name}: no worker could be reached for {patience:.0f} seconds.")
        while waiting and not alone and len(under_way) < min(jobs, there):
            task = waiting.popleft()
            under_way[task.run.key] = task
            cluster.send(task, terms)
        if suspects and not under_way and there:
            task, alone = suspects.popleft(), True
            under_way[task.run.key] = task
            cluster.send(task, terms)
        for key, outcome in cluster.returned(1.0):
            task = under_way.pop(key)
            label, record = task.run.label, None
            if isinstance(outcome, Parcel):
                record = outcome.record
            elif isinstance(outcome, Refusal):
                raise _refused(cluster, outcome)
            elif isinstance(outcome, StorageError):
                # A checkpoint could not be written here, and so nothing of what comes next.
                raise StorageError(str(outcome))
            elif isinstance(outcome, Killed) and not alone:
                strikes[key] += 1
                (waiting if strikes[key] < cluster.strikes else suspects).append(task)
            elif isinstance(outcome, Killed):
                record = Record(key, label, "failed", "the worker of this run was killed (out of memory?)")
            else:
                _check_again(cluster, terms)
                error = f"{type(outcome).__name__}: {outcome}"
                record = Record(key, label, "failed", f"the run could not be sent or brought back: {error}")
            if alone:
                alone = False
            if record is not None:
                store.write(record, outcome.unpacked() if isinstance(outcome, Parcel) else {})
                yield record


def _refused(cluster: Cluster, refusal: Refusal) -> ClusterError:
    wrong = "; ".join(refusal.wrong)
    return ClusterError(
        f"{cluster.name}: worker {refusal.where} came later and does not go with this study: {wrong}.\n"
        "Stop that worker, or install the same versions there."
    )


def _check_again(cluster: Cluster, terms: Terms) -> None:
    """Raise ClusterError where a run came back torn because a worker has another echodrift."""
    try:
        cluster.check(terms)
    except BadInput as error:
        raise ClusterError(str(error)) from None


def address_of(backend: str, text: str) -> str:
    """Return the address of a scheduler as its client wants it, or raise BadInput.

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
            other = next((each for each, known in SCHEMES.items() if scheme in known), None)
            hint = f" An address that starts with {scheme}:// is one of --backend {other}." if other else ""
            raise BadInput(
                f"scheduler = {text!r}: {backend} has no {scheme}:// here; write {examples}.{hint}"
            )
    number = int(port) if port else 10001 if scheme == "ray" else DEFAULT_PORTS[backend]
    if not 1 <= number <= 65535:
        raise BadInput(f"scheduler = {text!r}: port {number} does not exist (1 to 65535)")
    if backend == "dask":
        scheme = scheme or "tcp"
    return f"{scheme}://{host.lower()}:{number}" if scheme else f"{host.lower()}:{number}"


def reachable(address: str, scheduler: str) -> None:
    """Raise BadInput unless something listens at the address."""
    import socket

    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=WAIT):
            return
    except TimeoutError:
        why = f"no answer within {WAIT:g} seconds"
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
    raise BadInput(no_answer(scheduler, address, why))


def no_answer(scheduler: str, address: str, why: str) -> str:
    """Return the message for a scheduler that does not answer."""
    return (
        f"the {scheduler} at {address} does not answer ({why}). Nothing was started. "
        "Is it running, and can this machine reach it?"
    )


def within(seconds: float, work: Callable[[], Any]) -> Any:
    """Return what `work` gives, raising TimeoutError after so long; it is then left alone in its thread."""
    import threading

    found: list[tuple[bool, Any]] = []

    def do() -> None:
        try:
            found.append((True, work()))
        except BaseException as error:  # noqa: BLE001  raised again in the thread that waits
            found.append((False, error))

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    good, value = found[0]
    if good:
        return value
    raise value
