"""The loop as a Mesa model: `step()` runs one round, `agents` are views of the users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import mesa
from mesa.agent import AgentSet

from ..agents.user_agent import User
from ..agents.world import World
from .loop import RoundState, Simulation

if TYPE_CHECKING:
    import pandas as pd


class HasRows(Protocol):
    """An object that collects a row of measures per round (`analysis.recording.recorder.Recorder`)."""

    rows: list[dict[str, float]]


class FeedbackLoop(mesa.Model):
    """A `Simulation` with the interface of a Mesa model.

    `model.agents` (made on first use), `select`, `agg`, DataCollector and Mesa's visualization work as
    usual; the step itself is vectorized. All randomness comes from the run's named streams: Mesa's own
    generators (`model.random`, `model.rng`) are seeded but never drawn from.
    """

    def __init__(self, simulation: Simulation, recorder: HasRows | None = None) -> None:
        super().__init__(seed=simulation.streams.seed)
        self.simulation = simulation
        self.recorder = recorder
        self.last: RoundState | None = None
        """What happened in the last round."""

    @property
    def world(self) -> World:
        """The hidden state of the world."""
        return self.simulation.world

    @property
    def round(self) -> int:
        """The round that the next step runs."""
        return self.simulation.round

    @property
    def measures(self) -> dict[str, float]:
        """The last round's measures; empty before the first step."""
        return self.recorder.rows[-1] if self.recorder and self.recorder.rows else {}

    def timings(self) -> pd.DataFrame:
        """Return one row per phase, in the order of a round: what it does and the time it has taken so far.

        Columns: `phase`, `does`, `seconds` (all rounds), `ms_per_round`, `share` (of the time of all phases; 0 to 1).
        """
        import pandas as pd

        simulation = self.simulation
        seconds = pd.Series(simulation.seconds)
        does = [(getattr(Simulation, phase).__doc__ or "").split("\n")[0] for phase in seconds.index]
        return pd.DataFrame(
            {
                "phase": seconds.index,
                "does": does,
                "seconds": seconds.to_numpy(),
                "ms_per_round": 1000 * seconds.to_numpy() / max(simulation.round, 1),
                "share": (seconds / (seconds.sum() or 1.0)).to_numpy(),
            }
        )

    def step(self) -> None:
        """Run one round."""
        self.last = self.simulation.step()
        self.running = self.simulation.round < self.simulation.horizon

    @property
    def agents(self) -> AgentSet:
        """All users, as views of their rows; registered on first use (a second per 100,000 users)."""
        if not len(super().agents):
            for row in range(len(self.world.users)):
                User(self, self.world, row)
        return super().agents
