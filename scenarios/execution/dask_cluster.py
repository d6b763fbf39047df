"""Runs on Dask: on workers started for the study, or on those of a running scheduler."""

from __future__ import annotations

import logging
import os
import queue
import signal
from contextlib import suppress
from typing import Any

from ...errors import BadInput
from . import clusters
from .clusters import WAIT, Cluster, Killed, no_answer, reachable, within
from .remote import Parcel, Refusal, envoy, pack, unpack
from .terms import Terms, probe, question
from .worker import Task

CLOSING = 20.0
"""Seconds that workers of our own have to end by themselves."""


class DaskCluster(Cluster):
    """A Dask client. The scheduler sends a run again by itself a few times before it calls it killed."""

    def __init__(self, address: str | None, jobs: int) -> None:
        """address: of a running scheduler; None starts `jobs` worker processes on this machine."""
        from distributed import Client, LocalCluster

        self._own = None
        self.name = f"the Dask scheduler at {address}" if address else "Dask"
        if address is None:
            from dask import config

            # Nobody else uses this scheduler: a worker that dies with a run is reason enough to look closer.
            with config.set({"distributed.scheduler.allowed-failures": 0}):
                self._own = LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    # no dashboard, and no port that somebody else may have; no limits besides the system's
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": False},
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                    preload=["echodrift.scenarios.execution.dask_setup"],
                )
            self.client = Client(self._own, set_as_default=False)
        else:
            reachable(address, "Dask scheduler")
            _quiet()
            try:
                # Its own timeout does not end a call that somebody takes and never answers.
                self.client = within(WAIT + 1, lambda: Client(address, timeout=WAIT, set_as_default=False))
            except (OSError, ValueError, TypeError) as error:
                why = f"something listens there, but no Dask scheduler: {error}"
                raise BadInput(no_answer("Dask scheduler", address, why)) from None
        self._back: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._futures: dict[str, Any] = {}

    def workers(self) -> int:
        try:
            threads: Any = self.client.nthreads()
            return sum(threads.values())
        except Exception:  # noqa: BLE001  whatever it is, there is no worker to be had right now
            return 0

    def answers(self, terms: Terms) -> dict[str, dict[str, Any] | None]:
        import asyncio

        asked = question({key: path for key, (path, _) in terms.files.items()})
        threads: Any = self.client.nthreads()

        async def ask() -> dict[str, dict[str, Any] | None]:
            # each alone: one that hangs would keep the answers of all
            calls: dict[str, Any] = {
                address: asyncio.ensure_future(self.client.run(probe(), *asked, workers=[address]))
                for address in threads
            }
            if calls:
                await asyncio.wait(calls.values(), timeout=clusters.ANSWER)
            found: dict[str, dict[str, Any] | None] = {}
            for address, call in calls.items():
                if not call.done():
                    call.cancel()
                    found[address] = None
                elif call.exception() is None:
                    found |= call.result()
            return found

        found: Any = self.client.sync(ask)
        return found

    def send(self, task: Task, terms: Terms) -> None:
        self._terms = terms
        future = self.client.submit(_task(), *pack(task, terms), pure=False)
        self._futures[task.run.key] = future
        future.add_done_callback(lambda _, key=task.run.key: self._back.put(key))

    def returned(self, timeout: float) -> list[tuple[str, Parcel | Refusal | Exception]]:
        try:
            key = self._back.get(timeout=timeout)
        except queue.Empty:
            return []
        return [(key, self._outcome(self._futures.pop(key)))]

    def _outcome(self, future: Any) -> Parcel | Refusal | Exception:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        try:
            return unpack(future.result(), self._terms)
        except (KilledWorker, FutureCancelledError) as error:
            return Killed(str(error))
        except Exception as error:  # noqa: BLE001  of the transfer: the run itself catches its own
            return error

    def close(self) -> None:
        for future in self._futures.values():
            future.cancel(force=True)
        self._futures.clear()
        self.client.close(timeout=WAIT)
        if self._own is not None:
            _close(self._own)


def _task() -> Any:
    """Return the envoy with an eye on whether its study still wants it; by value, as the envoy is."""
    do = envoy()

    def run_of_a_study(*packed: Any) -> Any:
        from distributed import get_worker

        worker = get_worker()
        key = worker.get_current_task()

        def unwanted() -> bool:
            task = worker.state.tasks.get(key)
            return task is None or task.state != "executing"

        try:
            return do(*packed, unwanted)
        except BaseException as error:
            if isinstance(error, Exception):
                raise
            # An exception that threads of a Dask worker survive; nobody reads it.
            raise RuntimeError("the study was stopped") from None

    return run_of_a_study


def _close(cluster: Any) -> None:
    """Close a cluster of our own; a worker that does not listen (it may just be starting) is killed."""
    nannies = list(cluster.workers.values())
    try:
        cluster.close(timeout=CLOSING)
    except TimeoutError:
        for nanny in nannies:
            if nanny.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(nanny.pid, signal.SIGKILL)


def _quiet() -> None:
    """Keep the client from reporting every lost connection: what matters is said by the study."""
    for name in ("distributed.client", "distributed.comm", "distributed.core", "distributed.batched"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
