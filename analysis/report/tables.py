"""Text and tables of the report: comparisons, setup, warnings, how to reproduce."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...wording import component, counted, settings, unquoted
from ..gate.looks import looks_of
from ..measures.columns import describe, known, write_difference, write_value
from ..notes import WARNING, gathered, is_warning
from ..plots.comparisons import half_lives
from ..results import END, Point, Results, cubes
from ..saltelli import is_saltelli
from ..statistics import FEWEST, DecayFit, half_life_fit
from ..statistics.conclusions import HIGHER, LOW_RANK, LOWER

if TYPE_CHECKING:
    import pandas as pd

FEW_SEEDS = 20
"""Below this many seeds the report warns that intervals are wide."""

ENOUGH_PAIRS = 16
"""Smallest base of a Saltelli design, a power of two, that gives FEW_SEEDS independent draws."""


_UNUSED_FIELDS = {"als": {"learning_rate", "negatives"}, "bpr": {"confidence", "binary"}}
"""Matrix factorization model → policy fields that it does not use."""

RESAMPLES = 199
"""Bootstrap resamples for half-life intervals, as many as in the coverage study (docs/statistics.md)."""

FROZEN = 0.9
"""The report warns if a larger share of a slate was on the one before."""
EXHAUSTED = 0.2
"""The report warns if a larger share of the most-valued items is used up."""


@dataclass(frozen=True)
class Cell:
    """One comparison as text."""

    arm: str
    verdict: str
    good: str
    """What a clear difference means for users: "better", "worse" or empty."""
    difference: str
    interval: str
    value: str
    reference_value: str
    n: int
    missing: str
    p: str
    reason: str
    equal: bool
    """Arm and reference have the same value in every seed."""


@dataclass(frozen=True)
class Block:
    """All arms on one measure."""

    measure: str
    title: str
    unit: str
    primary: bool
    split: bool
    cells: list[Cell]


def blocks(comparison: pd.DataFrame, primary: Sequence[str]) -> list[Block]:
    """Group comparison rows by measure: primary ones first, in the study's order, then those of the tables."""
    order = list(dict.fromkeys([*primary, *known(), *comparison["measure"]]))
    found = []
    for measure in order:
        part = comparison[comparison["measure"] == measure]
        if part.empty or (measure not in primary and not (part["n"] > 0).any()):
            continue
        column = describe(measure)
        found.append(
            Block(
                measure=measure,
                title=column.title,
                unit=column.unit,
                primary=measure in primary,
                split=":" in measure,
                cells=[_cell(row) for row in part.to_dict("records")],
            )
        )
    return found


def _cell(row: Mapping[str, Any]) -> Cell:
    column = describe(row["measure"])
    equal = row["n"] > 0 and row["difference"] == 0 and (row["n"] == 1 or row["low"] == row["high"])
    verdict, good = row["verdict"], ""
    if verdict in (HIGHER, LOWER) and column.better != "neither":
        good = "better" if verdict == column.better else "worse"
    known_width = row["low"] == row["low"]
    interval = f"{write_difference(column, row['low'])} to {write_difference(column, row['high'])}"
    return Cell(
        arm=row["arm"],
        verdict=verdict,
        good=good,
        difference=write_difference(column, row["difference"]),
        interval=interval if known_width else "–",
        value=write_value(column, row["mean_arm"]),
        reference_value=write_value(column, row["mean_reference"]),
        n=row["n"],
        missing=", ".join(str(seed) for seed in row["missing"]),
        p=""
        if equal or row["p_holm"] != row["p_holm"]
        else (f"{row['p_holm']:.3f}" if row["p_holm"] >= 0.001 else "< 0.001"),
        reason="" if equal and row["n"] > 1 else row["reason"],
        equal=equal,
    )


def split_equal(found: Sequence[Block]) -> tuple[list[Block], list[Block]]:
    """Split off the blocks (never primary ones) in which all arms are equal in every seed; they come second."""
    equal = [
        block
        for block in found
        if not block.primary and all(cell.equal and not cell.missing for cell in block.cells)
    ]
    return [block for block in found if block not in equal], equal


def glance(found: Sequence[Block]) -> tuple[list[Block], list[tuple[str, list[Cell]]]]:
    """Return the primary blocks, and one row per arm with its cell in each of them."""
    heads = [block for block in found if block.primary]
    arms = list(dict.fromkeys(cell.arm for block in heads for cell in block.cells))
    cells = [{cell.arm: cell for cell in block.cells} for block in heads]
    return heads, [(arm, [by_arm[arm] for by_arm in cells]) for arm in arms]


def half_life_rows(point: Point, arms: Sequence[str]) -> list[dict[str, str]]:
    """Return the niche half-life of every arm: the median over its runs, and the fitted decay after round 0.

    Empty if it was not measured. `fitted` is empty with too few seeds or rounds.
    """
    found = half_lives(point.runs)
    fits = _decays(point)
    rows = []
    for arm in arms:
        if arm in found:
            survival, fit = found[arm][2], fits.get(arm)
            rows.append(
                {
                    "arm": arm,
                    "median": str(survival),
                    "halved": f"{survival.events} of {survival.n}" if survival.n else "–",
                    "fitted": str(fit) if fit else "",
                    "interval": _within(fit) if fit else "",
                    "form": fit.form if fit and not math.isnan(fit.half_life) else "–",
                }
            )
    return rows if any(row["halved"] != "–" for row in rows) else []


