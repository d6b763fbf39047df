"""Build the task of one split: training data, what policies know when they rank, and held-out items."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ....errors import BadInput
from ....policies.interactions import Blocked, FloatArray, IntArray, Interactions, Observation
from ....sim.streams import Streams
from ...real_logs.logs import Log
from ...real_logs.topics import topics_from_genres, topics_from_tags, topics_from_users
from ...real_logs.twin import history_from_log
from .data import Data, of_option
from .splits import Parts, Rows, Split, divide


@dataclass(frozen=True)
class Rules:
    """Which items count as held out and which may be recommended."""

    mask: bool = True
    """Items that a user took in training are neither recommended again nor counted as held out."""
    cold_users: bool = False
    """Evaluate users without history in training, too."""
    known_items: bool = False
    """Items that nobody took in training are neither recommended nor counted as held out."""


@dataclass(frozen=True)
class Cases:
    """Test pairs, each ranked among its sampled negatives; arrays (cases,)."""

    user: IntArray
    item: IntArray
    indptr: NDArray[np.int64]
    candidates: IntArray
    """The positive and its negatives of case j: candidates[indptr[j]:indptr[j+1]]."""


@dataclass(frozen=True)
class Task:
    """Training data and held-out items; the same for every policy of a seed."""

    seed: int
    train: Observation
    seen: Observation
    """Known at ranking time: the training data and the histories of users to fold in."""
    fold_in_users: IntArray
    """Users to fold in."""
    users: IntArray
    """(B,) users with held-out items, ascending."""
    indptr: NDArray[np.int64]
    relevant: IntArray
    """Held-out items of users[b]: relevant[indptr[b]:indptr[b+1]]."""
    cases: Cases | None
    """Test pairs with their negatives; None if the whole catalog is ranked."""
    labels: list[str]
    """(B,) original ids of `users`."""
    notes: tuple[str, ...]


def task_for_seed(data: Data, split: Split | None, seed: int, rules: Rules, needs_tags: bool) -> Task:
    """Return the task of a seed. split: None for data with a test file; needs_tags: whether topics are read."""
    return build_task(data, split_rows(data, split, seed), seed, rules, needs_tags, split)


def split_rows(data: Data, split: Split | None, seed: int) -> Parts:
    """Return the rows for training, for folding in and for testing."""
    rows = np.arange(data.user.size)
    if data.first_test_row is not None:
        return Parts(rows[: data.first_test_row], rows[:0], rows[data.first_test_row :])
    assert split is not None
    return divide(split, data.user, data.item, data.time, rows, Streams(seed)("offline.split"))


def build_task(
    data: Data, parts: Parts, seed: int, rules: Rules, needs_tags: bool, split: Split | None
) -> Task:
    """Return the task of a split log."""
    strong = split is not None and split.kind == "users"
    if strong:
        rules = replace(rules, known_items=True)
    known = parts.train if not parts.fold_in.size else np.union1d(parts.train, parts.fold_in)
    n_users, n_items = len(data.users), len(data.items)
    taken = np.bincount(data.item[parts.train], minlength=n_items)
    notes: list[str] = []
    user, item = _held_out(data, parts, known, taken, rules, strong, notes)
    live = taken > 0 if rules.known_items else np.ones(n_items, bool)
    tags, tag_notes = _tags(data, parts.train, needs_tags)
    notes += tag_notes

    def observation(rows: Rows) -> Observation:
        blocked = Blocked(n_users, n_items)
        if rules.mask:
            blocked.set(data.user[rows], data.item[rows])
        return Observation(0, n_users, n_items, _interactions(data, rows), tags, live, blocked, data.friends)

    train = observation(parts.train)
    seen = observation(known) if parts.fold_in.size else train
    cases = _cases(data, user, item, notes)
    if cases is not None:
        user, item = cases.user, cases.item
    users, indptr, relevant = _by_user(user, item)
    fold = np.unique(data.user[parts.fold_in]).astype(np.int32)
    return Task(
        seed, train, seen, np.intersect1d(fold, users).astype(np.int32), users, indptr, relevant, cases,
        [data.users[one] for one in users], tuple(notes),
    )  # fmt: skip


def _held_out(
    data: Data, parts: Parts, known: Rows, taken: NDArray, rules: Rules, strong: bool, notes: list[str]
) -> tuple[IntArray, IntArray]:
    """Return the test pairs that count, and add notes about those that do not."""
    user, item = data.user[parts.test], data.item[parts.test]
    has_history = np.bincount(data.user[known], minlength=len(data.users)) > 0
    everyone = np.unique(user).size

    def drop(dropped: NDArray[np.bool_], sentence: str) -> None:
        nonlocal user, item
        if dropped.any():
            users, pairs = f"{np.unique(user[dropped]).size:,}", f"{int(dropped.sum()):,}"
            notes.append(sentence.format(users=users, pairs=pairs))
            user, item = user[~dropped], item[~dropped]

    if not rules.cold_users:
        drop(
            ~has_history[user],
            "{users} test users have no history in training; they and their {pairs} test items are left out.",
        )
    if rules.mask:
        pairs = data.user[known].astype(np.int64) * len(data.items) + data.item[known]
        out = np.isin(user.astype(np.int64) * len(data.items) + item, pairs)
        drop(
            out, "{pairs} test items of {users} users are in their training history, too; they are left out."
        )
    unknown = taken[item] == 0
    if rules.known_items and not strong:
        drop(unknown, "{pairs} test items that nobody took in training are left out.")
    elif unknown.any() and not rules.known_items:
        notes.append(
            f"{int(unknown.sum()):,} of {user.size:,} test items were taken by nobody in training; they count as held out."
        )
    if strong:
        folded = np.unique(data.user[parts.fold_in]).size
        skipped = folded - np.unique(user).size
        if skipped > 0:
            notes.append(
                f"{skipped:,} of {folded:,} held-out users have fewer than 5 items and so no targets; they are left out."
            )
    elif data.first_test_row is None:
        total = np.unique(data.user[np.union1d(parts.train, parts.test)]).size
        if everyone < total:
            notes.append(f"{total - everyone:,} of {total:,} users have no item in the test part.")
    if not user.size:
        raise BadInput("there is nothing to test on: " + (" ".join(notes) or "the test part is empty."))
    return user, item


def _interactions(data: Data, rows: Rows) -> Interactions:
    """Return rows of the log as interactions before round 0, in the same layout as in a study on a log."""
    time = None if data.time is None else data.time[rows]
    return history_from_log(
        Log(data.user[rows], data.item[rows], np.empty(0), time, data.users, data.items, ())
    )


def _tags(data: Data, rows: Rows, needs_tags: bool) -> tuple[FloatArray, tuple[str, ...]]:
    """Return (items, topics) from tags, else from genres, else from co-consumption in training; one topic if unused."""
    users, items = len(data.users), len(data.items)
    if not needs_tags:
        return np.ones((items, 1), np.float32), ()
    taken = sparse.csr_matrix((np.ones(rows.size), (data.item[rows], data.user[rows])), shape=(items, users))
    if data.tag_counts is not None:
        topics = topics_from_tags(*data.tag_counts, taken, data.source.topics, of_option)
    elif data.item_file is not None and data.item_file.genres is not None:
        topics = topics_from_genres(data.item_file.genres, data.item_file.genre_names, taken, of_option)
    else:
        topics = topics_from_users(taken, data.source.topics, of_option)
    mixtures = topics.mixtures
    if topics.source == "co-consumption":
        # Items that nobody took have no data about their topics.
        used = np.diff(taken.indptr) > 0
        mixtures = np.where(used[:, None], mixtures, mixtures[used].mean(axis=0))
    return (mixtures / mixtures.sum(axis=1, keepdims=True)).astype(np.float32), topics.notes


def _by_user(user: IntArray, item: IntArray) -> tuple[IntArray, NDArray[np.int64], IntArray]:
    pairs = np.unique(np.stack([user, item]).astype(np.int64), axis=1)
    users, counts = np.unique(pairs[0], return_counts=True)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return users.astype(np.int32), indptr, pairs[1].astype(np.int32)


def _cases(data: Data, user: IntArray, item: IntArray, notes: list[str]) -> Cases | None:
    """Return the cases of the negatives file whose pair counts; BadInput for a pair missing in the test file."""
    given = data.negatives
    if given is None:
        return None
    place_user = {label: j for j, label in enumerate(data.users)}
    place_item = {label: j for j, label in enumerate(data.items)}
    assert data.first_test_row is not None
    test = set(
        zip(data.user[data.first_test_row :].tolist(), data.item[data.first_test_row :].tolist(), strict=True)
    )
    counted = set(zip(user.tolist(), item.tolist(), strict=True))
    found: list[tuple[int, int, list[int]]] = []
    for who, what, against, line in zip(given.users, given.items, given.against, given.lines, strict=True):
        pair = place_user.get(who, -1), place_item.get(what, -1)
        if pair not in test:
            raise BadInput(f"{given.path}, line {line}: the pair ({who},{what}) is not in the test file.")
        if pair in counted:
            found.append((*pair, [pair[1], *(place_item[one] for one in against)]))
    missing = len(counted) - len(found)
    if missing:
        notes.append(f"{missing:,} of {len(counted):,} test pairs have no negatives and are left out.")
    if not found:
        raise BadInput(f"{given.path}: none of its pairs can be evaluated. {' '.join(notes)}")
    sizes = [len(candidates) for _, _, candidates in found]
    return Cases(
        np.array([who for who, _, _ in found], np.int32),
        np.array([what for _, what, _ in found], np.int32),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.array([one for _, _, candidates in found for one in candidates], np.int32),
    )
