"""Cool-downs: for a number of rounds after taking an item, a user is not shown it again."""

from __future__ import annotations

import numpy as np

from ..agents.behavior import Behavior
from ..policies.interactions import Blocked, InteractionLog, Interactions


def start_cooldowns(blocked: Blocked, behavior: Behavior, taken: Interactions) -> None:
    """Block the user-item pairs that were just taken; with `repeat = 0` an item may be taken again at once."""
    if behavior.repeat:
        blocked.set(taken.user, taken.item)


def end_cooldowns(blocked: Blocked, behavior: Behavior, log: InteractionLog, round: int) -> None:
    """Unblock the pairs whose cool-down ends in a round: those taken `repeat` + 1 rounds before."""
    if behavior.repeat in (0, "never"):
        return
    entries = log.view()
    ended = round - behavior.repeat - 1
    first, last = np.searchsorted(entries.round, [ended, ended + 1])
    blocked.clear(entries.user[first:last], entries.item[first:last])
