"""Settings of a generated world: catalog, population, social graph, groups and creators."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..config import Config
from ..errors import KeyPath, WrongFields
from .behavior import LEAST_ACTIVITY, MOST


class WattsStrogatz(Config):
    """Ring lattice with random shortcuts: high clustering, short paths (Watts & Strogatz 1998)."""

    kind: Literal["watts_strogatz"] = "watts_strogatz"
    degree: int = Field(default=10, ge=2, multiple_of=2)
    """Friends per user (even)."""
    rewiring: float = Field(default=0.1, ge=0, le=1)
    """Share of lattice ties replaced by random ones."""


class BarabasiAlbert(Config):
    """Preferential attachment: a heavy-tailed degree (Barabási & Albert 1999)."""

    kind: Literal["barabasi_albert"] = "barabasi_albert"
    attach: int = Field(default=5, ge=1)
    """Ties that each new user brings."""


class PowerlawCluster(Config):
    """Preferential attachment with triangles (Holme & Kim 2002)."""

    kind: Literal["powerlaw_cluster"] = "powerlaw_cluster"
    attach: int = Field(default=5, ge=1)
    """Ties that each new user brings."""
    triangle: float = Field(default=0.5, ge=0, le=1)
    """Probability that a new tie closes a triangle."""


class StochasticBlock(Config):
    """Stochastic block model over the communities (Holland et al. 1983)."""

    kind: Literal["stochastic_block"] = "stochastic_block"
    degree: float = Field(default=10, gt=0, le=MOST)
    """Mean friends per user."""
    within: float = Field(default=0.8, ge=0, le=1)
    """Share of ties that stay inside the community."""


class EdgeList(Config):
    """Ties read from a file with two columns of user numbers (0…users−1)."""

    kind: Literal["edges"] = "edges"
    path: str
    """CSV or TSV, with or without a header; one tie per row."""
    directed: bool = False
    """Whether a row means only that the first follows the second."""


class NoGraph(Config):
    """No ties at all."""

    kind: Literal["none"] = "none"


GraphConfig = Annotated[
    WattsStrogatz | BarabasiAlbert | PowerlawCluster | StochasticBlock | EdgeList | NoGraph,
    Field(discriminator="kind"),
]


class Group(Config):
    """A part of the population with its own values; omitted fields default to those of the world or the behavior."""

    name: str = Field(min_length=1)
    """Label in split measures and plots."""
    share: float = Field(gt=0, le=1)
    """Part of the users."""
    taste_shares: list[float] | None = None
    """As `world.taste_shares`, with at most as many tastes."""
    topic_skew: float | None = Field(default=None, ge=-50, le=50)
    """As `world.topic_skew`, for this group's tastes; 0 = all topics equal, below 0 = rare topics first."""
    homophily: float | None = Field(default=None, ge=0, le=1)
    """As `world.homophily`."""
    quality_weight: float = Field(default=1.0, ge=-MOST, le=MOST)
    """Weight of item quality in the value of an item; below 1 for groups that prefer niche items."""
    activity: float | None = Field(default=None, ge=LEAST_ACTIVITY, le=1)
    """As `behavior.activity`."""
    attention: float | None = Field(default=None, gt=0, le=MOST)
    """As `behavior.attention`."""
    appetite: int | None = Field(default=None, ge=1, le=32)
    """As `behavior.appetite`."""
    outside: float | None = Field(default=None, ge=-MOST, le=MOST)
    """As `behavior.outside`."""


class CreatorConfig(Config):
    """Providers who respond to feedback: they make items like those that are shown, leave when starved, and enter."""

    production: float = Field(default=0.05, ge=0, le=10)
    """New items per active provider and round (mean of a Poisson)."""
    adapt: float = Field(default=0.5, ge=0, le=1)
    """Weight of the topics that lately brought a provider exposure, against its own topics, in what it makes next."""
    feedback: Literal["exposure", "consumption"] = "exposure"
    """What providers respond to: slots on slates, or items taken (word of mouth included)."""
    memory: int = Field(default=20, ge=1)
    """How many rounds providers look back; with each round, older rounds fade by the factor 1 − 1/memory."""
    threshold: float = Field(default=5.0, ge=0)
    """A provider starves in a round if all its items together get fewer slots (or takes) than this."""
    patience: int = Field(default=10, ge=1)
    """Consecutive rounds of starving after which a provider stops for good; its items stay."""
    entry: float = Field(default=0.5, ge=0, le=MOST)
    """New providers per round (mean of a Poisson); each brings at least one item."""
    imitation: float = Field(default=0.0, ge=0, le=1)
    """Weight of the topics that lately got exposure from any provider, against π, in a new provider's home topic."""
    specialty: float = Field(default=0.7, ge=0, lt=1)
    """Weight of the home topic in a provider's own topics; the rest is spread like π."""
    most_items: int = Field(default=20_000, ge=0, le=10_000_000)
    """Maximum number of items made in a run. A world in which providers could make more, if all of them stayed to
    the end, is refused."""


