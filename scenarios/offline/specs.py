"""Parse the policies to compare: `kind=ease,l2=300`, `@file.toml`, or tables; each gets a unique name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import BadInput
from ...policies.base import Policy, Reranker
from ...policies.registry import (
    Category,
    build_policy,
    build_reranker,
    is_outside,
    only_in_this_process,
)
from ...sim.recommender import REFERENCE_ARMS
from ..specs.files import read_toml
from .inline_toml import parse_inline, write_option

AnyPolicy = str | Path | Mapping[str, Any]
"""A policy as typed, or as a table."""


@dataclass(frozen=True)
class Contender:
    """One policy with its rerankers, and its name in tables."""

    name: str
    spec: dict[str, Any]
    """`kind` and the fields as given."""
    rerank: list[dict[str, Any]] = field(default_factory=list)
    """Rerankers, applied in order."""

    def build(self) -> tuple[Policy, list[Reranker]]:
        """Return the policy and its rerankers; BadInput if they cannot be built."""
        return build_policy(self.spec), [build_reranker(one) for one in self.rerank]


def any_outside(found: Iterable[Contender]) -> bool:
    """Return whether any of them executes code that is not echodrift's own, and that other processes can import."""
    specs: list[tuple[Category, dict[str, Any]]] = []
    for one in found:
        specs.append(("policies", one.spec))
        for each in one.rerank:
            specs.append(("rerankers", each))
    return any(is_outside(*spec) for spec in specs) and not any(only_in_this_process(*spec) for spec in specs)


def contenders(policies: AnyPolicy | Iterable[AnyPolicy], option: str = "--policy") -> list[Contender]:
    """Return the checked policies. Names come from `name=…` or else from the fields; repeated names get a number.

    Raises BadInput, which starts with the option as typed.
    """
    listed: list[Any] = [policies] if isinstance(policies, (str, Path, Mapping)) else list(policies)
    found: list[Contender] = []
    for given in listed:
        for label, table in _tables(given, option):
            found.append(_contender(table, label, {one.name for one in found}))
    if not found:
        raise BadInput(
            f"name at least one policy, for example {option} kind=popularity (echodrift list policies)"
        )
    return found


def _tables(given: AnyPolicy, option: str) -> list[tuple[str, dict[str, Any]]]:
    """Return (label for messages, table) of every policy that an option names."""
    if isinstance(given, Mapping):
        return [(f"policy {dict(given)!r}", dict(given))]
    text = str(given)
    if not text.startswith("@"):
        return [(f"{option} {text}", parse_inline(text, f"{option} {text}"))]
    path = Path(text[1:])
    content = read_toml(path)
    if "arms" in content and isinstance(content["arms"], list):
        return [
            (f"{option} {text}: arms[{place}]", arm if isinstance(arm, dict) else {"policy": arm})
            for place, arm in enumerate(content["arms"])
        ]
    return [(f"{option} {text}", content)]


def _contender(table: dict[str, Any], label: str, taken: set[str]) -> Contender:
    table = dict(table)
    name, rerank = table.pop("name", None), table.pop("rerank", [])
    if "kind" not in table and isinstance(table.get("policy"), Mapping):
        inner = dict(table.pop("policy"))
        table.pop("platform", None)  # An arm's platform has no effect on rankings.
        if table:
            raise BadInput(f'{label}: the key "{next(iter(table))}" does not belong beside policy')
        table = inner
    if name is not None and not (isinstance(name, str) and name.strip()):
        raise BadInput(f"{label}: name = {name!r} must be text")
    if isinstance(rerank, (str, Mapping)):
        rerank = [rerank]
    if not isinstance(rerank, list):
        raise BadInput(f"{label}: rerank must be a list of tables, for example rerank=[{{kind=calibrated}}]")
    # Rerankers may be given by kind alone: rerank=[calibrated].
    rerankers: list[Any] = [{"kind": one} if isinstance(one, str) else one for one in rerank]
    if table.get("kind") in REFERENCE_ARMS:
        raise BadInput(
            f'{label}: "{table["kind"]}" is a reference arm: it needs a simulated world, so it is for studies only'
        )
    found = Contender("", table, rerankers)
    try:
        found.build()
    except BadInput as error:
        raise BadInput(f"{label}: {error}") from None
    return Contender(_unused(name or _described(table, rerankers), taken), table, rerankers)


def _described(spec: dict[str, Any], rerank: list[dict[str, Any]]) -> str:
    """Return "ease l2=300", followed by its rerankers."""
    fields = {key: value for key, value in spec.items() if key != "kind"}
    parts = [str(spec["kind"]), *(write_option({key: value}) for key, value in fields.items())]
    return " + ".join([" ".join(parts), *(_described(one, []) for one in rerank)])


def _unused(name: str, taken: set[str]) -> str:
    number, candidate = 2, name
    while candidate in taken:
        candidate, number = f"{name} ({number})", number + 1
    return candidate
