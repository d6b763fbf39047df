"""Sensitivity: indices against functions whose indices are known, surfaces against planted ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from echodrift.analysis.sensitivity import ENOUGH_DRAWS, MIN_DRAWS, REST, indices, response, sobol_indices
from echodrift.analysis.sensitivity.coordinates import Coordinates
from echodrift.analysis.sensitivity.lack_of_fit import lack_of_fit
from echodrift.analysis.sensitivity.pairs import noise_share
from echodrift.analysis.sensitivity.surface import SAMPLES, _posterior
from echodrift.errors import BadInput
from echodrift.scenarios.design.draws import draws_table, unit_points
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.result import Result
from echodrift.scenarios.runner import run_study
from echodrift.scenarios.specs.study import Arm, Study
from echodrift.scenarios.specs.uncertainty import Prior, Uncertainty
from numpy.typing import NDArray
from scipy.stats import qmc

Array = NDArray[np.float64]


def ishigami(u: Array) -> Array:
    """Ishigami & Homma 1990, with a = 7, b = 0.1; three keys, the rest without use."""
    x = np.pi * (2 * u - 1)
    return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])


def _ishigami_indices() -> tuple[list[float], list[float], float]:
    a, b, pi4 = 7, 0.1, np.pi**4
    first = [(1 + b * pi4 / 5) ** 2 / 2, a**2 / 8, 0.0]
    both = b**2 * pi4**2 * (1 / 18 - 1 / 50)
    variance = sum(first) + both
    total = [first[0] + both, first[1], both]
    return [part / variance for part in first], [part / variance for part in total], variance


WEIGHTS = np.array([0, 1, 4.5, 9])


def g_function(u: Array) -> Array:
    """Sobol' g (Saltelli & Sobol' 1995); four keys, the rest without use."""
    return np.prod((np.abs(4 * u[:, :4] - 2) + WEIGHTS) / (1 + WEIGHTS), axis=1)


def _g_indices() -> tuple[list[float], list[float], float]:
    parts = 1 / (3 * (1 + WEIGHTS) ** 2)
    variance = np.prod(1 + parts) - 1
    total = parts * np.prod(1 + parts) / (1 + parts) / variance
    return list(parts / variance), list(total), float(variance)


CASES = {"ishigami": (ishigami, *_ishigami_indices()), "g": (g_function, *_g_indices())}


def draws(n: int, keys: int = 5, seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame(qmc.Sobol(keys, seed=seed).random(n), columns=list("abcdefgh")[:keys])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_given_data_indices_of_known_functions(name: str, noise: float) -> None:
    """noise: share of the variance that differs from run to run."""
    function, first, _, variance = CASES[name]
    truth = np.array([*first, *[0.0] * (5 - len(first))]) * (1 - noise)
    x = draws(512)
    rng = np.random.default_rng(1)
    y = function(x.to_numpy()) + rng.normal(size=512) * np.sqrt(variance * noise / (1 - noise))
    table = indices(x, y).set_index("key")
    assert list(table.index) == [*"abcde", REST]
    assert np.abs(table["index"][:5] - truth).max() < 0.07
    assert abs(table["index"][REST] - (1 - truth.sum())) < 0.12
    assert (table["low"][:5] - 0.02 <= truth).all() and (truth <= table["high"][:5] + 0.02).all()
    assert (table["p_holm"].to_numpy()[:5] < 0.05).tolist()[:2] == [True, True]
    assert (table["p_holm"] >= table["p"]).to_numpy()[:5].all()
    if noise:  # without any, the order in Sobol' points themselves shows: small, and not by chance
        assert table["p_holm"]["e"] > 0.05
    assert set(table["method"][:5]) == {"rbd_fast"} and (table["n"] == 512).all()


def test_indices_of_keys_that_are_drawn_together_overlap() -> None:
    """Of normals with correlation ρ, E[X1 | X2] = ρ X2, so that X2 has the index ρ² of a value that is X1 alone."""
    rng = np.random.default_rng(4)
    one, beside, alone = rng.normal(size=(3, 2000))
    table = pd.DataFrame({"a": one, "b": 0.7 * one + np.sqrt(1 - 0.49) * beside, "c": alone})
    found = indices(table, one + 0.5 * alone, joint=("a", "b")).set_index("key")
    expected = np.array([1, 0.49, 0.25]) / 1.25
    assert np.abs(found["index"].to_numpy()[:3] - expected).max() < 0.05
    assert found["note"].str.contains("drawn together").tolist() == [True, True, False, True]
    assert np.isnan(found.loc[REST, "index"])
    apart = indices(table, one + 0.5 * alone).set_index("key")
    assert apart["index"][:3].equals(found["index"][:3]) and np.isfinite(apart.loc[REST, "index"])


def test_keys_that_are_drawn_together_flip_nothing() -> None:
    table = draws(128, 3)
    value = table.iloc[:, 1] - 0.5 + 0.2 * table.iloc[:, 2]
    first = str(table.columns[1])
    assert response(table, value).flips(0.0)[0].key == first
    assert first not in [flip.key for flip in response(table, value, joint=(first, "x")).flips(0.0)]
    assert response(table, value, joint=(first,)).share_above(0.0) == response(table, value).share_above(0.0)


def test_levels_against_the_correlation_ratio() -> None:
    """Choices: with balanced levels the index is the share of variance between them (closed form)."""
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"kind": np.repeat(["x", "y", "z"], 200), "whole": np.tile([1, 2], 300)})
    y = (x["kind"] == "z") * 3.0 + x["whole"] * 1.0 + rng.normal(size=600)
    table = indices(x, y).set_index("key")
    between = {"kind": 9 * 2 / 9, "whole": 0.25}
    for key, variance in between.items():
        assert table["index"][key] == pytest.approx(variance / 3.25, abs=0.03)
        assert table["method"][key] == "levels"


def test_what_cannot_be_told_is_said() -> None:
    x = draws(64, 2).assign(fixed=1.0)
    few = indices(x[: MIN_DRAWS - 1], np.arange(MIN_DRAWS - 1.0))
    assert few["index"].isna().all() and few["note"].str.contains("at least 32").all()
    same = indices(x, np.full(64, 0.3))
    assert same["index"].isna().all() and same["note"].str.contains("the same in every draw").all()
    table = indices(x, x["a"]).set_index("key")
    assert np.isnan(table["index"]["fixed"]) and table["note"]["fixed"] == "has one value in all draws"
    assert table["index"]["a"] > 0.95 and abs(table["index"][REST]) < 0.1
    assert indices(x[:40], x["a"][:40])["note"].iloc[0].startswith("rough: 40 draws")
    holes = x["a"].to_numpy().copy()
    holes[5] = np.nan
    assert (indices(x, holes)["n"] == 63).all()
    pd.testing.assert_frame_equal(indices(x, holes), indices(x, holes))
    pd.testing.assert_frame_equal(indices(x.assign(seed=range(64)), x["a"]), indices(x, x["a"]))


@pytest.mark.slow
def test_useless_keys_raise_no_false_alarm_and_intervals_cover() -> None:
    """Noise alone: p < 0.05 about once in twenty; and the intervals of known indices hold them."""
    alarms, covered, whole = [], [], []
    _, first, _, variance = CASES["ishigami"]
    truth = np.array([*first, 0.0]) / 2
    for trial in range(120):
        rng = np.random.default_rng(trial)
        x = draws(ENOUGH_DRAWS, 4, seed=trial)
        x["choice"] = rng.choice(["p", "q", "r"], ENOUGH_DRAWS)
        null = indices(x, rng.normal(size=ENOUGH_DRAWS))
        alarms += (null["p"][:5] < 0.05).tolist()
        whole.append((null["p_holm"][:5] < 0.05).any())
        y = ishigami(x[list("abcd")].to_numpy(float)) + rng.normal(size=ENOUGH_DRAWS) * np.sqrt(variance)
        found = indices(x, y)
        covered += ((found["low"][:4] <= truth) & (truth <= found["high"][:4])).tolist()
    assert 0.02 <= np.mean(alarms) <= 0.08
    assert np.mean(whole) <= 0.10
    assert np.mean(covered) >= 0.93


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("second_order", [False, True])
def test_saltelli_indices_of_known_functions(name: str, second_order: bool) -> None:
    function, first, total, _ = CASES[name]
    config, seeds, u = design(second_order=second_order, base=512, replicates=1)
    table = sobol_indices(config, seeds, function(u)).set_index("key")
    keys = len(first)
    assert np.abs(table["index"].to_numpy()[:keys] - first).max() < 0.05
    assert np.abs(table["total"].to_numpy()[:keys] - total).max() < 0.05
    assert (np.abs(table[["index", "total"]].to_numpy()[keys:-1]) < 1e-9).all()
    assert table["index"][REST] == pytest.approx(1 - sum(first), abs=0.06)
    # 95 % intervals, sixteen of them
    assert (table["total_low"][:keys] - 0.02 <= total).all() and (
        total <= table["total_high"][:keys] + 0.02
    ).all()
    assert table["noise"].isna().all()


def design(**how: Any) -> tuple[dict[str, Any], list[int], Array]:
    config = Uncertainty(design="saltelli", priors={key: Prior(uniform=[0, 1]) for key in "abcde"}, **how)
    seeds = list(range(config.seeds_needed or 0))
    return config.model_dump(mode="json"), seeds, unit_points(config, seeds)


def test_noise_between_replicates_is_stated_and_a_common_shift_is_none() -> None:
    config, seeds, u = design(base=128, replicates=4)
    world = np.arange(len(seeds)) % 4
    y = ishigami(u)
    shifted = sobol_indices(config, seeds, y + 100 * world)
    assert shifted["noise"].max() < 1e-9
    pd.testing.assert_series_equal(shifted["index"], sobol_indices(config, seeds, y)["index"], atol=1e-6)
    rng = np.random.default_rng(0)
    noisy = sobol_indices(config, seeds, y + rng.normal(size=y.size) * np.sqrt(4 * 13.84))
    # variance of a mean of four: as much as the function's
    assert noisy["noise"].iloc[0] == pytest.approx(0.5, abs=0.06)
    assert "noise between replicates" in noisy["note"].iloc[0]
    # noise is part of every total, also of those of keys without use
    assert noisy.set_index("key")["total"]["e"] == pytest.approx(0.5, abs=0.12)
    cube = rng.normal(size=(400, 7, 3))
    assert noise_share(cube) == pytest.approx(1.0, abs=0.08)


def test_pairs_that_lack_a_row_are_left_out() -> None:
    config, seeds, u = design(base=32, replicates=2)
    y = ishigami(u)
    y[3] = np.nan
    found = sobol_indices(config, seeds, y)
    assert (found["n"] == 31 * 7 * 2).all()
    assert found["note"].str.startswith("1 of 32 pairs lack a value and are left out").all()
    few = sobol_indices({**config, "base": 16}, seeds[: 16 * 14], y[: 16 * 14])
    assert few["index"].isna().all() and few["note"].str.contains("at least 16").all()


# --- the response surface ------------------------------------------------------------------------------


def planted(u: Array, level: float) -> Array:
    x = 2 * u - 1
    return level + 0.6 * x[:, 0] + 0.4 * x[:, 1] ** 2 + 0.5 * x[:, 0] * x[:, 1]


def test_a_surface_finds_what_is_planted() -> None:
    x = draws(256, 4)
    rng = np.random.default_rng(0)
    y = planted(x.to_numpy(), 0.1) + 0.3 * rng.normal(size=256)
    found = response(x, y)
    signal = planted(x.to_numpy(), 0.1).var()
    assert found.r2 == pytest.approx(signal / (signal + 0.09), abs=0.06) and found.predictive
    truth = (planted(qmc.Sobol(4, seed=9).random(2**14), 0.1) >= 0).mean()
    share = found.share_above(0.0)
    assert share.low <= truth <= share.high and share.high - share.low < 0.12
    below = found.share_below(0.0)
    assert (below.mean, below.low, below.high) == (1 - share.mean, 1 - share.high, 1 - share.low)
    # mean over the others: 0.1 + 0.6 x + 0.4/3 = 0 at x = −0.389, u = 0.306; that of b, 0.1 + 0.4 x², never crosses
    (flip,) = found.flips(0.0)
    assert (flip.key, flip.direction) == ("a", "above") and flip.value == pytest.approx(0.306, abs=0.05)
    assert found.flips(5.0) == [] and found.share_above(5.0).mean == 0
    again = response(x, y)
    assert again.share_above(0.0) == share and again.flips(0.0) == [flip]


def test_flips_are_told_in_the_units_of_the_key() -> None:
    """A log-uniform key, a whole number and a choice."""
    u = qmc.Sobol(3, seed=1).random(256)
    x = pd.DataFrame(
        {
            "rate": 10 ** (3 * u[:, 0] - 3),
            "count": 1 + np.floor(4 * u[:, 1]).astype(int),
            "kind": np.array(["x", "y", "z"])[np.floor(3 * u[:, 2]).astype(int)],
        }
    )
    noise = 0.1 * np.random.default_rng(2).normal(size=256)
    by_rate = response(x, np.log10(x["rate"]) + 1.5 + noise).flips(0.0)
    assert [(flip.key, flip.direction) for flip in by_rate] == [("rate", "above")]
    assert np.log10(by_rate[0].value) == pytest.approx(-1.5, abs=0.1)
    (by_count,) = response(x, 3.4 - x["count"] + noise).flips(0.0)
    assert (by_count.key, by_count.direction) == ("count", "below")
    assert by_count.value == pytest.approx(3.4, abs=0.1)
    (by_kind,) = response(x, (x["kind"] == "y") * 1.0 - 0.5 + noise).flips(0.0)
    assert (by_kind.key, by_kind.value, by_kind.direction) == ("kind", "y", "above")


def test_where_nothing_decides_it_is_said() -> None:
    x = draws(64, 4)
    rng = np.random.default_rng(3)
    found = response(x, 0.5 + rng.normal(size=64))
    assert found.r2 <= 0 and not found.predictive and found.flips(0.5) == []
    share = found.share_above(0.5)
    assert "no assumption decides" in share.reason and share.low < 0.2 and share.high > 0.8
    assert response(x, 5 + rng.normal(size=64)).share_above(0.0).mean > 0.99
    few = response(x[:10], rng.normal(size=10))
    assert few.reason and np.isnan(few.share_above(0.0).mean) and few.flips(0.0) == []
    same = response(x, np.full(64, 0.2))
    assert same.share_above(0.1).mean == 1 and same.share_above(0.3).mean == 0 and same.reason
    # a value on the limit is at least and at most that
    assert same.share_above(0.2).mean == same.share_below(0.2).mean == 1 and same.share_below(0.1).mean == 0
    fixed = response(pd.DataFrame({"k": [1.0] * 20}), rng.normal(size=20))
    assert "more than one value" in fixed.reason
    assert found.raw_share_above(0.5) == pytest.approx(np.mean(found.values >= 0.5))


SHAPES = {
    "a jump": lambda u: (u[:, 0] > 0.7) * 1.0,
    "a late spike": lambda u: np.exp(12 * (u[:, 0] - 1)),
    "waves": lambda u: np.sin(3 * np.pi * u[:, 0]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_share_from_a_surface_that_misses_the_shape_has_no_interval(shape: str) -> None:
    x = draws(64, 4)
    signal = SHAPES[shape](x.to_numpy())
    y = signal + 0.3 * signal.std() * np.random.default_rng(1).normal(size=64)
    found = response(x, y)
    assert found.poorly_fitted == "a"
    for share in (found.share_above(0.3), found.share_below(0.3)):
        assert np.isfinite(share.mean) and np.isnan(share.low) and np.isnan(share.high)
        assert "does not follow a" in share.reason
    # keys with few values have no shape to be missed, and choices are fitted value by value
    few = pd.DataFrame({"n": np.arange(64) % 3, "kind": np.array(["x", "y", "z", "w"])[np.arange(64) // 16]})
    assert response(few, (few["n"] == 1) * 1.0 + (few["kind"] == "z") + 0.1 * y).poorly_fitted == ""


@pytest.mark.parametrize("noise", ["normal", "exponential", "long tails"])
def test_a_quadratic_is_seldom_said_to_be_missed(noise: str) -> None:
    """One in twenty at most, whatever the law of the noise and the interactions; 80 surfaces each."""
    alarms = 0
    for trial in range(80):
        rng = np.random.default_rng(trial)
        x = draws(64, 4, seed=trial)
        off = {"normal": rng.normal(size=64), "exponential": rng.exponential(size=64) - 1, "long tails": rng.standard_t(2.2, 64) / 3.3}[noise]  # fmt: skip
        y = planted(x.to_numpy(), 0.0) + rng.choice([0.2, 0.6]) * off
        alarms += lack_of_fit(Coordinates(x), y - y.mean()) != ""
    assert alarms <= 8  # of 80 at 5 %: more in 2 % of cases


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["exponential", "log-normal", "long tails"])
def test_noise_that_is_not_normal_does_little_harm_to_shares(noise: str) -> None:
    everywhere = qmc.Sobol(4, seed=99).random(2**13)
    covered = []
    for trial in range(60):
        rng = np.random.default_rng(trial)
        level, x = 0.4 * rng.normal(), draws(32, 4, seed=trial)
        off = {"exponential": rng.exponential(size=32) - 1, "log-normal": (np.exp(rng.normal(size=32)) - np.exp(0.5)) / 2.16, "long tails": rng.standard_t(2.2, 32) / 3.3}[noise]  # fmt: skip
        surface = planted(x.to_numpy(), level)
        found = response(x, surface + surface.std() * off)
        truth, share = (planted(everywhere, level) >= 0).mean(), found.share_above(0.0)
        if not found.poorly_fitted:
            covered.append(share.low - 1e-9 <= truth <= share.high + 1e-9)
    assert len(covered) > 50 and np.mean(covered) >= 0.88


def test_the_posterior_against_draws_from_the_prior_kept_where_they_fit() -> None:
    """Two terms, few values: the closed form against importance sampling of the model as written."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 2))
    x -= x.mean(axis=0)
    y = x @ [0.8, -0.2] + 0.7 * rng.normal(size=12)
    y -= y.mean()
    n = 400_000
    explained = (rng.integers(0, 100, n) + 0.5) / 100
    variance = np.exp(rng.uniform(np.log(0.01), np.log(30), n))  # p(σ²) ∝ 1/σ²
    slopes = rng.normal(size=(n, 2)) * np.sqrt(variance * explained / (2 * (1 - explained)))[:, None]
    left = ((y[:, None] - x @ slopes.T) ** 2).sum(axis=0)
    log_weight = -(11 / 2) * np.log(variance) - left / (2 * variance)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    mean = weight @ slopes
    spread = np.sqrt(weight @ (slopes - mean) ** 2)
    ours = _posterior(x, y)
    assert np.abs(ours[:, 1:].mean(axis=0) - mean).max() < 0.04
    assert np.abs(ours[:, 1:].std(axis=0) - spread).max() < 0.04