def _decays(point: Point) -> dict[str, DecayFit]:
    """Fit the decay of niche exposure in every arm with two or more seeds; empty if the study is too short.

    It starts at round 1: the immediate loss with an arm's first slates is a level shift, not a decay.
    """
    rounds = point.rounds
    if "niche_exposure" not in rounds or not (rounds["round"] >= 2 * END - 1).any():
        return {}
    arms, last = rounds["arm"].unique(), int(rounds["round"].max())
    [cube] = cubes(rounds, ["niche_exposure"], arms, rounds["seed"].unique(), last, first=1)
    when = range(1, last + 1)
    fits = [half_life_fit(when, curves.T, resamples=RESAMPLES) for curves in cube]
    return {str(arm): fit for arm, fit in zip(arms, fits, strict=True) if fit.n > 1}


def _within(fit: DecayFit) -> str:
    """Return the interval of a half-life, cut off at the last round; empty if it lies wholly beyond."""
    if not fit.low <= fit.horizon or fit.high < 1:
        return ""
    low = f"{fit.low:.0f}" if fit.low >= 1 else "< 1"
    return f"{low} to {f'{fit.high:.0f}' if fit.high <= fit.horizon else f'> {fit.horizon:.0f}'}"


def arm_rows(results: Results) -> list[dict[str, str]]:
    """Return a row per arm: name, policy, rerankers, own platform settings."""
    rows = []
    for arm in results.study["arms"]:
        rows.append(
            {
                "name": arm["name"],
                "policy": component(arm.get("policy", {}), _unused_fields(arm.get("policy", {}))),
                "rerank": "; then ".join(map(component, arm.get("rerank", []))),
                "platform": settings(arm.get("platform", {})),
            }
        )
    return rows


def _unused_fields(policy: Mapping[str, Any]) -> set[str]:
    if policy.get("kind") != "matrix_factorization":
        return set()
    return _UNUSED_FIELDS.get(policy.get("model", "als"), set())


def setup_rows(results: Results, part: str) -> list[tuple[str, str]]:
    """Return the settings of "world", "behavior" or "platform"; those that a log replaces are marked as not used."""
    rows = setting_rows(results.study.get(part) or {})
    if part == "platform" and "log" in (results.study.get("world") or {}):
        rows = [(key, "not used: the log replaces it" if key == "warmup" else value) for key, value in rows]
    return rows


def changes(manifest: Mapping[str, Any]) -> list[str]:
    """Return the settings that differ from the study as written, as "key: old → new"."""
    return [str(change) for change in manifest.get("changed") or []]


def notes(manifest: Mapping[str, Any]) -> list[str]:
    """Return the notes of the runs without warnings, which are shown at the top of the page."""
    return [str(note) for note in manifest.get("notes") or [] if not is_warning(str(note))]


