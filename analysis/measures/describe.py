"""Print the table of all columns for docs/measures.md: `python -m echodrift.analysis.measures.describe`."""

from __future__ import annotations

import math

from . import MEASURES, Column, catalog, measure_class


def table() -> str:
    """Return a Markdown table with one row per column, in the order of the catalog.

    Columns of other sources are in the row of the column that counts the recommender's slots.
    """
    rows = [
        "| column | what | unit | range | good | every | splits | sources |",
        "|---|---|---|---|---|---|---|---|",
    ]
    names = [column.name for column in catalog()]
    for column in catalog():
        if not column.usual:
            continue
        kind = measure_class(column.name)
        module = MEASURES[column.name].split(":")[0]
        cells = (
            f"[`{column.name}`](../analysis/measures/{module}.py)",
            column.title,
            column.unit,
            value_range(column),
            column.better,
            "round" if kind.every == 1 else f"{kind.every} rounds",
            "yes" if kind.splits else "",
            "yes" if f"{column.name}_all" in names else "",
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def value_range(column: Column) -> str:
    """Return the range of a column's values, as [0, 1]."""
    left = "(−∞" if math.isinf(column.low) else f"[{column.low:g}".replace("-", "−")
    right = "∞)" if math.isinf(column.high) else f"{column.high:.4g}]"
    return f"{left}, {right}"


if __name__ == "__main__":
    print(table(), end="")
