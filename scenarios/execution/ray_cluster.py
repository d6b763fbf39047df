"""Runs on Ray: on workers started for the study, or on those of a running cluster."""

from __future__ import annotations

import logging
import os
from typing import Any

from ...errors import BadInput, StorageError
from . import clusters
from .clusters import Cluster, Killed, no_answer, reachable, within
from .remote import Parcel, Refusal, envoy, pack, unpack
from .terms import Terms, probe, question
from .worker import Task

STORE_BYTES = 100 * 2**20
"""Ray's shared memory on this machine: results are tables of a few hundred KB each."""
JOIN = 20.0
"""Seconds that joining may take once something listens at the address."""


class RayCluster(Cluster):
    """A Ray driver. Ray itself sends nothing again: out of memory, it would do so for ever."""

    strikes = 2

    def __init__(self, address: str | None, jobs: int) -> None:
        """address: of a running cluster; None starts one with `jobs` processor places on this machine."""
        # Ray reports its use over the network unless told otherwise.
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
            ray.init(
                address="local",
                num_cpus=jobs,
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
                **quiet,
            )
        else:
            if address != "auto":
                reachable(address, "Ray cluster")
            try:
                within(JOIN, lambda: ray.init(address=address, **quiet))
            except (Exception, SystemExit) as error:  # noqa: BLE001  Ray raises, and exits, in many ways
                why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                raise BadInput(no_answer("Ray cluster", address, why)) from None
        _quiet()
        # One try each: whether and how a run is sent again is decided in `clusters`.
        self._task = ray.remote(max_retries=0, num_cpus=1)(envoy())
        self._probe: Any = ray.remote(max_retries=0, num_cpus=0)(probe())
        self._under_way: dict[Any, str] = {}

    def workers(self) -> int:
        try:
            return int(self._ray.cluster_resources().get("CPU", 0))
        except Exception:  # noqa: BLE001  whatever it is, there is no worker to be had right now
            return 0

    def answers(self, terms: Terms) -> dict[str, dict[str, Any] | None]:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        packages, paths = question({key: path for key, (path, _) in terms.files.items()})
        asked = {
            node["NodeManagerAddress"]: self._probe.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(packages, paths)
            for node in self._ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU")
        }
        if not asked:
            return {}
        there, _ = self._ray.wait(list(asked.values()), num_returns=len(asked), timeout=clusters.ANSWER)
        return {
            address: self._ray.get(answer) if answer in there else None for address, answer in asked.items()
        }

    def send(self, task: Task, terms: Terms) -> None:
        self._terms = terms
        self._under_way[self._task.remote(*pack(task, terms))] = task.run.key

    def returned(self, timeout: float) -> list[tuple[str, Parcel | Refusal | Exception]]:
        if not self._under_way:
            return []
        done, _ = self._ray.wait(list(self._under_way), num_returns=1, timeout=timeout)
        return [(self._under_way.pop(reference), self._outcome(reference)) for reference in done]

    def _outcome(self, reference: Any) -> Parcel | Refusal | Exception:
        from ray import exceptions

        try:
            return unpack(self._ray.get(reference), self._terms)
        except (
            exceptions.WorkerCrashedError,
            exceptions.OutOfMemoryError,
            exceptions.NodeDiedError,
            exceptions.ObjectLostError,
            exceptions.LocalRayletDiedError,
        ) as error:
            return Killed(str(error))
        except Exception as error:  # noqa: BLE001  of the transfer: the run itself catches its own
            cause = getattr(error, "cause", None)
            return cause if isinstance(cause, StorageError) else error

    def close(self) -> None:
        for reference in self._under_way:
            self._ray.cancel(reference, force=True)
        self._under_way.clear()
        if self._own:
            self._ray.shutdown()


def _quiet() -> None:
    """Keep Ray from printing a paragraph to stdout for every worker that dies: the study says it in its own way."""
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None
