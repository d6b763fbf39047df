"""social_poisson against dense formulas, closed forms, brute force and planted influence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from echodrift.errors import PolicyError
from echodrift.policies.interactions import Blocked, Friends, Interactions, Observation, Source
from echodrift.policies.social.copying import NO_ROUND, copying_data, unordered_round
from echodrift.policies.social.poisson_cavi import Gammas, Posterior, _geometric
from echodrift.policies.social.social_poisson import SocialPoisson
from echodrift.policies.social.social_ties import social_ties
from echodrift.policies.testing.example import example_observation
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from scipy.special import digamma, gammaln
from scipy.stats import gamma

FIELDS = {"tolerance": 0.0}


def friends(graph) -> Friends:
    graph = np.asarray(graph, bool)
    return Friends(np.concatenate([[0], graph.sum(axis=1).cumsum()]), np.nonzero(graph)[1].astype(np.int32))


def observe(user, item, round, graph, items, source=Source.ORGANIC) -> Observation:
    """An observation of a log, in time order; `graph` (users, users) is who follows whom."""
    order = np.argsort(round, kind="stable")
    columns = [np.asarray(values, np.int32)[order] for values in (user, item, round)]
    size, users = order.size, len(graph)
    log = Interactions(*columns, np.zeros(size, np.int16), np.full(size, source, np.int8))
    now = int(max(np.max(round, initial=-1) + 1, 0))
    return Observation(
        now, users, items, log, np.ones((items, 1), np.float32), np.ones(items, bool), Blocked(users, items),
        friends(graph),
    )  # fmt: skip


def unordered(counts, graph) -> Observation:
    """An observation of a table of counts (users, items) without any order in time."""
    counts = np.asarray(counts)
    user, item = (np.repeat(index, counts[counts > 0]) for index in np.nonzero(counts))
    return observe(user, item, np.full(user.size, -1), graph, counts.shape[1], Source.IMPORTED)


def everyone(seen):
    return np.arange(seen.n_users, dtype=np.int32)


def scores(policy, seen):
    return np.concatenate([
        policy.scores(seen, everyone(seen)[start : start + 64], default_rng(0))
        for start in range(0, seen.n_users, 64)
    ])  # fmt: skip


def random_world(seed, users=7, items=8, rounds=5, size=40):
    rng = default_rng(seed)
    graph = (rng.random((users, users)) < 0.4) & ~np.eye(users, dtype=bool)
    return observe(
        rng.integers(0, users, size), rng.integers(0, items, size) // 2, rng.integers(0, rounds, size), graph, items
    )  # fmt: skip


# ---- who may have copied whom --------------------------------------------------------------------


def by_hand(log, ties, unordered, binary):
    """Return {(user, item, round): (takes, {tie: friend's earlier takes})} and chances, entry by entry."""
    entries = list(zip(log.user.tolist(), log.item.tolist(), log.round.tolist(), strict=True))
    if binary:
        seen: set[tuple[int, int]] = set()
        entries = [e for e in entries if (e[0], e[1]) not in seen and not seen.add((e[0], e[1]))]
    cells = {}
    for user, item, round in entries:
        takes, earlier = cells.get((user, item, round), (0, {}))
        for tie in range(ties.indptr[user], ties.indptr[user + 1]):
            before = sum(
                v == ties.friend[tie] and i == item and (t < round or t == round == unordered)
                for v, i, t in entries
            )
            if before:
                earlier[tie] = before
        cells[user, item, round] = (takes + 1, earlier)
    chances = []
    for u, v in zip(ties.follower, ties.friend, strict=True):
        could = 0
        for w, item, t in entries:
            had = [s for x, i, s in entries if x == u and i == item]
            late = had and not (t < had[0] or t == had[0] == unordered)
            could += w == v and not (binary and late)
        chances.append(could)
    return cells, chances


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), binary=st.booleans(), loose=st.sampled_from([NO_ROUND, 0, 2]))
def test_earlier_takes_are_those_found_entry_by_entry(seed, binary, loose):
    seen = random_world(seed)
    ties = social_ties(seen, "x")
    data = copying_data(seen.log, ties, seen.n_users, seen.n_items, unordered=int(loose), binary=binary)
    cells, chances = by_hand(seen.log, ties, loose, binary)
    found = []
    for user in range(seen.n_users):
        for pair in range(data.user_pairs[user], data.user_pairs[user + 1]):
            for cell in range(data.pair_cells[pair], data.pair_cells[pair + 1]):
                hits = slice(data.cell_hits[cell], data.cell_hits[cell + 1])
                earlier = dict(zip(data.hit_tie[hits].tolist(), data.hit_takes[hits].tolist(), strict=True))
                found.append((user, data.pair_item[pair], data.cell_takes[cell], earlier))
    assert found == [(u, i, takes, earlier) for (u, i, _), (takes, earlier) in sorted(cells.items())]
    np.testing.assert_array_equal(data.chances, chances)


def test_only_an_imported_log_without_times_or_a_single_round_lacks_an_order():
    log = random_world(0).log
    assert unordered_round(log) == NO_ROUND
    flat = replace(log, round=np.full_like(log.round, 4))
    assert unordered_round(flat) == 4
    source = np.where(log.round == 0, np.int8(Source.IMPORTED), np.int8(Source.SLATE))
    assert unordered_round(replace(log, source=source)) == 0
    source[log.round == 1] = Source.IMPORTED
    assert unordered_round(replace(log, source=source)) == NO_ROUND
    assert unordered_round(Interactions.empty()) == NO_ROUND


# ---- the updates and the bound -------------------------------------------------------------------


@settings(deadline=None)
@given(a=st.floats(0.03, 1e8))
def test_exp_digamma(a):
    got = _geometric(np.array([[a]]), np.zeros(1), np.ones(1))[0, 0]
    assert got == pytest.approx(np.exp(digamma(a)), rel=1e-9)


def start(seed, users, items, dim, chances, kind=np.float64, activity=0.0, **fields):
    """Return a random posterior that is far from any fixed point."""
    rng = default_rng(seed)

    def gammas(size, rates, prior, activity=0.0):
        own = rng.gamma(2, 0.5, size[0]) + 0.05 if activity else np.empty(0)
        return Gammas(rng.gamma(2, 0.5, size).astype(kind) + kind(0.05), rates, prior, activity, own)

    rates = [rng.gamma(3, 1, dim) + 0.1 for _ in range(2)]
    return Posterior(
        gammas((users, dim), rates[0], (0.3, 0.3), activity), gammas((items, dim), rates[1], (0.4, 0.2), activity),
        gammas(chances.size, 5 + chances, (2.0, 5.0)), **fields,
    )  # fmt: skip


def dense(posterior, ties, counts):
    """One update of all parameters and the bound before it, with φ as an explicit table."""
    r = counts.astype(float)
    (ut, it, tt), n = (posterior.users, posterior.items, posterior.ties), r.shape[0]
    tau = Gammas(np.zeros((n, n)), np.ones((n, n)), tt.prior)
    mask = np.zeros((n, n), bool)
    mask[ties.follower, ties.friend] = True
    tau.shape[mask], tau.rate[mask] = tt.shape, 5 + r.sum(axis=1)[ties.friend]

    def geometric(a, b):
        return np.where(a > 0, np.exp(digamma(np.maximum(a, 1e-9)) - np.log(b)), 0)

    # with an activity, rows have rates of their own in place of the prior's
    rates = [x.own[:, None] + x.rate for x in (ut, it)]
    theta, beta = (geometric(x.shape, rate) for x, rate in zip((ut, it), rates, strict=True))
    tie = geometric(tau.shape, tau.rate)
    if posterior.fixed:
        tie = mask.astype(float)
    by_taste = theta[:, None, :] * beta[None, :, :]
    by_friend = tie[:, None, :] * r.T[None, :, :]
    z = by_taste.sum(axis=2) + by_friend.sum(axis=2)
    z[z == 0] = 1
    phi_m, phi_s = by_taste / z[:, :, None], by_friend / z[:, :, None]
    a_theta = ut.prior[0] + (r[:, :, None] * phi_m).sum(axis=1)
    a_beta = it.prior[0] + (r[:, :, None] * phi_m).sum(axis=0)
    a_tau = (tau.prior[0] + (r[:, :, None] * phi_s).sum(axis=1))[mask]
    a_own = [x.activity + x.prior[0] * x.shape.shape[1] for x in (ut, it)]
    start = [x.own[:, None] if x.activity else x.prior[1] for x in (ut, it)]
    b_theta = start[0] + (it.shape / rates[1]).sum(axis=0)
    own_theta = a_own[0] / (ut.activity / ut.prior[1] + (a_theta / b_theta).sum(axis=1))
    end = own_theta[:, None] - start[0] if ut.activity else 0
    b_beta = start[1] + (a_theta / (b_theta + end)).sum(axis=0)
    own_beta = a_own[1] / (it.activity / it.prior[1] + (a_beta / b_beta).sum(axis=1))

    def kl(a, b, prior):
        a0, b0 = prior
        return (
            (a - a0) * digamma(a)
            - gammaln(a)
            + gammaln(a0)
            + a0 * (np.log(b) - np.log(b0))
            + a * (b0 - b) / b
        ).sum()

    taken = r > 0
    bound = (r[taken] * np.log(z[taken]) - gammaln(r[taken] + 1)).sum()
    bound -= ((ut.shape / rates[0]) @ (it.shape / rates[1]).T).sum()
    strength = mask if posterior.fixed else np.where(mask, tau.shape / tau.rate, 0)
    bound -= (strength @ r).sum()
    for x, rate, a in zip((ut, it), rates, a_own, strict=True):
        bound -= kl(x.shape, rate, x.prior)
        if x.activity:
            # E log p(x | ξ) in place of log p(x | b₀), and ξ's own divergence
            b = a / x.own
            log_own = digamma(a) - np.log(b)
            bound += (x.prior[0] * (log_own - np.log(x.prior[1])))[:, None].repeat(x.shape.shape[1], 1).sum()
            bound -= ((x.own - x.prior[1])[:, None] * x.shape / rate).sum()
            bound -= kl(a, b, (x.activity, x.activity / x.prior[1]))
    if not posterior.fixed:
        bound -= kl(tt.shape, 5 + r.sum(axis=1)[ties.friend], tt.prior)
    return a_theta, b_theta + end, a_beta, b_beta, a_tau, bound, own_theta, own_beta


@pytest.mark.parametrize(("fixed", "activity"), [(False, 0.0), (True, 0.0), (False, 0.7)])
def test_a_pass_and_the_bound_are_those_of_the_dense_formulas(fixed, activity):
    rng = default_rng(5)
    counts = rng.poisson(0.6, (6, 9))
    seen = unordered(counts, (rng.random((6, 6)) < 0.5) & ~np.eye(6, dtype=bool))
    ties = social_ties(seen, "x")
    data = copying_data(seen.log, ties, 6, 9, unordered=-1, binary=False)
    posterior = start(1, 6, 9, 3, data.chances, fixed=fixed, activity=activity)
    for _ in range(3):
        a_theta, b_theta, a_beta, b_beta, a_tau, bound, own_theta, own_beta = dense(posterior, ties, counts)
        assert posterior.bound(data) == pytest.approx(bound, rel=1e-8)
        posterior.sweep(data)
        np.testing.assert_allclose(posterior.users.shape, a_theta, rtol=1e-8)
        (of_users, of_items) = (x.own[:, None] + x.rate for x in (posterior.users, posterior.items))
        np.testing.assert_allclose(of_users, np.broadcast_to(b_theta, of_users.shape), rtol=1e-8)
        np.testing.assert_allclose(posterior.items.shape, a_beta, rtol=1e-8)
        if activity:
            np.testing.assert_allclose(posterior.users.own, own_theta, rtol=1e-8)
            np.testing.assert_allclose(posterior.items.own, own_beta, rtol=1e-8)
        else:
            np.testing.assert_allclose(of_items, np.broadcast_to(b_beta, of_items.shape), rtol=1e-8)
        if not fixed:
            np.testing.assert_allclose(posterior.ties.shape, a_tau, rtol=1e-8)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    dim=st.integers(0, 4),
    ordered=st.booleans(),
    binary=st.booleans(),
    single=st.booleans(),
    fixed=st.booleans(),
    activity=st.sampled_from([0.0, 0.3, 5.0]),
)
def test_the_bound_never_falls(seed, dim, ordered, binary, single, fixed, activity):
    seen = random_world(seed)
    log = seen.log if ordered else replace(seen.log, round=np.zeros_like(seen.log.round))
    ties = social_ties(seen, "x")
    data = copying_data(
        log, ties, seen.n_users, seen.n_items, unordered=int(NO_ROUND) if ordered else 0, binary=binary
    )
    kind, slack = (np.float32, 1e-6) if single else (np.float64, 1e-10)
    floor = 0.0 if dim else 1e-10
    posterior = start(
        seed,
        seen.n_users,
        seen.n_items,
        dim,
        data.chances,
        kind=kind,
        fixed=fixed,
        floor=floor,
        activity=activity if dim else 0.0,
    )
    # only after a pass are the rates those of the other side, which the bound takes for granted
    posterior.sweep(data)
    last = posterior.bound(data)
    for _ in range(12):
        posterior.sweep(data)
        now = posterior.bound(data)
        assert now >= last - slack * abs(last)
        last = now


