"""Run models of other libraries in the loop: refitted by echodrift, used as they are, or made by a function."""

import echodrift as ed
import numpy as np
from echodrift.policies.outside.adapter import adapted
from implicit.nearest_neighbours import CosineRecommender
from scipy import sparse


def neighbors():
    """Return a model; your own function may as well load one from a file."""
    return CosineRecommender(K=20)


class House:
    """A model with its own `fit` and `recommend`: everyone gets the bestsellers of the house."""

    def fit(self, user_items):
        self.best = np.argsort(-np.asarray(user_items.sum(axis=0)).ravel(), kind="stable")

    def recommend(self, users, n):
        return np.tile(self.best[:n], (len(users), 1))


def main():
    # This model was fitted elsewhere on the same users and items. It is used as it is and never refitted.
    house = House()
    house.fit(sparse.random(200, 300, 0.1, "csr", random_state=1))
    adapted(house, "house")

    policies = {
        "popularity": {"kind": "popularity"},
        "house, frozen": {"kind": "house", "fitted": True},
        "house, refitted": {"kind": "house"},
        "implicit": {
            "kind": "adapter",
            "model": "implicit.als:AlternatingLeastSquares",
            "arguments": {"factors": 8, "iterations": 5},
        },
        "scikit-learn": {
            "kind": "adapter",
            "model": "sklearn.decomposition:TruncatedSVD",
            "arguments": {"n_components": 8},
        },
        "neighbors": {"kind": "adapter", "model": "fitted_model:neighbors"},
    }
    print("checks passed:", ", ".join(ed.check_policy("adapter", model="fitted_model:neighbors")))
    result = ed.run(
        "default",
        rounds=10,
        seeds=1,
        jobs=1,  # "house" is registered in this process only
        set={
            "world.users": 200,
            "world.items": 300,
            "arms": [{"name": name, "policy": policy} for name, policy in policies.items()],
            "reference": "popularity",
        },
    )
    print(result.runs[["arm", "status", "niche_exposure", "welfare"]])


if __name__ == "__main__":
    main()
