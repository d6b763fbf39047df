"""Learn topics from a count matrix by probabilistic latent semantic analysis (PLSA) with smoothed estimates.

P(word | document) = Σ_t θ_dt φ_tw (Hofmann, "Probabilistic latent semantic analysis", UAI 1999), fitted by
EM on the nonzero counts. Both factors have a Dirichlet prior in the form of pseudo-counts (maximum a
posteriori): documents are shrunk toward the mean mixture and topics toward the overall word frequencies,
so that short documents do not get sharp topics on thin evidence. In a log, documents are items and words
are their tags or users. Everything is deterministic; one sweep costs nonzeros × topics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

DOCUMENT_PRIOR = 1.0
"""Pseudo-counts of a document, distributed like the mean mixture."""
WORD_PRIOR = 50.0
"""Pseudo-counts of a topic, distributed like the overall word frequencies."""
TOPIC_COUNTS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
"""Candidates for the number of topics. More would leave too little evidence per topic for a user with 50 items."""
HELD_OUT = 0.1
"""Share of the nonzero pairs held out to choose the number of topics."""
CLUSTER_DOCUMENTS = 4000
"""Number of documents, the largest ones, that the initial clusters are computed from."""
PATIENCE = 3
"""Number of candidates in a row without improvement after which the search stops."""


@dataclass(frozen=True)
class Plsa:
    """A fitted factorization of a count matrix."""

    theta: NDArray[np.float64]
    """(documents, topics) mixtures; rows sum to one."""
    phi: NDArray[np.float64]
    """(words, topics) P(word | topic); columns sum to one."""


def fit_plsa(
    matrix: sparse.csr_matrix, topics: int, sweeps: int = 40, embedding: NDArray[np.float64] | None = None
) -> Plsa:
    """Fit `topics` topics to non-negative counts (documents, words); rows may be empty.

    embedding: result of `embed` for this matrix with a rank of at least `topics`, to avoid computing it again.
    """
    matrix = sparse.csr_matrix(matrix, dtype=np.float64)
    theta = _initial_mixtures(matrix, topics, embed(matrix, topics) if embedding is None else embedding)
    frequency = np.asarray(matrix.sum(axis=0)).ravel() / matrix.sum()
    phi = _m_step_words(matrix.T @ theta, frequency)
    for _ in range(sweeps):
        of_document, of_word = _expected_counts(matrix.indptr, matrix.indices, matrix.data, theta, phi)
        mean = of_document.sum(axis=0) / matrix.sum()
        theta = of_document + DOCUMENT_PRIOR * mean
        theta /= theta.sum(axis=1, keepdims=True)
        phi = _m_step_words(of_word, frequency)
    return Plsa(theta, phi)


def choose_topic_count(
    matrix: sparse.csr_matrix, candidates: tuple[int, ...] = TOPIC_COUNTS
) -> tuple[int, dict[int, float]]:
    """Return the number of topics that predicts held-out pairs best, and the score of each candidate tried.

    A tenth of the pairs is held out (a fixed pseudo-random choice; documents with one word keep it). The
    score is the mean of log P(word | document) over held-out pairs, weighted by their counts, capped at 5.
    The smallest number is chosen whose paired difference from the best is within one standard error of zero.
    """
    matrix = sparse.csr_matrix(matrix, dtype=np.float64)
    document = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    rng = np.random.Generator(np.random.PCG64(20))
    held_out = (rng.random(matrix.nnz) < HELD_OUT) & (np.diff(matrix.indptr)[document] > 1)
    if held_out.sum() < 20:
        return min(candidates[0], *matrix.shape), {}
    train = matrix.copy()
    train.data[held_out] = 0
    train.eliminate_zeros()
    rows, words = document[held_out], matrix.indices[held_out]
    weight = np.minimum(matrix.data[held_out], 5.0)
    log_likelihoods: dict[int, NDArray[np.float64]] = {}
    best = None
    candidates = tuple(topics for topics in candidates if topics < min(matrix.shape))
    embedding = embed(train, max(candidates, default=1))
    for topics in candidates:
        model = fit_plsa(train, topics, embedding=embedding)
        log_likelihoods[topics] = np.log(np.einsum("nt,nt->n", model.theta[rows], model.phi[words]) + 1e-12)
        if best is None or _mean(log_likelihoods[topics], weight) > _mean(log_likelihoods[best], weight):
            best = topics
        elif list(log_likelihoods).index(topics) - list(log_likelihoods).index(best) >= PATIENCE:
            break
    if best is None:
        return 1, {}
    chosen = next(
        topics
        for topics, values in log_likelihoods.items()
        if _within_one_error(values, log_likelihoods[best], weight)
    )
    return chosen, {topics: _mean(values, weight) for topics, values in log_likelihoods.items()}


def _within_one_error(
    values: NDArray[np.float64], best: NDArray[np.float64], weight: NDArray[np.float64]
) -> bool:
    """Return whether the mean difference from the best is within one standard error of zero."""
    gap = best - values
    error = np.sqrt(np.average((gap - _mean(gap, weight)) ** 2, weights=weight) / gap.size)
    return _mean(gap, weight) <= error


def _mean(values: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    return float(np.average(values, weights=weight))


def _m_step_words(counts: NDArray[np.float64], frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    phi = counts + WORD_PRIOR * frequency[:, None]
    return phi / phi.sum(axis=0)


def embed(matrix: sparse.csr_matrix, rank: int) -> NDArray[np.float64]:
    """Return (documents, rank) scaled left singular vectors of the counts, largest first.

    Counts are replaced by their square roots, and columns are divided by the root of their norm, so that
    common words do not dominate.
    """
    weights = sparse.csr_matrix(matrix, dtype=np.float64).sqrt()
    columns = np.sqrt(np.asarray(weights.multiply(weights).sum(axis=0)).ravel())
    weights = weights @ sparse.diags(1 / np.sqrt(np.maximum(columns, 1e-12)))
    rank = max(1, min(rank, min(matrix.shape) - 1))
    left, values, _ = svds(weights, k=rank, v0=np.ones(min(matrix.shape)))
    order = np.argsort(-values, kind="stable")
    return left[:, order] * values[order]


def _initial_mixtures(
    matrix: sparse.csr_matrix, topics: int, embedding: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (documents, topics) initial mixtures: softened k-means clusters of directions in the embedding.

    The centers are fitted on the `CLUSTER_DOCUMENTS` largest documents; every document joins the nearest one.
    """
    from sklearn.cluster import KMeans

    directions = embedding[:, :topics].astype(np.float32)
    length = np.linalg.norm(directions, axis=1)
    used = np.flatnonzero(length > 1e-9 * length.max())
    directions[used] /= length[used, None]
    size = np.asarray(matrix.sum(axis=1)).ravel()
    largest = used[np.argsort(-size[used], kind="stable")[:CLUSTER_DOCUMENTS]]
    distinct = len(np.unique(directions[largest].round(5), axis=0))
    means = KMeans(min(topics, distinct), n_init=4, max_iter=20, random_state=0)
    means.fit(directions[largest], sample_weight=np.sqrt(size[largest]))
    theta = np.full((matrix.shape[0], topics), 0.3 / topics)
    theta[used, means.predict(directions[used])] += 0.7
    return theta / theta.sum(axis=1, keepdims=True)


@njit(cache=True)
def _expected_counts(indptr, indices, data, theta, phi):
    """Return expected counts (documents, topics) and (words, topics) under the current factors."""
    documents, topics = theta.shape
    of_document = np.zeros((documents, topics))
    of_word = np.zeros((phi.shape[0], topics))
    share = np.empty(topics)
    for d in range(documents):
        for p in range(indptr[d], indptr[d + 1]):
            w = indices[p]
            total = 0.0
            for t in range(topics):
                share[t] = theta[d, t] * phi[w, t]
                total += share[t]
            scale = data[p] / total
            for t in range(topics):
                part = share[t] * scale
                of_document[d, t] += part
                of_word[w, t] += part
    return of_document, of_word
