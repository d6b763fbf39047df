"""Fair exposure: every provider, topic or popularity level gets its share of slots, over time, not per slate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ...errors import BadInput, PolicyError
from ..base import Ranking, State
from ..interactions import IntArray, Observation
from .calibrated import rank_weights
from .candidates import CandidatesConfig, FromCandidates, select
from .item_groups import LEVELS, NO_PROVIDERS, Groups, item_groups
from .relevance import Scale, scaled


class ExposureFair(FromCandidates):
    """Fair exposure over time: every provider, topic or popularity group gets its share of the slots.

    Slot after slot, user after user: argmax_i s(i) + step·w·owed_g(i), owed_g = Σ target_g·w − Σ_{slots of g} w.

    The sums run over all slots filled so far: those of earlier rounds as actually shown (`shown`), and those of
    this call as chosen. w is the weight of a slot's rank (the factor before owed: of the slot to be filled).
    step·owed is the price of a group's exposure in a subgradient ascent on the dual of "maximize the sum of scores
    such that every group has its target": a group that is behind becomes cheaper until the users who lose least by
    it see it. The smaller `step`, the less relevance is lost and the longer it takes. If targets are feasible and
    nothing is forgotten (half_life = 1e9), owed exposure stays bounded, so the relative error goes to 0. Owed
    exposure decays with `half_life`, so that an infeasible target does not accumulate; then about
    0.7·owed/half_life slots a round stay missing for good, where owed is at most about 1/`step`, or with rank
    weights 1/(step·smallest w).

    Users are served in a random order. One user's slate depends on who else is served in the same call, as it must
    for fairness over slots. A group has a target only while it has a live item. State: what each group is owed.
    Scores are returned unchanged. Ours. Cost: O(n·candidates) per user.
    """

    kind = "exposure_fair"

    class Config(CandidatesConfig):
        groups: Groups = "auto"
        """Groups of items: "auto" (providers if known, else topics), providers, topics, or popularity levels."""
        target: Literal["equal", "items", "taken"] = "equal"
        """Equal targets, or proportional to a group's number of live items, or to how often those were taken."""
        shares: list[float] = []
        """The targets themselves, one for each group in the order of their ids (niche, mid, head; every provider of
        the world, with or without items); instead of `target`. Only their ratios count."""
        step: float = Field(default=0.01, ge=0)
        """Score that one owed slot is worth; scores range from 0 to 1. 0 keeps the order of the scores."""
        half_life: float = Field(default=20.0, ge=0.001)
        """Rounds after which half of the owed exposure is forgotten; 1e9 for never."""
        rank_weight: Literal["none", "log", "reciprocal"] = "none"
        """Exposure of rank r: 1, 1/log2(r + 1) or 1/r."""
        scale: Scale = "minmax"
        """How scores are normalized over each user's candidates: (s − min)/(max − min), or softmax."""

        @field_validator("shares")
        @classmethod
        def _positive(cls, shares: list[float]) -> list[float]:
            if shares and (min(shares) < 0 or sum(shares) == 0):
                raise ValueError("shares are numbers of at least 0, and not all 0")
            return shares

    config: Config

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._ids = np.empty(0, np.int64)
        self._owed = np.empty(0)
        self._round = 0

    def rerank(self, ranking: Ranking, seen: Observation, n: int, rng: Generator) -> Ranking:
        """Return n of the ranked items."""
        config = self.config
        group, ids = item_groups(seen, config.groups)
        owed = self._owed_at(seen.round, ids)
        target = self._targets(seen, group, ids)
        scores = scaled(ranking.scores, ranking.items, config.scale)
        order = rng.permutation(ranking.users.size)
        weights = rank_weights(config.rank_weight, n)
        return select(
            ranking, _serve(order, ranking.items, scores, group, owed, target, config.step, weights)
        )

    def shown(self, seen: Observation, users: IntArray, slates: IntArray) -> None:
        """Record the exposure of the round's slates."""
        group, ids = item_groups(seen, self.config.groups)
        owed = self._owed_at(seen.round, ids)
        weights = np.broadcast_to(rank_weights(self.config.rank_weight, slates.shape[1]), slates.shape)
        filled = slates >= 0
        got = np.bincount(group[slates[filled]], weights=weights[filled], minlength=ids.size)
        owed += self._targets(seen, group, ids) * got.sum() - got
        self._ids, self._owed, self._round = ids, owed, seen.round

    def _owed_at(self, round: int, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (groups,) what each group is still owed in a round; groups may have appeared or vanished since."""
        owed = np.zeros(ids.size)
        _, here, there = np.intersect1d(ids, self._ids, assume_unique=True, return_indices=True)
        owed[here] = self._owed[there]
        return owed * 2.0 ** (-max(round - self._round, 0) / self.config.half_life)

    def check_world(self, topics: int | None, providers: int | None) -> None:
        """Refuse a list of shares that is not one per group, and groups that the platform does not know."""
        shares, groups = self.config.shares, self.config.groups
        if groups == "providers" and providers == 0:
            raise BadInput(f"exposure_fair: {NO_PROVIDERS}")
        of_providers = groups == "providers" or (groups == "auto" and providers != 0)
        if shares and of_providers and providers is None:
            raise BadInput(
                "exposure_fair: shares needs a number for every provider, but how many there are is known in a run "
                'only. Use target, or groups = "topics" or "popularity"'
            )
        wanted = providers if of_providers else len(LEVELS) if groups == "popularity" else topics
        if shares and wanted is not None and len(shares) != wanted:
            raise BadInput(self._mismatch(wanted))

    def _mismatch(self, groups: int) -> str:
        return (
            f"exposure_fair: shares has {len(self.config.shares)} numbers, but there are {groups} groups "
            f'(groups = "{self.config.groups}"): it needs one for each'
        )

    def _targets(
        self, seen: Observation, group: NDArray[np.int32], ids: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        config, groups = self.config, ids.size
        live = np.bincount(group[seen.live], minlength=groups)
        if config.shares:
            # Providers without an item have no group, but a share.
            of_providers = seen.providers is not None and config.groups in ("auto", "providers")
            needed = int(ids.max(initial=-1)) + 1
            if len(config.shares) < needed or (len(config.shares) > needed and not of_providers):
                raise PolicyError(self._mismatch(needed))
            target = np.asarray(config.shares, np.float64)[ids] * (live > 0)
        elif config.target == "items":
            target = live.astype(np.float64)
        elif config.target == "taken":
            target = np.bincount(group[seen.live], weights=seen.popularity[seen.live], minlength=groups)
        else:
            target = (live > 0).astype(np.float64)
        if target.sum() == 0:  # Nothing was taken yet, or all shares belong to groups without live items
            target = (live > 0).astype(np.float64)
        return target / (target.sum() or 1.0)

    def state(self) -> State:
        """Return what each group is owed, and as of which round."""
        return {"ids": self._ids.copy(), "owed": self._owed.copy(), "round": np.array(self._round)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `state` returned."""
        self._ids, self._owed = state["ids"].copy(), state["owed"].copy()
        self._round = int(state["round"])


@njit(cache=True)
def _serve(order, items, scores, group, owed, target, step, weights):
    rows, width = items.shape
    n = weights.size
    chosen = np.full((rows, n), -1, np.int64)
    got = np.zeros(target.size)
    total = 0.0
    for b in order:
        free = items[b] >= 0
        for r in range(n):
            # The slot's exposure, weights[r], times the price of a unit of exposure.
            price = step * weights[r]
            best, pick = -np.inf, -1
            for c in range(width):
                if free[c]:
                    g = group[items[b, c]]
                    value = scores[b, c] + price * (owed[g] + target[g] * total - got[g])
                    if value > best:
                        best, pick = value, c
            if pick < 0:
                break
            chosen[b, r] = pick
            free[pick] = False
            got[group[items[b, pick]]] += weights[r]
            total += weights[r]
    return chosen
