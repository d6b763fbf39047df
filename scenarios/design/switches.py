"""Check arms that change during their run (`switch`), and add the unswitched and fully switched arms next to them."""

from __future__ import annotations

from typing import Any

from ...agents.settings import WorldConfig
from ...analysis.switches import EVERYBODY, NOBODY
from ...errors import BadInput, KeyPath, Mistake, did_you_mean
from ..specs.study import PLATFORM_CHANGES, Arm, Study, SwitchConfig


def with_comparison_arms(study: Study) -> Study:
    """Return the study with comparison arms for its switched arms, after its own arms.

    Every arm with switches gets one arm without them ("· 0 %") and, if a switch affects a share of the users,
    one in which it affects all users ("· 100 %"), unless the study already has an equal arm. A switch for a group
    or a community stays as it is. Idempotent: arms with these names are recognized as comparison arms.
    """
    written = [arm for arm in study.arms if not _base_of(arm.name, study)]
    known = [(arm, arm) for arm in written]
    for arm in written:
        for comparison in [_without_switches(arm), _switched_for_all(arm)] if arm.switch else []:
            if not any(
                _same_settings(comparison, other) and not _varied(study, arm, base) for other, base in known
            ):
                known.append((comparison, arm))
    arms = [arm for arm, _ in known]
    return study if arms == study.arms else study.model_copy(update={"arms": arms})


def refresh_comparison_arms(point: Study) -> Study:
    """Return a grid point's study with its comparison arms rebuilt from their switched arms."""
    arms = []
    for arm in point.arms:
        base = _base_of(arm.name, point)
        if base is not None:
            arm = _without_switches(base) if arm.name.endswith(NOBODY) else _switched_for_all(base)
        arms.append(arm)
    return point.model_copy(update={"arms": arms})


def _without_switches(arm: Arm) -> Arm:
    return arm.model_copy(update={"name": arm.name + NOBODY, "switch": []})


def _switched_for_all(arm: Arm) -> Arm:
    switches = [
        switch if isinstance(switch.users, str) else switch.model_copy(update={"users": 1.0})
        for switch in arm.switch
    ]
    return arm.model_copy(update={"name": arm.name + EVERYBODY, "switch": switches})


def _same_settings(first: Arm, second: Arm) -> bool:
    return first.model_dump(exclude={"name"}) == second.model_dump(exclude={"name"})


def _base_of(name: str, study: Study) -> Arm | None:
    for arm in study.arms:
        if arm.switch and name in (arm.name + NOBODY, arm.name + EVERYBODY):
            return arm
    return None


def _varied(study: Study, *arms: Arm) -> bool:
    """Return whether a key varies in one of the arms only; keys that vary in all arms keep equal arms equal."""
    places = {f"arms[{i}]" for i, arm in enumerate(study.arms) if arm in arms}
    places |= {f"arms[{arm.name}]" for arm in arms}
    varied = [*study.grid, *(key for table in study.zip for key in table)]
    varied += study.uncertainty.priors if study.uncertainty else ()
    return any(key.startswith(tuple(places)) for key in varied)


def check_switches(study: Study, place: int) -> None:
    """Raise BadInput for impossible switches of the arm with index `place`."""
    arm = study.arms[place]
    for number, switch in enumerate(arm.switch):
        where: KeyPath = ("arms", place, "switch", number)
        if switch.round >= study.rounds:
            text = (
                f"round {switch.round} is never reached: the study has rounds 0 to {study.rounds - 1}. "
                "Switch earlier, or raise rounds"
            )
            raise BadInput(_field_mistake(text, where, "round", ("rounds",)))
        if switch.until is not None and switch.until > study.rounds:
            text = f"the study ends before round {switch.until} (rounds = {study.rounds}); leave it out"
            raise BadInput(_field_mistake(text, where, "until", ("rounds",)))
        if switch.ramp and switch.round + switch.ramp > (switch.until or study.rounds):
            text = (
                f"{switch.ramp} rounds from round {switch.round} on do not fit: its share would never be reached "
                f"before round {switch.until or study.rounds}. Shorten the ramp, or switch earlier"
            )
            raise BadInput(
                _field_mistake(text, where, "ramp", (*where, "round"), (*where, "until"), ("rounds",))
            )
        frozen = {**study.platform.model_dump(), **arm.platform}["learn_from"] == "warmup"
        shared = [name for name in PLATFORM_CHANGES if name in switch.changed]
        if frozen and shared:
            text = (
                'platform.learn_from = "warmup" learns once, in round 0; there is nothing to change about that '
                f"later. Remove {shared[0]}"
            )
            learn_from = ("platform", "learn_from")
            raise BadInput(_field_mistake(text, where, shared[0], learn_from, ("arms", place, *learn_from)))
        _check_users(study, switch, where)
        for other in range(number):
            _check_overlap(arm.switch[other], switch, where, other)


