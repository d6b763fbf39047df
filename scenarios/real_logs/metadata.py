"""Read the files that may accompany a log: item names and genres, item–tag pairs, and social ties."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...errors import BadInput
from .logs import ITEM_ALIASES, USER_ALIASES
from .tables import Naming, Table, normalize_name, of_world, read_table

ID_ALIASES = ("id",)
NAME_ALIASES = ("title", "name", "itemname", "movietitle", "artistname", "trackname", "songname", "label")
GENRE_ALIASES = ("genres", "genre", "categories", "category", "topics", "topic", "class")
PROVIDER_ALIASES = (
    "provider", "providerid", "publisher", "studio", "author", "brand", "seller", "creator", "channel",
)  # fmt: skip
TAG_ALIASES = ("tag", "tagid", "tagvalue", "tagname", "tagrank", "keyword", "term", "label")
COUNT_ALIASES = ("count", "weight", "n", "tagcount", "freq", "frequency")
FRIEND_ALIASES = ("friendid", "friend", "source", "target", "from", "to")

NO_GENRE = "(no genres listed)"
_NO_GENRE_FLAG = "unknown"
"""The first flag of MovieLens 100K, of movies without a genre."""
# In the order of the columns of u.item, as the README of MovieLens 100K lists them:
# https://files.grouplens.org/datasets/movielens/ml-100k-README.txt
_ML100K_FLAGS = (
    *(
        _NO_GENRE_FLAG,
        "Action",
        "Adventure",
        "Animation",
        "Children's",
        "Comedy",
        "Crime",
        "Documentary",
        "Drama",
    ),
    *(
        "Fantasy",
        "Film-Noir",
        "Horror",
        "Musical",
        "Mystery",
        "Romance",
        "Sci-Fi",
        "Thriller",
        "War",
        "Western",
    ),
)
_ML100K_TEXTS = 5
"""Columns of `u.item` before the flags: id, title, two dates, address."""


@dataclass(frozen=True)
class ItemFile:
    """Names, genres and providers of the items of the log, in the log's order."""

    names: list[str]
    genres: sparse.csr_matrix | None
    """(items, genres) equal weights over an item's genres, empty rows without any; None without a genre column."""
    genre_names: list[str]
    provider: NDArray[np.int32] | None
    """(items,) dense ids; None without such a column."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Ties:
    """Directed ties among the users of the log, in compressed sparse rows sorted by user, then friend."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    notes: tuple[str, ...]


def read_items(
    path: str, items: list[str], item_column: str | None = None, setting: Naming = of_world
) -> ItemFile:
    """Read an item file: `movies.csv`, `movies.dat`, `u.item`, or a table with id, title and genres separated by `|`.

    Genres can also be columns of 0 and 1, as in `u.item`: their names come from the header, from a file `u.genre`
    beside it, or from the documentation of MovieLens 100K. Raises BadInput when more than half of `items` are missing
    from it.
    """
    aliases = {*ITEM_ALIASES, *ID_ALIASES, *NAME_ALIASES, *GENRE_ALIASES, *PROVIDER_ALIASES}
    table = read_table(path, setting("items"), aliases, [item_column])
    configured = item_column if item_column in table.names and table.header else None
    id_column = table.find((*ITEM_ALIASES, *ID_ALIASES), 1, configured)
    if id_column is None:
        table.raise_missing("item ids", setting("item_column"), "itemId,title,genres")
    rows, notes = _find_rows(table, id_column, items)
    known = rows >= 0
    missing = int((~known).sum())
    if missing:
        first = ", ".join([name for name, is_known in zip(items, known, strict=True) if not is_known][:5])
        if missing > len(items) / 2:
            raise table.key.wrong(
                f"{table.path} ({table.key}) lacks {missing:,} of the {len(items):,} items in the log, e.g. {first}. "
                f'Do the ids in its column "{id_column}" belong to this log?'
            )
        notes.append(
            f"{missing:,} of {len(items):,} items are not in the item file (e.g. {first}); "
            "their topics are taken from the other items of their users."
        )
    name_column = table.find(NAME_ALIASES, 2)
    names = list(items)
    if name_column is not None:
        cells = table.frame[name_column].astype(str).to_numpy()
        names = [cells[row].strip() if row >= 0 else label for row, label in zip(rows, items, strict=True)]
    flags = _genre_flags(table)
    genre_column = None if flags else table.find(GENRE_ALIASES, 3)
    if flags:
        genres, genre_names = _genres_from_flags(table, flags, rows), list(flags)
        notes.append(f"Genres of the item file, from its columns of 0 and 1: {', '.join(flags)}.")
    elif genre_column is not None:
        genres, genre_names = _genres_from_lists(table.frame[genre_column].astype(str).to_numpy(), rows)
    else:
        genres, genre_names = None, []
        notes.append(
            f"The item file has no genre column (its columns are {', '.join(table.names)}); only names are used."
        )
    provider_column = table.find(PROVIDER_ALIASES, 0)
    provider = (
        None
        if provider_column is None
        else _providers(table.ids(provider_column, "provider").to_numpy(), rows)
    )
    return ItemFile(names, genres, genre_names, provider, tuple(notes))


