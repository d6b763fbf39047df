"""Check the policies, rerankers and platforms of a study's arms, and fill in their defaults."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

from ...errors import BadInput, KeyPath, Mistake, Mistakes
from ...policies.base import Policy
from ...policies.registry import (
    inspected,
    is_built_in,
    log_transform_class,
    policy_class,
    reranker_class,
)
from ...policies.rerankers.chain import check_chain
from ...policies.transforms.weights import check_transforms
from ...sim.platform import Platform
from ...sim.recommender import REFERENCE_ARMS
from ..specs.study import Arm, Study, SwitchConfig
from ..specs.validation import Placed, traced, validate
from .switches import check_switches, switched_policy


def spell_out(study: Study, label: str, placed: Placed = ()) -> Study:
    """Return the study with every default of its policies and rerankers filled in, and check them.

    Raises BadInput with the mistakes of all arms, each under the option that caused it, otherwise the label.
    """
    wrong, arms = Mistakes(), []
    for place in range(len(study.arms)):
        with wrong.collect():
            arms.append(spell_out_in(study, place))
            check_switches(study, place)
    try:
        wrong.report()
    except BadInput as error:
        raise traced(error, label, placed, [arm.name for arm in study.arms]) from None
    return study.model_copy(update={"arms": arms})


def spell_out_in(study: Study, place: int) -> Arm:
    """Return an arm of a study with every default; BadInput has keys of the study, those of its platform included."""
    wrong, arm = Mistakes(), study.arms[place]
    with wrong.collect(), _inside("arms", place, "platform"):
        validate(Platform, {**study.platform.model_dump(mode="json"), **arm.platform})
    with wrong.collect(), _inside("arms", place):
        arm = spell_out_arm(arm)
    wrong.report()
    return arm


@contextmanager
def _inside(*path: str | int) -> Iterator[None]:
    """Prefix the keys of a BadInput that is raised inside by the path of the part that it is about."""
    try:
        yield
    except BadInput as error:
        raise error.inside(*path) from None


def spell_out_arm(arm: Arm) -> Arm:
    """Return the arm with every default of its policy, rerankers and log transforms, and of its switches.

    A switched policy without a kind stays as written: it overrides fields of the arm's own. Raises BadInput with
    keys relative to the arm.
    """
    policy, parts = _spell_out_parts(arm.policy, arm.rerank, arm.transform, ())
    switches: list[SwitchConfig] = []
    wrong = Mistakes()
    models: list[tuple[dict[str, Any], KeyPath]] = [(policy, ())]
    reranks, transforms = [parts["rerank"]], [parts["transform"]]
    for number, switch in enumerate(arm.switch):
        where: KeyPath = ("switch", number)
        whole: dict[str, Any] = {}
        changed: dict[str, list[dict[str, Any]]] = {}
        purge: list[dict[str, Any]] = []
        with wrong.collect():
            purge = _with_all_defaults(switch.purge, (*where, "purge"), _transform_config)
        with wrong.collect():
            whole, changed = _spell_out_parts(
                switched_policy(arm, switch),
                arm.rerank if switch.rerank is None else switch.rerank,
                arm.transform if switch.transform is None else switch.transform,
                where,
                [name for name in ("rerank", "transform") if getattr(switch, name) is not None],
            )
        if wrong.found:
            continue
        models.append((whole, where))
        reranks.append(changed["rerank"])
        transforms += [changed["transform"], purge]
        update: dict[str, Any] = {
            name: changed[name] for name in changed if getattr(switch, name) is not None
        }
        if switch.policy and "kind" in switch.policy:
            update["policy"] = whole
        switches.append(switch.model_copy(update={**update, "purge": purge}))
    wrong.report()
    for model, where in models if switches else []:
        # Switches follow each other, so any policy may run with any rerankers and any log transforms of the arm.
        for rerank in reranks:
            _check_compatible(model, rerank, [], where)
        for transform in transforms:
            _check_compatible(model, [], transform, where)
    return arm.model_copy(update={"policy": policy, **parts, "switch": switches})


def _spell_out_parts(
    policy: dict[str, Any],
    rerank: list[dict[str, Any]],
    transform: list[dict[str, Any]],
    where: KeyPath,
    own: Collection[str] = ("rerank", "transform"),
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Return a policy, its rerankers and its log transforms with all defaults, after checking that they are compatible.

    own: parts that are written at this place; a reference arm ignores those that a switch left unchanged.
    """
    parts: dict[str, list[dict[str, Any]]] = {}
    wrong, kind = Mistakes(), policy.get("kind")
    is_reference = isinstance(kind, str) and kind in REFERENCE_ARMS
    with wrong.collect():
        policy = _with_defaults(policy, (*where, "policy"), _policy_config)
    for name, given, config_of in (
        ("rerank", rerank, _reranker_config),
        ("transform", transform, _transform_config),
    ):
        with wrong.collect():
            if is_reference and given and name in own:
                what = "reranked" if name == "rerank" else "given another log"
                text = f'policy kind = "{kind}" is a reference arm and cannot be {what}; remove {name}'
                raise BadInput(_mistake(text, where, name, name, "policy"))
            parts[name] = _with_all_defaults(given, (*where, name), config_of)
    wrong.report()
    _check_compatible(policy, **parts, where=where)
    return policy, parts