@pytest.mark.slow
@pytest.mark.parametrize(("n", "ratio"), [(32, 1.0), (64, 0.3), (64, 3.0), (128, 1.0)])
def test_intervals_of_the_share_cover_and_useless_keys_do_not_flip(n: int, ratio: float) -> None:
    """ratio: variance of the surface over that of the noise."""
    everywhere = qmc.Sobol(5, seed=99).random(2**13)
    covered, false, gap, raw_gap = [], [], [], []
    for trial in range(60):
        rng = np.random.default_rng(trial)
        level = 0.4 * rng.normal()
        x = draws(n, 5, seed=trial)
        surface = planted(x.to_numpy(), level)
        y = surface + rng.normal(size=n) * surface.std() / np.sqrt(ratio)
        truth = (planted(everywhere, level) >= 0).mean()
        found = response(x, y)
        share = found.share_above(0.0)
        if not found.poorly_fitted:  # by chance, in one of twenty at most
            covered.append(share.low - 1e-9 <= truth <= share.high + 1e-9)
        gap.append((share.mean - truth) ** 2)
        raw_gap.append((found.raw_share_above(0.0) - truth) ** 2)
        false.append(any(flip.key in "cde" for flip in found.flips(0.0)))
    assert len(covered) >= 52 and np.mean(covered) >= 0.88
    assert np.mean(false) <= 0.12
    assert np.mean(gap) < np.mean(raw_gap)


