"""`echodrift plot`: a single figure of a finished study."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from ...disk import replace_file
from ...errors import BadInput, StorageError, did_you_mean
from ..messages import print_notes, print_unfinished_note
from ..study_options import Debug

ENDINGS = ("svg", "png", "pdf")


def plot(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a finished study.")],
    measures: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MEASURE]...", help="What to show; the primary measures when omitted."),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            help="curves, multiples, phase, grid, frontier, ridge, network, survival, sensitivity, differences, "
            "lorenz, tastes or half-life."
        ),
    ] = "curves",
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="arm|KEY", help="Lay out by arm, or by a key that varies (twice for two)."),
    ] = None,
    vs: Annotated[
        str | None, typer.Option(metavar="ARM", help="Show differences from this arm, paired by seed.")
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Which grid point (repeat as needed); the first when omitted."
        ),
    ] = None,
    arms: Annotated[
        list[str] | None, typer.Option(metavar="ARM", help="Arms to show (repeat); all when omitted.")
    ] = None,
    rounds: Annotated[
        str | None,
        typer.Option(metavar="A:B", help="Rounds A to B alone, both included; either may be left out."),
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(help="Where a phase diagram draws its line; the gate's limit when omitted."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="File: .svg, .png or .pdf; named after what it shows when omitted."),
    ] = None,
    width: Annotated[float | None, typer.Option(help="Inches.")] = None,
    height: Annotated[float | None, typer.Option(help="Inches.")] = None,
    dpi: Annotated[int, typer.Option(help="Pixels per inch of a PNG.")] = 200,
    debug: Debug = False,
) -> None:
    """Draw one figure of a finished study into a file."""
    shown = list(measures or [])
    path = out if out is not None else Path(f"{_name(kind, shown, vs)}.svg")
    ending = path.suffix[1:].lower()
    if ending not in ENDINGS:
        close = did_you_mean(ending, ENDINGS) if ending else ""
        raise BadInput(
            f"-o {path}: the ending says which file to write: {', '.join('.' + e for e in ENDINGS)}.{close}"
        )
    for name, size, most in (("width", width, 100), ("height", height, 100), ("dpi", dpi, 2400)):
        if size is not None and not (0.5 if name != "dpi" else 10) <= size <= most:
            raise BadInput(
                f"--{name} {size:g} is out of range: {'10' if name == 'dpi' else '0.5'} to {most} are allowed"
            )
    if not path.parent.is_dir():
        raise BadInput(f"-o {path}: there is no folder {path.parent}")

    from ...analysis.plots.fonts import missing_note
    from ...analysis.plots.style import render, resize
    from ...scenarios.result import Result

    result = Result(folder)
    print_unfinished_note(folder)
    figure = result.plot(
        *shown, kind=kind, by=list(by or ["arm"]), vs=vs, at=_pairs(at or []), arms=list(arms or []),
        rounds=_span(rounds), limit=limit,
    )  # fmt: skip
    resize(figure, width, height)
    content = render(figure, ending, dpi)
    try:
        replace_file(path, content)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}); name another file with -o"
        ) from None
    print_notes(list(filter(None, [missing_note([*result.runs["arm"].unique(), *result.runs.columns])])))
    print(f"Figure: {path}")


def _name(kind: str, measures: list[str], vs: str | None) -> str:
    parts = [
        *(measures or [kind]),
        *([] if kind == "curves" or not measures else [kind]),
        *(["vs", vs] if vs else []),
    ]
    return re.sub(r"[^a-z0-9_]+", "-", " ".join(parts).lower()).strip("-")[:80] or "figure"


def _pairs(given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        # A key may contain "=" inside brackets, as in arms[a=b].…, so the value starts after the last bracket.
        place = text.find("=", text.rfind("]") + 1)
        key, value = text[:place].strip(), text[place + 1 :].strip()
        if place < 1 or not key or not value:
            raise BadInput(f"--at {text}: write key=value, e.g. --at behavior.reinforcement=0.02")
        if key in found:
            raise BadInput(f"--at names {key} twice")
        found[key] = value
    return found


def _span(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    found = re.fullmatch(r"\s*(\d*)\s*:\s*(\d*)\s*", text)
    if not found or text.strip() == ":":
        raise BadInput(f"--rounds {text}: write A:B for rounds A to B, e.g. 100:149, 100: or :49")
    first, last = (int(part) if part else None for part in found.groups())
    return first, last
