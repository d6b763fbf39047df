"""The section of the report on [uncertainty]: what was drawn, and which assumption drives the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..gate.bounds import written_lines
from ..measures.columns import describe
from ..results import Results, rows_at
from ..saltelli import is_saltelli
from ..sensitivity import REST, REST_LABEL, sensitivity
from ..sensitivity.columns import is_number
from ..sensitivity.priors import describe_prior, joint_keys

if TYPE_CHECKING:
    import pandas as pd

    from ..plots.gallery import Plate

MOST_FIGURES = 6
"""Most differences drawn as bar figures; the tables have all of them."""
FIRST = "First order: what goes with it alone"
TOTAL = "Total: with all its interactions"
GUIDE = "The longer a bar, the more of the differences between seeds goes with that one assumption."
GUIDE_REST = "“Everything else” holds interactions and chance: where it is long, the assumptions say little about this number."
GUIDE_JOINT = "Settings of joint rows are drawn together: the bar of one counts what goes with the others, too, so bars overlap."


def sensitivity_section(results: Results) -> dict[str, Any] | None:
    """Return the template variables of the priors; None without priors.

    `plates` are the figures, `tables` one per difference of arms and grid point, `priors` one row per key.
    """
    uncertainty = results.study.get("uncertainty")
    if not uncertainty or results.draws is None:
        return None
    drawn = results.draws
    pairs, measures = _pairs_and_measures(results)
    found = _indices(results, pairs, measures)
    return {
        "saltelli": is_saltelli(uncertainty),
        "draws": len(drawn),
        "priors": [_prior_row(key, prior, drawn) for key, prior in uncertainty["priors"].items()],
        "tables": [_table(results, labels, part) for labels, part in found],
        "plates": _plates(results, found),
        "notes": list(dict.fromkeys(note for _, part in found for note in part["note"] if note)),
    }


def _pairs_and_measures(results: Results) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the arm pairs and measures to report: those of the gate, else every arm and the primary measures."""
    gate = results.study.get("gate")
    present = [name for name in results.arms if name in set(results.runs["arm"])]
    if gate and {gate["candidate"], gate["baseline"]} <= set(present):
        pairs = [(gate["candidate"], gate["baseline"])]
        named = [line["measure"] for line in written_lines(gate)]
    else:
        others = [name for name in present if name != results.reference]
        reference = results.reference if results.reference in present else ""
        pairs = [(name, reference) for name in others] if reference and others else [(present[0], "")]
        named = results.primary
    return pairs, [name for name in dict.fromkeys(named) if name in results.every_run]


def _indices(
    results: Results, pairs: list[tuple[str, str]], measures: list[str]
) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """Return (labels, table of all measures) for each pair of arms and grid point."""
    import pandas as pd

    found = []
    for arm, reference in pairs:
        tables = [sensitivity(results, name, arm=arm, reference=reference or None) for name in measures]
        if not tables:
            continue
        table = pd.concat(tables, ignore_index=True)
        table = table[table["reference"] == reference]
        for point in results.points:
            part = rows_at(table, point.values)
            if len(part):
                found.append(
                    ({"arm": arm, "reference": reference, "label": point.label, "number": point.number}, part)
                )
    return found


def _prior_row(key: str, prior: Mapping[str, Any], drawn: pd.DataFrame) -> dict[str, str]:
    values = drawn[key]
    if prior.get("choice") is not None or not is_number(values):
        counts = values.astype(str).value_counts(sort=False)
        seen = ", ".join(f"{value} × {count}" for value, count in sorted(counts.items()))
    else:
        seen = f"{values.min():.4g} to {values.max():.4g}"
    return {"key": key, "prior": describe_prior(prior), "drawn": seen}


def _table(results: Results, labels: Mapping[str, Any], part: pd.DataFrame) -> dict[str, Any]:
    """Return a table with keys as rows, largest mean index first, and measures as columns."""
    measures = list(dict.fromkeys(part["measure"]))
    means = part.groupby("key", sort=False)["index"].mean()
    keys = sorted((key for key in means.index if key != REST), key=lambda key: -_or_zero(means[key]))
    cells = {(row["key"], row["measure"]): row for row in part.to_dict("records")}
    return {
        **labels,
        "title": f"{labels['arm']} minus {labels['reference']}" if labels["reference"] else labels["arm"],
        "measures": [describe(name).title for name in measures],
        "rows": [
            {
                "key": REST_LABEL if key == REST else key,
                "rest": key == REST,
                "cells": [_cell(cells[key, measure]) for measure in measures],
            }
            for key in [*keys, *([REST] if REST in means.index else [])]
        ],
    }


def _or_zero(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _cell(row: Mapping[str, Any]) -> dict[str, Any]:
    total = _written(row, "total", "total_low", "total_high")
    return {
        "value": _written(row, "index", "low", "high"),
        "total": "" if total == "–" else f"total {total}",
        "clear": math.isfinite(row["p_holm"]) and row["p_holm"] < 0.05,
    }


def _written(row: Mapping[str, Any], value: str, low: str, high: str) -> str:
    if not math.isfinite(row[value]):
        return "–"
    text = f"{row[value]:.2f}"
    if math.isfinite(row[low]):
        text += f" [{row[low]:.2f} to {row[high]:.2f}]"
    return text.replace("-", "−")


def _plates(results: Results, found: list[tuple[dict[str, Any], pd.DataFrame]]) -> list[tuple[str, Plate]]:
    """Return file names and bar figures of the first differences."""
    from ..plots.gallery import Plate
    from ..plots.sensitivity import panels
    from ..plots.sensitivity import sensitivity as bars

    plates = []
    guide = f"{GUIDE} {GUIDE_JOINT if joint_keys(results.study['uncertainty']) else GUIDE_REST}"
    for number, (labels, part) in enumerate(found, 1):
        for measure, rows in part.groupby("measure", sort=False):
            if len(plates) == MOST_FIGURES or not rows["index"].notna().any():
                continue
            title = describe(str(measure)).title
            minus = (
                f", {labels['arm']} minus {labels['reference']},"
                if labels["reference"]
                else f" of {labels['arm']}"
            )
            what = f"{title}{minus} in the last {results.span} rounds" + (
                f" at {labels['label']}" if labels["label"] else ""
            )
            name = f"sensitivity-{measure}".replace(":", "-").replace("=", "-")
            plates.append(
                (
                    name if len(found) == 1 else f"{name}-{number}",
                    Plate(
                        name, "answer", f"Sensitivity: {title}", bars(panels(rows, FIRST, TOTAL), what),
                        f"Bars: sensitivity of {what} to each assumption; the table has the numbers.", guide,
                    ),
                )
            )  # fmt: skip
    return plates
