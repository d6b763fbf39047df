"""The code outside echodrift that a study names: what it is, whether it may be used, and what identifies it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ...errors import BadInput, Mistake
from ...policies.named_code import NamedCode, targets_in
from ...policies.registry import Category, only_in_this_process
from ...sim.recommender import REFERENCE_ARMS
from ..specs.study import Arm, Study
from ..specs.validation import Placed, traced
from .identity import Parts, identify


def components(arm: Arm) -> Iterator[tuple[Category, dict[str, Any]]]:
    """Yield the policies, rerankers and log transforms of an arm and of its switches, without reference arms."""
    for part in (arm, *arm.switch):
        policy = (
            part.policy if part.policy and "kind" in part.policy else {**arm.policy, **(part.policy or {})}
        )
        if policy.get("kind") not in REFERENCE_ARMS:
            yield "policies", policy
        for spec in part.rerank or ():
            yield "rerankers", spec
        for spec in part.transform or ():
            yield "log_transforms", spec
    for switch in arm.switch:
        for spec in switch.purge:
            yield "log_transforms", spec


def named_code(arms: Iterable[Arm]) -> NamedCode:
    """Return everything outside echodrift that arms name."""
    named = NamedCode()
    for arm in arms:
        for category, spec in components(arm):
            named.add(category, spec)
    return named


def identities(arms: Iterable[Arm]) -> dict[str, Parts | None]:
    """Return what identifies the code that arms name, services included: they are asked for their version."""
    from ...policies.outside.http_policy import service_version

    named = named_code(arms)
    found: dict[str, Parts | None] = {name: identify(name) for name in (*named.targets, *named.files)}
    for address, fields in named.services.items():
        version = service_version(fields)
        found[address] = None if version is None else {"service": version}
    return found


def refuse_code(study: Study, label: str, placed: Placed = ()) -> None:
    """Raise BadInput for a study that names code, in an arm or in a value that varies. Nothing is imported."""
    parts = study.model_dump(mode="json", include={"arms", "grid", "zip", "uncertainty"})
    wrong = [
        Mistake(f"names code ({target}), which --no-code refuses", ("arms", place))
        for place, arm in enumerate(parts["arms"])
        for target in dict.fromkeys(targets_in(arm))
    ]
    varied = [("grid", parts["grid"]), *(("zip", table) for table in parts["zip"])]
    varied.append(("uncertainty", (parts["uncertainty"] or {}).get("priors") or {}))
    wrong += [
        Mistake(f'"{key}" names code ({target}), which --no-code refuses', (name,))
        for name, table in varied
        for key, values in table.items()
        for target in dict.fromkeys(_targets_at(key, values))
    ]
    if wrong:
        raise traced(BadInput(*wrong), label, placed, [arm.name for arm in study.arms])


def _targets_at(key: str, values: Any) -> Iterator[str]:
    yield from targets_in(values)
    listed = values.get("choice") or [] if isinstance(values, dict) else values
    if key.rpartition(".")[2] in ("kind", "model"):
        yield from (value for value in listed if isinstance(value, str) and ":" in value)


def code_note(study: Study) -> str:
    """Return the sentence of `check` about the code that a study names; empty if it names none."""
    targets = list(named_code(study.arms).targets)
    if not targets:
        return ""
    return (
        f"this study names code, and running it runs that code with your rights: {', '.join(targets)}. `check` "
        "imports it and calls nothing; --no-code refuses such studies"
    )


def check_importable(arms: Iterable[Arm]) -> None:
    """Raise BadInput for classes that only this process knows; runs in other processes could not find them."""
    for place, arm in enumerate(arms):
        for category, spec in components(arm):
            if not only_in_this_process(category, spec):
                continue
            kind = spec.get("model") if spec["kind"] == "adapter" else spec["kind"]
            text = (
                f'"{kind}" exists in this process only (a script, a notebook, or a model in memory), and runs side by '
                'side are done in other processes. Move the class into a module, write kind = "module:Class", or run '
                "one at a time with jobs = 1"
            )
            raise BadInput(Mistake(text, ("arms", place)))
