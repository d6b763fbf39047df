"""Topics: planted ones are found again, rows stay on the simplex, items without metadata are filled."""

import numpy as np
import pytest
from echodrift.errors import BadInput
from echodrift.scenarios.real_logs.plsa import TOPIC_COUNTS, choose_topic_count, embed, fit_plsa
from echodrift.scenarios.real_logs.topics import (
    fill_from_users,
    topics_from_genres,
    topics_from_tags,
    topics_from_users,
)
from scipy import sparse
from scipy.optimize import linear_sum_assignment


def planted(topics, seed, documents=800, words=400, length=30):
    rng = np.random.default_rng(seed)
    theta = 0.8 * np.eye(topics)[rng.integers(0, topics, documents)] + 0.2 * rng.dirichlet(
        np.full(topics, 0.1), documents
    )
    phi = rng.dirichlet(np.full(words, 0.1), topics)
    return sparse.csr_matrix(np.array([rng.multinomial(length, row) for row in theta @ phi])), theta


def matched(theta, found):
    """Correlations of planted topics with found ones under the best one-to-one matching."""
    topics = theta.shape[1]
    across = np.corrcoef(theta.T, found.T)[:topics, topics:]
    return across[linear_sum_assignment(-across)]


@pytest.mark.parametrize("topics", [3, 8, 12])
def test_planted_topics_are_recovered(topics):
    counts, theta = planted(topics, seed=topics)
    model = fit_plsa(counts, topics)
    np.testing.assert_allclose(model.theta.sum(axis=1), 1)
    np.testing.assert_allclose(model.phi.sum(axis=0), 1)
    assert model.theta.min() >= 0 and matched(theta, model.theta).min() > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("topics", [3, 12])
def test_planted_number_is_chosen_within_one_step_of_the_grid(topics):
    counts, _ = planted(topics, seed=100 + topics, documents=1500, words=800)
    found, scores = choose_topic_count(counts)
    step = abs(TOPIC_COUNTS.index(found) - TOPIC_COUNTS.index(topics))
    assert step <= 1 and found in scores and all(score < 0 for score in scores.values())


def test_fit_is_deterministic_and_better_than_frequencies():
    counts, _ = planted(5, seed=1)
    one, two = fit_plsa(counts, 5), fit_plsa(counts, 5, embedding=embed(counts, 5))
    np.testing.assert_array_equal(one.theta, two.theta)
    frequency = np.asarray(counts.sum(axis=0)).ravel() / counts.sum()
    rows, words = counts.nonzero()
    fitted = np.log(np.einsum("nt,nt->n", one.theta[rows], one.phi[words])).mean()
    assert fitted > np.log(frequency[words]).mean() + 0.5


def test_rare_document_leans_to_the_mean_mixture():
    counts, _ = planted(4, seed=2)
    thin = counts.tolil()
    thin[0] = 0
    thin[1] = 0
    thin[1, int(counts[1].indices[0])] = 1
    model = fit_plsa(sparse.csr_matrix(thin), 4)
    mean = model.theta[2:].mean(axis=0)
    np.testing.assert_allclose(model.theta[0], mean, atol=0.02)
    assert model.theta[1].max() < 0.75


TAKEN = sparse.csr_matrix(np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]], float))


def test_items_without_metadata_take_the_mean_of_their_users():
    mixtures = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    filled, notes = fill_from_users(mixtures, TAKEN, "no genre")
    np.testing.assert_allclose(filled, [[1, 0], [0, 1], [1, 0], [0.5, 0.5]])
    assert notes[0].startswith("2 of 4 items have no genre")
    assert fill_from_users(mixtures[:2], TAKEN[:2], "no genre")[1] == ()


def test_genres_split_equally_and_unused_ones_vanish():
    genres = sparse.csr_matrix(np.array([[0.5, 0.5, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]]))
    found = topics_from_genres(genres, ["a", "b", "c"], TAKEN)
    assert found.names == ["a", "b"] and found.source == "genres"
    np.testing.assert_allclose(found.mixtures, [[0.5, 0.5], [1, 0], [0.5, 0.5], [0, 1]])
    with pytest.raises(BadInput, match="No item of the log has a genre"):
        topics_from_genres(sparse.csr_matrix((4, 3)), ["a", "b", "c"], TAKEN)


def test_tags_and_users_as_sources():
    counts, theta = planted(4, seed=3)
    counts = counts.tolil()
    counts[0] = 0
    taken = sparse.csr_matrix(np.ones((800, 3)))
    tags = topics_from_tags(sparse.csr_matrix(counts), [f"t{w}" for w in range(400)], taken, 4)
    np.testing.assert_allclose(tags.mixtures.sum(axis=1), 1)
    assert matched(theta[1:], tags.mixtures[1:]).min() > 0.95 and "1 of 800" in tags.notes[-1]
    assert all(len(name.split(" · ")) == 3 for name in tags.names)
    users = topics_from_users(planted(4, seed=3)[0], 4)
    assert users.names[0] == "topic 1" and matched(theta, users.mixtures).min() > 0.95
    with pytest.raises(BadInput, match=r"world.topics = 900.*from 1 to 399"):
        topics_from_users(planted(4, seed=3)[0], 900)


def test_too_few_pairs_to_choose_from():
    assert topics_from_users(TAKEN, "auto").mixtures.shape == (4, 2)
