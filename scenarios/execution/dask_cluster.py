"""Execute runs on Dask, on workers started for the study or on those of a running scheduler."""

from __future__ import annotations

import logging
import os
import queue
import signal
from contextlib import suppress
from typing import Any

from ...errors import BadInput
from . import clusters
from .clusters import CONNECT_SECONDS, Cluster, WorkerDied, check_reachable, no_answer_message, with_timeout
from .remote import Refusal, RemoteResult, pack, remote_function, unpack
from .requirements import Requirements, probe_arguments, probe_function
from .worker import Task

CLOSE_SECONDS = 20.0
"""Time limit for our own workers to exit by themselves."""


class DaskCluster(Cluster):
    """A Dask client. The scheduler retries a run a few times by itself before it reports it as killed."""

    def __init__(self, address: str | None, jobs: int) -> None:
        """address: of a running scheduler; None starts `jobs` worker processes on this machine."""
        from distributed import Client, LocalCluster

        self._own = None
        self.name = f"the Dask scheduler at {address}" if address else "Dask"
        if address is None:
            from dask import config

            # Nobody else uses this scheduler, so the first death of a worker is reported; `clusters` retries.
            with config.set({"distributed.scheduler.allowed-failures": 0}):
                self._own = LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    # No dashboard, no fixed port that may be taken, no memory limit besides the system's.
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": False},
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                    preload=["echodrift.scenarios.execution.dask_setup"],
                )
            self.client = Client(self._own, set_as_default=False)
        else:
            check_reachable(address, "Dask scheduler")
            _silence_client()
            try:
                # The client's own timeout does not end a connection that is accepted and never answered.
                self.client = with_timeout(
                    CONNECT_SECONDS + 1,
                    lambda: Client(address, timeout=CONNECT_SECONDS, set_as_default=False),
                )
            except (OSError, ValueError, TypeError) as error:
                why = f"something listens there, but no Dask scheduler: {error}"
                raise BadInput(no_answer_message("Dask scheduler", address, why)) from None
        self._done_keys: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._futures: dict[str, Any] = {}

    def workers(self) -> int:
        try:
            threads: Any = self.client.nthreads()
            return sum(threads.values())
        except Exception:  # noqa: BLE001  whatever the reason, no worker can be used right now
            return 0

    def probe_workers(self, requirements: Requirements) -> dict[str, dict[str, Any] | None]:
        import asyncio

        arguments = probe_arguments(requirements)
        threads: Any = self.client.nthreads()

        async def ask_all() -> dict[str, dict[str, Any] | None]:
            # One call per worker: a single call would wait for a worker that hangs.
            calls: dict[str, Any] = {
                address: asyncio.ensure_future(
                    self.client.run(probe_function(), *arguments, workers=[address])
                )
                for address in threads
            }
            if calls:
                await asyncio.wait(calls.values(), timeout=clusters.PROBE_SECONDS)
            found: dict[str, dict[str, Any] | None] = {}
            for address, call in calls.items():
                if not call.done():
                    call.cancel()
                    found[address] = None
                elif call.exception() is None:
                    found |= call.result()
            return found

        found: Any = self.client.sync(ask_all)
        return found

    def send(self, task: Task, requirements: Requirements) -> None:
        self._requirements = requirements
        future = self.client.submit(_task(), *pack(task, requirements), pure=False)
        self._futures[task.run.key] = future
        future.add_done_callback(lambda _, key=task.run.key: self._done_keys.put(key))

    def wait(self, timeout: float) -> list[tuple[str, RemoteResult | Refusal | Exception]]:
        try:
            key = self._done_keys.get(timeout=timeout)
        except queue.Empty:
            return []
        return [(key, self._outcome(self._futures.pop(key)))]

    def _outcome(self, future: Any) -> RemoteResult | Refusal | Exception:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        try:
            return unpack(future.result(), self._requirements)
        except (KilledWorker, FutureCancelledError) as error:
            return WorkerDied(str(error))
        except Exception as error:  # noqa: BLE001  from the transfer; errors inside the run are in its record
            return error

    def close(self) -> None:
        for future in self._futures.values():
            future.cancel(force=True)
        self._futures.clear()
        self.client.close(timeout=CONNECT_SECONDS)
        if self._own is not None:
            _close(self._own)


def _task() -> Any:
    """Return `remote_function` with a check for cancellation; it is pickled by value, too."""
    do = remote_function()

    def run_of_a_study(*packed: Any) -> Any:
        from distributed import get_worker

        worker = get_worker()
        key = worker.get_current_task()

        def is_cancelled() -> bool:
            task = worker.state.tasks.get(key)
            return task is None or task.state != "executing"

        try:
            return do(*packed, is_cancelled)
        except BaseException as error:
            if isinstance(error, Exception):
                raise
            # Threads of a Dask worker survive this exception; nobody reads it.
            raise RuntimeError("the study was stopped") from None

    return run_of_a_study


def _close(cluster: Any) -> None:
    """Close a cluster of our own; a worker that does not react (it may just be starting) is killed."""
    nannies = list(cluster.workers.values())
    try:
        cluster.close(timeout=CLOSE_SECONDS)
    except TimeoutError:
        for nanny in nannies:
            if nanny.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(nanny.pid, signal.SIGKILL)


def _silence_client() -> None:
    """Keep the client from logging every lost connection; the study reports what matters."""
    for name in ("distributed.client", "distributed.comm", "distributed.core", "distributed.batched"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
