"""Test the claims of Monolith about tables of id embeddings (M1–M4) on logs with known probabilities.

    python benchmarks/hash_claims.py [--seeds 12] [--only m1 m2 m3 m4]

Users and items have planted factors: P(i | u) is a softmax of tastes and popularity, so AUC and loss are
exact expectations under the truth, not estimates from a held-out sample; only logs, keys and training depend
on the seed. Every table is trained by the same trainer with the same settings (`FIELDS`, chosen for the exact
table on seeds that are not used here). Differences are paired by seed; ± is half a 95 % t interval.

M1  AUC of a collision-free table minus that of a table with M rows, by load n/M; with the same budget: the
    collision-free table with the number of dimensions that gives it as many parameters.
M2  who loses: AUC of an item's impressions and excess logistic loss of the item, by decile of item frequency.
M3  admission thresholds: rows saved, AUC of all users and of the tenth of users with the fewest entries.
M4  churn of ids: rows, AUC, and AUC of returning users, by expire_after; and the loss of a new item whose
    row is reused without reset.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from typing import NamedTuple

import numpy as np
from echodrift.policies.hashing.hashed_mf import HashedMF
from echodrift.policies.hashing.logistic_mf import DEFAULT
from echodrift.policies.interactions import Blocked, Friends, Interactions, Observation
from scipy import stats
from threadpoolctl import threadpool_limits

FIELDS = {"dim": 15, "regularization": 0.02, "negatives": 8, "iterations": 10, "refit_iterations": 4}
LOADS = (0.06, 0.16, 0.5, 1.0, 2.0, 4.0)
USERS, ITEMS, ENTRIES = 600, 500, 40_000
FIRST_SEED = 100


def logits(rng, users, items, rank=8, taste=1.3, popularity=1.2):
    """Return (users, items) log-odds of the planted world."""
    tastes = rng.normal(size=(users, rank)) @ rng.normal(size=(rank, items)) / np.sqrt(rank)
    return taste * tastes + popularity * rng.normal(size=items)


def softmax(values):
    """Return the probabilities of each row."""
    chance = np.exp(values - values.max(axis=1, keepdims=True))
    return chance / chance.sum(axis=1, keepdims=True)


def draw(rng, chance, user):
    """Draw an item for each entry of `user` from its row of `chance`."""
    sums = np.cumsum(chance, axis=1)
    return np.array(
        [np.searchsorted(sums[u], x * sums[u, -1]) for u, x in zip(user, rng.random(user.size), strict=True)]
    )


def observe(user, item, when, users, items, now, live=None):
    """Return the observation of a log at round `now`."""
    zeros = np.zeros(user.size, np.int16)
    log = Interactions(
        user.astype(np.int32), item.astype(np.int32), when.astype(np.int32), zeros, zeros.astype(np.int8)
    )
    live = np.ones(items, bool) if live is None else live
    ties = Friends(np.zeros(users + 1, np.int64), np.empty(0, np.int32))
    return Observation(
        now, users, items, log, np.ones((items, 1), np.float32), live, Blocked(users, items), ties
    )


def fit(seen, seed, **fields):
    """Return a policy fitted on a log."""
    policy = HashedMF(**{**FIELDS, **fields})
    policy.fit(seen, np.random.default_rng(seed))
    return policy


class Sharing(NamedTuple):
    """Which ids have the same rows."""

    partners: np.ndarray
    """(n,) other ids with exactly the same rows; −1 for an id without a row (those share the default one)."""
    collision_rate: float
    """1 − distinct rows / ids with rows, as Monolith reports it (Liu et al., arXiv 2209.07663)."""


def sharing(rows):
    """Return who shares, from rows (n, parts) as `HashedMF.rows_of` gives them."""
    has = rows[:, 0] != DEFAULT
    _, group, sizes = np.unique(rows[has], axis=0, return_inverse=True, return_counts=True)
    partners = np.full(len(rows), -1, np.int64)
    partners[has] = sizes[group.ravel()] - 1
    return Sharing(partners, 1 - sizes.size / has.sum() if has.any() else 0.0)


def all_scores(policy, users, items):
    """Return the scores f (users, items)."""
    one, two = np.meshgrid(users, items, indexing="ij")
    pairs = one.ravel().astype(np.int32), two.ravel().astype(np.int32)
    return policy.log_lift(*pairs).reshape(one.shape).astype(np.float64)


def shares_below(scores):
    """Return for each score the share of lower scores among the others of its row, ties half: its AUC as a positive."""
    return (stats.rankdata(scores, axis=1) - 1) / (scores.shape[1] - 1)


def excess_loss(scores, chance, k=8):
    """Return (users, items) expected logistic loss in excess of the truth's, per draw of a uniform item."""
    truth = np.log(chance.shape[1] * chance)

    def loss(f):
        return chance.shape[1] * chance * np.logaddexp(0, np.log(k) - f) + k * np.logaddexp(0, f - np.log(k))

    return loss(scores) - loss(truth)


