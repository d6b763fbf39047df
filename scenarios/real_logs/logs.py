"""Read a real interaction log: find its columns, clean and filter its rows, and map ids to 0…n−1.

Everything that is merged or dropped on the way is reported in the notes of the log.
"""

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

USER_ALIASES = (
    "userid", "user", "uid", "username", "memberid", "member", "customerid", "customer", "listenerid", "reviewerid",
)  # fmt: skip
"""Header names of the user column as `normalize_name` returns them, in order of preference; likewise below."""
ITEM_ALIASES = (
    "itemid", "item", "movieid", "movie", "artistid", "artist", "productid", "product", "songid", "song", "trackid",
    "track", "bookid", "book", "isbn", "gameid", "videoid", "video", "articleid", "newsid", "asin", "iid", "mid",
)  # fmt: skip
RATING_ALIASES = (
    "rating", "weight", "score", "stars", "plays", "playcount", "playcounts", "count", "listens", "value", "hours",
    "preference", "r",
)  # fmt: skip
TIME_ALIASES = ("timestamp", "time", "datetime", "date", "unixtime", "unixreviewtime", "ts", "createdat")

_MIN_TIMESTAMP = 1e8
"""Without a header, a third column whose numbers all reach this is a timestamp, not a rating."""

_MAX_HEADERLESS_COLUMNS = 4
"""A log without a header may have user, item, rating and timestamp, in this order."""


@dataclass(frozen=True)
class Log:
    """The interactions that are left after cleaning, in time order (file order without timestamps); arrays (n,)."""

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
    """Original item ids, sorted likewise."""
    notes: tuple[str, ...]
    """What was merged or dropped, as sentences for the report."""

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
    """Read and clean the interactions in the file `config.log`; `setting` says what messages call its fields.

    The steps, in order: of repeated (user, item) rows only the latest is kept (without timestamps, the last
    in the file); then `min_rating` is applied; then the user and item cores, until nothing changes.
    Raises BadInput with file and line for malformed input, and when nothing is left.
    """
    configured = (config.user_column, config.item_column, config.rating_column, config.time_column)
    aliases = {*USER_ALIASES, *ITEM_ALIASES, *RATING_ALIASES, *TIME_ALIASES}
    table = read_table(config.log, setting("log"), aliases, configured)
    if (
        not table.header
        and len(table.names) > _MAX_HEADERLESS_COLUMNS
        and not (config.user_column and config.item_column)
    ):
        raise table.key.wrong(
            f"{table.path} ({table.key}) has {len(table.names)} columns and no header. Say which column is which: "
            f'{setting("user_column")} = "1", {setting("item_column")} = "2", … (or give the file a header).'
        )
    user_column = table.find(USER_ALIASES, 1, config.user_column, setting("user_column"))
    item_column = table.find(ITEM_ALIASES, 2, config.item_column, setting("item_column"))
    if user_column is None:
        table.raise_missing("user ids", setting("user_column"), "userId")
    if item_column is None or item_column == user_column:
        table.raise_missing("item ids", setting("item_column"), "itemId")
    rating, time = _ratings_and_times(table, config, setting)
    user_ids, item_ids = table.ids(user_column, "user"), table.ids(item_column, "item")
    if rating is None and config.min_rating is not None:
        table.raise_missing(
            f"ratings ({setting('min_rating')} needs one)", setting("rating_column"), "rating"
        )
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
    all_integers = all(name.lstrip("-").isdecimal() for name in names)
    order = sorted(range(len(names)), key=(lambda j: int(names[j])) if all_integers else (lambda j: names[j]))
    code = np.empty(len(names), np.int32)
    code[order] = np.arange(len(names), dtype=np.int32)
    return code[codes], [names[j] for j in order]


def _ratings_and_times(
    table: Table, config: LogConfig, setting: Naming
) -> tuple[NDArray | None, NDArray | None]:
    rating_column = table.find(RATING_ALIASES, 3, config.rating_column, setting("rating_column"))
    time_column = table.find(TIME_ALIASES, 4, config.time_column, setting("time_column"))
    if (
        not table.header
        and config.rating_column is None
        and config.time_column is None
        and len(table.names) == 3
    ):
        third = table.numbers("3", "rating or timestamp")
        if third.min() >= _MIN_TIMESTAMP:
            return None, third
    if rating_column is not None and rating_column == time_column:
        rating_column = None
    rating = None if rating_column is None else table.numbers(rating_column, "rating")
    return rating, None if time_column is None else _times(table, time_column)


def _times(table: Table, column: str) -> NDArray[np.float64]:
    """Return timestamps as numbers: unchanged if numeric, else dates as seconds since 1970."""
    import pandas as pd

    values = table.frame[column]
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().mean() >= 0.5 and not pd.api.types.is_datetime64_any_dtype(values):
        return table.numbers(column, "timestamp")
    dates = pd.to_datetime(values, errors="coerce", utc=True, format="ISO8601")
    if dates.isna().any():
        row = int(dates.isna().to_numpy().argmax())
        raise BadInput(
            f'{table.location(row)}: the timestamp "{values.iloc[row]}" is neither a number nor a date '
            f'such as 2024-05-01 or 2024-05-01T12:30:00 (column "{column}").'
        )
    return (dates - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(np.float64)


def _latest(user: NDArray, item: NDArray, order: NDArray, n_items: int) -> NDArray[np.int64]:
    """Return the rows to keep, in time order: for each (user, item) pair the one that comes last in `order`."""
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
    """Apply min_rating and the cores to `rows`; append to `notes` what they removed."""
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
        with_ratings = config.min_rating is not None
        rating_range = f" (ratings are {rating.min():g} to {rating.max():g})" if with_ratings else ""
        raise BadInput(
            f"{config.log}: nothing is left after the filters{rating_range}: {'; '.join(steps)}. Lower them.",
            about=["world.log", "world.min_rating", "world.user_core", "world.item_core"],
        )
    dropped = before[0] - np.unique(user[rows]).size, before[1] - np.unique(item[rows]).size
    if any(dropped):
        notes.append(
            f"The cores (user_core = {config.user_core}, item_core = {config.item_core}) "
            f"dropped {dropped[0]:,} users and {dropped[1]:,} items."
        )
    return rows


def _renumber(codes: NDArray[np.int32], labels: list[str]) -> tuple[NDArray[np.int32], list[str]]:
    """Return codes and labels without the ids that no row uses."""
    used, dense = np.unique(codes, return_inverse=True)
    return dense.astype(np.int32), [labels[j] for j in used]
