"""Gate lines that say something else than was meant: bounds out of a measure's reach, lines that exclude each other."""

from __future__ import annotations

from collections.abc import Iterator

from .gate_spec import GateConfig, GateLine

FEW = 20
"""Seeds below which BCa intervals are too narrow (docs/statistics.md)."""


def misread(gate: GateConfig) -> Iterator[str]:
    """Give what is wrong with bounds: none can be passed, or none can be failed."""
    for key, line in gate.lines:
        yield from (f"gate.{key}: {what}" for what in _out_of_reach(line))
    lines = gate.lines
    for place, (key, line) in enumerate(lines):
        for before, other in lines[:place]:
            if _about(gate, line) == _about(gate, other):
                yield from (f"gate.{key}: {what}" for what in _beside(line, other, before))


def narrow(gate: GateConfig, seeds: int) -> Iterator[str]:
    """Give a warning about bootstrap intervals over few seeds."""
    if gate.method == "bootstrap" and seeds < FEW:
        yield (
            f'gate.method: bootstrap intervals over {seeds} seeds are too narrow; take {FEW} or more, or method = "t"'
        )


def _about(gate: GateConfig, line: GateLine) -> tuple[str, str]:
    return line.measure, line.horizon or gate.horizon


def _out_of_reach(line: GateLine) -> Iterator[str]:
    """A share lies in 0…1, so a margin of 1 is kept, or missed, whatever happens."""
    from ..analysis.plots.columns import describe, is_share

    column, bound = describe(line.measure), line.bound
    if bound.factor:
        beyond = abs(bound.offset) >= column.high - column.low
    else:
        beyond = not column.low <= bound.offset <= column.high
    if beyond:
        points = "; one percentage point is 0.01" if is_share(column) else ""
        yield (
            f'"{line.measure}" lies between {column.low:g} and {column.high:g}, so that {bound} decides nothing'
            f"{points}"
        )


def _beside(line: GateLine, other: GateLine, before: str) -> Iterator[str]:
    same_side = (line.at_least is None) == (other.at_least is None)
    if same_side and line.bound == other.bound:
        yield f"says the same as gate.{before}; remove one of them"
    if same_side or line.bound.factor != other.bound.factor:
        return
    low, high = (line, other) if line.at_least is not None else (other, line)
    if low.bound.offset > high.bound.offset:
        yield f"can never hold together with gate.{before}: at least {low.bound} and at most {high.bound}"
