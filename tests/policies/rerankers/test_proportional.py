"""Seats: textbook elections, an independent apportionment, and PM-2 written plainly."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from echodrift.policies.profiles import topic_profiles
from echodrift.policies.rerankers.proportional import Proportional
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def elected(votes, seats, step):
    """Highest averages: the seats largest of v/(step·j + 1), all laid out at once."""
    quotients = [(v / (step * j + 1), -g) for g, v in enumerate(votes) for j in range(seats)]
    winners = [-g for _, g in sorted(quotients, reverse=True)[:seats]]
    return np.bincount(winners, minlength=len(votes))


def slate_of(observation, ranking_of, votes, n, **fields):
    """The slate for a history with so many entries of each topic; 30 items per topic."""
    topics = len(votes)
    tags = np.eye(topics)[np.arange(30 * topics) % topics]
    seen = observation(tags, [np.repeat(np.arange(topics), votes).tolist()])
    scores = np.random.default_rng(0).normal(size=30 * topics)
    got = Proportional(**fields).rerank(ranking_of(scores), seen, n, np.random.default_rng(0)).items[0]
    return tags[got].sum(axis=0), got, scores, tags


@pytest.mark.parametrize(("method", "seats"), [("sainte_lague", [3, 2, 2]), ("dhondt", [4, 2, 1])])
def test_a_textbook_election(observation, ranking_of, method, seats):
    got, slate, scores, tags = slate_of(observation, ranking_of, [53, 24, 23], 7, method=method)
    np.testing.assert_array_equal(got, seats)
    for g in range(3):  # the best items of each topic, best first
        of_topic = [i for i in slate if tags[i, g]]
        best = [i for i in np.argsort(-scores) if tags[i, g]][: len(of_topic)]
        assert of_topic == best


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    votes=st.lists(st.integers(0, 40), min_size=2, max_size=6).filter(any),
    n=st.integers(1, 25),
    rule=st.sampled_from([("sainte_lague", 2), ("dhondt", 1)]),
)
def test_seats_are_those_of_highest_averages(observation, ranking_of, votes, n, rule):
    got, *_ = slate_of(observation, ranking_of, votes, n, method=rule[0])
    averages = lambda seats: sorted(  # ties may fall either way; the winning averages may not
        v / (rule[1] * j + 1) for v, s in zip(votes, seats, strict=True) for j in range(int(s))
    )
    np.testing.assert_allclose(averages(got), averages(elected(votes, n, rule[1])), rtol=1e-9)


@pytest.mark.parametrize("focus", [1.0, 0.7, 0.3])
@pytest.mark.parametrize("method", ["sainte_lague", "dhondt"])
def test_pm2_written_plainly(observation, ranking_of, minmax, mixtures, focus, method):
    rng = np.random.default_rng([int(10 * focus), len(method)])
    tags = mixtures(rng, 40, 5)
    seen = observation(tags, [list(rng.integers(0, 40, 9)) for _ in range(6)])
    raw = rng.normal(size=(6, 40))
    got = Proportional(method=method, focus=focus).rerank(ranking_of(raw), seen, 9, rng).items
    step = 2 if method == "sainte_lague" else 1
    for u, votes in enumerate(topic_profiles(seen)):
        relevant = (0.01 + 0.99 * minmax(raw[u]))[:, None] * tags
        left, seats, slate = list(np.argsort(-np.float32(raw[u]), kind="stable")), np.zeros(5), []
        for _ in range(9):
            q = votes / (step * seats + 1)
            reachable = (tags[left] > 0).any(axis=0)
            turn = int(np.argmax(np.where(reachable, q, -1)))
            weights = (1 - focus) * q
            weights[turn] = focus * q[turn]
            item = left[int(np.argmax(relevant[left] @ weights))]
            left.remove(item)
            slate.append(item)
            seats += relevant[item] / relevant[item].sum()
        np.testing.assert_array_equal(got[u], slate)


def test_a_topic_without_items_left_gives_up_its_seats(observation, ranking_of):
    tags = np.eye(4)[[0] * 2 + [1] * 20 + [2] * 20]
    seen = observation(tags, [[0] * 14 + [2] * 2 + [22] * 4])
    # 14, 2, 4 entries: two seats for topic 0, then 1 and 2 share as 1 : 2, though all of topic 1 scores better
    scores = np.repeat([0.0, 2.0, 1.0], [2, 20, 20]) - np.arange(42) / 100
    slate = Proportional().rerank(ranking_of(scores), seen, 8, np.random.default_rng(0)).items[0]
    np.testing.assert_array_equal(tags[slate].sum(axis=0), [2, 2, 4, 0])


@pytest.mark.parametrize(("method", "step"), [("sainte_lague", 2), ("dhondt", 1)])
def test_exact_ties_go_to_the_topic_with_the_lower_id(observation, ranking_of, method, step):
    """Elections in whole fractions: 0.6/3 is a little less than 0.2 in floating point."""
    for votes in ([6, 2, 2], [2, 6, 2], [9, 3, 3], [7, 7, 7], [3, 6, 1], [15, 5, 3]):
        for n in range(1, 9):
            seats = [0] * 3
            for _ in range(n):
                quotient = [Fraction(v, step * s + 1) for v, s in zip(votes, seats, strict=True)]
                seats[quotient.index(max(quotient))] += 1
            got, *_ = slate_of(observation, ranking_of, votes, n, method=method)
            np.testing.assert_array_equal(got, seats)
