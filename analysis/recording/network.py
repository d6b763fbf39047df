"""The social network at round 0 and at the end of a run: users' dominant tastes, and ties between kinds of users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...agents.world import World

MAX_USERS = 1000
"""Maximum number of users in the table; from a larger population, users at equal id intervals."""
START, END = "start", "end"


def dominant_tastes(world: World) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Return (users,) the main topic of each user's largest taste now, and that taste's share."""
    users = world.users
    largest = users.shares.argmax(axis=1)
    everyone = np.arange(len(users))
    return users.tastes[everyone, largest].argmax(axis=1).astype(np.int16), users.shares[everyone, largest]


class NetworkRecord:
    """Stores the network at round 0 and reports it together with the current network.

    At most `MAX_USERS` users are listed. Ties are counted over all users, between communities and between
    dominant tastes, so the tables stay small in a world of any size.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        count = min(len(world.users), MAX_USERS)
        self._listed = np.arange(count) * len(world.users) // max(count, 1)
        self._start = self._snapshot()

    def _snapshot(self) -> dict[str, NDArray]:
        taste, share = dominant_tastes(self._world)
        community, graph = self._world.users.community, self._world.graph
        source = np.repeat(np.arange(len(community), dtype=np.int32), np.diff(graph.indptr))
        snapshot = {"taste": taste[self._listed], "share": share[self._listed]}
        for by, labels in (("community", community), ("taste", taste)):
            one, other = labels[source], labels[graph.indices]
            # One number per pair: sorting numbers takes far less time and memory than sorting columns.
            base = int(labels.max(initial=0)) + 1
            codes = np.minimum(one, other).astype(np.int64) * base
            codes += np.maximum(one, other)
            kinds, ties = np.unique(codes, return_counts=True)
            snapshot[f"{by}_ties"] = np.stack([*np.divmod(kinds, base), ties]).astype(np.int64)
        return snapshot

    def tables(self) -> dict[str, dict[str, Any]]:
        """Return "network_users" and "network_ties".

        network_users: when ("start" | "end"), user, community, taste (main topic of the taste that is
        largest then), share (of that taste). network_ties: when, by ("community" | "taste"), one ≤ other
        (the two communities, or dominant tastes), ties (number between them in either direction,
        over all users; a mutual tie counts twice).
        """
        moments = {START: self._start, END: self._snapshot()}
        n = len(self._listed)
        users = {
            "when": np.repeat([*moments], n),
            "user": np.tile(self._listed, 2).astype(np.int32),
            "community": np.tile(self._world.users.community[self._listed], 2).astype(np.int32),
            "taste": np.concatenate([moment["taste"] for moment in moments.values()]),
            "share": np.concatenate([moment["share"] for moment in moments.values()]),
        }
        parts = [
            (when, by, moment[f"{by}_ties"])
            for when, moment in moments.items()
            for by in ("community", "taste")
        ]
        columns = np.concatenate([part for *_, part in parts], axis=1)
        ties = {
            "when": np.repeat([when for when, *_ in parts], [part.shape[1] for *_, part in parts]),
            "by": np.repeat([by for _, by, _ in parts], [part.shape[1] for *_, part in parts]),
            "one": columns[0].astype(np.int32),
            "other": columns[1].astype(np.int32),
            "ties": columns[2],
        }
        return {"network_users": users, "network_ties": ties}

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint: the network at round 0."""
        return dict(self._start)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._start = {name: np.asarray(value) for name, value in state.items()}
