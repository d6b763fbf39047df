"""Figures of a study. Every function returns a matplotlib Figure and changes no global state.

`long_horizon`, `tastes`, `lorenz`, `differences`, `half_life` and `across_grid` draw one grid point's
tables (across_grid: several); `arm_styles` gives arms the look that all of them share.
"""

from .comparisons import across_grid, differences, half_life, half_lives
from .curves import long_horizon, tastes
from .inequality import lorenz
from .style import ArmStyle, arm_styles, render

__all__ = [
    "ArmStyle",
    "across_grid",
    "arm_styles",
    "differences",
    "half_life",
    "half_lives",
    "long_horizon",
    "lorenz",
    "render",
    "tastes",
]