# ---- what can be known in closed form ------------------------------------------------------------


def test_a_single_friend_without_factors_is_a_conjugate_model():
    # u's takes can only come from v: τ | data ~ Gamma(2 + copied takes, 5 + takes of v)
    counts = np.zeros((2, 6), int)
    counts[0, :4] = [2, 1, 1, 3]
    counts[1] = [1, 2, 1, 0, 1, 1]
    seen = unordered(counts, [[0, 1], [0, 0]])
    policy = SocialPoisson(mode="sf", **FIELDS)
    policy.fit(seen, default_rng(0))
    state = policy.state()
    assert state["ties_shape"] == pytest.approx([2 + 2 + 1 + 1], rel=1e-6)
    assert state["ties_rate"] == pytest.approx([5 + 6])
    np.testing.assert_allclose(scores(policy, seen)[0], counts[1] * (6 / 11), rtol=1e-5, atol=1e-9)


def test_with_fixed_influence_and_no_factors_the_score_counts_friends():
    seen = random_world(3)
    policy = SocialPoisson(mode="sf", influence="fixed")
    policy.fit(seen, default_rng(0))
    graph = np.zeros((seen.n_users, seen.n_users))
    ties = social_ties(seen, "x")
    graph[ties.follower, ties.friend] = 1
    from_friends = (graph @ seen.counts.toarray()).any(axis=1)
    np.testing.assert_allclose(
        scores(policy, seen)[from_friends], (graph @ seen.counts.toarray())[from_friends], atol=1e-6
    )


