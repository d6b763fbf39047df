"""The folder of a calibration: preset, tables, figures and page."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from ...analysis.plots.style import render
from ...analysis.report.pages import environment
from ...disk import write_atomically
from ..offline.storage import check_folder, make_folder
from ..storage.store import parquet
from .calibration import Calibration
from .figures import draw_logs, draw_matches, draw_settings

SIMULATIONS = "simulations.json"
"""Every simulated world, so that a calibration that was killed goes on."""
FILES = {
    "preset.toml", "not-ruled-out.parquet", "matches.csv", "settings.csv", "calibration.json", SIMULATIONS, "index.html",
    "figures",
}  # fmt: skip
FIGURES = {
    "matches": (draw_matches, "The log and the preset, statistic by statistic."),
    "logs": (draw_logs, "The log beside the simulated logs of the preset."),
    "settings": (draw_settings, "What the log says of each setting."),
}


def check(path: Path) -> None:
    """Raise StorageError unless the folder is missing, empty, or holds a calibration."""
    check_folder(path, FILES, "a calibration")


def write(result: Calibration, folder: Path) -> None:
    """Write everything into the folder of a calibration; raises StorageError."""
    make_folder(folder / "figures")
    name = folder.resolve().name
    write_atomically(folder / "preset.toml", result.preset(name).encode())
    write_atomically(folder / "not-ruled-out.parquet", parquet(result.not_ruled_out))
    for table, frame in (("matches", result.match_table), ("settings", result.settings)):
        write_atomically(folder / f"{table}.csv", frame.to_csv(index=False, lineterminator="\n").encode())
    content = json.dumps(result.as_plain(), indent=2, ensure_ascii=False)
    write_atomically(folder / "calibration.json", content.encode())
    pictures = []
    for figure, (draw, alt) in FIGURES.items():
        drawn = draw(result)
        data = render(drawn, "png")
        width, height = (float(size) * 100 for size in drawn.get_size_inches())
        write_atomically(folder / "figures" / f"{figure}.png", data)
        write_atomically(folder / "figures" / f"{figure}.svg", render(drawn, "svg"))
        pictures.append(
            {
                "data": base64.b64encode(data).decode(),
                "alt": alt,
                "width": round(width),
                "height": round(height),
            }
        )
    page = (
        environment()
        .get_template("calibration.html.jinja")
        .render(result=result, name=name, pictures=pictures, settings=result.settings.to_dict("records"))
    )
    write_atomically(folder / "index.html", page.encode())
