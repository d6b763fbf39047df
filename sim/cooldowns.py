"""Cool-downs: items that a user took lately and is not shown or told of again for a while."""

from __future__ import annotations

import numpy as np

from ..agents.behavior import Behavior
from ..policies.interactions import Blocked, InteractionLog, Interactions


def start_cooldowns(blocked: Blocked, behavior: Behavior, taken: Interactions) -> None:
    """Block the pairs that were just taken; with `repeat = 0` everything may be taken again at once."""
    if behavior.repeat:
        blocked.set(taken.user, taken.item)


def end_cooldowns(blocked: Blocked, behavior: Behavior, log: InteractionLog, round: int) -> None:
    """Free the pairs whose cool-down ends with a round: those taken `repeat` + 1 rounds before."""
    if behavior.repeat in (0, "never"):
        return
    entries = log.view()
    ended = round - behavior.repeat - 1
    first, last = np.searchsorted(entries.round, [ended, ended + 1])
    blocked.clear(entries.user[first:last], entries.item[first:last])
