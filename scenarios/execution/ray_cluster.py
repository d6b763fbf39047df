"""Execute runs on Ray, on workers started for the study or on those of a running cluster."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...errors import BadInput, StorageError
from . import clusters
from .clusters import Cluster, WorkerDied, check_reachable, no_answer_message, with_timeout
from .remote import Refusal, RemoteResult, pack, remote_function, unpack
from .requirements import Requirements, probe_arguments, probe_function
from .worker import Task

STORE_BYTES = 100 * 2**20
"""Size of Ray's shared memory on this machine. Results are tables of a few hundred KB each."""
JOIN_SECONDS = 20.0
"""Time limit for joining once something listens at the address."""


class RayCluster(Cluster):
    """A Ray driver. Ray's own retries are off: when memory is short, Ray would retry forever."""

    strikes = 2

    def __init__(self, address: str | None, jobs: int) -> None:
        """address: of a running cluster; None starts one with `jobs` CPU slots on this machine."""
        # Without this, Ray sends usage statistics over the network.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self.name = f"Ray at {address}" if address else "Ray"
        self._ray = ray
        self._own = not ray.is_initialized()
        quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        if not self._own:
            if address not in (None, "auto"):
                raise BadInput(f"scheduler = {address!r}: this process is connected to Ray already")
        elif address is None:
            with _on_loopback():
                ray.init(
                    address="local",
                    num_cpus=jobs,
                    include_dashboard=False,
                    object_store_memory=STORE_BYTES,
                    **quiet,
                )
        else:
            if address != "auto":
                check_reachable(address, "Ray cluster")
            try:
                with_timeout(JOIN_SECONDS, lambda: ray.init(address=address, **quiet))
            except (Exception, SystemExit) as error:  # noqa: BLE001  Ray raises, and exits, in many ways
                why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                raise BadInput(no_answer_message("Ray cluster", address, why)) from None
        _silence_ray()
        # No retries here: `clusters` decides whether a run is sent again.
        self._task = ray.remote(max_retries=0, num_cpus=1)(remote_function())
        self._probe: Any = ray.remote(max_retries=0, num_cpus=0)(probe_function())
        self._running: dict[Any, str] = {}

    def workers(self) -> int:
        try:
            return int(self._ray.cluster_resources().get("CPU", 0))
        except Exception:  # noqa: BLE001  whatever the reason, no worker can be used right now
            return 0

    def probe_workers(self, requirements: Requirements) -> dict[str, dict[str, Any] | None]:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        packages, paths = probe_arguments(requirements)
        answers = {
            node["NodeManagerAddress"]: self._probe.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(packages, paths)
            for node in self._ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU")
        }
        if not answers:
            return {}
        ready, _ = self._ray.wait(
            list(answers.values()), num_returns=len(answers), timeout=clusters.PROBE_SECONDS
        )
        return {
            address: self._ray.get(answer) if answer in ready else None for address, answer in answers.items()
        }

    def send(self, task: Task, requirements: Requirements) -> None:
        self._requirements = requirements
        self._running[self._task.remote(*pack(task, requirements))] = task.run.key

    def wait(self, timeout: float) -> list[tuple[str, RemoteResult | Refusal | Exception]]:
        if not self._running:
            return []
        done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout)
        return [(self._running.pop(reference), self._outcome(reference)) for reference in done]

    def _outcome(self, reference: Any) -> RemoteResult | Refusal | Exception:
        from ray import exceptions

        try:
            return unpack(self._ray.get(reference), self._requirements)
        except (
            exceptions.WorkerCrashedError,
            exceptions.OutOfMemoryError,
            exceptions.NodeDiedError,
            exceptions.ObjectLostError,
            exceptions.LocalRayletDiedError,
        ) as error:
            return WorkerDied(str(error))
        except Exception as error:  # noqa: BLE001  from the transfer; errors inside the run are in its record
            cause = getattr(error, "cause", None)
            return cause if isinstance(cause, StorageError) else error

    def close(self) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._own:
            self._ray.shutdown()


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Let Ray listen on the loopback interface only: it asks for no password, and executes what it is sent.

    On Linux it listens on all interfaces whatever address it is given, unless it is told, as is its default on
    macOS and Windows, that no other machine will join.
    """
    from ray._private import ray_constants

    name, constant = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "ENABLE_RAY_CLUSTER"
    before, was = os.environ.get(name), getattr(ray_constants, constant, None)
    os.environ[name] = "0"
    setattr(ray_constants, constant, False)
    try:
        yield
    finally:
        setattr(ray_constants, constant, was)
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _silence_ray() -> None:
    """Keep Ray from printing a paragraph to stdout for every worker that dies; the study reports it itself."""
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None
