"""The search space of a tuning: the policy's own, changed by `--search` options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import numpy as np

from ...config import Config
from ...errors import BadInput, did_you_mean
from ...policies.registry import build_policy, policy_class
from ...policies.search_space import Choice, Range, SearchSpace
from .inline_toml import parse_inline


def search_space(
    spec: Mapping[str, Any], search: str | Iterable[str] = (), option: str = "--search"
) -> SearchSpace:
    """Return field → range or choice: the policy's space without the fields of `spec`, changed by `search`.

    search: `l2=10:1000` (log scale; `:linear` for a uniform one) or `dim=8,16,32`. Raises BadInput if a
    field does not exist or nothing is left to tune.
    """
    cls = policy_class(spec["kind"])
    space = {name: where for name, where in cls.space_for(spec).items() if name not in spec}
    for text in [search] if isinstance(search, str) else search:
        name, where = _parse(text, cls.Config, spec["kind"], option)
        _check_values(spec, name, where, f"{option} {text}")
        space[name] = where
    if not space:
        why = "everything it would try is fixed" if cls.space_for(spec) else "it names nothing to tune"
        fields = ", ".join(cls.Config.model_fields) or "none"
        raise BadInput(
            f"there is nothing to tune about {spec['kind']}: {why}. Its fields are: {fields}. "
            f"Say where to look, for example {option} field=10:1000 or {option} field=8,16,32"
        )
    return space


def draw(space: SearchSpace, seed: int, trial: int) -> dict[str, Any]:
    """Return the fields of a trial: none for trial 0; those of others depend on the seed and the number only."""
    if trial == 0:
        return {}
    rng = np.random.default_rng([seed, trial])
    return {name: space[name].draw(rng) for name in sorted(space)}


def _check_values(spec: Mapping[str, Any], name: str, where: Range | Choice, typed: str) -> None:
    """Raise BadInput for a value that the policy rejects."""
    values = where.values if isinstance(where, Choice) else (where.low, where.high)
    for value in values:
        whole = isinstance(where, Range) and where.whole
        try:
            build_policy({**spec, name: round(value) if whole else value})
        except BadInput as error:
            raise BadInput(f"{typed}: {error}") from None


def _parse(text: str, config: type[Config], kind: str, option: str) -> tuple[str, Range | Choice]:
    typed = f"{option} {text}"
    name, equals, where = (part.strip() for part in text.partition("="))
    if not equals or not name or not where:
        raise BadInput(f"{typed}: write it as field=low:high, for example l2=10:1000, or field=8,16,32")
    if name not in config.model_fields:
        allowed = ", ".join(config.model_fields) or "none"
        raise BadInput(
            f'{typed}: {kind} has no field "{name}".{did_you_mean(name, config.model_fields)} Allowed: {allowed}'
        )
    if ":" not in where:
        values = parse_inline(f"values=[{where}]", typed)["values"]
        return name, Choice(tuple(values))
    return name, _range(where, typed, _is_whole(config, name))


def _range(where: str, typed: str, whole: bool) -> Range:
    low, high, *scale = (part.strip() for part in where.split(":"))
    if len(scale) > 1 or (scale and scale[0] not in ("log", "linear")):
        raise BadInput(f'{typed}: after low:high comes "log" or "linear", got "{":".join(scale)}"')
    ends = []
    for end in (low, high):
        if not re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?", end):
            raise BadInput(f'{typed}: "{end}" is not a number')
        ends.append(float(end))
    if not ends[0] < ends[1] < float("inf"):
        raise BadInput(f"{typed}: the first end must be below the second")
    log = scale != ["linear"]
    if log and ends[0] <= 0:
        raise BadInput(f"{typed}: a log scale needs ends above 0; write {low}:{high}:linear")
    return Range(ends[0], ends[1], log=log, whole=whole)


def _is_whole(config: type[Config], name: str) -> bool:
    annotation = config.model_fields[name].annotation
    kinds = set(get_args(annotation)) or {annotation}
    return int in kinds and float not in kinds
