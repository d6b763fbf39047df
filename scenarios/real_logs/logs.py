"""A real interaction log: recognized, cleaned, filtered, with dense ids and a note for all that was dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ..specs.study import LogConfig
from .tables import Naming, Table, of_world, read_table

if TYPE_CHECKING:
    import pandas as pd

USER = (
    "userid",
    "user",
    "uid",
    "username",
    "memberid",
    "member",
    "customerid",
    "customer",
    "listenerid",
    "reviewerid",
)
ITEM = (
    *(
        "itemid",
        "item",
        "movieid",
        "movie",
        "artistid",
        "artist",
        "productid",
        "product",
        "songid",
        "song",
        "trackid",
    ),
    *(
        "track",
        "bookid",
        "book",
        "isbn",
        "gameid",
        "videoid",
        "video",
        "articleid",
        "newsid",
        "asin",
        "iid",
        "mid",
    ),
)
RATING = (
    *(
        "rating",
        "weight",
        "score",
        "stars",
        "plays",
        "playcount",
        "playcounts",
        "count",
        "listens",
        "value",
        "hours",
    ),
    *("preference", "r"),
)
TIME = ("timestamp", "time", "datetime", "date", "unixtime", "unixreviewtime", "ts", "createdat")

_EPOCH = 1e8
"""A third column without a header whose numbers all exceed this is a timestamp, not a rating."""

_WIDEST = 4
"""Columns of a log without a header that are understood: user, item, rating, timestamp."""


@dataclass(frozen=True)
class Log:
    """The interactions that remain, in time order (file order without timestamps); arrays (n,)."""

    user: NDArray[np.int32]
    """Dense ids 0…len(users)−1."""
    item: NDArray[np.int32]
    """Dense ids 0…len(items)−1."""
    rating: NDArray[np.float64]
    """1 where the log has no ratings."""
    time: NDArray[np.float64] | None
    """In the log's own unit (seconds for dates); None without timestamps."""
    users: list[str]
    """Original user ids, sorted as numbers where all are whole numbers, else as text."""
    items: list[str]
    """Original item ids, likewise."""
    notes: tuple[str, ...]
    """What was merged or dropped on the way, in sentences for the report."""

    def __len__(self) -> int:
        return int(self.user.size)

    @property
    def user_counts(self) -> NDArray[np.int64]:
        """(users,) interactions of each user."""
        return np.bincount(self.user, minlength=len(self.users))

    @property
    def item_counts(self) -> NDArray[np.int64]:
        """(items,) users of each item: its observed popularity."""
        return np.bincount(self.item, minlength=len(self.items))


def read_log(config: LogConfig, setting: Naming = of_world) -> Log:
    """Read and clean the interactions that `config.log` names; `setting` says what messages call its fields.

    Order of the steps: repeated (user, item) rows become one, the latest (the last in the file without
    timestamps); then `min_rating`; then the user and item cores, until nothing changes.
    Raises BadInput with file and line for malformed input, and when nothing is left.
    """
    named = (config.user_column, config.item_column, config.rating_column, config.time_column)
    table = read_table(config.log, setting("log"), {*USER, *ITEM, *RATING, *TIME}, named)
    if not table.header and len(table.names) > _WIDEST and not (config.user_column and config.item_column):
        raise table.key.wrong(
            f"{table.path} ({table.key}) has {len(table.names)} columns and no header. Say which are which: "
            f'{setting("user_column")} = "1", {setting("item_column")} = "2", … (or give the file a header).'
        )
    user_column = table.find(USER, 1, config.user_column, setting("user_column"))
    item_column = table.find(ITEM, 2, config.item_column, setting("item_column"))
    if user_column is None:
        table.missing("user ids", setting("user_column"), "userId")
    if item_column is None or item_column == user_column:
        table.missing("item ids", setting("item_column"), "itemId")
    rating, time = _ratings_and_times(table, config, setting)
    user_ids, item_ids = table.ids(user_column, "user"), table.ids(item_column, "item")
    if rating is None and config.min_rating is not None:
        table.missing(f"ratings ({setting('min_rating')} needs one)", setting("rating_column"), "rating")
    ratings = np.ones(len(table)) if rating is None else rating

    user, users = dense_ids(user_ids)
    item, items = dense_ids(item_ids)
    order = np.arange(len(table)) if time is None else np.argsort(time, kind="stable")
    notes: list[str] = []
    rows = _latest(user, item, order, len(items))
    if rows.size < len(table):
        kept = "the latest" if time is not None else "the last in the file"
        notes.append(
            f"{len(table) - rows.size:,} repeated rows of the same user and item were merged ({kept} was kept)."
        )
    rows = _filter(config, setting, rows, user, item, ratings, users, items, notes)

    user, users = _renumber(user[rows], users)
    item, items = _renumber(item[rows], items)
    return Log(user, item, ratings[rows], None if time is None else time[rows], users, items, tuple(notes))