class Table:
    """Numbers by row and column, one per seed; printed as mean ± half a 95 % interval."""

    def __init__(self, title):
        self.title, self.cells = title, defaultdict(lambda: defaultdict(list))

    def add(self, row, **columns):
        for name, value in columns.items():
            self.cells[row][name].append(value)

    def show(self, digits=4):
        print(f"\n{self.title}")
        names = list(next(iter(self.cells.values())))
        print("| | " + " | ".join(names) + " |\n|---|" + "---:|" * len(names))
        for row, columns in self.cells.items():
            cells = [self._cell(np.array(columns[name], float), digits) for name in names]
            print(f"| {row} | " + " | ".join(cells) + " |", flush=True)

    @staticmethod
    def _cell(values, digits):
        values = values[np.isfinite(values)]
        if values.size < 2:
            return "–"
        half = stats.t.ppf(0.975, values.size - 1) * values.std(ddof=1) / np.sqrt(values.size)
        return f"{values.mean():.{digits}f} ± {half:.{digits}f}"


def world(seed, users=USERS, items=ITEMS, entries=ENTRIES):
    """Return (observation, probabilities, generator) of a world with log-normal activity."""
    rng = np.random.default_rng(seed)
    chance = softmax(logits(rng, users, items))
    activity = rng.lognormal(0, 1, users)
    user = rng.choice(users, entries, p=activity / activity.sum())
    seen = observe(user, draw(rng, chance, user), np.zeros(entries), users, items, 1)
    return seen, chance, rng


def auc(policy, chance):
    """Return (users,) the expected AUC under the true probabilities."""
    return (
        chance * shares_below(all_scores(policy, np.arange(chance.shape[0]), np.arange(chance.shape[1])))
    ).sum(axis=1)


def m1(seeds):
    table = Table(
        f"M1: AUC by load; exact and AUC of the truth first; dim {FIELDS['dim']}; gap = exact − table"
    )
    for seed in seeds:
        seen, chance, _ = world(seed)
        best = auc(fit(seen, seed), chance).mean()
        blank = {"collision rate (items)": np.nan, "gap hash": np.nan, "quotient-remainder": np.nan}
        truth = (chance * shares_below(chance)).sum(axis=1).mean()
        empty = {"gap q-r": np.nan, "same budget: exact dim d'": np.nan, "its gap to hash": np.nan}
        table.add("truth", hash=truth, **blank, **empty)
        table.add("exact", hash=best, **blank, **empty)
        for load in LOADS:
            hashed = fit(seen, seed, table="hash", load=load)
            parts = auc(fit(seen, seed, table="quotient_remainder", load=load), chance).mean()
            got = auc(hashed, chance).mean()
            small = int((FIELDS["dim"] + 1) / load) - 1
            rival = best if load == 1 else np.nan
            if load in (0.5, 2.0, 4.0):
                rival = auc(fit(seen, seed, dim=small), chance).mean()
            table.add(
                f"n/M = {load:g} (d' = {small})",
                hash=got,
                **{
                    "collision rate (items)": sharing(hashed.rows_of("items", ITEMS)).collision_rate,
                    "gap hash": best - got,
                    "quotient-remainder": parts,
                    "gap q-r": best - parts,
                    "same budget: exact dim d'": rival,
                    "its gap to hash": rival - got,
                },
            )
    table.show()


