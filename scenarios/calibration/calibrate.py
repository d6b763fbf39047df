"""`echodrift.calibrate`: find the generated worlds whose first log looks like a given one."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from scipy import sparse

from ...complaints import mistakes
from ...disk import json_digest
from ...errors import BadInput, Mistake
from ...sim.streams import Streams
from ...wording import counted
from ..execution.parallel import resolve_jobs
from ..execution.progress import progress_display
from ..model_version import MODEL_VERSION, version
from ..offline.protocol.data import of_option
from ..offline.storage import make_folder
from ..real_logs.logs import Log, read_log
from ..real_logs.metadata import read_items, read_tags, read_ties
from ..real_logs.topics import topics_from_genres, topics_from_tags
from ..specs.study import LogConfig
from .calibration import Calibration, result_of
from .output import SIMULATIONS, check, write
from .pairs import Filter, Pairs, find_filter
from .search import WAVE, WAVES, Known, Search, curves_of
from .space import Size
from .summary_statistics import summarize

DESIGN = 128
"""Worlds of the first design; a power of two, as Sobol' sequences want it."""
LOGS = 10
"""Simulated logs that the result is compared with."""
ITEM_USERS = 5
"""Users of an item, at least."""
FEWEST = {"users": 100, "items": 100, "pairs": 2000}
"""Size of a log below which statistics say too little."""
MOST = {"users or items, whichever are fewer": 6000, "users × items": 100_000_000}
"""Size of a log beyond which all its singular values, and those of simulated logs, take too long or too much memory."""
ONCE, AGAIN = 200, 20
"""Cool-downs for logs of things that are taken once, and of counts, as of plays."""


def calibrate(
    log: str | Path,
    *,
    items: str | None = None,
    tags: str | None = None,
    social: str | None = None,
    user_column: str | None = None,
    item_column: str | None = None,
    rating_column: str | None = None,
    time_column: str | None = None,
    min_rating: float | None = None,
    topics: int | str = "auto",
    item_users: int = ITEM_USERS,
    repeat: int | None = None,
    design: int = DESIGN,
    logs: int = LOGS,
    seed: int = 0,
    jobs: int = -1,
    out: str | Path | None = None,
    progress: bool | None = None,
) -> Calibration:
    """Find generated worlds whose first log looks like a log: a preset, and all settings that are not ruled out.

    A design of worlds is simulated; each gives a log, collected as the real one was (docs/calibration.md). An emulator
    learns how the summary statistics of logs depend on the settings, `WAVES` rounds of further worlds close in on the log,
    and the best settings are compared with it over `logs` simulated logs.

    items, tags: topics of items, for the divergence of users' topics. social: ties, for the likeness of friends.
    item_users: only items with at least so many users are compared. repeat: cool-down of the simulated people, in rounds;
    200, or 20 for a log of counts. design: worlds in the first design, a power of two. out: folder for the results; a
    calibration that was killed goes on there.

    Minutes for 1,000 users and 3,000 items. Raises BadInput before anything is simulated, StorageError if `out` cannot be
    used.
    """
    jobs = resolve_jobs(jobs)
    _check_numbers(item_users, repeat, design, logs, seed)
    folder = None if out is None else Path(out)
    if folder is not None:
        check(folder)
    pairs, size, how, notes = _read(
        {
            "log": str(log), "items": items, "tags": tags, "social": social, "user_column": user_column,
            "item_column": item_column, "rating_column": rating_column, "time_column": time_column,
            "min_rating": min_rating, "topics": topics, "user_core": 0, "item_core": 0,
        },
        item_users,
        repeat,
    )  # fmt: skip
    observed = summarize(pairs, Streams(seed), size.capped)
    shown = progress_display(progress)
    key = json_digest([asdict(size), asdict(how), observed, MODEL_VERSION, version()])
    if folder is not None:
        make_folder(folder)
    known = Known(None if folder is None else folder / SIMULATIONS, key)
    search = Search(size, how, observed, jobs, shown, known)
    total = design + WAVES * WAVE + logs
    with shown:
        shown.start(total, 0, min(jobs, total), total)
        search.run_design(design, seed)
        _check_design(search, design)
        search.close_in(seed)
        result = result_of(search, seed, logs, curves_of(pairs), str(log), notes)
    if folder is not None:
        write(result, folder)
    return result


