"""Item turnover: in which rounds items are born and retire, the same for every arm of a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .items import NEVER

CATALOG_BIRTH = -(2**20)
"""Birth round of the round-0 catalog: before any warm-up."""


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


def draw_lifetimes(config: Turnover, catalog: int, horizon: int, slate: int, streams) -> Lifetimes:
    """Return births and retirements over rounds 0…horizon−1.

    Arrivals per round are Poisson; retirements equal them ("match") or are Poisson with their own mean.
    "oldest" retires by age, with the round-0 catalog in random order; "random" retires any item. The catalog
    never shrinks below one slate.
    """
    birth = [np.full(catalog, CATALOG_BIRTH, np.int32)]
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