def _field_mistake(text: str, where: KeyPath, field: str, *others: KeyPath) -> Mistake:
    """Return a mistake at a field of a switch; `others` are keys that may also have caused it."""
    path = (*where, field)
    return Mistake(text, path, (path, *others))


def _check_users(study: Study, switch: SwitchConfig, where: KeyPath) -> None:
    if not isinstance(switch.users, str):
        return
    kind, _, name = switch.users.partition("=")
    world = study.world if isinstance(study.world, WorldConfig) else None
    if kind == "group":
        groups = [group.name for group in world.groups] if world else []
        if name not in groups:
            allowed = ", ".join(groups) or "none: this world has no groups"
            text = f'there is no group "{name}".{did_you_mean(name, groups)} Allowed: {allowed}'
            raise BadInput(_field_mistake(text, where, "users", ("world", "groups")))
    elif world and int(name) >= world.communities:
        text = (
            f"there is no community {name}; world.communities = {world.communities}, so they are 0 to "
            f"{world.communities - 1}"
        )
        raise BadInput(_field_mistake(text, where, "users", ("world", "communities")))
    elif world and -(-int(name) * world.users // world.communities) * world.communities // world.users != int(
        name
    ):
        text = f"no user is in community {name}: there are {world.communities} communities and {world.users} users"
        raise BadInput(_field_mistake(text, where, "users", ("world", "communities"), ("world", "users")))


def _check_overlap(first: SwitchConfig, second: SwitchConfig, where: KeyPath, other: int) -> None:
    """Raise BadInput if two switches change the same setting for the same users at the same time.

    where: path of the second; other: index of the first.
    """
    both = sorted((first.changed & second.changed) - {"purge"})
    apart = (
        isinstance(first.users, str)
        and isinstance(second.users, str)
        and first.users.split("=")[0] == second.users.split("=")[0]
        and first.users != second.users
    )
    if not both or apart:
        return
    early, late = sorted((first, second), key=lambda switch: switch.round)
    wrong = ""
    if late.round < early.round + max(early.ramp, 1):
        wrong = (
            f"both change {both[0]} from round {late.round} on"
            + (f" (one of them still ramps, to round {early.round + early.ramp})" if early.ramp else "")
            + "; start one after the other, or name different groups or communities in users"
        )
    elif early.until is not None and late.until is not None and late.round < early.until < late.until:
        wrong = (
            f"both change {both[0]}, and one ends in round {early.until} while the other is on (rounds {late.round} "
            f"to {late.until - 1}); let one end where the other starts"
        )
    if wrong:
        one = (*where[:-1], other)
        raise BadInput(Mistake(f"overlaps with switch[{other}]: {wrong}", where, (one, where)))


def switched_policy(arm: Arm, switch: SwitchConfig) -> dict[str, Any]:
    """Return the full policy after a switch; without a kind, the switch changes fields of the arm's own policy."""
    given = switch.policy or {}
    return dict(given) if "kind" in given else {**arm.policy, **given}


def tested_share(arm: Arm) -> float | None:
    """Return the share of users that an A/B test switches; None if the arm is not an A/B test.

    An arm is an A/B test if all its switches affect the same share of the users and none affects all users.
    """
    shares = {switch.users for switch in arm.switch}
    only_users = not any(switch.changed & set(PLATFORM_CHANGES) for switch in arm.switch)
    share = next(iter(shares), None)
    one = len(shares) == 1 and isinstance(share, float) and share < 1
    return share if one and only_users and isinstance(share, float) else None


def slates_of(arm: Arm) -> list[int]:
    """Return the slate lengths that an arm's switches set."""
    return [switch.slate for switch in arm.switch if switch.slate is not None]
