"""How much of an organic slate is chance: a world in which people find the same items every time has no discovery."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from .behavior import Behavior
from .categorical import topic_weights
from .production import DIRICHLET
from .settings import WorldConfig

CERTAIN = 0.9
"""Slates are all but certain if two of the same visit agree in a larger part, beyond what is due to a small catalog."""
SMALL = 3.0
"""Values whose spreads, times κ, add up to less leave far more than a tenth of a slate to chance (noise has scale 1)."""
_PEOPLE, _ITEMS, _FEWEST_ITEMS = 100, 4000, 200
_CELLS = 2_000_000
"""Most items × topics of the sample that is looked at."""


def check_search(config: WorldConfig, behavior: Behavior, slate: int, from_log: bool = False) -> None:
    """Raise BadInput where people search so well that their organic slates are all but certain.

    from_log: the world stands for one that is inferred from a log, whose qualities nobody sets.
    """
    widest = max((abs(group.quality_weight) for group in config.groups), default=1.0)
    spread = behavior.match + widest * config.quality_sd + config.idiosyncrasy
    if behavior.search * spread < SMALL or slate >= config.items:
        return
    values = _sampled_values(config, behavior)
    # What counts is how densely items lie where a slate ends, so that a part of the catalog has a part of the slate.
    slate = max(1, round(slate * values.shape[1] / config.items))
    if _agreement(values, behavior.search, slate) <= CERTAIN:
        return
    # Rounded as they are printed, so that what is proposed is accepted.
    proposed = (float(f"{behavior.search * 0.8**step:.2g}") for step in range(1, 200))
    most = next((each for each in proposed if _agreement(values, each, slate) <= CERTAIN), 0.0)
    widths = {"behavior.match": behavior.match, "world.idiosyncrasy": config.idiosyncrasy}
    if not from_log:
        widths["world.quality_sd"] = config.quality_sd
    named = ", ".join(f"{key} = {value:g}" for key, value in widths.items())
    raise BadInput(
        f"behavior.search = {behavior.search:g}: values are spread so widely ({named}) that organic slates are all but "
        f"certain: two of the same visit would agree in more than {100 * CERTAIN:.0f} %. Set behavior.search to at most "
        f"{most:g}, or lower {max(widths, key=lambda key: widths[key])}",
        about=["behavior.search", *widths],
    )


def _sampled_values(config: WorldConfig, behavior: Behavior) -> NDArray[np.float64]:
    """Return values (people, items) of some items under one taste each, of some people like those of the world."""
    rng = np.random.default_rng(0)
    items = min(config.items, _ITEMS, max(_FEWEST_ITEMS, _CELLS // config.topics))
    pi = topic_weights(config.topics, config.topic_skew)
    rows = np.arange(_PEOPLE)
    tastes = (1 - config.taste_focus) * rng.dirichlet(np.ones(config.topics), _PEOPLE)
    tastes[rows, rng.choice(config.topics, _PEOPLE, p=pi)] += config.taste_focus
    mixtures = config.blend * rng.dirichlet(np.full(config.topics, DIRICHLET), items)
    mixtures[np.arange(items), rng.choice(config.topics, items, p=pi)] += 1 - config.blend
    shares = np.array([group.share for group in config.groups] or [1.0])
    weights = np.array([group.quality_weight for group in config.groups] or [1.0])
    weight = rng.choice(weights, (_PEOPLE, 1), p=shares / shares.sum())
    values = behavior.match * (tastes @ mixtures.T)
    values += weight * config.quality_sd * rng.standard_normal(items)
    return values + config.idiosyncrasy * rng.standard_normal(values.shape)


def _agreement(values: NDArray[np.float64], search: float, slate: int) -> float:
    """Return the share of a slate that stays if its noise is drawn again: 0 as if drawn blindly, 1 = always the same."""
    rng = np.random.default_rng(1)
    items, chance = values.shape[1], slate / values.shape[1]
    shown = np.zeros(values.shape, np.int8)
    for _ in range(2):
        scores = search * values + rng.gumbel(size=values.shape)
        top = np.argpartition(scores, items - slate, axis=1)[:, items - slate :]
        np.put_along_axis(shown, top, np.take_along_axis(shown, top, axis=1) + 1, axis=1)
    agreed = float((shown == 2).sum(axis=1).mean()) / slate
    return (agreed - chance) / (1 - chance)
