"""The arms of a study: policies, rerankers and platforms checked, and their defaults written down."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from pydantic import BaseModel

from ...errors import BadInput, KeyPath, Mistake
from ...policies.registry import (
    build_log_transform,
    build_policy,
    build_reranker,
    log_transform_class,
    policy_class,
    reranker_class,
)
from ...policies.rerankers.chain import check_chain
from ...policies.transforms.weights import check_transforms
from ...sim.platform import Platform
from ...sim.recommender import REFERENCE_ARMS
from ..specs.study import Arm, Study
from ..specs.validation import Placed, traced, validate
from .switches import check_switches, switched_policy


def spell_out(study: Study, label: str, placed: Placed = ()) -> Study:
    """Return the study with every default of its policies and rerankers written down, and check them.

    A mistake names the option that is behind it, else the label.
    """
    try:
        return study.model_copy(update={"arms": [_checked(study, place) for place in range(len(study.arms))]})
    except BadInput as error:
        raise traced(error, label, placed, [arm.name for arm in study.arms]) from None


def _checked(study: Study, place: int) -> Arm:
    arm = study.arms[place]
    merged = {**study.platform.model_dump(mode="json"), **arm.platform}
    try:
        validate(Platform, merged)
    except BadInput as error:
        raise error.inside("arms", place, "platform") from None
    try:
        arm = spell_out_arm(arm)
    except BadInput as error:
        raise error.inside("arms", place) from None
    check_switches(study, place)
    return arm


def spell_out_arm(arm: Arm) -> Arm:
    """Return the arm with every default of its policy, rerankers and log transforms, and of its switches.

    A switched policy without a kind stays as written: it is put over the arm's own. Raises BadInput; its keys
    are those inside the arm.
    """
    policy, parts = _spelled_out(arm.policy, arm.rerank, arm.transform, ())
    switches = []
    models: list[tuple[dict[str, Any], KeyPath]] = [(policy, ())]
    reranks, transforms = [parts["rerank"]], [parts["transform"]]
    for number, switch in enumerate(arm.switch):
        where: KeyPath = ("switch", number)
        whole, changed = _spelled_out(
            switched_policy(arm, switch),
            arm.rerank if switch.rerank is None else switch.rerank,
            arm.transform if switch.transform is None else switch.transform,
            where,
            [name for name in ("rerank", "transform") if getattr(switch, name) is not None],
        )
        models.append((whole, where))
        purge = [
            _filled(given, (*where, "purge", i), _transform_config) for i, given in enumerate(switch.purge)
        ]
        reranks.append(changed["rerank"])
        transforms += [changed["transform"], purge]
        update: dict[str, Any] = {
            name: changed[name] for name in changed if getattr(switch, name) is not None
        }
        if switch.policy and "kind" in switch.policy:
            update["policy"] = whole
        switches.append(switch.model_copy(update={**update, "purge": purge}))
    for model, where in models if switches else []:
        # switches come one after the other: any model can meet any rerankers and any log of the arm
        for rerank in reranks:
            _go_together(model, rerank, [], where)
        for transform in transforms:
            _go_together(model, [], transform, where)
    return arm.model_copy(update={"policy": policy, **parts, "switch": switches})


def _spelled_out(
    policy: dict[str, Any],
    rerank: list[dict[str, Any]],
    transform: list[dict[str, Any]],
    where: KeyPath,
    own: Collection[str] = ("rerank", "transform"),
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Return a policy and what stands around it, spelled out, having checked that they go together.

    own: which of them is written here; what a switch leaves as it was is put aside behind a reference arm.
    """
    policy = _filled(policy, (*where, "policy"), _policy_config)
    kind = policy["kind"]
    for name, given in (("rerank", rerank), ("transform", transform)):
        if kind in REFERENCE_ARMS and given and name in own:
            what = "reranked" if name == "rerank" else "given another log"
            text = f'policy kind = "{kind}" is a reference arm and cannot be {what}; remove {name}'
            raise BadInput(_among(text, where, name, name, "policy"))
    parts = {
        "rerank": [_filled(each, (*where, "rerank", i), _reranker_config) for i, each in enumerate(rerank)],
        "transform": [
            _filled(each, (*where, "transform", i), _transform_config) for i, each in enumerate(transform)
        ],
    }
    _go_together(policy, **parts, where=where)
    return policy, parts


def _go_together(
    policy: dict[str, Any],
    rerank: list[dict[str, Any]],
    transform: list[dict[str, Any]],
    where: KeyPath,
) -> None:
    """Raise BadInput where a reranker needs what the policy does not give, or a transform gives what it cannot use."""
    if policy["kind"] in REFERENCE_ARMS:
        return
    fields = {name: value for name, value in policy.items() if name != "kind"}
    if transform:
        try:
            check_transforms(
                policy_class(policy["kind"]), [build_log_transform(each) for each in transform], fields
            )
        except BadInput as error:
            name = "transform or purge"
            raise BadInput(_among(str(error), where, name, "transform", "purge", "policy")) from None
    if rerank:
        try:
            check_chain(build_policy(policy), [build_reranker(each) for each in rerank])
        except BadInput as error:
            raise BadInput(_among(str(error), where, "rerank", "rerank", "policy")) from None


def _among(text: str, where: KeyPath, name: str, *about: str) -> Mistake:
    """Return a mistake told under a name, that any of these parts of an arm or of a switch can be behind."""
    return Mistake(text, (*where, name), tuple((*where, part) for part in about))


def _policy_config(kind: str) -> type[BaseModel]:
    return REFERENCE_ARMS[kind][0] if kind in REFERENCE_ARMS else policy_class(kind).Config


def _reranker_config(kind: str) -> type[BaseModel]:
    return reranker_class(kind).Config


def _transform_config(kind: str) -> type[BaseModel]:
    return log_transform_class(kind).Config


def _filled(
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