def m2(seeds):
    title = "items hashed at n/M = 0.5, users exact; minus the exact table"
    deciles = Table(f"M2: {title}; by decile of item frequency (1 = rarest)")
    partners = Table(f"M2: the rarest and the most frequent half by their partner; {title}")
    for seed in seeds:
        seen, chance, _ = world(seed)
        hashed = fit(seen, seed, table="hash", load=0.5, sides="items")
        users, items = np.arange(USERS), np.arange(ITEMS)
        before, after = (all_scores(p, users, items) for p in (fit(seen, seed), hashed))
        weight = chance.sum(axis=0)
        lost = (chance * (shares_below(before) - shares_below(after))).sum(axis=0) / weight
        worse = (excess_loss(after, chance) - excess_loss(before, chance)).mean(axis=0)
        frequency = seen.popularity
        decile = np.empty(ITEMS, int)
        decile[np.argsort(frequency, kind="stable")] = items * 10 // ITEMS
        rows = hashed.rows_of("items", ITEMS)[:, 0]
        shares = sharing(hashed.rows_of("items", ITEMS)).partners > 0
        examples = chance.mean(axis=0) * ITEMS + FIELDS["negatives"]

        def add(
            table,
            row,
            chosen,
            shares=shares,
            frequency=frequency,
            lost=lost,
            worse=worse,
            examples=examples,
            weight=weight,
        ):
            some = chosen.any()
            table.add(
                row,
                entries=frequency[chosen].mean() if some else np.nan,
                **{
                    "shares a slot": shares[chosen].mean() if some else np.nan,
                    "AUC lost, by ID": lost[chosen].mean() if some else np.nan,
                    "AUC lost, by impression": np.average(lost[chosen], weights=weight[chosen])
                    if some
                    else np.nan,
                    "loss added, by ID": (worse / examples)[chosen].mean() if some else np.nan,
                    "loss added, by example": worse[chosen].sum() / examples[chosen].sum()
                    if some
                    else np.nan,
                },
            )

        for group in range(10):
            add(deciles, str(group + 1), decile == group)
        add(deciles, "all", decile >= 0)
        most = np.zeros(rows.max() + 1, int)  # frequency of the most frequent item of each row
        np.maximum.at(most, rows, frequency)
        for name, half in (("rare", decile < 5), ("frequent", decile >= 5)):
            add(partners, f"{name}, alone", half & ~shares)
            add(partners, f"{name}, most frequent of its slot", half & shares & (frequency == most[rows]))
            add(partners, f"{name}, with a more frequent one", half & shares & (frequency < most[rows]))
    deciles.show()
    partners.show()


def m3(seeds):
    table = Table("M3: admission threshold f for users and items, exact table; AUC minus that without filter")
    for seed in seeds:
        seen, chance, _ = world(seed, entries=12_000)
        entries = np.bincount(seen.log.user, minlength=USERS)
        seen_users = entries > 0
        tail = seen_users & (entries <= np.quantile(entries[seen_users], 0.1))
        base = auc(fit(seen, seed), chance)
        for kind in ("threshold", "probabilistic"):
            for f in (2, 3, 5, 10, 20, 40):
                policy = fit(seen, seed, admission=kind, threshold=f)
                rows = [
                    (policy.rows_of("users", USERS) > 0).mean(),
                    (policy.rows_of("items", ITEMS) > 0).mean(),
                ]
                change = auc(policy, chance) - base
                table.add(
                    f"{kind} {f}",
                    **{
                        "users with a row": rows[0],
                        "items with a row": rows[1],
                        "AUC, all users": change[seen_users].mean(),
                        "AUC, tail users": change[tail].mean(),
                        "AUC, by impression": np.average(change, weights=entries),
                    },
                )
    table.show()


