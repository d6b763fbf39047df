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
    """Birth and retirement rounds of the catalog, of what came before it, and of everything born within the horizon."""

    birth: NDArray[np.int32]
    retirement: NDArray[np.int32]


def draw_lifetimes(
    config: Turnover, catalog: int, horizon: int, slate: int, streams, warmup: int = 0
) -> Lifetimes:
    """Return births and retirements over the rounds of a warm-up and over rounds 0…horizon−1.

    Arrivals per round are Poisson; retirements equal them ("match") or are Poisson with their own mean.
    "oldest" retires by age, items of the same age in random order; "random" retires any item. The catalog
    never shrinks below one slate, and has `catalog` items in round 0: these are the first, ordered by birth. Those
    that retired before round 0 follow, then those born later.
    """
    early = _early_lifetimes(config, catalog, slate, streams, warmup)
    birth = [early.birth]
    arrivals = np.zeros(horizon, np.int64)
    leavers = np.zeros(horizon, np.int64)
    for round in range(1, horizon):
        arrivals[round], leavers[round] = _turnover(config, round, streams)
        birth.append(np.full(arrivals[round], round, np.int32))
    born = np.concatenate(birth)
    retirement = np.full(born.size, NEVER, np.int32)
    retirement[: early.retirement.size] = early.retirement
    if not leavers.any():
        return Lifetimes(born, retirement)
    # Drawn in order of id, so that it does not depend on the horizon.
    order = streams("items.retire_order").random(born.size)
    for round in np.flatnonzero(leavers):
        retire_items(config, int(round), int(leavers[round]), slate, born, retirement, order, streams)
    return Lifetimes(born, retirement)


def _turnover(config: Turnover, round: int, streams) -> tuple[int, int]:
    """Return how many items arrive in a round, and how many are due to retire."""
    arrivals = int(streams("items.arrivals", round).poisson(config.arrivals)) if config.arrivals else 0
    if config.retirements == "match":
        return arrivals, arrivals
    leavers = streams("items.retirements", round).poisson(config.retirements) if config.retirements else 0
    return arrivals, int(leavers)


def _early_lifetimes(config: Turnover, catalog: int, slate: int, streams, warmup: int) -> Lifetimes:
    """Return the lives up to round 0: first those of the round-0 catalog, then those that retired before it.

    Both rates hold in the warm-up, too, so that a catalog that grows starts it smaller than it is in round 0. In a world
    without arrivals the catalog stands until then.
    """
    if not config.arrivals:
        return Lifetimes(np.full(catalog, CATALOG_BIRTH, np.int32), np.full(catalog, NEVER, np.int32))
    rounds = range(-warmup, 0)
    turnover = np.array([_turnover(config, round, streams) for round in rounds], np.int64).reshape(-1, 2)
    # Size before each round, counted back from round 0. A catalog that grows is not traced back below one slate.
    sizes = catalog - (turnover[::-1, 0] - turnover[::-1, 1]).cumsum()[::-1]
    turnover[: np.append(0, 1 + np.flatnonzero(sizes < slate))[-1]] = 0
    arrivals, leavers = turnover.T
    first = catalog - int(arrivals.sum()) + int(leavers.sum())
    born = np.concatenate(
        [np.full(first, CATALOG_BIRTH, np.int32), np.repeat(np.array(rounds, np.int32), arrivals)]
    )
    retirement = np.full(born.size, NEVER, np.int32)
    order = streams("items.early_retire_order").random(born.size)
    for round, leave in zip(rounds, leavers, strict=True):
        retire_items(config, round, int(leave), slate, born, retirement, order, streams)
    # Too many are left only where more were due in a round than there were: none retires in the round of its birth.
    surplus = int((retirement == NEVER).sum()) - catalog
    retire_items(config, 0, surplus, slate, born, retirement, order, streams)
    ids = np.argsort(retirement != NEVER, kind="stable")
    return Lifetimes(born[ids], retirement[ids])


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
