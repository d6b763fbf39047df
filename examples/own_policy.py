"""Write your own recommender as a class, check it against the contract, and compare it with popularity."""

import echodrift as ed
import numpy as np
from echodrift.config import Config
from echodrift.policies import ScorePolicy
from pydantic import Field


class RecentConfig(Config):
    """Settings of the policy; each field has bounds, and a docstring below it that explains it."""

    rounds: int = Field(default=5, ge=1)
    """Number of past rounds to count."""


class Recent(ScorePolicy):
    """Rank items by how often they were taken in the last rounds; ties are broken at random in `fit`."""

    Config = RecentConfig
    config: RecentConfig

    def fit(self, seen, rng):
        self.taken = np.bincount(seen.last(self.config.rounds).item, minlength=seen.n_items)
        # Use no other source of randomness than rng, so that runs are reproducible.
        self.taken = self.taken + rng.random(seen.n_items)

    def scores(self, seen, users, rng):
        row = np.zeros(seen.n_items, np.float32)
        row[: self.taken.size] = self.taken  # items that are newer than the fit come last
        return np.tile(row, (len(users), 1))


def main():
    print("checks passed:", ", ".join(ed.check_policy(Recent, rounds=3)))
    result = ed.run(
        "default",
        rounds=10,
        seeds=5,
        set={
            "world.users": 200,
            "world.items": 300,
            "arms": [
                {"name": "popularity", "policy": {"kind": "popularity"}},
                {"name": "recent", "policy": {"kind": "own_policy:Recent", "rounds": 3}},
            ],
            "reference": "popularity",
        },
    )
    print(result.compare("niche_exposure", "welfare").to_string())


if __name__ == "__main__":
    main()