class WorldConfig(Config):
    """A generated world."""

    preset: str | None = Field(default=None, min_length=1)
    """World that is like a real log: a name from `echodrift list worlds`, or a path to a preset file. It fills in what the
    study leaves out of world, behavior and platform."""
    users: int = Field(default=1000, ge=1, le=10_000_000)
    """Number of users."""
    items: int = Field(default=2000, ge=1, le=10_000_000)
    """Size of the round-0 catalog."""
    topics: int = Field(default=24, ge=1, le=10_000)
    """Number of topics."""
    topic_skew: float = Field(default=1.0, ge=0, le=50)
    """Topic t has weight π_t ∝ t^−topic_skew in the catalog and in tastes."""
    blend: float = Field(default=0.2, ge=0, le=1)
    """Part of an item's topic mixture that is not its primary topic."""
    quality_sd: float = Field(default=1.0, ge=0, le=MOST)
    """Spread of item quality."""
    providers: int = Field(default=200, ge=1, le=10_000_000)
    """Number of providers; the number of items per provider has a heavy tail."""
    tag_noise: float = Field(default=0.1, ge=0, le=1)
    """Probability that the tag that the platform observes for an item names a wrong topic."""
    idiosyncrasy: float = Field(default=0.5, ge=0, le=MOST)
    """Standard deviation of the fixed user-item effect outside any low-rank structure."""
    taste_shares: list[float] | Literal["dirichlet"] = [0.6, 0.3, 0.1]
    """Shares of a user's tastes, largest first (normalized to 1), or "dirichlet": drawn from a Dirichlet and sorted."""
    tastes: int = Field(default=3, ge=1, le=16)
    """Number of tastes, if the shares are drawn."""
    taste_concentration: float = Field(default=1.0, gt=0, le=MOST)
    """Concentration parameter of that Dirichlet."""
    taste_focus: float = Field(default=0.85, gt=0, le=1)
    """Weight of a taste's own topic; the rest is a Dirichlet draw over all topics."""
    communities: int = Field(default=8, ge=1, le=10_000_000)
    """Number of communities of equal expected size."""
    community_focus: float = Field(default=0.3, gt=0, le=MOST)
    """Dirichlet concentration (times topics × π) of a community's topics; small = communities differ more."""
    homophily: float = Field(default=0.7, ge=0, le=1)
    """Probability that a taste's topic is drawn from the user's community instead of from π."""
    graph: GraphConfig = WattsStrogatz()
    """The social graph; with Watts–Strogatz most ties are inside communities (neighbors on the ring)."""
    influence_spread: float = Field(default=0.5, ge=0, le=10)
    """Standard deviation of the logarithm of influence over ties; 0 = all friends count equally."""
    groups: list[Group] = []
    """Populations mixed by share; empty = one population."""
    arrivals: float = Field(default=0.0, ge=0, le=MOST)
    """New items per round (mean of a Poisson)."""
    retirements: Literal["match"] | Annotated[float, Field(ge=0, le=MOST)] = "match"
    """Items that retire per round: as many as arrive ("match"), or the mean of a Poisson."""
    retire: Literal["oldest", "random"] = "oldest"
    """Which items retire."""
    creators: CreatorConfig | None = None
    """Providers who make the new items and leave when starved; without this table, providers do nothing."""

    @model_validator(mode="after")
    def _consistent(self) -> WorldConfig:
        if self.creators is not None and self.arrivals:
            raise WrongFields(
                f"arrivals = {self.arrivals:g} and world.creators both make new items. Set arrivals to 0 and the rate "
                "by creators.production, or remove [world.creators]",
                "arrivals",
                "creators",
            )
        if self.groups:
            total = sum(group.share for group in self.groups)
            if abs(total - 1) > 1e-6:
                text = f"the shares of world.groups add up to {total:g}; they must add up to 1"
                raise WrongFields(text, *(("groups", place, "share") for place in range(len(self.groups))))
            names = [group.name for group in self.groups]
            if len(set(names)) < len(names):
                twice = [place for place, name in enumerate(names) if names.count(name) > 1]
                text = "two of world.groups have the same name"
                raise WrongFields(text, *(("groups", place, "name") for place in twice))
        own: list[tuple[KeyPath, Any]] = [(("taste_shares",), self.taste_shares)]
        own += [(("groups", i, "taste_shares"), group.taste_shares) for i, group in enumerate(self.groups)]
        for path, shares in own:
            if isinstance(shares, list):
                if not shares or min(shares) <= 0 or max(shares) > MOST:
                    text = f"taste_shares must be a list of positive numbers up to {MOST:g}, largest first"
                    raise WrongFields(text, path)
                if sorted(shares, reverse=True) != shares:
                    text = "taste_shares must be in descending order: dominant first, minority last"
                    raise WrongFields(text, path)
                if len(shares) > self.topics:
                    text = f"{len(shares)} taste_shares need at least as many topics (topics = {self.topics})"
                    raise WrongFields(text, path, "topics")
        if self.taste_shares == "dirichlet" and self.tastes > self.topics:
            text = f"tastes = {self.tastes} needs at least as many topics (topics = {self.topics})"
            raise WrongFields(text, "taste_shares", "tastes", "topics")
        return self
