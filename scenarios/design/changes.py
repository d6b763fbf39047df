"""Options that override a study: report what they changed, and which option caused a mistake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import BadInput, EchodriftError
from ...keys import differences
from ...wording import short, unquoted
from ..specs.overrides import Override, overridden_paths
from ..specs.study import Study
from ..specs.validation import traced
from .load import label_of, load_study


def describe_changes(
    source: str | Path | Mapping[str, Any] | Study, overrides: Iterable[Override], study: Study
) -> list[str]:
    """Return what differs between a study as written and as run: "key: old → new", one per key.

    If the study is invalid without its options, the old values are unknown and left out.
    """
    overrides = list(overrides)
    if not overrides:
        return []
    try:
        before = load_study(source)
    except EchodriftError:
        return [f"{key}: → {short(unquoted(value))}" for _, key, value in overrides]
    return [
        f"{key}: {short(unquoted(old))} → {short(unquoted(new))}"
        for key, old, new in differences(_by_name(before), _by_name(study))
    ]


@contextmanager
def trace_mistakes(
    source: str | Path | Mapping[str, Any] | Study, overrides: Iterable[Override], study: Study
) -> Iterator[None]:
    """Trace every mistake raised inside to the option or file that its key came from. study: as loaded from both."""
    try:
        yield
    except BadInput as error:
        placed = overridden_paths(study.model_dump(mode="json"), overrides)
        raise traced(error, label_of(source), placed, [arm.name for arm in study.arms]) from None


def _by_name(study: Study) -> dict[str, Any]:
    """Return a study's fields, with its arms and groups as tables keyed by name."""
    data = study.model_dump(mode="json", exclude_none=True)
    for holder, key in ((data, "arms"), (data["world"], "groups")):
        if isinstance(holder.get(key), list):
            holder[key] = {f"[{part['name']}]": part for part in holder[key]}
    return data
