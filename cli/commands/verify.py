"""`echodrift verify`: check every file of a results folder against its hash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import ExitCode
from ..study_options import Debug

if TYPE_CHECKING:
    from ...scenarios.inspection.verify import Verification

MOST = 20
"""Maximum lines of a list."""


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a study's results.")],
    repair: Annotated[
        bool,
        typer.Option(
            "--mend",
            help="First write runs/study.toml and runs/store.json again from the plan, if they differ.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    debug: Debug = False,
) -> int:
    """Check every file of a results folder, finished or not, against its hash. Exit code 6 if one is damaged."""
    from ...scenarios.inspection import verify as checks

    mended = checks.mend(folder) if repair else []
    found = checks.verify(folder)
    if as_json:
        print(json.dumps({**found.as_plain(), "mended": mended}, indent=2, ensure_ascii=False))
    else:
        print("\n".join([*(f"written again from the plan: {name}" for name in mended), *lines(found)]))
    return ExitCode.OK if found.ok else ExitCode.STORAGE


def lines(found: Verification) -> list[str]:
    """Return the findings as lines of text."""
    from ...wording import counted

    out = [f"{found.study or 'a study whose name cannot be read'}: {found.state}"]
    out.append(
        f"{counted(found.checked, 'file')} checked, {counted(len(found.damaged), 'damaged file')}; "
        f"{found.intact:,} of {counted(found.runs, 'run')} intact"
    )
    out += [f"note: {note}" for note in found.notes]
    if found.unchecked:
        out.append(f"{counted(len(found.unchecked), 'file')} without a hash, not checked:")
        out += _listed(found.unchecked)
    if found.damaged:
        out.append("damaged:")
        out += _listed([f"{each.file} {each.what}" for each in found.damaged])
        out.append(found.repair)
    return out


def _listed(items: list[str]) -> list[str]:
    more = [f"  and {len(items) - MOST:,} more"] if len(items) > MOST else []
    return [*(f"  {item}" for item in items[:MOST]), *more]
