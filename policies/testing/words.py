"""Explanations of the contract clauses for `echodrift check-policy`: what each requires, and how to fix a failure."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple


class Words(NamedTuple):
    """What a clause requires, and how to fix a failure."""

    promise: str
    remedy: str


CLAUSES: dict[str, Words] = {
    "construction": Words(
        "it can be built, and every field says what it means",
        "Derive from echodrift.policies' base classes; a Config of your own derives from echodrift.config.Config "
        "and has a docstring under each field.",
    ),
    "config": Words(
        "its settings survive a study file, and unknown ones are refused",
        "Keep to numbers, text, true/false, lists and tables, and do not accept fields you do not know.",
    ),
    "shapes": Words(
        "what it returns has the right shape, types, order and length",
        "Return a Ranking of exactly the users asked for: items (users, n) int32, scores (users, n) float32, "
        "best first, -1 and -inf only at the end of a row that has no more.",
    ),
    "determinism": Words(
        "the same input gives the same output",
        "Draw from the rng that is passed in and from nothing else; beware of sets, threads and the clock.",
    ),
    "availability": Words(
        "nobody is shown an item that has retired or is in its cool-down",
        "Choose among seen.available(users), or let top_k_dense or top_k_factors do it.",
    ),
    "refit": Words(
        "a sequence of refits gives the same result every time",
        "Whatever a refit starts from must come from earlier fits or from rng, not from a class or module.",
    ),
    "state": Words(
        "state() and restore() lose nothing",
        "Put everything that rank() and a warm refit need into state(), as copied arrays; or return None: an "
        "interrupted run then starts over.",
    ),
    "empty_log": Words(
        "it works with an empty log",
        "Return early where len(seen.log) is 0, and still rank something.",
    ),
    "one_user": Words(
        "it works with a single user", "Check divisions, correlations and sizes that need two."
    ),
    "cold_user": Words(
        "a user without history gets a ranking too",
        "Show bestsellers; ColdStart in echodrift.policies.cold_start does it.",
    ),
    "newborn": Words(
        "items born since the last fit do not break it",
        "seen.n_items grows: make arrays that long when ranking, not when fitting.",
    ),
    "cool_downs": Words(
        "items come and go with seen.blocked between two fits",
        "Read seen.blocked (or seen.available) at every rank(); do not keep a copy from fit().",
    ),
    "exhausted": Words(
        "it handles users who have few or no available items left",
        "Pad the end of the row with -1 and -inf, and list all that is left.",
    ),
    "inputs": Words(
        "it does not modify its inputs",
        "It wrote into its inputs, which the rest of the simulation reads too: copy an array before altering it "
        "(np.array(x), matrix.copy()).",
    ),
    "fold_in": Words(
        "folding in new users changes nobody else's ranking",
        "fold_in() may change only what is known about the users it is given.",
    ),
    "space": Words(
        "every value that `echodrift tune` may try is valid",
        "Every name in `space` must be a field, and every value in its range must be accepted.",
    ),
    "memory": Words(
        "it estimates its memory",
        "memory(size) returns bytes, finite and not negative; do not override it if the default fits.",
    ),
    "global_rng": Words(
        "it leaves the global random generators alone",
        "It drew from np.random.… or from the random module, which the whole process shares: use the rng that is "
        "passed in, for example rng.random(3); pass rng.integers(2**31) to a library that wants a seed.",
    ),
    "few_candidates": Words(
        "it works with fewer candidates than it asks for",
        "Return as many items as there are, and pad with -1 and -inf.",
    ),
    "equal_scores": Words("it works if all scores are equal", "Check divisions by the spread of the scores."),
    "log_only": Words(
        "it changes the log and nothing else, and invents no entries",
        "Return dataclasses.replace(seen, log=…) with entries of seen.log in time order.",
    ),
    "present_weights": Words(
        "existing weights of entries are kept",
        "Multiply log.weight by yours instead of replacing it.",
    ),
    "learnable": Words("a policy can learn from the result", "Keep ids, types and lengths of the columns."),
}
OTHER = Words("", "See docs/your-own-recommender.md.")
"""The entry for a clause that has none of its own."""

NEEDED_BY_ALL = ("shapes", "availability", "log_only")
"""If one of these fails, every clause that looks at what the component returns would only repeat it."""
STAND_ALONE = ("construction", "config", "space", "memory")
"""Clauses that do not look at what the component returns."""
NEEDED_BY = {"determinism": ("refit", "state", "fold_in")}
"""Clause → others that compare two results, and so would repeat its failure."""


def needs(clause: str, failed: Collection[str]) -> str | None:
    """Return the failed clause that this one would only repeat, or None."""
    for before in failed:
        if before in NEEDED_BY_ALL and clause not in STAND_ALONE or clause in NEEDED_BY.get(before, ()):
            return before
    return None