def read_tags(
    path: str, items: list[str], item_column: str | None = None, setting: Naming = of_world
) -> tuple[sparse.csr_matrix, list[str], list[str]]:
    """Read item–tag pairs (item, tag[, count]); counts of repeated pairs are added.

    Returns the counts (items, tags), the tags in sorted order, and notes. Raises BadInput for a negative
    count, or when no item of the log has a tag.
    """
    table = read_table(path, setting("tags"), {*ITEM_ALIASES, *TAG_ALIASES, *COUNT_ALIASES}, [item_column])
    configured = item_column if item_column in table.names and table.header else None
    item = table.find((*ITEM_ALIASES, *ID_ALIASES), 1, configured)
    if item is None:
        table.raise_missing("item ids", setting("item_column"), "itemId,tag")
    tag = table.find(TAG_ALIASES, 2)
    if tag is None and len(table.names) == 2:
        tag = next(name for name in table.names if name != item)
    if tag is None:
        table.raise_missing("tags", None, "itemId,tag,count")
    count_column = table.find(COUNT_ALIASES, 3)
    counts = np.ones(len(table)) if count_column in (None, tag) else table.numbers(count_column, "count")
    if counts.min() < 0:
        raise BadInput(f"{table.location(int(counts.argmin()))}: the count {counts.min():g} is negative.")
    index = {label: j for j, label in enumerate(items)}
    of_item = table.ids(item, "item").map(index).fillna(-1).to_numpy(np.int64)
    keep = (of_item >= 0) & (counts > 0)
    if not keep.any():
        raise table.key.wrong(
            f"{table.path} ({table.key}): no item of the log has a tag in it. "
            f'Do the ids in its column "{item}" belong to this log?'
        )
    labels, of_tag = np.unique(table.ids(tag, "tag").str.lower().to_numpy(str)[keep], return_inverse=True)
    matrix = sparse.csr_matrix((counts[keep], (of_item[keep], of_tag)), shape=(len(items), labels.size))
    matrix.sum_duplicates()
    notes = []
    unknown = int((of_item < 0).sum())
    if unknown:
        notes.append(f"{unknown:,} tag rows of items outside the log were dropped.")
    return matrix, [str(label) for label in labels], notes


def read_ties(path: str, users: list[str], setting: Naming = of_world) -> Ties:
    """Read an edge list of users from the first two columns, with or without a header.

    Where fewer than 5 % of the ties have a reverse, the file is taken to list each friendship once, and the
    reverse ties are added; otherwise the directions are kept as they are.
    """
    table = read_table(path, setting("social"), {*USER_ALIASES, *FRIEND_ALIASES})
    index = {label: j for j, label in enumerate(users)}
    ends = [table.ids(name, "user").map(index).fillna(-1).to_numpy(np.int64) for name in table.names[:2]]
    source, target = ends
    ids = [table.ids(name, "user").to_numpy() for name in table.names[:2]]
    self_ties = ids[0] == ids[1]
    known = (source >= 0) & (target >= 0)
    notes = []
    if self_ties.any():
        notes.append(f"{int(self_ties.sum()):,} ties of a user to themselves were dropped.")
    strangers = np.unique(np.concatenate([ids[0][source < 0], ids[1][target < 0]]))
    if strangers.size:
        dropped = int((~known & ~self_ties).sum())
        notes.append(
            f"{dropped:,} ties of {strangers.size:,} users without a history in the log were dropped."
        )
    keep = known & ~self_ties
    if not keep.any():
        raise table.key.wrong(
            f"{table.path} ({table.key}): no tie joins two users of the log. Do its ids belong to this log?"
        )
    n = len(users)
    pairs = np.unique(source[keep] * n + target[keep])
    if pairs.size < keep.sum():
        notes.append(f"{int(keep.sum()) - pairs.size:,} repeated ties were merged.")
    reverse = pairs % n * n + pairs // n
    mutual = np.isin(reverse, pairs).mean()
    if mutual < 0.05:
        pairs = np.union1d(pairs, reverse)
        notes.append("The social file lists each tie once; both directions are used.")
    elif mutual < 1:
        notes.append(f"{mutual:.0%} of the ties go both ways; directions are kept as in the social file.")
    indptr = np.searchsorted(pairs, np.arange(n + 1, dtype=np.int64) * n).astype(np.int64)
    return Ties(indptr, (pairs % n).astype(np.int32), tuple(notes))


