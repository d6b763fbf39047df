"""`echodrift calibrate`: find the generated worlds whose first log looks like a given one."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..log_options import LogReading, Quiet
from ..messages import print_notes
from ..study_options import Debug

if TYPE_CHECKING:
    from ...scenarios.calibration.calibration import Calibration


def calibrate(
    log: Annotated[str, typer.Argument(metavar="LOG", help="Interactions that a world should be like.")],
    *,
    reading: LogReading,
    item_users: Annotated[int, typer.Option(help="Compare only items with at least this many users.")] = 5,
    repeat: Annotated[
        int | None,
        typer.Option(help="Rounds before people take an item again; 200, or 20 for a log of counts."),
    ] = None,
    design: Annotated[int, typer.Option(help="Worlds of the first design, a power of two.")] = 128,
    logs: Annotated[int, typer.Option(help="Simulated logs that the result is compared with.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the whole calibration.")] = 0,
    jobs: Annotated[int, typer.Option(help="Worlds at a time; -1 = one per core.")] = -1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for preset, tables and page; a calibration that was stopped goes on there."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Find generated worlds whose first log looks like LOG: a preset, and what is not ruled out (docs/calibration.md)."""
    from ...scenarios.calibration.calibrate import calibrate as find

    result = find(
        log, item_users=item_users, repeat=repeat, design=design, logs=logs, seed=seed, jobs=jobs, out=out,
        progress=not quiet, **vars(reading),
    )  # fmt: skip
    if as_json:
        print(json.dumps(result.as_plain(), indent=2, ensure_ascii=False))
        return
    print("\n".join(lines(result)))
    if not quiet:
        print_notes(result.notes)
    if out is not None:
        where = shlex.quote(str(out / "preset.toml"))
        print(
            f"\nPage: {out / 'index.html'}\nTo stand a study in this world: [world] preset = {json.dumps(str(out / 'preset.toml'))}"
        )
        print(f"To see it: echodrift describe {where}")


def lines(result: Calibration) -> list[str]:
    """Return matches, misses and what is known of the settings as lines of text."""
    out = [result.verdict, "", f"{'statistic':44}{'log':>10}{'preset':>10}{'spread':>9}  verdict"]
    out += [
        f"{match.statistic.label:44}{match.log:>10.4g}{match.world:>10.4g}{match.spread:>9.2g}  {match.verdict or 'not judged'}"
        for match in result.matches
    ]
    out += ["", f"{'quantity':24}{'prior':>18}{'not ruled out (90 %)':>24}{'preset':>10}"]
    for each in result.settings.to_dict("records"):
        prior = f"{each['low']:.3g} to {each['high']:.3g}"
        kept = f"{each['set_low']:.3g} to {each['set_high']:.3g}"
        mark = "" if each["identified"] else "  not identified"
        out.append(f"{each['quantity']:24}{prior:>18}{kept:>24}{each['preset']:>10.4g}{mark}")
    return out
