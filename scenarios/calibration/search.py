"""Simulate a design of worlds, learn how statistics depend on settings, and close in on the log."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...disk import read_file, sealed, unsealed, write_atomically
from ...errors import EchodriftError
from ...machine import one_thread
from ...sim.streams import Streams
from ..execution.parallel import Jobs, run_parallel
from ..execution.progress import Progress
from .emulator import Array, Emulator, fit_emulator, sample
from .first_logs import SPARE, collect
from .log_spectrum import singular_values
from .pairs import Filter, Pairs
from .space import Size, tables_at
from .summary_statistics import BY_NAME, summarize

WAVES = 4
"""Rounds of further simulations near the best settings so far."""
WAVE = 8
"""Simulations in each of them."""
CLOSE = 0.5
"""Expected distance from the log, in tolerances, that is close enough."""
RANKS, SPECTRUM = 60, 60
"""Points of the curves that are drawn."""
SOFT = {"pairs": 0.03, "items": 0.03, "top_20": 0.05, "singular_5": 0.1}
"""Differences that count as much as a tolerance, for statistics that are not judged."""


@dataclass(frozen=True)
class Job:
    """One world to simulate."""

    point: Array
    people: int
    seed: int


@dataclass(frozen=True)
class Simulated:
    """The log of a world, in numbers."""

    job: Job
    statistics: dict[str, float]
    """Empty if nobody took enough."""
    rounds: int = 0
    """Organic rounds that it took."""
    passing: float = 0.0
    """Share of the world's users who are active enough to be in the log."""
    curves: dict[str, list[float]] = field(default_factory=dict)
    """What the page draws (see `curves_of`)."""


class Known:
    """Keeps what was simulated in a file, so that a calibration that was killed goes on.

    file: None to keep nothing. key: what the results depend on besides the job; a file with another key is started anew.
    """

    def __init__(self, file: Path | None = None, key: str = "") -> None:
        self.file, self.key = file, key
        self._found: dict[str, Simulated] = {}
        try:
            content = unsealed(read_file(file), always=True) if file else {}
        except (OSError, ValueError):
            content = {}
        for each in content.get("simulated", []) if content.get("key") == key else []:
            job = Job(np.array(each["point"]), each["people"], each["seed"])
            self._found[_text(job)] = Simulated(
                job, each["statistics"], each["rounds"], each["passing"], each["curves"]
            )

    def __len__(self) -> int:
        return len(self._found)

    def find(self, job: Job) -> Simulated | None:
        """Return the result of a job, if it is known."""
        return self._found.get(_text(job))

    def add(self, result: Simulated) -> None:
        """Keep a result; raises StorageError if the file cannot be written."""
        self._found[_text(result.job)] = result
        if self.file is not None:
            rows = [_row(each) for each in self._found.values()]
            write_atomically(self.file, json.dumps(sealed({"key": self.key, "simulated": rows})).encode())


def _row(result: Simulated) -> dict[str, Any]:
    job = result.job
    row = {"point": job.point.tolist(), "people": job.people, "seed": job.seed}
    return row | {name: value for name, value in vars(result).items() if name != "job"}


def _text(job: Job) -> str:
    return json.dumps([job.point.tolist(), job.people, job.seed])


