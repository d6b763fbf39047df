"""Slates for users who want one topic at a time and consume only a few items (Peng et al.)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.random import Generator
from pydantic import Field, ValidationInfo, field_validator

from ...errors import BadInput, PolicyError, WrongFields
from ..base import Ranking
from ..interactions import Observation
from ..profiles import sparse_tags
from .candidates import FromCandidates, select
from .consumption_values import AnyValues, gain_table
from .relevance import Scale, scaled
from .targets import TargetConfig, targets


class Consumption(FromCandidates):
    """Slates for users who take only a few items (Peng et al.): the largest expected value of the best of them.

    Returns the slate that maximizes (1 − weight)·Σ_i s(i)/n + weight·Σ_t p_t V_t(a_t)/max_t V_t(n).

    The user wants topic t with probability p_t (the profile of the history) and consumes the `consumed` best of
    the a_t items of that topic, whose values are independent draws; V_t(a) is the expected sum. Greedy: each
    step appends the candidate that adds most, ties to the item that was ranked higher. Items with one topic each: V
    is concave, so the slate is the best one, and with weight = 1 (the model of the paper) the best-ranked items
    of every topic fill its slots. Items of several topics take parts of a slot in each, V linear in between:
    ours, and then greedy is within 1 − 1/e. Scores are returned unchanged.

    The larger the slate at a fixed `consumed`, the closer its shares come to p^γ: γ = 1/2 for uniform values, 1
    exponential, tail/(tail − 1) Pareto, and 0 for Bernoulli values of equal success for all topics that do not
    fade (nor at fading < 1; at fading = 1 γ = 1/(1 + success), beyond 1/fading).
    If much of a short slate is consumed, the optimum is the most likely topic alone: always if the whole slate is
    consumed and no success fades (by p_t·success_t if topics differ in success), and otherwise the sooner, the
    further that topic is ahead. Source: Peng, Raghavan, Pierson, Kleinberg and Garg, "Reconciling the
    accuracy-diversity trade-off in recommendations", WWW 2024. Cost: O(n·candidates·topics of an item), less by
    upper bounds.
    """

    kind = "consumption"

    class Config(TargetConfig):
        consumed: int = Field(default=1, ge=1, le=1000)
        """k: how many items of the slate are consumed; more than the slate has counts as all."""
        values: AnyValues = "exponential"
        """Distribution of the value of an item of the wanted topic."""
        success: float | list[float] = 0.5
        """bernoulli: the probability that an item satisfies, one for all topics or a list with one per topic."""
        fading: float = Field(default=0.0, ge=0)
        """bernoulli: the i-th item of a topic succeeds with chance success·i^(−fading)."""
        tail: float = Field(default=3.0, gt=1)
        """pareto: exponent of the tail."""
        sample: list[float] = []
        """empirical: the values that draws are taken from, at least 0."""
        weight: float = Field(default=1.0, ge=0, le=1)
        """0 keeps the order of the scores, 1 looks at topics only."""
        scale: Scale = "minmax"
        """How scores are normalized over each user's candidates: (s − min)/(max − min), or softmax."""

        @field_validator("success", mode="before")
        @classmethod
        def _chances(cls, success: Any) -> Any:
            each = success if isinstance(success, list) else [success]
            numbers = [one for one in each if isinstance(one, (int, float)) and not isinstance(one, bool)]
            if not each or len(numbers) < len(each) or not all(0 < one < 1 for one in numbers):
                raise ValueError("must be a number between 0 and 1, or a list with one such number per topic")
            return success

        @field_validator("sample")
        @classmethod
        def _values(cls, sample: list[float], info: ValidationInfo) -> list[float]:
            given: dict[str, Any] = info.data
            if given.get("values") == "empirical" and not any(sample):
                text = 'values = "empirical" needs at least one positive number'
                raise WrongFields(text, "values", "sample")
            if any(one < 0 for one in sample):
                raise ValueError("values are numbers of at least 0")
            return sample

    config: Config

    def check_world(self, topics: int | None, providers: int | None) -> None:
        """Refuse a list of success chances that is not one per topic."""
        if topics and isinstance(self.config.success, list) and len(self.config.success) != topics:
            raise BadInput(self._mismatch(topics))

    def _mismatch(self, topics: int) -> str:
        given = self.config.success
        return (
            f"consumption: success has {len(given) if isinstance(given, list) else 1} numbers, but items have "
            f"{topics} topics: it needs one number for each topic, or one for all"
        )

    def rerank(self, ranking: Ranking, seen: Observation, n: int, rng: Generator) -> Ranking:
        """Return n of the ranked items."""
        config = self.config
        topics = seen.tags.shape[1]
        if isinstance(config.success, list) and len(config.success) != topics:
            raise PolicyError(self._mismatch(topics))
        gains = gain_table(
            config.values, topics, n, min(config.consumed, n), success=config.success, fading=config.fading,
            tail=config.tail, sample=config.sample,
        )  # fmt: skip
        gains *= config.weight / max(gains.sum(axis=1).max(), np.finfo(float).tiny)
        scores = scaled(ranking.scores, ranking.items, config.scale) * ((1 - config.weight) / n)
        target = targets(seen, ranking.users, config)
        return select(ranking, _greedy(ranking.items, scores, target, *sparse_tags(seen.tags), gains))


@njit(cache=True)
def _greedy(items, scores, target, indptr, topics, values, gains):
    """Return (B, n) columns; `gains` (topics, n): what a topic's first, second, … slot adds for p = 1."""
    rows, width = items.shape
    n = gains.shape[1]
    chosen = np.full((rows, n), -1, np.int64)
    for b in range(rows):
        slots = np.zeros(target.shape[1])
        bound = np.full(width, np.inf)
        for r in range(n):
            best, pick = -np.inf, -1
            for c in range(width):
                item = items[b, c]
                # Gains never increase from step to step (submodularity), so an old gain is an upper bound.
                if item < 0 or bound[c] <= best:
                    continue
                gain = scores[b, c]
                for at in range(indptr[item], indptr[item + 1]):
                    g = topics[at]
                    gain += target[b, g] * _added(gains[g], slots[g], values[at])
                bound[c] = gain
                if gain > best:
                    best, pick = gain, c
            if pick < 0:
                break
            chosen[b, r] = pick
            bound[pick] = -np.inf
            item = items[b, pick]
            for at in range(indptr[item], indptr[item + 1]):
                slots[topics[at]] += values[at]
    return chosen


@njit(cache=True)
def _added(gains, slots, part):
    """Return what `part` ≤ 1 of a slot adds after `slots`, which rounding may raise slightly above the table."""
    whole = min(int(slots), gains.size - 1)
    inside = min(part, whole + 1 - slots)
    following = gains[min(whole + 1, gains.size - 1)]
    return inside * gains[whole] + (part - inside) * following
