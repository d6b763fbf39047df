"""Compare speed and memory of echodrift with bare numpy and with T-RECS, in one session on one machine.

    python benchmarks/run.py                 # about 10 minutes, most of it the peer's
    python benchmarks/run.py --no-peer       # echodrift and the floors only
    python benchmarks/run.py --large         # also 100,000 users × 20,000 items
    python benchmarks/run.py --peer-10k      # also the peer at 10,000 × 10,000 (12 GB, a minute per round)

Seconds are wall time of whole processes (or of a round, where stated), medians over the repeats; compare
ratios, not seconds. Processor times, which other work on the machine disturbs less, are in parentheses.
benchmarks/README.md describes the cases and has figures from one machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import child
import peer

HERE = Path(__file__).resolve().parent
S1 = ["--users", "1000", "--items", "1000"]
TEN_THOUSAND = ["--users", "10000", "--items", "10000"]
LARGE = ["mf", "--users", "100000", "--items", "20000", "--rounds", "20", "--factors", "32"]
SWEEPS = 2
"""ALS sweeps per refit on all sides. By default T-RECS runs 20 from scratch, echodrift 1 from the last factors."""


@dataclass(frozen=True)
class Row:
    """One line of the table; peer and floor are None where they were not run."""

    case: str
    ours: child.Cost
    peer: child.Cost | None = None
    floor: child.Cost | None = None


def run_echodrift(arguments: list[str], repeats: int = 1, per_round: bool = False) -> child.Cost:
    return child.median([sys.executable, str(HERE / "study.py"), *arguments], repeats, per_round=per_round)


def run_floor(arguments: list[str], repeats: int = 1, per_round: bool = False) -> child.Cost:
    command = [sys.executable, str(HERE / "floors.py"), *arguments]
    return child.median(command, repeats, child.ONE_THREAD, per_round)


def run_peer(python: str | None, arguments: list[str], per_round: bool = False) -> child.Cost | None:
    return child.run([python, str(peer.LOOP), *arguments], per_round=per_round) if python else None


def loops(options: argparse.Namespace, python: str | None) -> list[Row]:
    """Run the simulation cases and return their lines."""
    rows = []
    s1 = [*S1, "--rounds", str(options.rounds)]
    same = ["--sweeps", str(SWEEPS)]
    for title, policy, sweeps in (
        ("S1, popularity", "popularity", []),
        (f"S1, MF 10, {SWEEPS} sweeps every round", "mf", same),
        ("S1, MF 10, each side's own default sweeps", "mf", []),
    ):
        case = [policy, *s1, *sweeps]
        bare = run_floor([policy, *s1], options.repeats) if policy == "popularity" or sweeps else None
        rows.append(Row(title, run_echodrift(case, options.repeats), run_peer(python, case), bare))
        announce(rows[-1])
    case = ["popularity", *TEN_THOUSAND, "--per-round", "--rounds"]
    one = [*case, "1", "--warmup", "0"]
    rows.append(
        Row(
            "10,000 × 10,000, per round",
            run_echodrift([*case, "10"], per_round=True),
            run_peer(python if options.peer_10k else None, one, per_round=True),
            run_floor([*case, "10"], per_round=True),
        )
    )
    announce(rows[-1])
    if options.large:
        rows.append(
            Row("100,000 × 20,000, MF 32, 20 rounds", run_echodrift([*LARGE, "--retrain-every", "5"]))
        )
        announce(rows[-1])
    return rows


def startup(times: int = 10) -> list[tuple[str, float]]:
    """Return start-up seconds, the best of several; those of the import are in addition to an empty interpreter."""

    def best(*command: str) -> float:
        return min(child.run(command).wall for _ in range(times))

    added = best(sys.executable, "-c", "import echodrift") - best(sys.executable, "-c", "pass")
    script = Path(sys.executable).parent / "echodrift"
    return [
        ("import echodrift, beyond python itself", added),
        ("echodrift --help", best(str(script), "--help")),
    ]


def announce(row: Row) -> None:
    sides = [("echodrift", row.ours), ("T-RECS", row.peer), ("floor", row.floor)]
    text = "; ".join(f"{name} {seconds(cost)} s, {cost.peak:,.0f} MB" for name, cost in sides if cost)
    print(f"{row.case}: {text}", flush=True)


def seconds(cost: child.Cost) -> str:
    return f"{cost.wall:.2f} ({cost.processor:.2f})"


def ratio(more: child.Cost, less: child.Cost) -> str:
    return f"{more.wall / less.wall:.1f} ({more.processor / less.processor:.1f})"


def table(rows: list[Row]) -> str:
    """Return Markdown: case, seconds, peak memory, ratios to peer and floor; processor times in parentheses."""
    lines = [
        "| case | seconds | peak MB | T-RECS: seconds | peak MB | times faster | floor: seconds | times the floor |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = [row.case, seconds(row.ours), f"{row.ours.peak:,.0f}", *["–"] * 5]
        if row.peer:
            cells[3:6] = seconds(row.peer), f"{row.peer.peak:,.0f}", ratio(row.peer, row.ours)
        if row.floor:
            cells[6:] = seconds(row.floor), ratio(row.ours, row.floor)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine() -> str:
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}; load {load}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=100, help="rounds of S1 (100)")
    parser.add_argument("--repeats", type=int, default=3, help="runs behind each median; the peer runs once")
    parser.add_argument("--no-peer", action="store_true", help="leave T-RECS out")
    parser.add_argument("--peer-10k", action="store_true", help="run T-RECS at 10,000 × 10,000 too")
    parser.add_argument("--large", action="store_true", help="run 100,000 users × 20,000 items too")
    options = parser.parse_args()

    print(f"before: {machine()}")
    python, why = (None, "left out") if options.no_peer else peer.prepare()
    if python is None:
        print(f"the peer is skipped: {why}")
    print("compiling once, not counted …", flush=True)
    for policy in ("popularity", "mf"):
        run_echodrift([policy, "--users", "200", "--items", "200", "--rounds", "2"])
    rows = loops(options, python)
    print(f"\n{table(rows)}\n")
    for name, seconds in startup():
        print(f"{name}: {seconds:.3f} s")
    print(f"after: {machine()}\n", flush=True)
    for name in ("ranking.py", "measures.py"):
        if (HERE / name).exists():
            subprocess.run([sys.executable, str(HERE / name)], check=True)


if __name__ == "__main__":
    main()
