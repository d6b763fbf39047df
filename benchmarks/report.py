"""Measure the time of a study's report, on synthetic tables: 5 arms × 20 seeds × 1,000 rounds × 25 measures.

    python benchmarks/report.py
    python benchmarks/report.py --arms 3 --seeds 5 --rounds 150
    python benchmarks/report.py --interactive          also interactive.html
    python benchmarks/report.py --keep out/invented    keep the folder, to look at the page

Each curve falls or rises from a common start to the level of its arm, with autocorrelated noise, like the
measures of a simulated platform. Prints wall and processor seconds of `echodrift report` (imports included) in a
separate process, then a profile of one report in this process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import lfilter

MEASURES = {
    # name: (start, lowest end, highest end, noise, rounds between evaluations)
    "niche_exposure": (0.35, 0.04, 0.75, 0.01, 1),
    "niche_consumed": (0.32, 0.03, 0.6, 0.02, 1),
    "niche_demand": (0.40, 0.36, 0.41, 0.001, 1),
    "exposure_gini": (0.6, 0.3, 0.93, 0.005, 1),
    "exposure_gini_consumed": (0.65, 0.4, 0.95, 0.006, 1),
    "coverage": (0.8, 0.1, 0.95, 0.005, 1),
    "coverage_consumed": (0.3, 0.05, 0.4, 0.01, 1),
    "average_popularity": (12.0, 4.0, 41.0, 0.4, 1),
    "average_popularity_consumed": (14.0, 6.0, 45.0, 0.8, 1),
    "extinct_share": (0.05, 0.0, 0.8, 0.004, 1),
    "exhausted_share": (0.0, 0.0, 0.03, 0.002, 1),
    "minority_hit_rate": (0.30, 0.12, 0.66, 0.01, 1),
    "dominant_hit_rate": (0.55, 0.45, 0.88, 0.01, 1),
    "satisfied_visits": (0.5, 0.4, 0.8, 0.01, 1),
    "minority_share": (0.1, 0.03, 0.12, 0.0005, 1),
    "minority_share_neutral": (0.1, 0.085, 0.092, 0.0005, 1),
    "dominant_share": (0.6, 0.6, 0.85, 0.001, 1),
    "miscalibration": (0.9, 0.3, 1.6, 0.02, 1),
    "effective_tastes": (2.4, 1.5, 2.3, 0.003, 1),
    "welfare": (1.0, 0.8, 1.9, 0.02, 1),
    "regret": (0.5, 0.0, 0.7, 0.01, 5),
    "homogenization": (0.02, 0.02, 0.2, 0.003, 1),
    "pairs_compared": (0.9, 0.3, 0.95, 0.003, 1),
    "community_gap": (0.005, 0.002, 0.06, 0.002, 1),
    "intra_user_diversity": (0.7, 0.3, 0.72, 0.004, 5),
}
PRIMARY = ["niche_consumed", "minority_hit_rate", "community_gap", "welfare"]
AUTOCORRELATION = 0.7
"""Correlation of the noise of consecutive rounds."""


def write_study(folder: Path, arms: int = 5, seeds: int = 20, rounds: int = 1000) -> Path:
    """Write the tables of a finished study; every call writes the same numbers."""
    rng = np.random.default_rng(5)
    names = ["organic", *(f"recommender {i}" for i in range(1, arms))]
    per_round = np.arange(rounds)
    keys = pd.MultiIndex.from_product([names, range(seeds)], names=["arm", "seed"])
    table: dict[str, Any] = {
        "arm": np.repeat(keys.get_level_values(0).to_numpy(), rounds),
        "seed": np.repeat(keys.get_level_values(1).to_numpy(), rounds),
        "round": np.tile(per_round, len(keys)),
    }
    for number, (measure, (start, low, high, noise, every)) in enumerate(MEASURES.items()):
        place = ((np.arange(arms) + number) % arms) / max(arms - 1, 1)
        level = np.repeat(low + (high - low) * place, seeds) + 0.06 * (high - low) * rng.normal(
            size=len(keys)
        )
        shocks = noise * np.sqrt(1 - AUTOCORRELATION**2) * rng.normal(size=(len(keys), rounds))
        values = level[:, None] + (start - level[:, None]) * np.exp(-per_round / 120)
        values = values + np.asarray(lfilter([1.0], [1.0, -AUTOCORRELATION], shocks, axis=1))
        values[:, per_round % every != 0] = np.nan
        table[measure] = values.ravel()
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(table).to_parquet(folder / "rounds.parquet")
    runs = keys.to_frame(index=False).assign(status="ok", error=None, seconds=1.0, notes="")
    half = rng.uniform(0.02, 1.6, len(runs)) * rounds
    runs = runs.assign(niche_half_life=np.minimum(half, rounds), niche_half_life_censored=half > rounds)
    runs.to_parquet(folder / "runs.parquet")
    _write_lorenz(folder, keys, rng)
    _write_others(folder, keys, rounds, rng)
    text = [
        'name = "An invented study"\ndescription = "Numbers that nobody measured."',
        f"rounds = {rounds}\nseeds = {seeds}\nprimary = {json.dumps(PRIMARY)}",
        "[world]\nusers = 1000\nitems = 2000\n[behavior]\nattention = 0.85\n[platform]\nslate = 10",
        *(f'[[arms]]\nname = "{name}"\npolicy = {{ kind = "popularity" }}' for name in names),
    ]
    (folder / "study.toml").write_text("\n".join(text), encoding="utf-8")
    (folder / "manifest.json").write_text(json.dumps(_manifest(folder, len(runs))), encoding="utf-8")
    return folder


def _write_lorenz(folder: Path, keys: pd.MultiIndex, rng: np.random.Generator) -> None:
    x = np.linspace(0, 1, 101)
    parts = []
    for arm, seed in keys:
        for when in ("start", "end"):
            for what, power in {"exposure": 2.0, "consumption": 3.0, "demand": 2.2}.items():
                y = x ** (power + (when == "end") + 0.2 * rng.random())
                parts.append(
                    pd.DataFrame({"arm": arm, "seed": seed, "when": when, "what": what, "x": x, "y": y})
                )
    pd.concat(parts).to_parquet(folder / "lorenz.parquet")


def _write_others(folder: Path, keys: pd.MultiIndex, rounds: int, rng: np.random.Generator) -> None:
    """Write deciles, surviving tastes and the network, with as many rows as in a real study of that size."""
    deciles, tastes, users, ties = [], [], [], []
    stride = -(-rounds // 64)
    for arm, seed in keys:
        rows = -(-rounds // stride)
        mass = rng.dirichlet(np.arange(1, 11.0), rows)
        own = {"arm": arm, "seed": seed}
        table = {
            "round": np.repeat(np.arange(rows) * stride, 10),
            "rounds": stride,
            "decile": np.tile(range(1, 11), rows),
        }
        deciles.append(
            pd.DataFrame(
                {
                    **own,
                    **table,
                    "exposure": mass.ravel(),
                    "consumption": mass.ravel(),
                    "demand": 0.1,
                    "live": 0.1,
                }
            )
        )
        when = np.arange(0, rounds, -(-rounds // 256))
        left = np.exp(-when / (200.0 + 400 * rng.random()))
        for taste in (1, 2, 3):
            shares = dict.fromkeys(("kept", "survived"), left ** (taste / 2)) | dict.fromkeys(
                ("kept_neutral", "survived_neutral"), left ** (taste / 3)
            )
            tastes.append(pd.DataFrame({**own, "round": when, "taste": taste, "users": 1000, **shares}))
        if seed:
            continue
        community = np.arange(1000) % 20
        for moment in ("start", "end"):
            liked = rng.integers(0, 24, 1000)
            users.append(
                pd.DataFrame(
                    {
                        **own,
                        "when": moment,
                        "user": range(1000),
                        "community": community,
                        "taste": liked,
                        "share": 0.6,
                    }
                )
            )
            one, other = np.triu_indices(20)
            for by in ("community", "taste"):
                ties.append(
                    pd.DataFrame(
                        {
                            **own,
                            "when": moment,
                            "by": by,
                            "one": one,
                            "other": other,
                            "ties": rng.integers(1, 400, len(one)),
                        }
                    )
                )
    for name, frames in {
        "deciles": deciles,
        "tastes": tastes,
        "network_users": users,
        "network_ties": ties,
    }.items():
        pd.concat(frames, ignore_index=True).to_parquet(folder / f"{name}.parquet")


def _manifest(folder: Path, runs: int) -> dict[str, Any]:
    import hashlib

    files = ["rounds.parquet", "runs.parquet", "lorenz.parquet", "study.toml"]
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
    return {"study": "An invented study", "runs": runs, "failed": 0, "notes": [], "hashes": hashes}


def time_command(folder: Path, interactive: bool) -> None:
    """Time `echodrift report` as a command."""
    command = [sys.executable, "-c", "from echodrift.cli import main; main()", "report", str(folder)]
    command += ["--interactive"] if interactive else []
    before, began = _children(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    print(
        f"{time.perf_counter() - began:7.1f} s wall, {_children() - before:.1f} s processor: echodrift report"
    )


def _children() -> float:
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def profile_report(folder: Path) -> None:
    """Print the functions that take the most time, by a profile of one report in this process."""
    import cProfile
    import pstats

    from echodrift.analysis.report.build import build_report

    profile = cProfile.Profile()
    with _timed("one report under the profiler (which slows it)"):
        profile.runcall(build_report, folder)
    stats: Any = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    own: dict[str, float] = {}
    for (file, _, name), (_, _, _, cumulative, _) in stats.items():
        if "analysis" in file and "echodrift" in file or "analysis/" in file:
            own[f"{Path(file).stem}.{name}"] = cumulative
    for name, seconds in sorted(own.items(), key=lambda each: -each[1])[:25]:
        print(f"{seconds:9.2f}  {name}")


@contextmanager
def _timed(what: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    print(f"{time.perf_counter() - began:7.1f} s wall: {what}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--arms", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--interactive", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for the tables and the page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_study(
            options.keep or Path(scratch) / "study", options.arms, options.seeds, options.rounds
        )
        time_command(folder, options.interactive)
        profile_report(folder)
        for path in [folder / "report.html", folder / "interactive.html"]:
            if path.exists():
                print(f"{path.stat().st_size / 1e6:7.1f} MB {path.name}")


if __name__ == "__main__":
    main()