def test_a_surface_over_many_draws_takes_memory_in_proportion(peak_memory: Callable[..., int]) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(3000, 5))
    y = x @ [1, 0, 0, 2, 0] + rng.normal(size=3000)
    found: list[Any] = []
    assert peak_memory(lambda: found.append(_posterior(x, y))) < 10e6  # a square of 3000 takes 72 MB
    mean = found[0].mean(axis=0)
    np.testing.assert_allclose(mean[1:], np.linalg.lstsq(x, y - y.mean())[0], atol=0.02)
    assert found[0].shape == (SAMPLES, 6)
    # fewer draws than terms: the prior alone speaks where the data do not
    assert np.isfinite(_posterior(x[:4], y[:4] - y[:4].mean())).all()


# --- a study -------------------------------------------------------------------------------------------


class Fake:
    """Arm b gains what attention gives; arm a is noise."""

    def __init__(self, study: Study, arm: Arm, seed: int) -> None:
        self.rounds, self.notes = study.rounds, []
        self.value = (arm.name == "b") * (study.behavior.attention - 0.7) + study.platform.hidden_ties
        self.value += 0.01 * np.random.default_rng(seed).normal()

    def step(self) -> dict[str, float]:
        return {"welfare": self.value}

    def tables(self) -> dict[str, dict[str, Any]]:
        return {"lorenz": {"when": ["start"], "what": ["exposure"], "x": [0.0], "y": [0.0]}}


