"""Numbers that a simulated log must share with the real one, and how close is close enough."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from ...policies.interactions import Blocked, Friends, Interactions, Observation, Source
from ...policies.registry import build_policy
from ...sim.streams import Streams
from ..offline import ranking_metrics
from ..offline.protocol.splits import Split, divide
from .log_spectrum import noise_level, singular_values
from .pairs import Pairs


@dataclass(frozen=True)
class Statistic:
    """A summary statistic of a log."""

    name: str
    label: str
    tolerance: float | None
    """Largest difference from the log, as a share of its value if `relative`; None: used to infer, not judged."""
    relative: bool = False
    """Whether differences are relative; such a statistic is positive, and its logarithm is emulated."""


STATISTICS = (
    Statistic("pairs", "pairs", None, True),
    Statistic("items", "items", None, True),
    Statistic("user_gini", "Gini of users' counts", 0.05),
    Statistic("item_gini", "Gini of items' counts", 0.05),
    Statistic("top_1", "share of the top 1 % of items", 0.02),
    Statistic("top_20", "share of the top 20 % of items", None),
    Statistic("dimensions", "dimensions above noise", 0.25, True),
    Statistic("singular_2", "second singular value", 0.05),
    Statistic("singular_5", "fifth singular value", None),
    Statistic("ndcg_ratio", "NDCG@10 of tuned factors over popularity", 0.2, True),
    Statistic("topic_divergence", "divergence of users' topics", 0.2, True),
    Statistic("friends_ratio", "likeness of friends over random pairs", 0.2, True),
)
BY_NAME = {each.name: each for each in STATISTICS}
SETTINGS = tuple(
    {"dim": dim, "regularization": regularization, "unobserved_weight": weight}
    for dim in (8, 32, 64)
    for regularization, weight in ((0.003, 0.3), (0.01, 0.3), (0.01, 0.1), (0.03, 0.1))
)
"""Settings of iALS among which the best one is taken, on every log alike."""
HELD_OUT = 0.2
"""Share of each user's items that is ranked."""
STRANGERS = 20_000
"""Random pairs of users with which friends are compared."""


def summarize(pairs: Pairs, streams: Streams, capped: bool = False) -> dict[str, float]:
    """Return the statistics of a log that apply to it.

    capped: the number of items of a user was limited, so that users' counts say nothing of their activity.
    """
    counts = np.sort(pairs.item_counts)[::-1].astype(float)
    values = singular_values(pairs)
    noise = noise_level(pairs, streams)
    found = {
        "pairs": float(len(pairs)),
        "items": float(pairs.items),
        "user_gini": math.nan if capped else ranking_metrics.gini(pairs.user_counts),
        "item_gini": ranking_metrics.gini(pairs.item_counts),
        "top_1": counts[: max(1, round(0.01 * counts.size))].sum() / counts.sum(),
        "top_20": counts[: max(1, round(0.2 * counts.size))].sum() / counts.sum(),
        # Half a dimension more, so that a logarithm exists where there is none above noise.
        "dimensions": float((values[1:] > noise).sum()) + 0.5,
        "singular_2": float(values[1]),
        "singular_5": float(values[min(4, values.size - 1)]),
        "ndcg_ratio": _ndcg_ratio(pairs, streams),
        "topic_divergence": math.nan if pairs.topics is None else topic_divergence(pairs),
        "friends_ratio": math.nan if pairs.ties is None else friends_ratio(pairs, streams),
    }
    return {name: value for name, value in found.items() if not math.isnan(value)}


def topic_divergence(pairs: Pairs) -> float:
    """Return the mean over users of the Jensen–Shannon divergence (nats) of their topics from those of the whole log."""
    assert pairs.topics is not None
    counts = pairs.user_counts[:, None]
    of_users = pairs.matrix() @ pairs.topics / counts
    of_log = (of_users * counts).sum(axis=0) / len(pairs)
    middle = (of_users + of_log) / 2
    divergence = (rel_entr(of_users, middle) + rel_entr(of_log, middle)).sum(axis=1) / 2
    return float(divergence.mean())


