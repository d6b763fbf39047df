"""Settings of user behavior: how users visit and how their tastes drift. Each effect has a rate; 0 turns it off."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..config import Config
from ..errors import WrongFields

MOST = 1e6
"""Largest value of settings without a bound of their own: beyond it, float32 numbers would overflow."""
LEAST_ACTIVITY = 0.001
"""Least probability of a visit in a round."""
RARE = 0.02
"""Users who visit less often are left out of means over visitors that weight by 1 / activity: a visit of theirs would
outweigh hundreds of others."""


class Behavior(Config):
    """The human side of the loop. Values and noise are in units of the standard Gumbel."""

    match: float = Field(default=6.0, ge=0, le=MOST)
    """Weight of ⟨taste, item topics⟩ in the value of an item."""
    outside: float = Field(default=4.0, ge=-MOST, le=MOST)
    """v_0: value of taking nothing. A visit takes items whose value plus noise beats it."""
    outside_sd: float = Field(default=0.5, ge=0, le=MOST)
    """Spread of v_0 over users."""
    attention: float = Field(default=0.85, gt=0, le=MOST)
    """Cascade: probability of continuing from one rank to the next (at most 1). Power: exponent of r^−η."""
    attention_sd: float = Field(default=0.05, ge=0, le=MOST)
    """Spread of attention over users (clipped to its range)."""
    examination: Literal["cascade", "power"] = "cascade"
    """P(rank r is reached) = attention^(r−1) (cascade) or r^−attention (power)."""
    appetite: int = Field(default=2, ge=1, le=32)
    """Maximum number of items taken in a visit."""
    appetite_spread: int = Field(default=0, ge=0, le=16)
    """A user's appetite is uniform on appetite ± spread, at least 1."""
    activity: float = Field(default=0.5, ge=LEAST_ACTIVITY, le=1)
    """Probability that a user visits in a round."""
    activity_sd: float = Field(default=0.15, ge=0, le=MOST)
    """Spread of activity over users (clipped to [0.001, 1])."""
    activity_tail: float = Field(default=0.0, ge=0, le=5)
    """σ of a heavy tail: activity is also multiplied by a log-normal factor with this spread and mean 1, so that a few users
    visit most of the time and many hardly ever; logs have 1 to 1.5."""
    organic: float = Field(default=0.1, ge=0, le=1)
    """Share of visits that bypass the recommender's slate."""
    organic_popularity: float = Field(default=0.5, ge=0, le=1.5)
    """b: an organic visit shows items with probability ∝ (1 + times taken)^b · e^(κ·value); 0 ignores popularity. Above 1
    the items that are taken most take over: at 1.5, two slates share about half of their items."""
    search: float = Field(default=0.0, ge=0, le=4)
    """κ: how well people find by themselves what they want in this visit; 0 = blind chance. With κ = 1 and b = 0 an organic
    slate is drawn from the visit's own demand, which the choice then sharpens. Where κ times the spread of values leaves
    less than a tenth of a slate to chance, it is refused."""
    consideration: int = Field(default=2000, ge=1, le=10_000_000)
    """Items that come to mind on an organic visit, on average, often taken ones first; catalogs with at most as many live
    items are looked through as a whole."""
    repeat: Annotated[int, Field(ge=0)] | Literal["never"] = 20
    """Rounds before a user may take the same item again; 0 = at once, "never" = once only."""
    reinforcement: float = Field(default=0.02, ge=0, lt=1)
    """ρ: a satisfied visit moves the shares toward its taste, s ← s + ρ(e_z − s)."""
    disappointment: float = Field(default=0.02, ge=0, lt=1)
    """ρ₋: an unsatisfied visit moves the shares away from its taste, bounded so that no share turns negative."""
    movement: float = Field(default=0.01, ge=0, lt=1)
    """δ: a taste moves toward each item taken with it, a ← (1 − δ)a + δx."""
    fatigue: float = Field(default=0.0, ge=0, le=MOST)
    """Loss of value per unit of recent exposure to the item's topics."""
    fatigue_recovery: float = Field(default=0.2, gt=0, le=1)
    """Share of fatigue that a round of rest removes."""
    social: float = Field(default=0.0, ge=0, le=MOST)
    """Value added when all (influence-weighted) friends took the item recently."""
    word_of_mouth: float = Field(default=0.0, ge=0, le=1)
    """Probability per visit of also taking an item that a friend took recently, whatever the visit's taste."""
    memory: int = Field(default=20, ge=1, le=200)
    """Rounds for which friends' consumption counts as recent."""
    rewiring: float = Field(default=0.0, ge=0, le=1)
    """Probability per round that a user swaps the least similar friend for a similar friend-of-friend."""

    @model_validator(mode="after")
    def _attention_fits(self) -> Behavior:
        try:
            check_attention(self.attention, self.examination, "attention")
        except ValueError as error:
            raise WrongFields(str(error), "attention", "examination") from None
        return self


def check_attention(attention: float, examination: str, key: str) -> None:
    """Raise ValueError for a probability above 1; as an exponent attention may be larger."""
    if examination == "cascade" and attention > 1:
        raise ValueError(
            f"{key} = {attention:g} is a probability in a cascade: at most 1. For r^−{attention:g} set "
            'examination = "power"'
        )


RECENT = 20
"""Rounds that window measures look back (extinction, homogenization, diversity)."""
