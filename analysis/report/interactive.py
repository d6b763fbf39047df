"""Build the interactive page of a study: one HTML file with Plotly and all numbers, usable offline."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from ...errors import BadInput
from ...wording import counted
from ..gate.looks import figure_warning
from ..results import read_results
from . import tables
from .interactive_data import page_data
from .pages import ReportFiles, environment

NAME = "interactive.html"
_DASH = 1.6
"""Pixels per unit of the figures' dash pattern, for a 2-pixel line."""


def build_interactive(folder: Path | str) -> Path:
    """Write interactive.html into a study's folder; return its path.

    The page holds plotly.js (about 4.8 MB) and the curves, thinned to at most 300 points and rounded
    to 1/65,000 of their range; most studies need 1 to 3 MB for them. Scripts are allowed by their hashes,
    and nothing is loaded from the network. Raises BadInput without the extra `interactive` or if the folder
    contains no finished study, StorageError if it cannot be written.
    """
    from markupsafe import Markup

    from ..plots import arm_styles

    plotly = plotly_script()
    results = read_results(Path(folder))
    data = page_data(results)
    styles = arm_styles(results.arms, results.reference)
    data["styles"] = [
        {"letter": style.letter, "color": style.color, "ink": style.ink, "dash": _dash(style.dash)}
        for style in (styles[name] for name in results.arms)
    ]
    script = (Path(__file__).parent / "interactive.js").read_text("utf-8").strip()
    page = environment().get_template("interactive.html.jinja").render(
        name=results.study["name"],
        description=results.study.get("description") or "",
        warnings=tables.warnings(results),
        seeds=counted(data["seeds"], "seed"),
        one_seed=data["seeds"] == 1,
        stopped=figure_warning(results.manifest),
        width=data["width"],
        empty=not data["measures"],
        left_out=data["left_out"],
        data=Markup(json_in_html(data)),
        plotly=Markup(plotly),
        script=Markup(script),
        allowed=Markup(" ".join(f"'{_hash(text)}'" for text in (plotly, script))),
    )  # fmt: skip
    files = ReportFiles(results.folder)
    path = files.write(NAME, page.encode("utf-8"))
    files.write_hashes()
    return path


def check_interactive() -> None:
    """Raise BadInput, which names the package to install, if the page cannot be made; imports nothing."""
    import importlib.util

    if importlib.util.find_spec("plotly") is None:
        raise BadInput('the interactive page needs Plotly: pip install "echodrift[interactive]"')


def plotly_script() -> str:
    """Return the text of plotly.js, safe inside a script element."""
    check_interactive()
    from importlib.resources import files

    text = (files("plotly") / "package_data" / "plotly.min.js").read_text("utf-8")
    # Browsers read every line end as \n before they check the hash.
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script")


def json_in_html(value: Any) -> str:
    """Return JSON that cannot end the script element it is in, whatever names it contains."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _dash(dash: Any) -> str:
    """Return a dash pattern of the figures in pixels, in SVG's notation."""
    if isinstance(dash, str):
        return "solid"
    return ",".join(f"{_DASH * length:.3g}px" for length in dash[1])