def _find_rows(table: Table, column: str, items: list[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Return the first row of each item of the log in an item file (−1 where there is none), and notes."""
    ids = table.ids(column, "item")
    first = ~ids.duplicated()
    row_of = dict(zip(ids[first], np.flatnonzero(first), strict=True))
    notes = []
    if not first.all():
        notes.append(
            f"{int((~first).sum()):,} items are listed twice in the item file; the first row is used."
        )
    return np.array([row_of.get(label, -1) for label in items], np.int64), notes


def _genres_from_lists(cells: NDArray, rows: NDArray[np.int64]) -> tuple[sparse.csr_matrix, list[str]]:
    lists = []
    for row in rows:
        listed = [part.strip() for part in str(cells[row]).split("|")] if row >= 0 else []
        lists.append(
            sorted({part for part in listed if part and part.lower() not in (NO_GENRE, "nan", "none")})
        )
    names = sorted({name for listed in lists for name in listed})
    index = {name: t for t, name in enumerate(names)}
    item = np.repeat(np.arange(len(lists)), [len(listed) for listed in lists])
    genre = np.array([index[name] for listed in lists for name in listed], np.int64)
    weight = np.array([1 / len(listed) for listed in lists for _ in listed])
    return sparse.csr_matrix((weight, (item, genre)), shape=(len(lists), len(names))), names


def _genre_flags(table: Table) -> dict[str, str]:
    """Return genre → column of 0 and 1, without the flag for no genre; empty if the file has no such columns."""
    if table.header and table.find(GENRE_ALIASES, 0) is not None:
        flags = {}
    elif table.header:
        known = {normalize_name(genre): genre for genre in _ML100K_FLAGS} | {"children": "Children's"}
        found = {known[short]: name for name in table.names if (short := normalize_name(name)) in known}
        flags = found if len(found) > 2 else {}
    elif len(table.names) == _ML100K_TEXTS + len(_ML100K_FLAGS):
        names = _names_beside(table.path) or _ML100K_FLAGS
        flags = dict(zip(names, table.names[_ML100K_TEXTS:], strict=True))
    else:
        flags = {}
    return {genre: column for genre, column in flags.items() if genre != _NO_GENRE_FLAG}


def _names_beside(path: Path) -> list[str]:
    """Return the names of the flags of `u.item` from `u.genre` in the same folder; empty without a usable one."""
    try:
        lines = (path.parent / "u.genre").read_text(encoding="latin-1").split("\n")
    except OSError:
        return []
    pairs = [line.strip().rpartition("|") for line in lines if line.strip()]
    numbered = {number: name for name, _, number in pairs}
    names = [numbered.get(str(place), "") for place in range(len(_ML100K_FLAGS))]
    return names if len(pairs) == len(names) == len(set(names)) and all(names) else []


def _genres_from_flags(table: Table, flags: dict[str, str], rows: NDArray[np.int64]) -> sparse.csr_matrix:
    values = np.stack([table.numbers(column, "genre flag") for column in flags.values()], axis=1)
    of_item = np.where(rows[:, None] >= 0, values[rows], 0.0)
    return sparse.csr_matrix(of_item / np.maximum(of_item.sum(axis=1, keepdims=True), 1))


def _providers(cells: NDArray, rows: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return dense provider ids; an item outside the file gets a provider of its own."""
    labels = [f"0{cells[row]}" if row >= 0 else f"1{j}" for j, row in enumerate(rows)]
    return np.unique(labels, return_inverse=True)[1].astype(np.int32)
