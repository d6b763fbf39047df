"""Statistics over seeds: intervals, paired differences, sequential and equivalence tests, planning, decay.

One subject per file: `intervals` (t, Holm), `conclusions` (what an interval says), `paired` (arms against a reference),
`survival` (censored times), `resampling` (BCa, sign flips), `equivalence` (TOST), `sequential` (always valid),
`planning` (seeds needed), `decay` (half-life). Their simulated coverage and power: docs/statistics.md.
"""

from .conclusions import FEWEST, verdict
from .decay import DecayFit, half_life_fit
from .equivalence import Equivalence, noninferior, tost
from .intervals import LEVEL, Interval, holm, mean_interval, ratio_interval, t_interval
from .paired import Difference, compare, paired_differences
from .planning import seeds_needed, sequential_seeds_needed
from .resampling import bca_interval, sign_flip
from .sequential import confidence_sequence, sequence_at_looks
from .survival import Survival, median_survival

__all__ = [
    "FEWEST",
    "LEVEL",
    "DecayFit",
    "Difference",
    "Equivalence",
    "Interval",
    "Survival",
    "bca_interval",
    "compare",
    "confidence_sequence",
    "half_life_fit",
    "holm",
    "mean_interval",
    "median_survival",
    "noninferior",
    "paired_differences",
    "ratio_interval",
    "seeds_needed",
    "sequence_at_looks",
    "sequential_seeds_needed",
    "sign_flip",
    "t_interval",
    "tost",
    "verdict",
]
