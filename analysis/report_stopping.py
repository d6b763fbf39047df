"""What the report says of a study that one looked at as it ran: intervals that hold however often one looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .stopping import looks_of


def told(manifest: Mapping[str, Any]) -> str:
    """Return how the study was stopped, in words; nothing where its seeds were set beforehand."""
    looked = looks_of(manifest)
    if looked is None:
        return ""
    looks = ", ".join(map(str, looked.counts))
    at = f" It was looked at after {looks} seeds." if looks else ""
    why = f" {looked.why[:1].upper()}{looked.why[1:]}." if looked.why else ""
    return (
        f"This study stopped by a rule and not at a number of seeds set beforehand.{at}{why} Intervals of the gate and "
        "of all comparisons of arms are therefore confidence sequences, which hold however often one looks and are "
        "wider. The t intervals of single arms, the bands of the curves, and what is said of switches and of limits in "
        "a phase diagram take no account of the looks: read them as a description."
    )
