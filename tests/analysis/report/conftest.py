"""Invented studies for the report, and a reader of its page."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

MEASURES = {
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
    "extinct_share_consumed": (0.3, 0.1, 0.9, 0.004, 1),
    "exhausted_share": (0.0, 0.0, 0.03, 0.002, 1),
    "popularity_lift": (0.2, -0.2, 1.9, 0.05, 1),
    "popularity_lift_consumed": (0.3, -0.1, 2.1, 0.08, 1),
    "minority_hit_rate": (0.30, 0.12, 0.66, 0.01, 1),
    "dominant_hit_rate": (0.55, 0.45, 0.88, 0.01, 1),
    "satisfied_visits": (0.5, 0.4, 0.8, 0.01, 1),
    "minority_share": (0.1, 0.03, 0.12, 0.0005, 1),
    "minority_share_neutral": (0.1, 0.085, 0.092, 0.0005, 1),
    "dominant_share": (0.6, 0.6, 0.85, 0.001, 1),
    "miscalibration": (0.9, 0.3, 1.6, 0.02, 1),
    "miscalibration_current": (0.9, 0.2, 1.3, 0.02, 1),
    "effective_tastes": (2.4, 1.5, 2.3, 0.003, 1),
    "effective_tastes_distinct": (2.2, 1.3, 2.1, 0.003, 1),
    "welfare": (1.0, 0.8, 1.9, 0.02, 1),
    "welfare_start": (1.0, 0.7, 1.7, 0.02, 1),
    "regret": (0.5, 0.0, 0.7, 0.01, 5),
    "homogenization": (0.02, 0.02, 0.2, 0.003, 1),
    "pairs_compared": (0.9, 0.3, 0.95, 0.003, 1),
    "community_gap": (0.005, 0.002, 0.06, 0.002, 1),
    "taste_assortativity": (0.4, 0.38, 0.5, 0.001, 5),
    "intra_user_diversity": (0.7, 0.3, 0.72, 0.004, 5),
    "inter_user_diversity": (0.8, 0.4, 0.82, 0.004, 5),
    "modularity": (0.6, 0.6, 0.62, 0.001, 5),
}
"""Measure: (start, the ends of the arms lie between low and high, noise over rounds, rounds between evaluations)."""
FEW = ("niche_exposure", "niche_consumed", "niche_demand", "welfare")


def _synthetic(
    folder: Path,
    arms: list[str],
    seeds: int = 10,
    rounds: int = 150,
    grid: dict[str, list] | None = None,
    more: Any = (),
    failed: list[tuple[str, int]] | None = None,
    extra: dict | None = None,
) -> Path:
    """Write a results folder with plausible, wholly invented curves: of the four in FEW, and of `more`.

    more: names of measures (also split ones), courses by name, or "all".
    """
    rng = np.random.default_rng(5)
    if more == "all":
        measures = MEASURES
    else:
        courses = (
            more if isinstance(more, dict) else {name: MEASURES[name.partition(":")[0]] for name in more}
        )
        measures = {**{name: MEASURES[name] for name in FEW}, **courses}
    grid = grid or {}
    points = [dict(zip(grid, values, strict=True)) for values in _product(list(grid.values()))]
    t = np.arange(rounds)
    tables, runs, lorenz = [], [], []
    x = np.linspace(0, 1, 101)
    for a, arm in enumerate(arms):
        place = ((a * 3 + 1) % max(len(arms), 2)) / max(len(arms) - 1, 1)
        for p, point in enumerate(points):
            for seed in range(seeds):
                key = {"arm": arm, **point, "seed": seed}
                if failed is not None and (arm, seed) in failed:
                    runs.append(
                        {**key, "status": "failed", "error": "PolicyError: NaN in <scores>", "seconds": 0.1}
                    )
                    continue
                table = {}
                for name, (start, low, high, noise, every) in measures.items():
                    end = low + (high - low) * (place + 0.1 * p) / (1 + 0.1 * len(points))
                    level = end + 0.06 * (high - low) * rng.normal()
                    values = level + (start - level) * np.exp(-t / 30) + noise * rng.normal(size=rounds)
                    if name.startswith("extinct"):
                        values[: min(20, rounds)] = np.nan
                    values[t % every != 0] = np.nan
                    table[name] = values
                frame = pd.DataFrame(table).assign(round=t, **key)
                tables.append(frame[["arm", *grid, "seed", "round", *measures]])
                half = 20 + 200 * place + 30 * rng.random()
                runs.append(
                    {**key, "status": "ok", "error": None, "seconds": 1.5}
                    | {"niche_half_life": min(half, float(rounds)), "niche_half_life_censored": half > rounds}
                    | frame[list(measures)].tail(20).mean().to_dict()
                )
                for when in ("start", "end"):
                    for what, power in {"exposure": 2.0, "consumption": 3.0, "demand": 2.2}.items():
                        power += (4 * place if when == "end" and what != "demand" else 0) + 0.1 * rng.random()
                        lorenz.append(
                            pd.DataFrame({**key, "when": when, "what": what, "x": x, "y": x**power})
                        )
    folder.mkdir(parents=True, exist_ok=True)
    empty = pd.DataFrame(columns=["arm", *grid, "seed", "round", *measures])
    pd.concat(tables or [empty]).to_parquet(folder / "rounds.parquet")
    pd.DataFrame(runs).to_parquet(folder / "runs.parquet")
    curve = pd.DataFrame(columns=["arm", *grid, "seed", "when", "what", "x", "y"])
    pd.concat(lorenz or [curve]).to_parquet(folder / "lorenz.parquet")
    lines = [
        'name = "Does calibration bring the niche back?"',
        'description = "Invented numbers,\\nto look at the page."',
        f"rounds = {rounds}\nseeds = {seeds}",
        'primary = ["niche_consumed", "minority_hit_rate", "community_gap", "welfare"]',
        "[world]\nusers = 1000\nitems = 2000\ntaste_shares = [0.6, 0.3, 0.1]",
        '[world.graph]\nkind = "watts_strogatz"\ndegree = 10',
        "[behavior]\nattention = 0.85\nappetite = 2\n[platform]\nslate = 10",
    ]
    for arm in arms:
        lines.append(
            f'[[arms]]\nname = {json.dumps(arm)}\npolicy = {{ kind = "matrix_factorization", dim = 8 }}'
        )
    lines.append("[grid]")
    lines += [f"{json.dumps(key)} = {json.dumps(values)}" for key, values in grid.items()]
    (folder / "study.toml").write_text("\n".join(lines), encoding="utf-8")
    manifest = {
        "versions": {"echodrift": "0.1.0", "numpy": "2.0"},
        "seeds": list(range(seeds)),
        "command": "echodrift run default --out out/a",
        "hashes": {"study.toml": "ab12"},
        "notes": ["The log holds 610 users after the filters."],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest | (extra or {})), encoding="utf-8")
    return folder


def _product(lists: list[list]) -> list[list]:
    if not lists:
        return [[]]
    return [[value, *rest] for value in lists[0] for rest in _product(lists[1:])]


class Page(HTMLParser):
    """Tags with their attributes, and the text of the page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += f" {data}"

    @property
    def words(self) -> str:
        """The text with every run of white space as one blank."""
        return " ".join(self.text.split())


@pytest.fixture(scope="session")
def synthetic() -> Callable[..., Path]:
    return _synthetic


@pytest.fixture(scope="session")
def read() -> Callable[[Path], Page]:
    """Return a reader of pages: read(path).words is what they say."""
    return Page


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made and not drawn, where a test is about the words and tables of the page."""
    from echodrift.analysis import plots

    dot = bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c6360f8cfc000000301010018dd8db00000000049454e44ae426082"
    )
    monkeypatch.setattr(plots, "render", lambda figure, kind: dot if kind == "png" else b"<svg/>")
