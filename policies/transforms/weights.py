"""Weights of log entries: helpers for the transforms that set them, and the check that a policy can use them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ..base import LogTransform, Policy
from ..interactions import Interactions, Observation, Source

SourceName = Literal["slate", "organic", "social", "imported"]


def from_sources(log: Interactions, names: Iterable[SourceName] | None) -> NDArray[np.bool_]:
    """Return (n,) whether each entry comes from one of the named sources; None means all sources."""
    if names is None:
        return np.ones(len(log), bool)
    return np.isin(log.source, [Source[name.upper()] for name in names])


def reweighted(
    seen: Observation, factors: NDArray[Any], chosen: NDArray[np.bool_], self_normalized: bool = False
) -> Observation:
    """Return the observation with the weights of the `chosen` entries (n,) multiplied by `factors` (n,).

    self_normalized: divide by their mean, so that the total weight of the chosen entries does not change.
    Entries of weight 0 are dropped, so that methods that use pairs without weights ignore them too.
    """
    log = seen.log
    before = np.ones(len(log)) if log.weight is None else log.weight.astype(np.float64)
    after = np.where(chosen, before * factors, before)
    total = after[chosen].sum()
    if self_normalized and total > 0:
        after[chosen] *= before[chosen].sum() / total
    weighted = replace(log, weight=after.astype(np.float32))
    return replace(seen, log=weighted if (after > 0).all() else weighted.where(after > 0))


def check_transforms(
    policy: type[Policy],
    transforms: Iterable[LogTransform | type[LogTransform]],
    fields: Mapping[str, Any] | None = None,
) -> None:
    """Raise BadInput if a transform gives entries weights that a policy with these fields cannot learn from.

    `fields`: the fields that the study sets for the policy besides its kind; omitted ones have their defaults. Of
    a transform's class, a property is not called: what it says is checked when a run has built it.
    """
    weighing = [
        transform.kind or type(transform).__name__ for transform in transforms if transform.weighs is True
    ]
    refusal = policy.learns_weights(fields or {}) if weighing else None
    if refusal:
        raise BadInput(
            f"{weighing[0]} gives entries of the log weights, and {policy.kind or policy.__name__} {refusal}. "
            "Transforms that only drop entries go with every policy: recent_window, purge, "
            "downweight_slate with weight = 0"
        )