def churning(seed, rounds=80, users=600, items=700, stay=10, away=12, life=24):
    """Return a log with churn: users come for `stay` rounds, half return once after `away`; items live `life`."""
    rng = np.random.default_rng(seed)
    values = logits(rng, users, items)
    first = rng.integers(-stay, rounds, users)
    returns = rng.random(users) < 0.5
    born = rng.integers(-life, rounds, items)
    t = np.arange(rounds)[:, None]
    again = (t >= first + stay + away) & (t < first + 2 * stay + away) & returns
    here = ((t >= first) & (t < first + stay)) | again
    live = (t >= born) & (t < born + life)
    back = again & (t < first + stay + away + 3)
    return rng, values, here, live, back, born


def m4(seeds, every=3, warm=30):
    memory = Table(
        "M4: churn of users and items, online fits every 3 rounds; rows at the end, AUC before the next fit"
    )
    reuse = Table(
        "M4: reused rows; AUC of items as positives by their age in rounds, with reset minus without"
    )
    for seed in seeds:
        rng, values, here, live, back, born = churning(seed)
        rounds, users, items = here.shape[0], values.shape[0], values.shape[1]
        who, what, when = [], [], []
        for now in range(rounds):
            chance = softmax(np.where(live[now], values, -np.inf))
            user = np.repeat(np.flatnonzero(here[now]), 3)
            who.append(user)
            what.append(draw(rng, chance, user))
            when.append(np.full(user.size, now))
        young = {}
        for expire, reset in [
            (None, True),
            (24, True),
            (12, True),
            (6, True),
            (6, False),
            (3, True),
            (3, False),
            (1, True),
        ]:
            policy = HashedMF(**FIELDS, expire_after=expire, reset_on_reuse=reset)
            fit_rng = np.random.default_rng(seed)
            found, returned, fresh = [], [], defaultdict(list)
            for now in range(every, rounds, every):
                user, item, round = (np.concatenate(part[:now]) for part in (who, what, when))
                policy.fit(observe(user, item, round, users, items, now, live[now]), fit_rng)
                if now < warm:
                    continue
                at = np.flatnonzero(live[now])
                chance = softmax(values[:, at])
                ranks = shares_below(all_scores(policy, np.flatnonzero(here[now]), at))
                own = chance[here[now]]
                found.append((own * ranks).sum(axis=1).mean())
                # Users who returned at least one round before the fit, so that their return is in the log.
                lately = (back[now] & back[now - 1])[here[now]]
                if lately.any():
                    returned.append((own[lately] * ranks[lately]).sum(axis=1).mean())
                each = (own * ranks).sum(axis=0) / own.sum(axis=0)
                age = now - born[at]
                for name, low, high in (("1–3", 1, 3), ("4–6", 4, 6), ("7–12", 7, 12), ("13–24", 13, 24)):
                    chosen = (age >= low) & (age <= high)
                    if chosen.any():
                        fresh[name].append(each[chosen].mean())
            name = f"{expire or 'never'}{'' if reset else ', no reset'}"
            young[expire, reset] = {age: np.mean(each) for age, each in fresh.items()}
            memory.add(
                name,
                **{
                    "user rows": policy.rows_of("users", users).max(),
                    "item rows": policy.rows_of("items", items).max(),
                    "AUC": np.mean(found),
                    "AUC, returned users": np.mean(returned),
                },
            )
        for expire in (3, 6):
            with_reset, without = young[expire, True], young[expire, False]
            reuse.add(
                f"expire_after = {expire}", **{f"age {a}": with_reset[a] - without[a] for a in with_reset}
            )
    memory.show()
    reuse.show()


def main() -> None:
    parser = argparse.ArgumentParser(description="Test the claims of Monolith on planted logs.")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--only", nargs="+", default=["m1", "m2", "m3", "m4"])
    options = parser.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    for name in options.only:
        {"m1": m1, "m2": m2, "m3": m3, "m4": m4}[name](seeds)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
