"""Cold-start slots: places on every slate that are kept for newborn items, before anything is learned about them."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..bits import is_set
from ..philox import uniform


def keep_slots(
    slates: NDArray[np.int32],
    lengths: NDArray[np.int32],
    users: NDArray[np.int32],
    newborn: NDArray[np.int32],
    slots: int,
    anywhere: bool,
    blocked: NDArray[np.uint8],
    round: int,
    key: np.uint64,
    place_key: np.uint64,
) -> NDArray[np.bool_]:
    """Put newborn items (n,) into up to `slots` slots of each slate (B, m), in place; return which slots these are (B, m).

    They are drawn uniformly from those that are not blocked and not on the rest of the slate, and take the place of what
    was ranked last. lengths (B,): slots of each slate. anywhere: at random ranks rather than at the end. Where too few
    items are free, the recommender keeps the slot.
    """
    return _keep(slates, lengths, users, newborn, slots, anywhere, blocked, round % 2**32, key, place_key)


@njit(cache=True)
def _keep(slates, lengths, users, newborn, slots, anywhere, blocked, round, key, place_key):
    cold = np.zeros(slates.shape, np.bool_)
    chosen = np.empty(slots, np.int32)
    draws = np.empty(slots)
    kept = np.empty(slates.shape[1], np.int32)
    for b in range(users.size):
        u = users[b]
        room = min(slots, lengths[b])
        found = 0
        for item in newborn:
            if is_set(blocked, u, item):
                continue
            taken = False
            for j in range(lengths[b] - room):
                taken = taken or slates[b, j] == item
            if taken:
                continue
            draw = uniform(key, round, u, item)
            if found == room and draw >= draws[room - 1]:
                continue
            at = min(found, room - 1)
            while at > 0 and draws[at - 1] > draw:
                draws[at], chosen[at] = draws[at - 1], chosen[at - 1]
                at -= 1
            draws[at], chosen[at] = draw, item
            found = min(found + 1, room)
        if found == 0:
            continue
        count = 0
        for j in range(lengths[b]):
            item = slates[b, j]
            free = item >= 0 and count < lengths[b] - found
            for m in range(found):
                free = free and chosen[m] != item
            if free:
                kept[count] = item
                count += 1
        total = count + found
        for m in range(found):
            # Without replacement: the m-th place among those that are left.
            place = int(uniform(place_key, round, u, m) * (total - m)) if anywhere else count
            at = 0
            while cold[b, at] or place > 0:
                place -= not cold[b, at]
                at += 1
            cold[b, at] = True
            slates[b, at] = chosen[m]
        at = 0
        for j in range(lengths[b]):
            if not cold[b, j]:
                slates[b, j] = kept[at] if at < count else -1
                at += 1
    return cold