def test_one_factor_without_friends_ranks_by_popularity():
    seen = example_observation()
    policy = SocialPoisson(mode="pf", dim=1)
    policy.fit(seen, default_rng(0))
    taken = seen.popularity > 0
    for row in scores(policy, seen):
        assert (np.diff(seen.popularity[taken][np.argsort(row[taken])]) >= 0).all()


def test_nobody_to_follow_is_poisson_factorization():
    seen = example_observation()
    seen = replace(seen, friends=friends(np.zeros((seen.n_users, seen.n_users))))
    alone, plain = SocialPoisson(dim=4), SocialPoisson(dim=4, mode="pf")
    for policy in (alone, plain):
        policy.fit(seen, default_rng(2))
    np.testing.assert_array_equal(scores(alone, seen), scores(plain, seen))
    assert plain.remarks() == []
    [said] = alone.remarks()
    assert said.startswith("warning: ") and "no social ties" in said and 'mode "pf"' in said


def test_blocks_of_tastes_are_found():
    rng = default_rng(0)
    rates = np.kron(np.eye(3), np.full((20, 30), 0.8)) + 0.01
    seen = unordered(rng.poisson(rates), np.zeros((60, 60)))
    policy = SocialPoisson(mode="pf", dim=3)
    policy.fit(seen, default_rng(1))
    found = scores(policy, seen)
    assert np.corrcoef(found.ravel(), rates.ravel())[0, 1] > 0.9
    assert found.mean() == pytest.approx(rates.mean(), rel=0.1)