PRIORS = {"behavior.attention": {"uniform": [0.5, 0.9]}, "behavior.appetite": {"uniform": [1, 4]}}
STUDY = {
    "name": "t",
    "rounds": 2,
    "seeds": 32,
    "arms": [{"name": name, "policy": {"kind": "organic"}} for name in "abc"],
    "uncertainty": {"priors": PRIORS},
}


def go(out: Path, **changes: Any) -> Result:
    given = {**STUDY, **changes}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echodrift.scenarios.execution.worker.build", Fake)
        run_study(load_study({key: value for key, value in given.items() if value is not None}), out)
    return Result(out)


def test_a_study_says_which_assumption_drives_it(tmp_path: Path) -> None:
    result = go(tmp_path / "o", grid={"platform.hidden_ties": [0.0, 0.5]})
    table = result.sensitivity("welfare")
    assert list(table.columns[:5]) == ["platform.hidden_ties", "arm", "reference", "measure", "key"]
    assert len(table) == 2 * 5 * 3  # points × (three arms, two differences) × (two keys and the rest)
    b = table[(table["arm"] == "b") & (table["reference"] == "a")].set_index("key")["index"]
    assert b.loc["behavior.attention"].min() > 0.9 and b.loc["behavior.appetite"].max() < 0.1
    # the same random numbers in all arms: c − a is nothing at all, and says so
    c = table[(table["arm"] == "c") & (table["reference"] == "a")]
    assert c["index"].isna().all() and c["note"].str.contains("the same").all()
    only = result.sensitivity("welfare", arm="b", vs="c")
    assert set(only["arm"]) == {"b"} and set(only["reference"]) == {"", "c"}
    assert result.draws is not None and list(result.draws.columns) == ["seed", *PRIORS]
    with pytest.raises(BadInput, match='Did you mean "welfare"'):
        result.sensitivity("welfar")
    with pytest.raises(BadInput, match="no arm is named"):
        result.sensitivity("welfare", arm="d")
    plain = go(tmp_path / "plain", uncertainty=None, seeds=2)
    assert plain.draws is None
    with pytest.raises(BadInput, match=r"no \[uncertainty\]"):
        plain.sensitivity("welfare")


