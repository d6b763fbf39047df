"""One run of a study, as planned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..specs.study import Arm, Study


@dataclass(frozen=True)
class PlannedRun:
    """One arm at one grid point with one seed."""

    key: str
    """Name of its folder: readable, and ending in the hash of everything that determines the result."""
    study: Study
    """The study with the values of the design point and of the seed's draw put in, and nothing that varies."""
    arm: Arm
    seed: int
    """Number of the run in its cell; of its draw, where there is uncertainty."""
    grid: dict[str, Any]
    """Values of the design point: dotted key → value."""
    course: str = ""
    """As `key`, but the same for every number of rounds and version of the model: the runs of a course are
    beginnings of one another, so a checkpoint of one is good for a longer one (`scenarios.storage.checkpoints`)."""
    draw: dict[str, Any] = field(default_factory=dict)
    """What the seed draws from the priors: dotted key → value; already in `study`."""
    world: int | None = None
    """Seed of its random numbers where that is not `seed` (Saltelli's design: the replicate)."""

    @property
    def world_seed(self) -> int:
        """Seed of everything that is random in the run."""
        return self.seed if self.world is None else self.world

    @property
    def label(self) -> str:
        """The run in words, for messages."""
        point = "".join(f", {key} = {value}" for key, value in self.grid.items())
        return f'arm "{self.arm.name}"{point}, seed {self.seed}'
