"""Print the tables of docs/peers.md from a results file: `python benchmarks/peers/report.py peers.jsonl`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.stats import t as student
from scoring import METRICS

OURS = "echodrift"


def half_width(values: np.ndarray) -> float:
    """Return half the width of the 95 % interval of the mean, by Student's t."""
    if values.size < 2:
        return float("nan")
    return float(student.ppf(0.975, values.size - 1) * values.std(ddof=1) / np.sqrt(values.size))


def column(line: dict, name: str) -> np.ndarray:
    """Return one figure of every seed."""
    return np.array([one[name] for one in sorted(line["each"], key=lambda one: one["seed"])])


def settings(fields: dict) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in fields.items())


def table(lines: list[dict]) -> None:
    """Print the rows of one method on one log: echodrift first, the others from best to worst."""
    ours = next((line for line in lines if line["library"] == OURS), None)
    others = sorted(
        (line for line in lines if line is not ours), key=lambda line: -column(line, "ndcg@100").mean()
    )
    for line in [ours, *others] if ours else others:
        cells = []
        for name in METRICS:
            values = column(line, name)
            cells.append(f"{values.mean():.4f} ± {half_width(values):.4f}")
        gap = "–"
        if ours and line is not ours:
            seeds = min(len(ours["each"]), len(line["each"]))
            paired = column(ours, "ndcg@100")[:seeds] - column(line, "ndcg@100")[:seeds]
            gap = f"{paired.mean():+.4f} ± {half_width(paired):.4f}"
        seconds = np.median(column(line, "seconds"))
        print(
            f"| {line['method']} | {line['library']} {line['version']} | "
            + " | ".join(cells)
            + f" | {gap} | {seconds:.3f} | {settings(line['fields'])} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Tables from the results of run.py.")
    parser.add_argument("results", type=Path)
    options = parser.parse_args()
    lines = [json.loads(text) for text in options.results.read_text().splitlines()]
    for same in (False, True):
        for dataset in dict.fromkeys(line["dataset"] for line in lines):
            chosen = [line for line in lines if line["dataset"] == dataset and line["same"] == same]
            if not chosen:
                continue
            seeds = max(len(line["each"]) for line in chosen)
            print(f"\n### {dataset}, {'equal settings' if same else 'tuned'}, {seeds} splits\n")
            print(
                "| method | library | "
                + " | ".join(METRICS)
                + " | NDCG@100, ours − theirs | training s | settings |"
            )
            print("|---|---|" + "---:|" * (len(METRICS) + 2) + "---|")
            for method in dict.fromkeys(line["method"] for line in chosen):
                table([line for line in chosen if line["method"] == method])


if __name__ == "__main__":
    main()
