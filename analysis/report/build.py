"""Build the report of a study: figures as PNG and SVG, and one self-contained HTML page."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..gate.looks import figure_warning
from ..gate.sequential import compare_of
from ..results import Point, Results, read_results
from ..statistics import FEWEST
from . import gate as report_verdict
from . import sensitivity, switches, tables
from .pages import ReportFiles, environment

if TYPE_CHECKING:
    import pandas as pd

    from ..plots.gallery import Plate

FULL_POINTS = 6
"""With more grid points each gets figures of the primary measures only."""

SECTIONS = (
    (
        "exposure",
        "Exposure: what is shown, beside what is taken and wanted",
        (
            "What the platform shows says nothing by itself about harm or good. Niche exposure alone is never "
            "called harm here: it stands beside consumption and true demand, and the three are read together."
        ),
    ),
    ("tastes", "Tastes: who is served, and what is left of each taste", ""),
    ("echo", "Echo: likeness between people", ""),
    ("welfare", "Welfare: what people get out of it", ""),
    ("groups", "Parts of the population", ""),
)


def build_report(folder: Path | str) -> Path:
    """Write figures/*.png, figures/*.svg and report.html into a study's folder; return the page's path.

    Reads study.toml, runs.parquet, rounds.parquet and, if present, lorenz.parquet and manifest.json. The same
    tables give the same bytes. Raises BadInput if the folder contains no finished study, StorageError if it cannot
    be written. Files are replaced atomically.
    """
    from ..plots.sheet import of_intervals

    results = read_results(Path(folder))
    with of_intervals(figure_warning(results.manifest)):
        return _build(results)


def _build(results: Results) -> Path:
    from ..plots import arm_styles
    from ..plots.fonts import missing_note
    from ..plots.gallery import last_rounds

    styles = arm_styles(results.arms, results.reference)
    files = ReportFiles(results.folder)
    points = [_point(results, point, styles, files) for point in results.points]
    page = environment().get_template("report.html.jinja").render(
        study=results.study,
        results=results,
        last_rounds=last_rounds(results.span),
        few=FEWEST,
        changed=tables.changes(results.manifest),
        styles=styles,
        warnings=tables.warnings(results),
        notes=tables.notes(results.manifest),
        unshown=missing_note(
            [*results.arms, *results.measures, *(point.label for point in results.points if point.label)]
        ),
        arms=tables.arm_rows(results),
        setup=[
            (title, tables.setup_rows(results, key))
            for title, key in (("World", "world"), ("Behavior", "behavior"), ("Platform", "platform"))
        ],
        stopped=tables.describe_stopping(results.manifest),
        sensitivity=_sensitivity(results, files),
        gate=report_verdict.gate_section(results),
        sections=SECTIONS,
        grid_figures=_grid_figures(results, styles, files),
        points=points,
        failures=tables.failures(results),
        facts=tables.facts(results.manifest),
        manifest=results.manifest,
        versions=tables.setting_rows(results.manifest.get("versions") or {}),
        hashes=tables.setting_rows(results.manifest.get("hashes") or {}),
        source=(results.folder / "study.toml").read_text("utf-8"),
    )  # fmt: skip
    path = files.write("report.html", page.encode("utf-8"))
    files.write_hashes()
    return path


def _point(results: Results, point: Point, styles: Any, files: ReportFiles) -> dict[str, Any]:
    """Return the template variables of one grid point."""
    from ..plots import long_gallery
    from ..plots.gallery import gallery

    comparison = _compare(results, point)
    full = len(results.points) <= FULL_POINTS
    plates = gallery(
        point, comparison, styles, results.reference, results.primary, span=results.span, full=full
    )
    pictures: dict[str, list[dict[str, str]]] = {
        key: [] for key in ("answer", "switches", *(key for key, *_ in SECTIONS))
    }
    more = long_gallery.plates(results, point, styles) if full else ()
    for plate in [*plates, *switches.plates(results, point, styles), *more]:
        name = plate.name if len(results.points) == 1 else f"{plate.name}-{point.number}"
        pictures[plate.section].append(_picture(files, name, plate))
    found, equal = tables.split_equal(tables.blocks(comparison, results.primary))
    heads, rows = tables.glance(found)
    return {
        "label": point.label,
        "number": point.number,
        "heads": heads,
        "glance": rows,
        "blocks": found,
        "equal": equal,
        "pictures": pictures,
        "half_lives": tables.half_life_rows(point, results.arms) if full else [],
        "switches": switches.switch_sections(results, point),
    }


def _sensitivity(results: Results, files: ReportFiles) -> dict[str, Any] | None:
    """Return the section on the priors, and write its figures."""
    section = sensitivity.sensitivity_section(results)
    if section is not None:
        section["pictures"] = [_picture(files, name, plate) for name, plate in section.pop("plates")]
    return section


def _compare(results: Results, point: Point) -> pd.DataFrame:
    """Compare all arms with the reference on all measures; no rows if the reference has no run."""
    runs = point.runs
    present = list(dict.fromkeys(runs["arm"]))
    arms = [name for name in results.arms if name in present and name != results.reference]
    measures = [name for name in results.measures if name in runs] if results.reference in present else []
    if not measures:
        arms = []
    reference = results.reference if results.reference in present else present[0]
    return compare_of(results.manifest)(runs, reference, measures, primary=results.primary, arms=arms)


def _grid_figures(results: Results, styles: Any, files: ReportFiles) -> list[dict[str, str]]:
    """Write the figures across the grid; none without one."""
    from ..plots.long_gallery import grid_plates

    first = _grid_figure(results, styles, files)
    more = [_picture(files, plate.name, plate) for plate in grid_plates(results, styles)]
    return [*([first] if first else []), *more]


def _grid_figure(results: Results, styles: Any, files: ReportFiles) -> dict[str, str] | None:
    """Write the figure of the primary measures across the grid; None without one."""
    from ..plots import across_grid
    from ..plots.gallery import Plate

    measures = [name for name in results.primary if name in results.measures]
    if len(results.points) < 2 or not measures:
        return None
    one = len(results.grid) == 1
    labels = [
        str(next(iter(point.values.values()))) if one else str(point.number) for point in results.points
    ]
    figure = across_grid(
        labels,
        [point.runs for point in results.points],
        measures,
        styles,
        axis=results.grid[0] if one else "grid point",
    )
    guide = "Each panel is a primary measure; the points of the grid are numbered in the order of the answers below."
    plate = Plate(
        "grid", "answer", "The grid at a glance", figure, "Primary measures by grid point and arm.", guide
    )
    return _picture(files, "grid", plate)


def _picture(files: ReportFiles, name: str, plate: Plate) -> dict[str, str]:
    """Write the files of a plate and return its template variables."""
    from ..plots import render

    png = render(plate.figure, "png")
    files.write(f"figures/{name}.png", png)
    files.write(f"figures/{name}.svg", render(plate.figure, "svg"))
    return {
        "name": name,
        "title": plate.title,
        "alt": plate.alt,
        "guide": plate.guide,
        "data": base64.b64encode(png).decode("ascii"),
        "width": str(int.from_bytes(png[16:20], "big")),
        "height": str(int.from_bytes(png[20:24], "big")),
    }