def setting_rows(part: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as (dotted key, value in TOML notation)."""
    rows = []
    for key, value in part.items():
        if isinstance(value, Mapping):
            rows += setting_rows(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
            for i, entry in enumerate(value):
                rows += setting_rows(entry, f"{prefix}{key}[{i}].")
        else:
            rows.append((f"{prefix}{key}", unquoted(value)))
    return rows


def failures(results: Results) -> list[dict[str, str]]:
    """Return a row per failed run: arm, grid point, seed, error."""
    failed = results.runs[results.runs["status"] != "ok"]
    return [
        {
            "arm": row["arm"],
            "point": ", ".join(f"{key} = {row[key]}" for key in results.grid),
            "seed": str(row["seed"]),
            "error": str(row["error"])
            if isinstance(row.get("error"), str) and row["error"]
            else "no message",
        }
        for row in failed.to_dict("records")
    ]


def warnings(results: Results) -> list[str]:
    """Return warnings that the reader needs before trusting a number."""
    found = []
    ok = results.runs[results.runs["status"] == "ok"]
    seeds = results.runs["seed"].nunique()
    if len(ok) < len(results.runs):
        found.append(
            f"{len(results.runs) - len(ok)} of {len(results.runs)} runs failed. Their seeds are left out of the "
            "comparisons of their arm; the errors are listed below."
        )
    found += _noted(results)
    if ok.empty:
        found.append("No run finished, so there is nothing to compare.")
        return found
    if results.reference not in set(ok["arm"]):
        found.append(
            f'No run of the reference arm "{results.reference}" finished: no arm can be compared with it.'
        )
    uncertainty = results.study.get("uncertainty") or {}
    if is_saltelli(uncertainty) and seeds < FEW_SEEDS:
        found.append(
            f"base = {uncertainty['base']}: intervals rest on {seeds} independent draws and are wide. Take this as a "
            f"first look; base = {ENOUGH_PAIRS} or more where a conclusion is drawn."
        )
    elif seeds < FEW_SEEDS and looks_of(results.manifest) is None:
        found.append(
            f"{counted(seeds, 'seed')}: "
            + ("there are no intervals at all. " if seeds == 1 else "intervals are wide. ")
            + (f"With fewer than {FEWEST} no verdict is given. " if seeds < FEWEST else "")
            + f"Take this as a first look; {FEW_SEEDS} seeds is the default where a conclusion is drawn."
        )
    rounds = int(results.rounds["round"].max()) + 1
    if rounds < 2 * END:
        found.append(
            f"The runs have {counted(rounds, 'round')}: the averages at their start and end "
            f"({counted(results.span, 'round')} each) overlap, and nothing can be said "
            "about the long run."
        )
    absent = [name for name in results.primary if name not in results.measures]
    if absent:
        found.append(f"Primary measures that were not taken in this study: {', '.join(absent)}.")
    return found + _exhaustion(results) + _freezing(results) + _low_ranks(results)


def _noted(results: Results) -> list[str]:
    """Return the warnings among the notes of the runs, each once with the arms it concerns."""
    if "notes" not in results.runs:
        return []
    runs = zip(results.runs["arm"], results.runs["notes"], strict=True)
    notes = ((arm, note) for arm, text in runs if isinstance(text, str) for note in text.splitlines())
    found = []
    for note, arms in gathered((arm, note) for arm, note in notes if is_warning(note)).items():
        text = note[len(WARNING) :].strip().rstrip(".")
        found.append(
            f"{text[:1].upper()}{text[1:]} ({'arm' if len(arms) == 1 else 'arms'}: {', '.join(arms)})."
        )
    return found


def _exhaustion(results: Results) -> list[str]:
    """Return warnings about people who run out of what they value."""
    return [
        f"People have used up more than {100 * EXHAUSTED:.0f} % of the items they value most{where}: {arms}. "
        "Niche exposure then rises because favorites are no longer available, not because the recommender "
        "found the niche; other curves move for the same reason. Allow repeats (behavior.repeat) or let "
        "new items arrive (world.arrivals) before drawing conclusions."
        for where, arms in _arms_above(results, "exhausted_share", EXHAUSTED)
    ]


def _freezing(results: Results) -> list[str]:
    """Return warnings about slates that hardly ever change."""
    return [
        f"Slates hardly change from visit to visit{where}: {arms}. What is shown here is the first fit rather than a "
        "feedback loop. A cool-down (behavior.repeat), arrivals (world.arrivals) or a shorter first log "
        "(platform.warmup) let it move."
        for where, arms in _arms_above(results, "slate_stability", FROZEN)
    ]


def _arms_above(results: Results, measure: str, limit: float) -> Iterator[tuple[str, str]]:
    """Yield, for each grid point with arms whose mean share is above a limit, (" at …" or "", those arms as text)."""
    for point in results.points:
        if measure not in point.runs:
            continue
        share = point.runs.groupby("arm", sort=False)[measure].mean()
        over = share[share > limit]
        if len(over):
            arms = ", ".join(f"{arm} ({100 * value:.0f} %)" for arm, value in over.items())
            yield (f" at {point.label}" if point.label else ""), arms


def _low_ranks(results: Results) -> list[str]:
    """Return a warning about factor models so strongly regularized that they are nearly the same model."""
    if "effective_rank" not in results.runs:
        return []
    ranks = results.runs.groupby("arm", sort=False)["effective_rank"].mean()
    low = ranks[ranks < LOW_RANK]
    if len(low) < 2:
        return []
    arms = ", ".join(f"{arm} ({value:.1f})" for arm, value in low.items())
    text = (
        f"Factor models with an effective rank below {LOW_RANK}: {arms}. Their scores vary in a few directions only, whatever "
        "their dimension: if these arms do not differ, that is no finding about dimensions. Weaken regularization, or let the "
        "first log know more of tastes (behavior.search, platform.warmup)."
    )
    return [text]


def facts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the entries of the manifest that the report does not show elsewhere."""
    shown_elsewhere = {
        "command",
        "reproduce",
        "notes",
        "versions",
        "hashes",
        "study",
        "study_sha256",
        "seeds",
        "changed",
    }
    return setting_rows({key: value for key, value in manifest.items() if key not in shown_elsewhere})


def describe_stopping(manifest: Mapping[str, Any]) -> str:
    """Return text on how the study was stopped; empty if the number of seeds was set in advance."""
    stopping = looks_of(manifest)
    if stopping is None:
        return ""
    looks = ", ".join(map(str, stopping.counts))
    at = f" It was looked at after {looks} seeds." if looks else ""
    why = f" {stopping.why[:1].upper()}{stopping.why[1:]}." if stopping.why else ""
    return (
        f"This study stopped by a rule and not at a number of seeds set beforehand.{at}{why} Intervals of the gate and "
        "of all comparisons of arms are therefore confidence sequences, which hold however often one looks and are "
        "wider. The intervals of single arms, the bands of the curves, and what is said of switches and of limits in "
        "a phase diagram take no account of the looks: read them as a description."
    )
