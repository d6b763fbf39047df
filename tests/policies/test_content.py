"""The content policy against its formula, by hand."""

from __future__ import annotations

import numpy as np
from echodrift.policies.content import Content
from echodrift.policies.profiles import topic_profiles
from numpy.random import default_rng


def test_content_scores_by_hand(observe):
    seen = observe(
        [0, 0, 0, 1], [0, 0, 1, 2], users=3, items=6, tags=np.eye(3, dtype=np.float32)[np.arange(6) % 3]
    )
    users = np.arange(3, dtype=np.int32)
    policy = Content(popularity=0.1)
    policy.fit(seen, default_rng(0))
    of_users, of_items = policy.factors(seen, users)
    profiles = np.array([[2 / 3, 1 / 3, 0], [0, 0, 1], [0.5, 0.25, 0.25]])
    np.testing.assert_allclose(profiles, topic_profiles(seen), rtol=1e-6)
    prior = 0.1 * np.log1p([2, 1, 1, 0, 0, 0]) / np.log(3)
    wanted = profiles @ seen.tags.T + prior
    np.testing.assert_allclose(of_users @ of_items.T, wanted, atol=1.1e-4)
    ranked = policy.rank(seen, users, 2, default_rng(0)).items
    np.testing.assert_array_equal(ranked, [[0, 3], [2, 5], [0, 3]])