# ---- word of mouth -------------------------------------------------------------------------------


def word_of_mouth(seed, users=150, items=300, rounds=40, degree=6, base=25.0, mutual=True, mean=0.25):
    """Simulate in time order: every take of v is followed by Poisson(τ_uv) takes by u one to four rounds later.

    Returns the log and the planted τ (users, users): heterogeneous, most of the ties weak.
    """
    rng = default_rng(seed)
    graph = np.zeros((users, users), bool)
    for u in range(users):
        graph[u, rng.choice(np.delete(np.arange(users), u), degree // 2, replace=False)] = True
    if mutual:
        graph |= graph.T
    tau = np.where(graph, rng.gamma(0.5, 2 * mean / graph.sum(axis=1).mean(), (users, users)), 0)
    rate = base * rng.gamma(0.4, 1, items)
    rate = base * rate / rate.sum() / rounds
    due = np.zeros((rounds + 5, users, items), np.int32)
    rows = []
    for round in range(rounds):
        now = rng.poisson(rate, (users, items)) + due[round]
        for v, item in zip(*np.nonzero(now), strict=True):
            rows += [(v, item, round)] * now[v, item]
            for u in np.flatnonzero(tau[:, v]):
                for _ in range(rng.poisson(tau[u, v] * now[v, item])):
                    due[round + rng.integers(1, 5), u, item] += 1
    user, item, round = np.array(rows).T
    return observe(user, item, round, graph, items), tau


def learned_influence(seen, **fields):
    policy = SocialPoisson(**FIELDS, iterations=150, dim=8, **fields)
    policy.fit(seen, default_rng(0))
    return policy.state(), social_ties(seen, "x")


def test_planted_influence_comes_back():
    seen, tau = word_of_mouth(0, items=1500)
    fields = {"influence_shape": 0.5, "influence_rate": 6.0}
    state, ties = learned_influence(seen, **fields)
    planted, found = tau[ties.follower, ties.friend], state["ties_shape"] / state["ties_rate"]
    assert np.corrcoef(planted, found)[0, 1] > 0.65
    # level: copies are neither lost nor invented
    assert found.mean() == pytest.approx(planted.mean(), rel=0.15)
    # calibration: among ties sorted by what was found, each quarter holds that much
    for part in np.array_split(np.argsort(found), 4):
        assert planted[part].mean() == pytest.approx(found[part].mean(), rel=0.35)
    # factorized posteriors are known to be too narrow, these are not by much
    low, high = gamma.ppf([[0.05], [0.95]], state["ties_shape"], scale=1 / state["ties_rate"])
    assert 0.75 < ((low <= planted) & (planted <= high)).mean() < 0.97
    # ties are mutual here: where order plays no role, both sides of a copy count as influenced
    state, ties = learned_influence(seen, time_ordered=False, **fields)
    blind = state["ties_shape"] / state["ties_rate"]
    assert blind.mean() > 1.5 * planted.mean()
    assert np.corrcoef(planted, blind)[0, 1] < np.corrcoef(planted, found)[0, 1] - 0.08


def test_without_time_the_copied_take_credit_for_being_copied():
    # one way: only u copies v, the tie back carries nothing; both ties are visible
    seen, tau = word_of_mouth(1, mutual=False, mean=0.4)
    both = np.zeros(tau.shape, bool)
    both[(tau > 0) | (tau.T > 0)] = True
    seen = replace(seen, friends=friends(both))
    excess = {}
    for ordered in (True, False):
        state, ties = learned_influence(seen, time_ordered=ordered, influence_shape=0.5, influence_rate=6.0)
        found = state["ties_shape"] / state["ties_rate"]
        back = (tau[ties.follower, ties.friend] == 0) & (tau[ties.friend, ties.follower] > 0.1)
        excess[ordered] = found[back].mean()
    assert excess[True] < 0.5 * excess[False]


def test_a_friend_who_came_later_taught_nothing():
    # u takes every item two rounds before v does
    items = np.arange(10)
    early = observe(np.repeat([0, 1], 10), np.tile(items, 2), np.repeat([0, 2], 10), [[0, 1], [0, 0]], 12)
    for binary, chances in ((False, 10), (True, 0)):
        policy = SocialPoisson(mode="sf", binary=binary, **FIELDS)
        policy.fit(early, default_rng(0))
        assert policy.state()["ties_shape"] == pytest.approx([2])
        assert policy.state()["ties_rate"] == pytest.approx([5 + chances])
    plain = SocialPoisson(mode="sf", time_ordered=False, **FIELDS)
    plain.fit(early, default_rng(0))
    assert plain.state()["ties_shape"] == pytest.approx([12])


def test_an_imported_log_without_times_gets_the_plain_model():
    rng = default_rng(2)
    counts = rng.poisson(0.5, (8, 12))
    seen = unordered(counts, (rng.random((8, 8)) < 0.4) & ~np.eye(8, dtype=bool))
    results = []
    for ordered in (True, False):
        policy = SocialPoisson(dim=3, time_ordered=ordered)
        policy.fit(seen, default_rng(0))
        results.append(scores(policy, seen))
    np.testing.assert_array_equal(*results)


# ---- the policy ----------------------------------------------------------------------------------


def test_a_newcomer_is_ranked_by_friends_then_by_bestsellers():
    seen = example_observation()
    cold = 3
    graph = np.zeros((seen.n_users, seen.n_users), bool)
    graph[cold, [1, 2]] = True
    seen = replace(seen, friends=friends(graph))
    from_friends = np.flatnonzero(seen.counts.toarray()[[1, 2]].sum(axis=0))
    live = np.flatnonzero(seen.live[from_friends])
    for mode in ("spf", "sf"):
        policy = SocialPoisson(mode=mode)
        policy.fit(seen, default_rng(0))
        top = policy.rank(seen, np.array([cold], np.int32), live.size, default_rng(0)).items[0]
        assert set(top) == set(from_friends[live]), mode
    lonely = replace(seen, friends=friends(np.zeros(graph.shape)))
    for mode in ("spf", "sf", "pf"):
        policy = SocialPoisson(mode=mode)
        policy.fit(lonely, default_rng(0))
        top = policy.rank(lonely, np.array([cold], np.int32), 5, default_rng(0)).items[0]
        taken = np.where(seen.live, seen.popularity, -1)
        assert list(taken[top]) == sorted(taken, reverse=True)[:5]


def test_without_factors_a_history_alone_says_nothing():
    seen = example_observation()
    seen = replace(seen, friends=friends(np.zeros((seen.n_users, seen.n_users))))
    policy = SocialPoisson(mode="sf")
    policy.fit(seen, default_rng(0))
    assert policy.remarks()[0].endswith("no social ties, so social_poisson ranks bestsellers for everybody")
    top = policy.rank(seen, everyone(seen), 3, default_rng(0)).items
    for user, row in zip(everyone(seen), top, strict=True):
        open_to = np.where(seen.available(np.array([user]))[0], seen.popularity, -1)
        assert list(open_to[row]) == sorted(open_to, reverse=True)[:3]


def test_what_friends_took_since_the_last_fit_counts_at_once():
    seen = example_observation()
    policy = SocialPoisson(mode="sf")
    policy.fit(seen, default_rng(0))
    follower, friend, item = 5, 6, 55
    assert friend in seen.friends.indices[seen.friends.indptr[follower] : seen.friends.indptr[follower + 1]]
    grown = Interactions(*(
        np.append(column, value).astype(column.dtype)
        for column, value in zip(
            (seen.log.user, seen.log.item, seen.log.round, seen.log.rank, seen.log.source),
            (friend, item, 12, 0, 0), strict=True,
        )
    ))  # fmt: skip
    before, after = (scores(policy, now) for now in (seen, replace(seen, log=grown)))
    assert after[follower, item] > 100 * before[follower, item]


def test_a_tie_that_is_new_since_the_fit_is_one_along_which_nothing_was_copied():
    seen = random_world(4)
    graph = np.zeros((7, 7), bool)
    graph[0, 1] = True
    policy = SocialPoisson(mode="sf")
    policy.fit(replace(seen, friends=friends(graph)), default_rng(0))
    learned = policy.state()["ties_shape"][0] / policy.state()["ties_rate"][0]
    graph[0, 2] = True
    counts = seen.counts.toarray()
    now = scores(policy, replace(seen, friends=friends(graph)))[0]
    expected = learned * counts[1] + 2 / (5 + counts[2].sum()) * counts[2]
    np.testing.assert_allclose(now, expected, atol=1e-6)


@pytest.mark.parametrize("activity", [None, 1.0])
def test_fold_in_finds_what_a_fit_with_these_users_holds(activity):
    seen, _ = word_of_mouth(3, users=60, items=80, rounds=20)
    policy = SocialPoisson(dim=4, iterations=400, tolerance=0.0, activity_shape=activity)
    policy.fit(seen, default_rng(0))
    fitted = scores(policy, seen)
    some = np.array([4, 17, 33], np.int32)
    policy.fold_in(seen, some, default_rng(1))
    folded = scores(policy, seen)
    np.testing.assert_array_equal(np.delete(folded, some, 0), np.delete(fitted, some, 0))
    np.testing.assert_allclose(folded[some], fitted[some], rtol=0.03, atol=1e-4)


def test_a_refit_goes_on_from_the_last_posterior():
    seen, _ = word_of_mouth(4, users=60, items=80, rounds=20)
    early = replace(seen, log=seen.log.where(seen.log.round < 15), round=15)
    bounds = {}
    for name, logs in (("warm", (early, seen)), ("short", (seen,)), ("long", (seen,))):
        policy = SocialPoisson(
            dim=4, iterations=100 if name != "short" else 10, tolerance=0.0, warm_start=name != "short"
        )
        for each in logs:
            policy.fit(each, default_rng(0))
        ties = social_ties(seen, "x")
        data = copying_data(seen.log, ties, 60, 80, unordered=int(NO_ROUND), binary=False)
        bounds[name] = policy._posterior.bound(data)
    assert bounds["warm"] > bounds["long"] - 0.2 * (bounds["long"] - bounds["short"])
    assert bounds["long"] > bounds["short"]


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        (Friends(np.array([0, 1, 1]), np.array([2], np.int32)), "names user 2, who is none of the 2 users"),
        (Friends(np.array([0, 1]), np.array([0], np.int32)), "must hold 3 ascending numbers"),
        (Friends(np.array([0, 2, 1]), np.array([1], np.int32)), "must hold 3 ascending numbers"),
    ],
)
def test_a_graph_of_other_nodes_is_refused(graph, says):
    seen = replace(unordered([[1, 0], [0, 1]], np.zeros((2, 2))), friends=graph)
    for mode in ("spf", "sf"):
        with pytest.raises(PolicyError, match=says):
            SocialPoisson(mode=mode).fit(seen, default_rng(0))
    SocialPoisson(mode="pf").fit(seen, default_rng(0))


def test_double_ties_and_self_ties_do_not_count():
    counts = [[1, 0, 2], [1, 1, 0]]
    plain = unordered(counts, [[0, 1], [0, 0]])
    odd = replace(plain, friends=Friends(np.array([0, 3, 4]), np.array([1, 0, 1, 1], np.int32)))
    results = []
    for seen in (plain, odd):
        policy = SocialPoisson(mode="sf")
        policy.fit(seen, default_rng(0))
        results.append(scores(policy, seen))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("counts", [np.ones((5, 4), int), np.eye(1, dtype=int), np.full((3, 3), 9)])
def test_everything_taken_by_everybody_is_no_reason_to_fail(counts):
    seen = unordered(counts, 1 - np.eye(len(counts)))
    policy = SocialPoisson(dim=10)
    policy.fit(seen, default_rng(0))
    assert np.isfinite(scores(policy, seen)).all()
    assert f"more than the {min(counts.shape)}" in policy.remarks()[0]
