"""The switches of an arm: what changes during its run, from which round on, and for which users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..agents.users import Users
from ..errors import BadInput
from ..philox import uniforms
from ..policies.base import LogTransform

STREAM = "platform.switch"
"""Random stream of the one draw per user that all switches of a run share."""


@dataclass(frozen=True)
class Switch:
    """One change; fields that are None leave their setting unchanged."""

    round: int
    """First round in which it is active."""
    until: int | None = None
    """First round in which it is no longer active; None: it stays active."""
    ramp: int = 0
    """Number of rounds over which its share of users grows from 0 to `share`."""
    share: float = 1.0
    """Share of the users in `among`."""
    among: str | None = None
    """ "group=NAME" or "community=NUMBER"; None: all users."""
    model: int | None = None
    """Index of the arm's model that ranks."""
    rerank: int | None = None
    """Index of the arm's list of rerankers that follows."""
    slate: int | None = None
    """Items shown in a visit."""
    recommend: bool | None = None
    """False: every visit is organic."""
    retrain_every: int | None = None
    """Rounds between refits, the first of which is in the switch's first round."""
    transforms: tuple[LogTransform, ...] | None = None
    """Transforms that are applied to the log before each fit."""
    purge: tuple[LogTransform, ...] = ()
    """Transforms that permanently change the log, once."""

    def is_on(self, round: int) -> bool:
        """Return whether it is active in a round."""
        return self.round <= round and (self.until is None or round < self.until)

    def share_reached(self, round: int) -> float:
        """Return the share of the users in `among` that it has reached by a round."""
        if not self.ramp:
            return self.share
        return self.share * min((round - self.round + 1) / self.ramp, 1.0)


class Schedule:
    """The switches of an arm, in order; if two change the same setting for a user, the later one counts.

    Each user has one draw for the whole run: the users reached by a share of 0.3 are among those reached by
    0.5, in every arm of the seed.
    """

    def __init__(self, switches: tuple[Switch, ...], users: Users, key: np.uint64) -> None:
        self.switches = tuple(sorted(switches, key=lambda switch: switch.round))
        self._draw = uniforms(key, 0, np.arange(len(users), dtype=np.int32), 1)[:, 0]
        self._among = {switch.among: members(users, switch.among) for switch in self.switches}

    @property
    def remarks(self) -> list[str]:
        """Warnings about switches that reach nobody: a small group may have no users in the world of a seed."""
        empty = [among for among, found in self._among.items() if not found.any()]
        return [f"warning: a switch changes nothing, since no user is in {among}" for among in empty]

    def users_reached(self, switch: Switch, round: int) -> NDArray[np.bool_]:
        """Return (users,): true for the users that a switch reaches in a round."""
        if not switch.is_on(round):
            return np.zeros(self._draw.size, bool)
        return self._among[switch.among] & (self._draw < switch.share_reached(round))

    def values_by_user(self, field: str, default: int, round: int) -> NDArray[np.int64]:
        """Return (users,): the value of "model", "rerank", "slate" or "recommend" in a round."""
        values = np.full(self._draw.size, default, np.int64)
        for switch in self.switches:
            value = getattr(switch, field)
            if value is not None:
                values[self.users_reached(switch, round)] = value
        return values

    def users_in_share(self, share: float) -> NDArray[np.bool_]:
        """Return (users,): true for the users that a switch with this share of all users reaches."""
        return self._draw < share

    def refit_due(self, round: int, every: int) -> bool:
        """Return whether models refit in a round; a change of what or when the platform learns refits at once."""
        since = 0
        for switch in self.switches:
            changes_learning = switch.purge or switch.transforms is not None
            if switch.round == round and (changes_learning or switch.retrain_every is not None):
                return True
            if switch.until == round and (switch.transforms is not None or switch.retrain_every is not None):
                return True
            if switch.is_on(round) and switch.retrain_every is not None:
                since, every = switch.round, switch.retrain_every
        return (round - since) % every == 0

    def transforms(self, default: tuple[LogTransform, ...], round: int) -> tuple[LogTransform, ...]:
        """Return the transforms that are applied to the log before a fit in a round."""
        for switch in self.switches:
            if switch.is_on(round) and switch.transforms is not None:
                default = switch.transforms
        return default

    def purges(self, round: int) -> tuple[LogTransform, ...]:
        """Return the transforms that permanently change the log in a round."""
        return tuple(step for switch in self.switches if switch.round == round for step in switch.purge)


def members(users: Users, among: str | None) -> NDArray[np.bool_]:
    """Return (users,): true for those in "group=NAME" or "community=NUMBER"; all users for None."""
    if among is None:
        return np.ones(len(users), bool)
    kind, _, name = among.partition("=")
    if kind == "group":
        return users.group == users.group_names.index(name)
    mask = users.community == int(name)
    if not mask.any():
        last = int(users.community.max())
        raise BadInput(f"switch.users: no user is in {among}; communities are 0 to {last}")
    return mask
