"""Item turnover: in which rounds items are born and retire, the same for every arm of a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .items import NEVER

CATALOG_BIRTH = -(2**20)
"""Birth round of an item that is there from the start: before any warm-up."""


class Turnover(Protocol):
    """The fields of a world configuration that control item turnover."""

    @property
    def arrivals(self) -> float: ...
    @property
    def retirements(self) -> float | Literal["match"]: ...
    @property
    def retire(self) -> Literal["oldest", "random"]: ...


@dataclass(frozen=True)
class Lifetimes:
    """Birth and retirement rounds of the catalog and of everything born within the horizon."""

    birth: NDArray[np.int32]
    retirement: NDArray[np.int32]


def draw_lifetimes(
    config: Turnover, catalog: int, horizon: int, slate: int, streams, warmup: int = 0
) -> Lifetimes:
    """Return births and retirements over rounds 0…horizon−1, and births in a warm-up of organic rounds before them.

    Arrivals per round are Poisson; retirements equal them ("match") or are Poisson with their own mean.
    "oldest" retires by age, items of the same age in random order; "random" retires any item. The catalog
    never shrinks below one slate. Items that arrive in the warm-up belong to the round-0 catalog, which has its full size in
    round 0 only; those that left before it are in no slate and no measure, and so they are not simulated.
    """
    early = _early_births(config, catalog, slate, streams, warmup)
    birth = [np.full(catalog - early.size, CATALOG_BIRTH, np.int32), early]
    arrivals = np.zeros(horizon, np.int64)
    leavers = np.zeros(horizon, np.int64)
    for round in range(1, horizon):
        arrivals[round] = streams("items.arrivals", round).poisson(config.arrivals) if config.arrivals else 0
        if config.retirements == "match":
            leavers[round] = arrivals[round]
        elif config.retirements:
            leavers[round] = streams("items.retirements", round).poisson(config.retirements)
        birth.append(np.full(arrivals[round], round, np.int32))
    born = np.concatenate(birth)
    retirement = np.full(born.size, NEVER, np.int32)
    if not leavers.any():
        return Lifetimes(born, retirement)
    # Drawn in order of id, so that it does not depend on the horizon.
    order = streams("items.retire_order").random(born.size)
    for round in np.flatnonzero(leavers):
        retire_items(config, int(round), int(leavers[round]), slate, born, retirement, order, streams)
    return Lifetimes(born, retirement)


def _early_births(config: Turnover, catalog: int, slate: int, streams, warmup: int) -> NDArray[np.int32]:
    """Return the birth rounds, ascending, of the items that arrive before round 0; at least a slate is there before."""
    if not config.arrivals or catalog <= slate:
        return np.empty(0, np.int32)
    rounds = np.arange(-warmup, 0)
    arrivals = [streams("items.arrivals", int(round)).poisson(config.arrivals) for round in rounds]
    # The latest ones: with a long warm-up, all items but a slate are younger than it.
    return np.repeat(rounds, arrivals)[-(catalog - slate) :].astype(np.int32)


def retire_items(
    config: Turnover,
    round: int,
    leavers: int,
    slate: int,
    born: NDArray[np.int32],
    retirement: NDArray[np.int32],
    order: NDArray[np.float64],
    streams,
) -> None:
    """Retire items in a round, in place: none that is born in it, and never below one slate.

    order: (items,) a random number per item, which breaks ties between items of the same age.
    """
    live = np.flatnonzero((born < round) & (retirement == NEVER))
    newborn = int((born == round).sum())
    leave = min(leavers, live.size + newborn - slate)
    if leave <= 0:
        return
    if config.retire == "oldest":
        first = np.lexsort((order[live], born[live]))
    else:
        # Redrawn every round: with one fixed order, items early in it would retire as soon as they are born.
        first = np.argsort(streams("items.retire", round).random(born.size)[live], kind="stable")
    retirement[live[first[:leave]]] = round