def test_a_study_over_joint_rows_says_that_indices_overlap(tmp_path: Path) -> None:
    spread = np.linspace(0.5, 0.9, 64)
    rows = pd.DataFrame(
        {"behavior.attention": spread, "behavior.match": 10 * spread, "behavior.examination": "power"}
    )
    rows.loc[::2, "behavior.examination"] = "cascade"
    rows.to_csv(tmp_path / "rows.csv", index=False)
    result = go(tmp_path / "o", uncertainty={"sample": str(tmp_path / "rows.csv")})
    found = result.sensitivity("welfare", arm="b", vs="a").set_index("key")
    found = found[found["reference"] == "a"]
    assert (found.loc[["behavior.attention", "behavior.match"], "index"] > 0.8).all()
    assert np.isnan(found.loc[REST, "index"]) and found["note"].str.contains("drawn together").all()
    assert sorted(result.draws["behavior.attention"]) != list(result.draws["behavior.attention"])
    page = result.report().read_text("utf-8")
    assert "32 joint rows" not in page and "one of 64 joint rows" in page
    assert "leave no remainder" in page and "so bars overlap" in page
    assert "cascade × " in page
    result.plot("welfare", kind="sensitivity")


def test_a_saltelli_study_has_totals(tmp_path: Path) -> None:
    how = {"design": "saltelli", "base": 16, "replicates": 2, "priors": PRIORS}
    result = go(tmp_path / "o", uncertainty=how, seeds=None, arms=STUDY["arms"][:2])
    table = result.sensitivity("welfare", arm="b")
    rows = table[table["reference"] == "a"].set_index("key")
    assert rows["total"]["behavior.attention"] == pytest.approx(1, abs=0.45)
    assert rows["total"]["behavior.appetite"] == pytest.approx(0, abs=1e-6)
    assert rows["noise"].max() < 1e-6 and set(rows["n"]) == {128}
    config = result.study.uncertainty
    assert config is not None and result.draws is not None
    pd.testing.assert_frame_equal(result.draws, draws_table(config, range(128)))
