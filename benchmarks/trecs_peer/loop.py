"""Run one benchmark case with T-RECS 0.2.1, on Python 3.8 in a separate environment.

    python loop.py popularity --users 1000 --items 1000 --rounds 100
    python loop.py mf --users 1000 --items 1000 --rounds 100 --factors 10 --sweeps 2

Users move toward what they take (`drift`), and the six measurements that T-RECS has for any recommender
are attached. Measurements that compare pairs of users use 500 fixed pairs. With `--per-round`, the last
line has the mean wall and processor seconds of a round, after the warm-up.
"""

import argparse
import time
import warnings

import numpy as np
import trecs.metrics as metrics
from trecs.components import Users
from trecs.models import ImplicitMF, PopularityRecommender

TOPICS = 24
PAIRS = 500


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("policy", choices=["popularity", "mf"])
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--slate", type=int, default=10)
    parser.add_argument("--factors", type=int, default=10)
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=15)
    parser.add_argument("--per-round", action="store_true")
    return parser.parse_args()


def main():
    options = parse()
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(1)
    tastes = rng.dirichlet(np.full(TOPICS, 0.1), size=options.users)
    mixtures = rng.dirichlet(np.full(TOPICS, 0.05), size=options.items).T
    pairs = rng.integers(0, options.users, size=(PAIRS, 2)).tolist()
    common = {
        "num_users": options.users,
        "num_items": options.items,
        "num_items_per_iter": options.slate,
        "actual_user_representation": Users(actual_user_profiles=tastes, drift=0.02, seed=1),
        "actual_item_representation": mixtures,
        "seed": 1,
        "measurements": [
            metrics.InteractionMeasurement(),
            metrics.InteractionSimilarity(pairs),
            metrics.RecSimilarity(pairs),
            metrics.InteractionSpread(),
            metrics.MSEMeasurement(),
            metrics.AverageFeatureScoreRange(),
        ],
    }
    if options.policy == "popularity":
        model = PopularityRecommender(**common)
        how = {}
    else:
        model = ImplicitMF(
            num_latent_factors=options.factors, model_params={"iterations": options.sweeps}, **common
        )
        # T-RECS warns that each refit sees only one round. Without the reset it sees all of them.
        how = {"train_between_steps": True, "reset_interactions": False}
    if options.warmup:
        model.startup_and_train(options.warmup)
    wall, processor = time.perf_counter(), time.process_time()
    model.run(options.rounds, **how)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    model.get_measurements()
    print(wall / options.rounds, processor / options.rounds)


if __name__ == "__main__":
    main()
