"""Import a real log as the history before round 0; it replaces the warm-up."""

from __future__ import annotations

import numpy as np

from ..agents.world import World
from ..policies.interactions import Blocked, InteractionLog, Interactions
from .cooldowns import start_cooldowns


def import_history(history: Interactions, world: World, log: InteractionLog, blocked: Blocked) -> None:
    """Add a real log's interactions to the log and the world, and start the cool-downs that are still running."""
    log.append(history.user, history.item, history.round, history.rank, history.source)
    world.taken += np.bincount(history.item, minlength=len(world.items))
    _fill_recent(world, history)
    repeat = world.behavior.repeat
    if repeat == "never":
        start_cooldowns(blocked, world.behavior, history)
    elif repeat:
        start_cooldowns(blocked, world.behavior, history.where(history.round >= -repeat))


def _fill_recent(world: World, history: Interactions) -> None:
    """Write the last rounds of a log into `world.recent`: per user and round, the latest takes that fit."""
    memory, width = world.behavior.memory, world.takes_per_round
    late = history.round >= -memory
    user, item, round = history.user[late], history.item[late], history.round[late]
    order = np.lexsort((-np.arange(user.size), round, user))
    user, item, round = user[order], item[order], round[order]
    group = np.unique(np.stack([user, round]), axis=1, return_inverse=True)[1].ravel()
    place = np.arange(user.size) - np.searchsorted(group, group, side="left")
    fits = place < width
    column = (round % memory) * width + place
    world.recent[user[fits], column[fits]] = item[fits]
