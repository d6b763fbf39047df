"""Estimates how likely each rank is examined, from shown slates and what was taken from them (by EM)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from ..interactions import Observation, Source

MAX_STEPS = 5000
"""Maximum number of EM steps."""
TOLERANCE = 1e-7
"""EM ends when no rank's examination changes by more than this share in a step."""


class RankCounts(NamedTuple):
    """How often each item was shown at each rank, and taken from there; one row per item and rank."""

    item: NDArray[np.int64]
    rank: NDArray[np.int64]
    """From 0."""
    shows: NDArray[np.float64]
    takes: NDArray[np.float64]


def count_by_rank(seen: Observation) -> RankCounts:
    """Count the slates of `seen.exposures` from the first round of the log on; organic visits do not count."""
    log = seen.log
    kept = [e for e in seen.exposures if len(log) and e.round >= log.round[0]]
    width = max((e.slates.shape[1] for e in kept), default=0)
    if width == 0:
        nothing, none = np.empty(0, np.int64), np.empty(0)
        return RankCounts(nothing, nothing, none, none)
    slates = [np.where(e.organic[:, None], -1, e.slates) for e in kept]
    cells = np.concatenate([_cells(s, np.arange(s.shape[1]), width)[s >= 0] for s in slates])
    cell, shows = np.unique(cells, return_counts=True)
    here = (log.source == Source.SLATE) & (log.rank >= 1) & (log.rank <= width)
    here &= np.isin(log.round, [e.round for e in kept])
    taken = _cells(log.item[here], log.rank[here] - 1, width)
    place = np.searchsorted(cell, taken)
    place = place[cell[np.minimum(place, cell.size - 1)] == taken] if cell.size else place[:0]
    takes = np.minimum(np.bincount(place, minlength=cell.size), shows)
    return RankCounts(cell // width, cell % width, shows.astype(np.float64), takes.astype(np.float64))


def _cells(item: NDArray[Any], rank: NDArray[Any], width: int) -> NDArray[np.int64]:
    return item.astype(np.int64) * width + rank


def examination(cells: RankCounts) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return (ranks,) the examination of each rank relative to rank 1, and which ranks are identified by the data.

    Position-based model: P(item i at rank r is taken) = θ_r γ_i. EM for its maximum likelihood (Wang,
    Golbandi, Bendersky, Metzler and Najork, WSDM 2018): a show without take was examined with probability
    θ(1 − γ)/(1 − θγ) and was attractive with γ(1 − θ)/(1 − θγ); θ and γ are the means of these over the shows
    of the rank and of the item, takes counting 1. They regress γ on features of query and document; here γ
    is one number per item.

    Only ratios of θ are identified, and only among ranks that share items. A rank is not identified if nothing
    was taken from it, or if no chain of taken items and ranks with takes connects it to rank 1; it gets the
    value of the nearest identified rank above.
    """
    width = int(cells.rank.max(initial=-1)) + 1
    known = np.zeros(width, bool)
    items = int(cells.item.max(initial=-1)) + 1
    useful = np.bincount(cells.item, cells.takes, items)[cells.item] > 0
    item, rank, shows, takes = (column[useful] for column in cells)
    if item.size == 0:
        return np.ones(width), known
    item = np.unique(item, return_inverse=True)[1].astype(np.int64)
    size = width + int(item.max()) + 1
    # A rank without takes has θ = 0 whatever its items are, so it says nothing about them.
    telling = np.bincount(rank, takes, width) > 0
    linked = telling[cells.rank[useful]]
    at, of = rank[linked], item[linked]
    links = sparse.coo_matrix((np.ones(at.size), (at, width + of)), shape=(size, size))
    part = connected_components(links, directed=False)[1][:width]
    known = (part == part[0]) & telling
    if not known[0]:
        return np.ones(width), np.zeros(width, bool)
    theta = _em(item, rank, takes, shows - takes, size - width, width, MAX_STEPS, TOLERANCE)
    nearest = np.maximum.accumulate(np.where(known, np.arange(width), 0))
    return theta[nearest] / theta[0], known


@njit(cache=True, error_model="numpy")
def _em(item, rank, takes, passed, items, width, steps, tolerance):
    theta, gamma = np.full(width, 0.5), np.full(items, 0.5)
    shows_at, shows_of = np.zeros(width), np.zeros(items)
    for j in range(item.size):
        shows_at[rank[j]] += takes[j] + passed[j]
        shows_of[item[j]] += takes[j] + passed[j]
    for _ in range(steps):
        examined, attracted = np.zeros(width), np.zeros(items)
        for j in range(item.size):
            a, b = theta[rank[j]], gamma[item[j]]
            left = passed[j] / (1 - a * b) if passed[j] > 0 else 0.0
            examined[rank[j]] += takes[j] + left * a * (1 - b)
            attracted[item[j]] += takes[j] + left * b * (1 - a)
        for i in range(items):
            gamma[i] = attracted[i] / shows_of[i]
        moved = 0.0
        for r in range(width):
            if shows_at[r] > 0:
                new = examined[r] / shows_at[r]
                if new > 0:
                    moved = max(moved, abs(theta[r] / new - 1))
                theta[r] = new
        if moved < tolerance:
            break
    return theta
