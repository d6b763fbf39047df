"""The clauses of the contract in plain words: what each one promises, and what to do where it is broken."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """What a clause promises, and what to do where it is broken."""

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
        "Draw from the rng that is handed in and from nothing else; beware of sets, threads and the time of day.",
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
        "it works before anybody has taken anything",
        "Return early where len(seen.log) is 0, and still rank something.",
    ),
    "one_user": Words(
        "it works with a single user", "Check divisions, correlations and sizes that need two."
    ),
    "cold_user": Words(
        "a user without history gets a ranking, too",
        "Show bestsellers; ColdStart in echodrift.policies.cold_start does it.",
    ),
    "newborn": Words(
        "items born since the last fit do not trip it",
        "seen.n_items grows: make arrays that long when ranking, not when fitting.",
    ),
    "cool_downs": Words(
        "items come and go with seen.blocked between two fits",
        "Look at seen.blocked (or seen.available) at every rank(); do not keep a copy from fit().",
    ),
    "exhausted": Words(
        "it copes with users who have little or nothing left to be shown",
        "Pad the end of the row with -1 and -inf, and list all that is left.",
    ),
    "inputs": Words(
        "it leaves alone what it is given",
        "It wrote into its inputs, which the rest of the simulation reads, too: copy an array before altering it "
        "(np.array(x), matrix.copy()).",
    ),
    "fold_in": Words(
        "placing new users moves nobody else",
        "fold_in() may change what is known of the users it is given, and nothing else.",
    ),
    "space": Words(
        "what `echodrift tune` would try is allowed",
        "Every name in `space` must be a field, and every value in its range must be accepted.",
    ),
    "memory": Words(
        "it says how much memory it takes",
        "memory(size) returns bytes, finite and not negative; leave it out if there is nothing to say.",
    ),
    "global_rng": Words(
        "it leaves the global random generators alone",
        "It drew from np.random.… or from the random module, which the whole process shares: use the rng that is "
        "handed in, for example rng.random(3); hand rng.integers(2**31) to a library that wants a seed.",
    ),
    "few_candidates": Words(
        "it works with fewer candidates than it would like",
        "Return as many items as there are, and pad with -1 and -inf.",
    ),
    "equal_scores": Words(
        "it works where all scores are equal", "Check divisions by the spread of the scores."
    ),
    "log_only": Words(
        "it changes the log and nothing else, and invents no entries",
        "Return dataclasses.replace(seen, log=…) with entries of seen.log in time order.",
    ),
    "present_weights": Words(
        "weights that entries have already are kept",
        "Multiply log.weight by yours instead of replacing it.",
    ),
    "learnable": Words(
        "a policy can learn from what it leaves", "Keep ids, types and lengths of the columns."
    ),
}
OTHER = Words("", "See docs/your-own-recommender.md.")
"""Words for a clause that has none of its own."""