@dataclass
class Search:
    """A calibration under way."""

    size: Size
    how: Filter
    observed: dict[str, float]
    jobs: int
    progress: Progress
    known: Known = field(default_factory=Known)
    """Worlds that were simulated before."""
    done: list[Simulated] = field(default_factory=list)
    """Of the design and the waves, in their order."""

    @property
    def people(self) -> int:
        """Users of a simulated world."""
        return round(self.size.users * (SPARE if self.how.least > 1 else 1.0))

    def simulate(self, jobs: Iterable[Job]) -> list[Simulated]:
        """Simulate worlds in parallel; results are in the order of the jobs."""
        wanted = list(jobs)
        found = {number: self.known.find(job) for number, job in enumerate(wanted)}
        todo = [(number, wanted[number]) for number, result in found.items() if result is None]
        for _ in range(len(wanted) - len(todo)):
            self.progress.run_done(1, False)
        work = _Work(self.size, self.how)
        for (number, _), result in run_parallel(todo, Jobs(work, _killed, max(1, min(self.jobs, len(todo))))):
            found[number] = result
            self.known.add(result)
            self.progress.run_done(1, not result.statistics)
        return [result for number in range(len(wanted)) if (result := found[number]) is not None]

    def run_design(self, worlds: int, seed: int) -> None:
        """Simulate the worlds of a scrambled Sobol' sequence."""
        from scipy.stats import qmc

        points = qmc.Sobol(len(self.size.quantities), seed=seed).random(worlds)
        self.done += self.simulate(Job(point, self.people, place) for place, point in enumerate(points))

    def close_in(self, seed: int) -> None:
        """Simulate worlds that the emulator expects to be nearest to the log, and learn from them, again and again."""
        for wave in range(WAVES):
            emulator = self.emulator()
            starts = self.not_ruled_out(emulator, Streams(seed)(f"calibration.wave.{wave}"))
            points = self.nearest(emulator, starts, WAVE)
            self.done += self.simulate(
                Job(point, self.people, len(self.done) + place) for place, point in enumerate(points)
            )

    @property
    def names(self) -> list[str]:
        """Names of the statistics of the log, in the order of the emulator's columns."""
        return list(self.observed)

    @property
    def target(self) -> Array:
        """The statistics of the log, as emulated."""
        return emulated(self.observed, self.names)

    @property
    def usable(self) -> list[Simulated]:
        """Simulated worlds with all statistics of the log."""
        return [each for each in self.done if each.statistics.keys() >= self.observed.keys()]

    def emulator(self) -> Emulator:
        """Return the emulator of all simulations so far."""
        usable = self.usable
        points = np.array([each.job.point for each in usable])
        values = np.array([emulated(each.statistics, self.names) for each in usable])
        # Small matrices: more threads only wait for each other.
        with one_thread():
            return fit_emulator(points, values)

    def not_ruled_out(self, emulator: Emulator, rng: np.random.Generator) -> Array:
        """Return equally plausible points (particles, settings), given the log."""
        with one_thread():
            return sample(
                lambda points: emulator.log_likelihood(points, self.target), emulator.points.shape[1], rng
            )

    def nearest(self, emulator: Emulator, starts: Array, count: int) -> Array:
        """Return (count, settings) points that are expected to match and are as typical of `starts` as can be, best first.

        Of what the log does not rule out (starts), settings at the walls of the prior match no better than others. So what is
        minimized is how far a point is from their mean, in standard deviations, and by how much more than `CLOSE` tolerances
        it is expected to be away from the log; each from a different starting point.
        """
        from scipy.optimize import minimize

        center, spread = starts.mean(axis=0), starts.std(axis=0) + 1e-6

        def loss(x: Array) -> float:
            beyond = max(0.0, float(self.distance(emulator.predict(x[None])[0])[0]) - CLOSE)
            return float((((x - center) / spread) ** 2).mean()) + 10 * beyond**2

        order = np.argsort(self.distance(emulator.predict(starts)[0]))
        chosen = starts[order[:: max(1, len(starts) // (2 * count))][:count]]
        bounds, found = [(0.0, 1.0)] * starts.shape[1], []
        with one_thread():
            for start in chosen:
                best = minimize(loss, start, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60})
                found.append((float(best.fun), np.clip(best.x, 0, 1)))
        return np.array([x for _, x in sorted(found, key=lambda each: each[0])])

    def distance(self, means: Array) -> Array:
        """Return (points,) how far expected statistics (points, statistics) are from the log, in tolerances.

        A norm that is led by the largest difference: what counts is that none is far off.
        """
        return (((means - self.target) / self.scale) ** 4).sum(axis=1) ** 0.25

    @property
    def scale(self) -> Array:
        """(statistics,) the tolerances, as emulated."""
        out = []
        for name in self.names:
            statistic = BY_NAME[name]
            tolerance = SOFT.get(name) or statistic.tolerance or 1.0
            out.append(math.log1p(tolerance) if statistic.relative else tolerance)
        return np.array(out)


def emulated(statistics: dict[str, float], names: list[str]) -> Array:
    """Return statistics as the emulator has them: logarithms of those whose differences are relative."""
    return np.array([math.log(statistics[n]) if BY_NAME[n].relative else statistics[n] for n in names])


def curves_of(pairs: Pairs) -> dict[str, list[float]]:
    """Return what the page draws of a log: users of the items by rank, items of the users by rank, singular values."""
    return {
        "items": _at_ranks(pairs.item_counts),
        "users": _at_ranks(pairs.user_counts),
        "spectrum": singular_values(pairs)[1 : SPECTRUM + 1].round(4).tolist(),
    }


def _at_ranks(counts: NDArray[np.int64]) -> list[float]:
    """Return descending counts at `RANKS` ranks, from the first to the last, evenly spaced on a log scale."""
    descending = np.sort(counts)[::-1]
    places = np.geomspace(1, descending.size, RANKS).round().astype(int) - 1
    return descending[places].astype(float).tolist()


@dataclass(frozen=True)
class _Work:
    size: Size
    how: Filter

    def __call__(self, numbered: tuple[int, Job]) -> Simulated:
        job = numbered[1]
        found = collect(tables_at(self.size, job.point, job.people), self.size, self.how, job.seed)
        if found is None or found.pairs.users < 10 or found.pairs.items < 10:
            return Simulated(job, {})
        statistics = summarize(found.pairs, Streams(job.seed), self.size.capped)
        return Simulated(job, statistics, found.rounds, found.passing, curves_of(found.pairs))


def _killed(numbered: tuple[int, Job], why: str) -> Any:
    raise EchodriftError(f"a simulation of the calibration {why}")
