"""Data for `social_poisson`: the takes of a log, each with the earlier takes by friends that it may copy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..interactions import FloatArray, IntArray, Interactions, Source
from .social_ties import Ties

NO_ROUND = np.iinfo(np.int32).min
"""Stands for no round: all entries of the log are ordered in time."""


@dataclass(frozen=True)
class CopyingData:
    """The takes of every user, in cells: one cell per user, item and round.

    A pair is a user and an item that the user took. A hit of a cell is a friend who had taken the item before,
    and how often.
    """

    user_pairs: NDArray[np.int64]
    """(users + 1,) pairs user_pairs[u]…user_pairs[u+1]−1 are those of user u, sorted by item."""
    pair_item: IntArray
    """(pairs,)"""
    pair_cells: NDArray[np.int64]
    """(pairs + 1,) the cells of each pair, in time order."""
    cell_takes: FloatArray
    """(cells,) how often the user took the item in that round; in a weighted log, the sum of weights."""
    cell_hits: NDArray[np.int64]
    """(cells + 1,)"""
    hit_tie: IntArray
    """(hits,) the tie to that friend."""
    hit_takes: FloatArray
    """(hits,) how often the friend took the item before the cell's round."""
    chances: NDArray[np.float64]
    """(ties,) takes of the friend that the user could have copied."""


def unordered_round(log: Interactions) -> int:
    """Return the round whose entries have no order in time, or NO_ROUND.

    That is the single round of an imported log without timestamps, or of a log that is all one round.
    """
    imported = log.round[log.source == Source.IMPORTED]
    for rounds in (imported, log.round):
        if rounds.size and (rounds == rounds[0]).all():
            return int(rounds[0])
    return int(NO_ROUND)


def copying_data(
    log: Interactions, ties: Ties, n_users: int, n_items: int, *, unordered: int, binary: bool
) -> CopyingData:
    """Find for every take the friends' earlier takes of the same item.

    Earlier means in an earlier round: nothing is copied within a round, except in round `unordered`, where
    every take of a friend counts. `binary` keeps each pair's first take only, and then a friend's take is
    no chance to copy for a user who had the item already.
    """
    weight = np.empty(0, np.float32) if log.weight is None else log.weight
    pairs = _cells(log.user, log.item, log.round, weight, n_users, n_items, binary)
    user_pairs, pair_item, pair_cells, cell_round, cell_takes = pairs
    graph = (ties.indptr, ties.friend)
    cell_hits, hit_tie, hit_takes, lost = _hits(
        *graph, user_pairs, pair_item, pair_cells, cell_round, cell_takes, n_items, unordered
    )
    per_cell = np.concatenate([[0.0], np.cumsum(cell_takes, dtype=np.float64)])[pair_cells[user_pairs]]
    chances = np.diff(per_cell)[ties.friend]
    if binary:
        chances -= lost
    return CopyingData(user_pairs, pair_item, pair_cells, cell_takes, cell_hits, hit_tie, hit_takes, chances)


@njit(cache=True)
def _cells(user, item, round, weight, n_users, n_items, binary):
    """Group a time-ordered log by user, item and round; two counting sorts."""
    start = np.zeros(n_items + 1, np.int64)
    for j in range(item.size):
        start[item[j] + 1] += 1
    start = np.cumsum(start)
    by_item = np.empty(item.size, np.int64)
    for j in range(item.size):
        by_item[start[item[j]]] = j
        start[item[j]] += 1
    first = np.zeros(n_users + 1, np.int64)
    for j in range(user.size):
        first[user[j] + 1] += 1
    first = np.cumsum(first)
    order, at = np.empty(item.size, np.int64), first[:-1].copy()
    for j in by_item:
        order[at[user[j]]] = j
        at[user[j]] += 1
    user_pairs = np.zeros(n_users + 1, np.int64)
    pair_item, pair_cells = np.empty(item.size, np.int32), np.zeros(item.size + 1, np.int64)
    cell_round, cell_takes = np.empty(item.size, np.int32), np.zeros(item.size, np.float32)
    pairs, cells = 0, 0
    for u in range(n_users):
        for place in range(first[u], first[u + 1]):
            j = order[place]
            fresh = pairs == user_pairs[u] or pair_item[pairs - 1] != item[j]
            if fresh:
                pair_item[pairs] = item[j]
                pairs += 1
            elif binary:
                continue
            if fresh or cell_round[cells - 1] != round[j]:
                cell_round[cells] = round[j]
                cells += 1
            cell_takes[cells - 1] += weight[j] if weight.size else np.float32(1)
            pair_cells[pairs] = cells
        user_pairs[u + 1] = pairs
    return (
        user_pairs, pair_item[:pairs].copy(), pair_cells[: pairs + 1].copy(),
        cell_round[:cells].copy(), cell_takes[:cells].copy(),
    )  # fmt: skip


@njit(cache=True)
def _hits(indptr, friend, user_pairs, pair_item, pair_cells, cell_round, cell_takes, n_items, unordered):
    """Walk over every tie's common items twice: to count the hits of each cell, then to store them."""
    pair_of = np.full(n_items, -1, np.int64)
    cell_hits = np.zeros(cell_round.size + 1, np.int64)
    at = np.zeros(cell_round.size, np.int64)
    lost = np.zeros(friend.size)
    hit_tie, hit_takes = np.empty(0, np.int32), np.empty(0, np.float32)
    for writing in (False, True):
        if writing:
            cell_hits = np.concatenate((np.zeros(1, np.int64), np.cumsum(at)))
            at = cell_hits[:-1].copy()
            hit_tie = np.empty(cell_hits[-1], np.int32)
            hit_takes = np.empty(cell_hits[-1], np.float32)
        for u in range(user_pairs.size - 1):
            if indptr[u] == indptr[u + 1]:
                continue
            for p in range(user_pairs[u], user_pairs[u + 1]):
                pair_of[pair_item[p]] = p
            for tie in range(indptr[u], indptr[u + 1]):
                v = friend[tie]
                for q in range(user_pairs[v], user_pairs[v + 1]):
                    p = pair_of[pair_item[q]]
                    if p < 0:
                        continue
                    theirs, before = pair_cells[q], np.float32(0)
                    for cell in range(pair_cells[p], pair_cells[p + 1]):
                        now = cell_round[cell]
                        while theirs < pair_cells[q + 1] and (
                            cell_round[theirs] < now or cell_round[theirs] == now == unordered
                        ):
                            before += cell_takes[theirs]
                            theirs += 1
                        if before > 0:
                            if writing:
                                hit_tie[at[cell]], hit_takes[at[cell]] = tie, before
                            at[cell] += 1
                    if writing and before == 0:
                        lost[tie] += 1
            for p in range(user_pairs[u], user_pairs[u + 1]):
                pair_of[pair_item[p]] = -1
    return cell_hits, hit_tie, hit_takes, lost