def dense_ids(ids: pd.Series) -> tuple[NDArray[np.int32], list[str]]:
    """Return codes 0…n−1 and the sorted labels: as numbers where all are whole numbers, else as text."""
    import pandas as pd

    codes, labels = pd.factorize(ids)
    names = [str(label) for label in labels]
    whole = all(name.lstrip("-").isdecimal() for name in names)
    order = sorted(range(len(names)), key=(lambda j: int(names[j])) if whole else (lambda j: names[j]))
    place = np.empty(len(names), np.int32)
    place[order] = np.arange(len(names), dtype=np.int32)
    return place[codes], [names[j] for j in order]


def _ratings_and_times(
    table: Table, config: LogConfig, setting: Naming
) -> tuple[NDArray | None, NDArray | None]:
    rating_column = table.find(RATING, 3, config.rating_column, setting("rating_column"))
    time_column = table.find(TIME, 4, config.time_column, setting("time_column"))
    if (
        not table.header
        and config.rating_column is None
        and config.time_column is None
        and len(table.names) == 3
    ):
        third = table.numbers("3", "rating or timestamp")
        if third.min() >= _EPOCH:
            return None, third
    if rating_column is not None and rating_column == time_column:
        rating_column = None
    rating = None if rating_column is None else table.numbers(rating_column, "rating")
    return rating, None if time_column is None else _times(table, time_column)


def _times(table: Table, column: str) -> NDArray[np.float64]:
    """Return timestamps as numbers: as they are, or seconds since 1970 where they are dates."""
    import pandas as pd

    values = table.frame[column]
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().mean() >= 0.5 and not pd.api.types.is_datetime64_any_dtype(values):
        return table.numbers(column, "timestamp")
    dates = pd.to_datetime(values, errors="coerce", utc=True, format="ISO8601")
    if dates.isna().any():
        row = int(dates.isna().to_numpy().argmax())
        raise BadInput(
            f'{table.where(row)}: the timestamp "{values.iloc[row]}" is neither a number nor a date '
            f'such as 2024-05-01 or 2024-05-01T12:30:00 (column "{column}").'
        )
    return (dates - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(np.float64)


def _latest(user: NDArray, item: NDArray, order: NDArray, n_items: int) -> NDArray[np.int64]:
    """Return the rows to keep, in time order: of each (user, item) pair the one that comes last in `order`."""
    pair = (user.astype(np.int64) * n_items + item)[order]
    _, last = np.unique(pair[::-1], return_index=True)
    return order[np.sort(pair.size - 1 - last)]


def _filter(
    config: LogConfig,
    setting: Naming,
    rows: NDArray[np.int64],
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    rating: NDArray[np.float64],
    users: list[str],
    items: list[str],
    notes: list[str],
) -> NDArray[np.int64]:
    """Apply min_rating and the cores to `rows`; add to `notes` what they removed."""
    steps = [f"{rows.size:,} interactions were read"]
    if config.min_rating is not None:
        rows = rows[rating[rows] >= config.min_rating]
        steps.append(f"{setting('min_rating')} = {config.min_rating:g} left {rows.size:,}")
        notes.append(f"{steps[-1]} of {steps[0].removesuffix(' were read')}.")
    before = np.unique(user[rows]).size, np.unique(item[rows]).size
    while rows.size:
        of_user = np.bincount(user[rows], minlength=len(users))[user[rows]]
        of_item = np.bincount(item[rows], minlength=len(items))[item[rows]]
        keep = (of_user >= config.user_core) & (of_item >= config.item_core)
        if keep.all():
            break
        rows = rows[keep]
    steps.append(
        f"{setting('user_core')} = {config.user_core} and {setting('item_core')} = {config.item_core} left {rows.size:,}"
    )
    if not rows.size:
        of = f" (ratings are {rating.min():g} to {rating.max():g})" if config.min_rating is not None else ""
        raise BadInput(
            f"{config.log}: nothing is left after the filters{of}: {'; '.join(steps)}. Lower them.",
            about=["world.log", "world.min_rating", "world.user_core", "world.item_core"],
        )
    gone = before[0] - np.unique(user[rows]).size, before[1] - np.unique(item[rows]).size
    if any(gone):
        notes.append(
            f"The cores (user_core = {config.user_core}, item_core = {config.item_core}) "
            f"dropped {gone[0]:,} users and {gone[1]:,} items."
        )
    return rows


def _renumber(codes: NDArray[np.int32], labels: list[str]) -> tuple[NDArray[np.int32], list[str]]:
    """Return codes and labels without the ids that no row uses any more."""
    used, dense = np.unique(codes, return_inverse=True)
    return dense.astype(np.int32), [labels[j] for j in used]