def _check_compatible(
    policy: dict[str, Any],
    rerank: list[dict[str, Any]],
    transform: list[dict[str, Any]],
    where: KeyPath,
) -> None:
    """Raise BadInput if the policy does not provide what a reranker needs, or cannot use a transform's output."""
    if policy["kind"] in REFERENCE_ARMS:
        return
    fields = {name: value for name, value in policy.items() if name != "kind"}
    cls = policy_class(policy["kind"])
    # A class's own answer about weights is asked for when a run has built it.
    asks = is_built_in("policies", policy["kind"]) or "learns_weights" not in _overridden(cls)
    if transform and asks:
        try:
            check_transforms(cls, [inspected("log_transforms", each) for each in transform], fields)
        except BadInput as error:
            name = "transform or purge"
            raise BadInput(_mistake(str(error), where, name, "transform", "purge", "policy")) from None
    if rerank:
        try:
            check_chain(inspected("policies", policy), [inspected("rerankers", each) for each in rerank])
        except BadInput as error:
            raise BadInput(_mistake(str(error), where, "rerank", "rerank", "policy")) from None


def _overridden(cls: type[Policy]) -> set[str]:
    """Return the names that a policy class and its bases below `Policy` define themselves."""
    return {name for base in cls.__mro__[: cls.__mro__.index(Policy)] for name in vars(base)}


def _mistake(text: str, where: KeyPath, name: str, *about: str) -> Mistake:
    """Return a mistake under a name that any of these parts of an arm or of a switch may have caused."""
    return Mistake(text, (*where, name), tuple((*where, part) for part in about))


def _policy_config(kind: str) -> type[BaseModel]:
    return REFERENCE_ARMS[kind][0] if kind in REFERENCE_ARMS else policy_class(kind).Config


def _reranker_config(kind: str) -> type[BaseModel]:
    return reranker_class(kind).Config


def _transform_config(kind: str) -> type[BaseModel]:
    return log_transform_class(kind).Config


def _with_all_defaults(
    given: list[dict[str, Any]], key: KeyPath, config_of: Callable[[str], type[BaseModel]]
) -> list[dict[str, Any]]:
    wrong, filled = Mistakes(), []
    for place, each in enumerate(given):
        with wrong.collect():
            filled.append(_with_defaults(each, (*key, place), config_of))
    wrong.report()
    return filled


def _with_defaults(
    given: dict[str, Any], key: KeyPath, config_of: Callable[[str], type[BaseModel]]
) -> dict[str, Any]:
    kind = given.get("kind")
    if not isinstance(kind, str):
        raise BadInput(Mistake('must name what to use, for example kind = "popularity"', (*key, "kind")))
    try:
        config = config_of(kind)
    except BadInput as error:
        raise BadInput(Mistake(str(error), (*key, "kind"))) from None
    fields = {name: value for name, value in given.items() if name != "kind"}
    try:
        filled = validate(config, fields)
    except BadInput as error:
        raise error.inside(*key) from None
    return {"kind": kind, **filled.model_dump(mode="json", exclude_none=True)}
