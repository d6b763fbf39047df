"""Describe priors in plain text, for reports, `check` and `describe`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...wording import toml, unquoted


def joint_keys(uncertainty: Mapping[str, Any] | None) -> list[str]:
    """Return the keys that are drawn together, as joint rows; empty if each is drawn on its own."""
    priors = (uncertainty or {}).get("priors") or {}
    keys = [key for key, prior in priors.items() if prior.get("sample") is not None]
    return keys if len(keys) > 1 else []


def describe_prior(prior: Mapping[str, Any]) -> str:
    """Return a prior in plain text: "uniform, 0.5 to 0.95"."""
    whole = " (whole numbers)" if prior.get("whole") else ""
    if prior.get("choice") is not None:
        names = list(map(unquoted, prior["choice"]))
        weights = prior.get("weights")
        if not weights:
            return f"one of {', '.join(names)}"
        return "one of " + ", ".join(
            f"{name} ({100 * weight / sum(weights):.3g} %)"
            for name, weight in zip(names, weights, strict=True)
        )
    if prior.get("sample") is not None:
        values = prior["sample"]
        joint = f"one of {len(values):,} joint rows"
        if all(isinstance(value, int | float) for value in values):
            return f"{joint}, {min(values):g} to {max(values):g}"
        return joint
    if prior.get("normal") is not None:
        mean, sd = prior["normal"]
        return f"normal, mean {mean:g}, standard deviation {sd:g}, cut off at {prior['low']:g} and {prior['high']:g}{whole}"
    for shape, name in (("uniform", "uniform"), ("log_uniform", "log-uniform")):
        if prior.get(shape) is not None:
            low, high = prior[shape]
            return f"{name}, {low:g} to {high:g}{whole}"
    return toml(prior)
