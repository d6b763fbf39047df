"""Read the data of an evaluation: a log to split, or a training and a test file, with optional metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator
from scipy import sparse

from ....complaints import mistakes
from ....config import Config, plain
from ....errors import BadInput, Mistake
from ....policies.interactions import Friends
from ...real_logs.logs import Log, dense_ids, read_log
from ...real_logs.metadata import ItemFile, read_items, read_tags, read_ties
from ...real_logs.tables import Setting
from ...specs.study import LogConfig
from .negatives import Negatives, read_negatives


class Source(Config):
    """The files of an evaluation and how they are read; the names are those of the options."""

    log: str | None = None
    """One log, to be split."""
    train: str | None = None
    """Training file of data that are split already."""
    test: str | None = None
    """Test file of data that are split already."""
    negatives: str | None = None
    """Negatives of every test pair, in the NCF form."""
    items: str | None = None
    """Item file with a genre column: topics of items."""
    tags: str | None = None
    """Item–tag pairs, to learn topics from."""
    social: str | None = None
    """Edge list of users."""
    user_column: str | None = None
    """Column of the user id, if it is not recognized."""
    item_column: str | None = None
    """Column of the item id, if it is not recognized."""
    rating_column: str | None = None
    """Column of the rating, if it is not recognized."""
    time_column: str | None = None
    """Column of the timestamp, if it is not recognized."""
    min_rating: float | None = Field(default=None, ge=0)
    """Keep only interactions with at least this rating."""
    user_core: int = Field(default=0, ge=0)
    """Keep users with at least this many items (applied with item_core until nothing changes)."""
    item_core: int = Field(default=0, ge=0)
    """Keep items with at least this many users."""
    topics: int | Literal["auto"] = "auto"
    """Number of topics, if they are learned."""

    @field_validator("topics", mode="before")
    @classmethod
    def _number_or_auto(cls, value: Any) -> Any:
        if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
            return value
        if isinstance(value, str) and value.isdecimal() and int(value) >= 1:
            return int(value)
        raise ValueError('must be a whole number of at least 1, or "auto"')


@dataclass(frozen=True)
class Data:
    """Interactions with dense ids, in time order: the log, or the training file followed by the test file."""

    source: Source
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    time: NDArray[np.float64] | None
    """None if a file has no timestamps."""
    users: list[str]
    """Original ids; sorted as numbers if all are whole numbers, else as text."""
    items: list[str]
    first_test_row: int | None
    """First row of the test file; None for a log to be split."""
    item_file: ItemFile | None
    tag_counts: tuple[sparse.csr_matrix, list[str]] | None
    """(items, tags) and the tags."""
    friends: Friends
    """Empty without a social file."""
    negatives: Negatives | None
    notes: tuple[str, ...] = field(default=())


def read_data(fields: dict[str, Any]) -> Data:
    """Read and check all files of a `Source`. Raises BadInput with file and line."""
    given: dict[str, Any] = {
        name: value if value is None else plain(value, _option(name)) for name, value in fields.items()
    }
    try:
        source = Source(**given)
    except ValidationError as error:
        wrong = [(_option(str(each.path[0])), each.text) for each in mistakes(error, Source)]
        raise BadInput(*(Mistake(text, source=option) for option, text in wrong)) from None
    _check_combination(source)
    if source.log is not None:
        return _assemble(source, read_log(_config(source, source.log), of_option), None)
    assert source.train is not None and source.test is not None
    train = read_log(_config(source, source.train), of_option)
    test = read_log(_config(source, source.test, cores=False), of_option)
    return _assemble(source, train, test)


def _check_combination(source: Source) -> None:
    if source.log is not None and (source.train or source.test):
        raise BadInput("give one log to be split, or --train and --test, not both")
    if source.log is None and not (source.train and source.test):
        missing = "--test" if source.train else "--train" if source.test else "a log, or --train and --test"
        raise BadInput(f"nothing to evaluate on: {missing} is missing")
    if source.negatives is not None and source.log is not None:
        raise BadInput("--negatives belongs to the pairs of a test file: give --train and --test")


def _config(source: Source, path: str, cores: bool = True) -> LogConfig:
    return LogConfig(
        log=path,
        user_column=source.user_column,
        item_column=source.item_column,
        rating_column=source.rating_column,
        time_column=source.time_column,
        min_rating=source.min_rating,
        user_core=source.user_core if cores else 0,
        item_core=source.item_core if cores else 0,
    )


def _assemble(source: Source, train: Log, test: Log | None) -> Data:
    """Map both files to common ids and read the metadata files."""
    notes = list(train.notes)
    if source.min_rating is not None and np.ptp(train.rating) == 0:
        notes.append(
            f"All ratings that are left equal {train.rating[0]:g}: they carry no information, an interaction is a take."
        )
    negatives = None if source.negatives is None else read_negatives(source.negatives)
    time = train.time
    if test is None:
        user, item, users, items, first_test_row = train.user, train.item, train.users, train.items, None
    else:
        notes += [f"test: {note}" for note in test.notes]
        user, users = _joined(train.users, train.user, test.users, test.user)
        more = [one for line in negatives.against for one in line] if negatives else []
        item, items = _joined(train.items, train.item, test.items, test.item, more)
        first_test_row = len(train)
        if time is not None:
            time = None if test.time is None else np.concatenate([time, test.time])
    item_file = (
        None if source.items is None else read_items(source.items, items, source.item_column, of_option)
    )
    if item_file is not None and item_file.genres is None:
        raise BadInput(
            f"--items {source.items}: no column of genres, and topics are all that an item file is for here. "
            'It needs a column such as "genres" (Drama|Comedy)'
        )
    notes += item_file.notes if item_file else ()
    tag_counts = None
    if source.tags is not None:
        counts, labels, tag_notes = read_tags(source.tags, items, source.item_column, of_option)
        tag_counts = counts, labels
        notes += tag_notes
    friends = Friends(np.zeros(len(users) + 1, np.int64), np.empty(0, np.int32))
    if source.social is not None:
        ties = read_ties(source.social, users, of_option)
        friends = Friends(ties.indptr, ties.indices)
        notes += ties.notes
    notes += negatives.notes if negatives else ()
    return Data(
        source=source,
        user=user,
        item=item,
        time=time,
        users=users,
        items=items,
        first_test_row=first_test_row,
        item_file=item_file,
        tag_counts=tag_counts,
        friends=friends,
        negatives=negatives,
        notes=tuple(notes),
    )


def _joined(
    labels: list[str],
    codes: NDArray,
    other_labels: list[str],
    other_codes: NDArray,
    more: list[str] = (),  # type: ignore[assignment]
) -> tuple[NDArray[np.int32], list[str]]:
    """Return the codes of both files, concatenated and mapped to the union of their labels, and this union."""
    import pandas as pd

    place, names = dense_ids(pd.Series([*labels, *other_labels, *more], dtype=object))
    of_first, of_second = place[: len(labels)], place[len(labels) : len(labels) + len(other_labels)]
    return np.concatenate([of_first[codes], of_second[other_codes]]).astype(np.int32), names


def of_option(field: str) -> Setting:
    """Return a setting of a log by the name of its option."""
    return Setting(field, _option(field))


def _option(field: str) -> str:
    return "the log" if field == "log" else f"--{field.replace('_', '-')}"