def friends_ratio(pairs: Pairs, streams: Streams) -> float:
    """Return the mean Jaccard index of the items of friends, over that of random pairs; NaN where it is undefined."""
    assert pairs.ties is not None
    matrix, ties = pairs.matrix(), pairs.ties.tocoo()
    rng = streams("calibration.strangers")
    first, second = rng.integers(0, pairs.users, (2, STRANGERS))
    other = first != second
    friends = _jaccard(matrix, ties.row, ties.col)
    strangers = _jaccard(matrix, first[other], second[other])
    if not friends.size or not strangers.mean():
        return math.nan
    return float(friends.mean() / strangers.mean())


def _jaccard(matrix, first: NDArray, second: NDArray) -> NDArray[np.float64]:
    common = np.asarray(matrix[first].multiply(matrix[second]).sum(axis=1)).ravel()
    sizes = np.diff(matrix.indptr)
    return common / np.maximum(sizes[first] + sizes[second] - common, 1)


def _ndcg_ratio(pairs: Pairs, streams: Streams) -> float:
    """Return NDCG@10 of the best of `SETTINGS` over that of popularity, on held-out items of each user."""
    rng = streams("calibration.split")
    parts = divide(Split("random", HELD_OUT), pairs.user, pairs.item, None, np.arange(len(pairs)), rng)
    seen = observation(pairs, parts.train)
    held = pairs.user[parts.test], pairs.item[parts.test]
    popular = _ndcg({"kind": "popularity"}, seen, held, streams)
    best = max(_ndcg({"kind": "ials", **fields}, seen, held, streams) for fields in SETTINGS)
    return best / max(popular, 1e-6)


def observation(pairs: Pairs, rows: NDArray[np.int64]) -> Observation:
    """Return what a platform sees of some of the pairs, all from before round 0."""
    user, item, n = pairs.user[rows], pairs.item[rows], rows.size
    log = Interactions(
        user, item, np.full(n, -1, np.int32), np.zeros(n, np.int16), np.full(n, Source.IMPORTED, np.int8)
    )
    blocked = Blocked(pairs.users, pairs.items)
    blocked.set(user, item)
    tags = np.ones((pairs.items, 1), np.float32)
    nobody = Friends(np.zeros(pairs.users + 1, np.int64), np.empty(0, np.int32))
    return Observation(0, pairs.users, pairs.items, log, tags, np.ones(pairs.items, bool), blocked, nobody)


def _ndcg(policy: dict, seen: Observation, held: tuple[NDArray, NDArray], streams: Streams) -> float:
    built = build_policy(policy)
    built.fit(seen, streams("calibration.fit"))
    users, counts = np.unique(held[0], return_counts=True)
    ranked = built.rank(seen, users.astype(np.int32), 10, streams("calibration.rank")).items
    hits = ranking_metrics.find_hits(ranked, np.concatenate([[0], np.cumsum(counts)]), held[1], seen.n_items)
    return float(ranking_metrics.ndcg(hits, counts, 10).mean())


@dataclass(frozen=True)
class Match:
    """One statistic of the log beside the mean over simulated logs."""

    statistic: Statistic
    log: float
    world: float
    spread: float
    """Standard deviation over the simulated logs."""

    @property
    def difference(self) -> float:
        """The difference, as a share of the log's value if the tolerance is relative."""
        return (self.world - self.log) / (self.log if self.statistic.relative else 1.0)

    @property
    def tolerances(self) -> float | None:
        """The difference in units of the tolerance; None without one."""
        tolerance = self.statistic.tolerance
        return None if tolerance is None else abs(self.difference) / tolerance

    @property
    def verdict(self) -> str:
        """ "match", "miss", or "" without a tolerance."""
        return "" if self.tolerances is None else "match" if self.tolerances <= 1 else "miss"


def matches(log: dict[str, float], worlds: list[dict[str, float]]) -> list[Match]:
    """Return the comparison of every statistic of the log with its mean over simulated logs."""
    out = []
    for name, value in log.items():
        values = np.array([world[name] for world in worlds])
        shift = 0.5 if name == "dimensions" else 0.0
        match = Match(BY_NAME[name], value, float(values.mean()), float(values.std()))
        out.append(replace(match, log=value - shift, world=match.world - shift))
    return out
