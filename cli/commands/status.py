"""`echodrift status`: say how far a study is, and what failed."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..study_options import Debug

if TYPE_CHECKING:
    from ...scenarios.inspection.status import Status

MOST = 20
"""Maximum lines of a list."""


def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a study's results.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Say how far a study is: runs per arm, errors, time left. Also while it runs; nothing is written."""
    from ...scenarios.inspection.status import status as look

    found = look(folder)
    if as_json:
        import json

        print(json.dumps(found.as_plain(), indent=2, ensure_ascii=False))
    else:
        print("\n".join(lines(found)))


def lines(found: Status) -> list[str]:
    """Return a status as lines of text."""
    from ...wording import counted

    out = [found.study, _state(found)]
    out.append(
        f"{found.finished:,} of {counted(found.runs, 'run')} finished, {found.failed:,} failed, "
        f"{found.to_come:,} to come; {_bytes(found.size)} on disk"
    )
    if found.damaged:
        out.append(f"{counted(found.damaged, 'run')} cannot be read and will be run again")
    if found.other:
        out.append(
            f"{counted(found.other, 'run')} beside them belong to other seeds or rounds than the study has now"
        )
    out += ["", *_arms(found)]
    if found.begun:
        out += ["", "Begun, with a checkpoint:"]
        out += [
            f"  {run.arm}, seed {run.seed}: round {run.round} of {run.rounds}" for run in found.begun[:MOST]
        ]
        out += [f"  and {len(found.begun) - MOST:,} more"] if len(found.begun) > MOST else []
    if found.errors:
        out += ["", "Errors:"]
        for error in found.errors[:MOST]:
            what = " ".join(error.error.split())
            out.append(f'  {error.runs}×, first in arm "{error.arm}", seed {error.seed}: {what}')
        out += [f"  and {len(found.errors) - MOST:,} other errors"] if len(found.errors) > MOST else []
    return out


def _state(found: Status) -> str:
    from ...scenarios.execution.progress import describe_duration

    if found.state != "running":
        if found.state != "finished":
            return f"{found.state}: the command that began it goes on"
        return "finished; the same command tries the failed runs again" if found.failed else "finished"
    who = f" by process {found.process}" if found.process is not None else ""
    where = f" on {found.host}" if found.host else ""
    since = f" since {datetime.fromtimestamp(found.since):%Y-%m-%d %H:%M:%S}" if found.since else ""
    pace = f", {found.rate:g} runs per minute" if found.rate else ""
    left = f", about {describe_duration(found.left)} left" if found.left else ""
    return f"running{who}{where}{since}{pace}{left}"


def _arms(found: Status) -> list[str]:
    if not found.arms:
        return []
    width = max(3, *(len(arm.name) for arm in found.arms))
    head = f"{'arm':<{width}}  {'finished':>8}  {'failed':>6}  {'to come':>7}  {'seconds per run':>15}"
    return [
        head,
        *(
            f"{arm.name:<{width}}  {arm.finished:>8,}  {arm.failed:>6,}  {arm.to_come:>7,}  "
            + (f"{arm.seconds:>15.1f}" if arm.finished else f"{'':>15}").rstrip()
            for arm in found.arms
        ),
    ]


def _bytes(size: float) -> str:
    units = ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "B" or size >= 100 else f"{size:.1f} {units[0]}"