def _check_numbers(item_users: int, repeat: int | None, design: int, logs: int, seed: int) -> None:
    """Raise BadInput for numbers out of their ranges."""
    wrong = []
    for name, value, least, most in (
        ("item-users", item_users, 1, 10_000),
        ("repeat", 0 if repeat is None else repeat, 0, 1_000_000),
        ("design", design, 32, 65_536),
        ("logs", logs, 2, 10_000),
        ("seed", seed, 0, 2**63 - 1),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            wrong.append(f"--{name} {value!r}: must be a whole number from {least} to {most}")
    if not wrong and design & (design - 1):
        below = 1 << (design.bit_length() - 1)
        wrong.append(f"--design {design}: must be a power of two, such as {below} or {2 * below}")
    if wrong:
        raise BadInput(*(Mistake(text, source="") for text in wrong))


def _read(
    fields: dict[str, Any], item_users: int, repeat: int | None
) -> tuple[Pairs, Size, Filter, list[str]]:
    """Read the files; return the filtered log, its size, its filter and notes."""
    try:
        config = LogConfig(**fields)
    except ValidationError as error:
        raise BadInput(
            *(
                Mistake(each.text, source=str(of_option(str(each.path[0]))))
                for each in mistakes(error, LogConfig)
            )
        ) from None
    log = read_log(config, of_option)
    notes = list(log.notes)
    how = find_filter(log.user_counts, item_users)
    mixtures, more = _topics(config, log)
    notes += more
    ties = None
    if config.social is not None:
        found = read_ties(config.social, log.users, of_option)
        notes += found.notes
        ties = sparse.csr_matrix(
            (np.ones(found.indices.size), found.indices, found.indptr), shape=(len(log.users),) * 2
        )
    order = np.lexsort((log.item, log.user))
    whole = Pairs(log.user[order], log.item[order], len(log.users), len(log.items), mixtures, ties)
    pairs = whole.of_items(item_users)
    _check_size(config.log, whole, pairs, item_users)
    counts = bool((log.rating == np.round(log.rating)).all() and log.rating.max() > 100)
    if repeat is None:
        repeat = AGAIN if counts else ONCE
        why = "its ratings are counts, as of plays" if counts else "it has no counts, as of plays"
        notes.append(
            f"People take an item again after {repeat} rounds, since {why}. To change that: --repeat N."
        )
    size = Size(
        users=whole.users,
        items=pairs.items,
        pairs=len(whole),
        capped=how.most is not None,
        has_topics=mixtures is not None,
        degree=0 if ties is None else max(2, 2 * round(ties.nnz / len(log.users) / 2)),
        repeat=repeat,
        most_catalog=max(2.0, 1.3 * len(log.items) / pairs.items),
    )
    if size.capped:
        notes.append(
            f"Most users have exactly {how.most} items, which is how the log was collected: users' counts are no target."
        )
    return pairs, size, how, notes


def _topics(config: LogConfig, log: Log) -> tuple[Any, list[str]]:
    """Return (items, topics) mixtures from tags, else from genres, else None, and notes."""
    ones = np.ones(len(log))
    taken = sparse.csr_matrix((ones, (log.item, log.user)), shape=(len(log.items), len(log.users)))
    if config.tags is not None:
        tags, labels, notes = read_tags(config.tags, log.items, config.item_column, of_option)
        found = topics_from_tags(tags, labels, taken, config.topics, of_option)
        return found.mixtures, [*notes, *found.notes]
    if config.items is not None:
        item_file = read_items(config.items, log.items, config.item_column, of_option)
        if item_file.genres is not None:
            found = topics_from_genres(item_file.genres, item_file.genre_names, taken, of_option)
            return found.mixtures, [*item_file.notes, *found.notes]
        return None, list(item_file.notes)
    return None, []


def _check_size(path: str, whole: Pairs, pairs: Pairs, item_users: int) -> None:
    """Raise BadInput for a log that is too short or too large. whole: with items that have few users, too."""
    measured = (min(pairs.users, pairs.items), whole.users * whole.items)
    for (name, most), found in zip(MOST.items(), measured, strict=True):
        if found > most:
            raise BadInput(
                f"{shlex.quote(path)} is too large to calibrate from: {found:,} {name}, of {whole.users:,} users and "
                f"{whole.items:,} items; {most:,} are the most. Give a file with a random part of its users"
            )
    have = {"users": pairs.users, "items": pairs.items, "pairs": len(pairs)}
    short = [name for name, least in FEWEST.items() if have[name] < least]
    if short:
        text = ", ".join(f"{have[name]:,} {name}" for name in have)
        least = ", ".join(f"{value:,} {name}" for name, value in FEWEST.items())
        hint = f" A lower --item-users keeps more items (it is {item_users})." if item_users > 1 else ""
        raise BadInput(
            f"{shlex.quote(path)} is too short to calibrate from: it has {text}, of items with at least "
            f"{counted(item_users, 'user')}; {least} are the least.{hint}"
        )


def _check_design(search: Search, design: int) -> None:
    """Raise BadInput if too few worlds gave a log."""
    if len(search.usable) < 2 * len(search.size.quantities):
        raise BadInput(
            f"only {len(search.usable)} of {design} simulated worlds gave a log with the statistics of this one, which is too "
            "few to learn from. Give a larger --design, or another --item-users"
        )
