"""Draw the social graph of a generated world with networkx, or read it from an edge list."""

from __future__ import annotations

import csv
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..disk import read_file
from ..errors import BadInput, Mistake
from .settings import (
    BarabasiAlbert,
    EdgeList,
    GraphConfig,
    NoGraph,
    PowerlawCluster,
    StochasticBlock,
    WattsStrogatz,
)
from .social_graph import SocialGraph, draw_influence, from_pairs


def draw_graph(
    config: GraphConfig, community: NDArray[np.int32], spread: float, rng: np.random.Generator
) -> SocialGraph:
    """Return the ties between users. community (users,) is used by the stochastic block model only.

    On the Watts–Strogatz ring users are ordered by id, and so are communities: neighbors mostly belong to
    the same community.
    """
    users = community.size
    check_graph(config, users)
    source, target, directed = _pairs(config, community, rng)
    indptr, indices = from_pairs(source, target, users, directed=directed)
    return SocialGraph(indptr, indices, draw_influence(indices.size, spread, rng))


def _pairs(config, community, rng) -> tuple[NDArray[np.int32], NDArray[np.int32], bool]:
    users = community.size
    if isinstance(config, NoGraph) or users == 1:
        return np.empty(0, np.int32), np.empty(0, np.int32), False
    if isinstance(config, EdgeList):
        return *_read_pairs(config.path, users), config.directed
    import networkx as nx

    if isinstance(config, WattsStrogatz):
        graph = nx.watts_strogatz_graph(users, config.degree, config.rewiring, seed=rng)
    elif isinstance(config, BarabasiAlbert):
        graph = nx.barabasi_albert_graph(users, config.attach, seed=rng)
    elif isinstance(config, PowerlawCluster):
        graph = nx.powerlaw_cluster_graph(users, config.attach, config.triangle, seed=rng)
    else:
        return *_block_model(config, community, rng), False
    edges = _edges(graph)
    return edges[:, 0], edges[:, 1], False


def _edges(graph) -> NDArray[np.int32]:
    """Return (edges, 2) without a Python list of all edges, which would take more memory than the graph."""
    ends = chain.from_iterable(graph.edges)
    return np.fromiter(ends, np.int32, 2 * graph.number_of_edges()).reshape(-1, 2)


def _block_model(config: StochasticBlock, community, rng):
    """Return the ties of networkx's stochastic block model, with its nodes mapped back to user ids."""
    import networkx as nx

    members = [np.flatnonzero(community == c) for c in np.unique(community)]
    sizes = np.array([group.size for group in members], float)
    n = sizes.sum()
    within = config.within if sizes.size > 1 else 1.0
    inside = config.degree * within / np.maximum(sizes - 1, 1)
    outside = config.degree * (1 - within) / max(n - sizes.mean(), 1)
    probability = np.full((sizes.size, sizes.size), min(1.0, outside))
    np.fill_diagonal(probability, np.minimum(1.0, inside))
    # networkx divides by log(1 - p), which is 0 for the smallest.
    probability[probability < 1e-15] = 0.0
    graph = nx.stochastic_block_model(sizes.astype(int).tolist(), probability.tolist(), seed=rng, sparse=True)
    edges = _edges(graph)
    order = np.concatenate(members).astype(np.int32)
    return order[edges[:, 0]], order[edges[:, 1]]


def check_graph(config: GraphConfig, users: int) -> None:
    """Raise BadInput if a graph does not fit the number of users, or its file cannot be used."""
    if isinstance(config, EdgeList):
        _read_pairs(config.path, users)
    if isinstance(config, WattsStrogatz) and users > 1 and config.degree >= users:
        raise BadInput(
            f"world.graph.degree = {config.degree} needs more than {config.degree} users, but world.users = "
            f"{users}. Lower the degree or raise world.users.",
            about=["world.graph", "world.users"],
        )
    if isinstance(config, BarabasiAlbert | PowerlawCluster) and users > 1 and config.attach >= users:
        raise BadInput(
            f"world.graph.attach = {config.attach} needs more than {config.attach} users, but world.users = "
            f"{users}. Lower attach or raise world.users.",
            about=["world.graph", "world.users"],
        )


def _read_pairs(path: str, users: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    file = Path(path).expanduser()
    try:
        text = read_file(file).decode("utf-8-sig")
    except OSError as error:
        raise _unreadable(f"cannot read {file}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise _unreadable(f"{file} is not a text file; it needs two columns of user numbers.") from None
    lines = text.splitlines()
    delimiter = "\t" if lines and "\t" in lines[0] else ","
    pairs = []
    for number, row in enumerate(csv.reader(lines, delimiter=delimiter), start=1):
        if not row:
            continue
        try:
            pair = (int(row[0]), int(row[1]))
        except (ValueError, IndexError):
            if number == 1:
                continue  # A header
            raise BadInput(
                f"{file}, row {number}: expected two user numbers, found {','.join(row)!r}."
            ) from None
        if not (0 <= min(pair) and max(pair) < users):
            raise BadInput(
                f"{file}, row {number}: user {max(pair) if max(pair) >= users else min(pair)} does not exist; "
                f"users are numbered 0 to {users - 1} (world.users = {users}).",
                about=["world.graph.path", "world.users"],
            )
        pairs.append(pair)
    if not pairs:
        raise _unreadable(f"{file} holds no ties; it needs two columns of user numbers.")
    array = np.array(pairs, dtype=np.int32)
    return array[:, 0], array[:, 1]


def _unreadable(text: str) -> BadInput:
    return BadInput(Mistake(text, ("world", "graph", "path")))
