"""One run of a study, as planned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..code.identity import Identities
from ..specs.study import Arm, Study


@dataclass(frozen=True)
class PlannedRun:
    """One arm at one grid point with one seed."""

    key: str
    """Name of its folder: readable, ending in the hash of everything that determines the result."""
    study: Study
    """The study with the values of the design point and of the seed's draw, without grid, zip tables and priors."""
    arm: Arm
    seed: int
    """Seed of the run; with uncertainty, the number of its draw."""
    grid: dict[str, Any]
    """Values of the design point: dotted key → value."""
    prefix_key: str = ""
    """Like `key`, but without the number of rounds and the model version: of two runs that share it, the shorter one
    is a prefix of the longer one, so the longer one can resume from its checkpoints. Column "course" on disk."""
    draw: dict[str, Any] = field(default_factory=dict)
    """The seed's draw from the priors: dotted key → value; already applied to `study`."""
    world: int | None = None
    """Seed of its random numbers, if that is not `seed` (Saltelli's design: the replicate)."""

    code: Identities = field(default_factory=dict)
    """What identifies the code outside echodrift that it executes; part of `key`."""

    @property
    def unidentified(self) -> list[str]:
        """Names of the code that nothing identifies: the result cannot be taken over by a later command."""
        return [name for name, parts in self.code.items() if parts is None]

    @property
    def world_seed(self) -> int:
        """Seed of all random numbers of the run."""
        return self.seed if self.world is None else self.world

    @property
    def label(self) -> str:
        """Description of the run for messages."""
        point = "".join(f", {key} = {value}" for key, value in self.grid.items())
        return f'arm "{self.arm.name}"{point}, seed {self.seed}'
