"""Build what a study describes: worlds, recommenders, simulations and Mesa models."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ...agents.behavior import RARE, Behavior
from ...agents.categorical import topic_weights
from ...agents.certainty import check_search
from ...agents.generate import check_consideration, check_world
from ...agents.settings import WorldConfig
from ...agents.users import Users
from ...agents.world import World
from ...analysis.recording.recorder import Recorder
from ...complaints import mistakes
from ...errors import BadInput, KeyPath, Mistake, Mistakes
from ...machine import blas_on_one_thread
from ...policies.base import LogTransform, Policy
from ...policies.interactions import Blocked, InteractionLog, Interactions
from ...policies.outside.http_policy import check_token
from ...policies.registry import build_log_transform, build_policy, build_reranker, inspected, is_built_in
from ...policies.rerankers.chain import check_chain
from ...policies.transforms.weights import check_transforms
from ...sim import checkpoint
from ...sim.learning import NO_CREATORS
from ...sim.loop import RoundState, Simulation
from ...sim.platform import Platform
from ...sim.recommender import REFERENCE_ARMS, NoRecommender, PolicyRecommender, Recommender
from ...sim.schedule import STREAM, Schedule, Switch
from ...sim.state import State, add_prefix, select_prefix
from ...sim.streams import Streams
from ...sim.switching import Switching
from ..code.study_code import components
from ..design.plan import widest_slate
from ..design.switches import switched_policy, tested_share
from ..specs.study import Arm, LogConfig, Study
from .first_log import start_of
from .run_size import LOG_TOPICS

if TYPE_CHECKING:
    from ...sim.model import FeedbackLoop


class Run:
    """One arm × seed, ready to step."""

    def __init__(self, study: Study, arm: Arm, seed: int) -> None:
        began = time.perf_counter()
        self.rounds = study.rounds
        with blas_on_one_thread():
            self.simulation, self._world_notes = build_simulation(study, arm, seed)
            parts = _treated(self.simulation, arm)
            self.recorder = Recorder(self.simulation, study.measures, study.split_by, parts)
        self._build_seconds = time.perf_counter() - began

    @property
    def notes(self) -> list[str]:
        """Notes for the report about the world and the policy's fits so far."""
        return [*self._world_notes, *self.simulation.recommender.remarks]

    def step(self) -> dict[str, float]:
        """Run one round and return its row of measures."""
        self.simulation.step()
        return self.recorder.rows[-1]

    def summaries(self) -> dict[str, float]:
        """Return numbers about the whole run beside the means of its measures."""
        # Observed anew: a run that is resumed after its last round has not made an observation.
        now = RoundState(self.simulation.round)
        self.simulation.observe(now)
        return self.simulation.recommender.summaries(now.seen)

    def tables(self) -> dict[str, dict[str, Any]]:
        """Return the run's tables beside its rounds: name → column → values (see `Recorder.tables`)."""
        return self.recorder.tables()

    def phases(self) -> dict[str, float]:
        """Return phase → wall seconds so far; "build" comes first: world, warm-up, recorder."""
        return {"build": self._build_seconds, **self.simulation.seconds}

    @property
    def rows(self) -> list[dict[str, float]]:
        """The rows of measures so far."""
        return self.recorder.rows

    def state(self) -> State | None:
        """Return all state that rounds have changed; None if the policy cannot export its state."""
        simulation = checkpoint.state(self.simulation)
        if simulation is None:
            return None
        return add_prefix("simulation", simulation) | add_prefix("recorder", self.recorder.state())

    def restore(self, kept: State) -> None:
        """Load what `state` returned into a run of the same study before its first round."""
        with blas_on_one_thread():
            checkpoint.restore(self.simulation, select_prefix("simulation", kept))
            self.recorder.restore(select_prefix("recorder", kept))


def _treated(simulation: Simulation, arm: Arm) -> dict[str, NDArray[np.bool_]]:
    """Return masks of treated and untreated users if the arm's switch is an A/B test."""
    recommender, share = simulation.recommender, tested_share(arm)
    if share is None or not isinstance(recommender, Switching):
        return {}
    treated = recommender.schedule.users_in_share(share)
    if treated.all() or not treated.any():
        return {}
    return {"treated=yes": treated, "treated=no": ~treated}


def build_run(study: Study, arm: Arm, seed: int) -> Run:
    """Return a run; grid values are already set in the study."""
    return Run(study, arm, seed)


def build_loop(study: Study, arm: Arm, seed: int) -> FeedbackLoop:
    """Return the same run as a Mesa model."""
    from ...sim.model import FeedbackLoop

    run = Run(study, arm, seed)
    return FeedbackLoop(run.simulation, run.recorder)


def check_study(study: Study) -> list[str]:
    """Check what the schema cannot: components, slate against catalog, files of the world.

    Returns notes about the files: their sizes, and what was left out or merged.
    """
    wrong = Mistakes()
    for arm in study.arms:
        with wrong.collect():
            _inspect(arm)
        with wrong.collect():
            arm_platform(study, arm)
        with wrong.collect():
            _check_tokens(study, arm)
    if wrong.found:
        wrong.report()
    notes: list[str] = []
    topics: int | None = None
    providers: int | None = 0
    with wrong.collect():
        slate, world = widest_slate(study), study.world
        check_consideration(study.behavior, slate)
        if isinstance(world, WorldConfig):
            topics, providers = world.topics, world.providers if _has_providers(world) else 0
            if world.creators is not None and world.creators.entry:
                providers = None
            check_world(world, study.behavior, slate, study.rounds)
        else:
            notes, providers = check_log(world, study.behavior, slate)
    for place in range(len(study.arms)):
        with wrong.collect():
            _check_arm_in_world(study, place, topics, providers)
    wrong.report()
    return notes


def _check_tokens(study: Study, arm: Arm) -> None:
    """Raise BadInput if an environment variable that an arm's services need is missing."""
    place = study.arms.index(arm)
    policies = [("policy", arm.policy)]
    policies += [("switch", switched_policy(arm, switch)) for switch in arm.switch if switch.policy]
    for key, policy in policies:
        try:
            check_token(policy)
        except BadInput as error:
            raise BadInput(Mistake(str(error), ("arms", place, key))) from None


def _inspect(arm: Arm) -> None:
    """Check the components of an arm without calling any code that is not echodrift's."""
    try:
        if arm.policy.get("kind") in REFERENCE_ARMS:
            _reference_arm(arm.policy["kind"], dict(arm.policy), arm.rerank)
        for category, spec in components(arm):
            inspected(category, spec)
    except BadInput as error:
        raise BadInput(f'arm "{arm.name}": {error}') from None


def _check_arm_in_world(study: Study, place: int, topics: int | None, providers: int | None) -> None:
    """Raise BadInput for settings of an arm that do not fit the world or the platform."""
    arm = study.arms[place]
    platform = arm_platform(study, arm)
    if platform.cold_start and not _renews(study):
        text = "needs a catalog that renews: nothing is ever newborn here. Set world.arrivals above 0 (or add [world.creators])"
        raise BadInput(_about_platform(place, "cold_start", text, ("world", "arrivals")))
    if platform.cold_start >= platform.slate:
        text = f"must be below the slate ({platform.slate}), or nothing is recommended"
        raise BadInput(_about_platform(place, "cold_start", text, ("arms", place, "platform", "slate")))
    if platform.learn_from == "organic" and getattr(study.world, "creators", None) is not None:
        raise BadInput(_about_platform(place, "learn_from", NO_CREATORS, ("world", "creators")))
    reranks, transforms = list(_specs(arm, "rerank")), [*_specs(arm, "transform"), *_specs(arm, "purge")]
    for path, spec in reranks:
        if not is_built_in("rerankers", spec["kind"]):
            continue
        try:
            build_reranker(spec).check_world(topics, providers)
        except BadInput as error:
            where: KeyPath = ("arms", place, *path)
            raise BadInput(Mistake(str(error), where, (where, ("world",)))) from None
    for path, spec in transforms:
        if not platform.keep_exposures and inspected("log_transforms", spec).reads_slates is True:
            text = f"must be at least 1 for {spec['kind']}, which reads the slates that were shown"
            raise BadInput(_about_platform(place, "keep_exposures", text, ("arms", place, *path)))


def _renews(study: Study) -> bool:
    """Return whether items are born during the study."""
    return study.world.arrivals > 0 or getattr(study.world, "creators", None) is not None


def _has_providers(world: WorldConfig) -> bool:
    """Return whether some provider has two items in practically every seed (on average, 20 pairs of items share one)."""
    shares = topic_weights(world.providers, 1.0)
    return world.items * (world.items - 1) / 2 * float(shares @ shares) >= 20


def _about_platform(place: int, field: str, text: str, *others: KeyPath) -> Mistake:
    """Return a mistake at a field of an arm's platform, which the study's platform or others may have caused."""
    path = ("arms", place, "platform", field)
    return Mistake(text, path, (path, ("platform", field), *others))


def _specs(
    arm: Arm, part: Literal["rerank", "transform", "purge"]
) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """Yield (path in the arm, spec) of the rerankers or log transforms of an arm and of its switches."""
    yield from (((part, number), spec) for number, spec in enumerate(getattr(arm, part, [])))
    for place, switch in enumerate(arm.switch):
        specs = getattr(switch, part) or []
        yield from ((("switch", place, part, number), spec) for number, spec in enumerate(specs))


def build_simulation(study: Study, arm: Arm, seed: int) -> tuple[Simulation, list[str]]:
    """Return the simulation of one arm and seed, and notes about its world for the report."""
    platform = arm_platform(study, arm)
    recommender = build_recommender(arm)
    streams = Streams(seed)
    world, history, warm, notes = build_start(study, streams)
    if arm.switch:
        recommender = build_switching(arm, platform.slate, world.users, streams)
    paired = None
    if platform.learn_from == "organic":
        # A separate world from the same random streams: what happens there never affects the arm's world.
        paired_streams = Streams(seed)
        its_world, its_history, its_warm, _ = build_start(study, paired_streams)
        plain = platform.model_copy(update={"learn_from": "all"})
        paired = Simulation(
            its_world, plain, NoRecommender(), paired_streams, study.rounds, its_history, warm=its_warm
        )
    rare = float((world.users.activity < RARE).mean())
    if rare > 0:
        notes.append(
            f"{rare:.1%} of the users visit less than once in {1 / RARE:.0f} rounds: means over visitors that count users "
            "equally leave them out"
        )
    return Simulation(world, platform, recommender, streams, study.rounds, history, paired, warm), notes


def build_start(
    study: Study, streams: Streams
) -> tuple[World, Interactions | None, tuple[InteractionLog, Blocked] | None, list[str]]:
    """Return the world of a seed, its history from a real log, else what its warm-up left, and notes about it."""
    if isinstance(study.world, WorldConfig):
        start = start_of(study, streams.seed)
        return start.world, None, (start.log, start.blocked), []
    from ..real_logs.twin import draw_world

    twin = _infer_once(_inference_key(study.world), study.behavior.match)
    slate = widest_slate(study)
    world, history = draw_world(study.world, study.behavior, streams, study.rounds, slate, twin)
    return world, history, None, list(twin.notes)


_NOT_INFERRED = {"tag_noise", "influence_spread", "arrivals", "retirements", "retire"}
"""Fields of a log world that inference does not depend on."""


def _inference_key(world: LogConfig) -> str:
    """Return the fields that inference depends on, so that a prior over any other field does not repeat it."""
    return world.model_dump_json(exclude=_NOT_INFERRED)


@lru_cache(maxsize=4)
def _infer_once(config: str, match: float):
    """Infer a log's world once per process; it depends neither on the seed nor on other behavior fields."""
    from ..real_logs.twin import infer_twin

    return infer_twin(LogConfig.model_validate_json(config), Behavior(match=match))


def check_log(config: LogConfig, behavior: Behavior, slate: int) -> tuple[list[str], int]:
    """Raise BadInput for files of a log that cannot be used, and for slates longer than its catalog or certain.

    Returns the size of the log after its filters with the notes of its files, and the number of providers that they
    name.
    """
    from ..real_logs.logs import read_log
    from ..real_logs.metadata import read_items, read_tags, read_ties

    log = read_log(config)
    size = f"{len(log.users):,} users, {len(log.items):,} items, {len(log.user):,} interactions"
    notes = [f"{config.log}: {size} after its filters.", *log.notes]
    providers = 0
    if config.items is not None:
        found = read_items(config.items, log.items, config.item_column)
        notes += found.notes
        providers = 0 if found.provider is None else int(found.provider.max(initial=-1)) + 1
    if config.tags is not None:
        notes += read_tags(config.tags, log.items, config.item_column)[2]
    if config.social is not None:
        notes += read_ties(config.social, log.users).notes
    if slate > len(log.items):
        raise BadInput(
            f"platform.slate = {slate} is larger than the catalog: {config.log} has {len(log.items)} items after "
            f"its filters. Set platform.slate to at most {len(log.items)}.",
            about=["platform.slate", "world.log", "world.min_rating", "world.user_core", "world.item_core"],
        )
    quality_sd = float(np.log(log.item_counts + 1.0).std())
    topics = LOG_TOPICS if config.topics == "auto" else config.topics
    inferred = {"items": len(log.items), "topics": topics, "quality_sd": quality_sd}
    like = WorldConfig().model_copy(update={**inferred, "idiosyncrasy": config.idiosyncrasy})
    check_search(like, behavior, slate, from_log=True)
    return notes, providers


def arm_platform(study: Study, arm: Arm) -> Platform:
    """Return the study's platform with the arm's overrides; the warm-up is the same for all arms."""
    if "warmup" in arm.platform:
        raise BadInput(
            f'arm "{arm.name}", platform.warmup: the warm-up is the same for every arm; set it in [platform]',
            about=[("arms", study.arms.index(arm), "platform", "warmup")],
        )
    try:
        return Platform(**{**study.platform.model_dump(), **arm.platform})
    except ValidationError as error:
        raise BadInput(*mistakes(error, Platform, f'arm "{arm.name}", platform')) from None


def build_recommender(arm: Arm) -> Recommender:
    """Return the recommender of an arm before any switch; errors name the arm."""
    try:
        return _recommender(arm.policy, arm.rerank, arm.transform)
    except BadInput as error:
        raise BadInput(f'arm "{arm.name}": {error}') from None


def build_switching(arm: Arm, slate: int, users: Users, streams: Streams) -> Switching:
    """Return the recommender of an arm with switches."""
    models, reranks = [arm.policy], [arm.rerank]
    switches = []
    for config in arm.switch:
        model = rerank = None
        if config.policy is not None:
            # Always a new model, even if its fields equal another's: it starts from nothing.
            model = len(models)
            models.append(switched_policy(arm, config))
        if config.rerank is not None:
            rerank = _index(reranks, config.rerank)
        share, among = (1.0, config.users) if isinstance(config.users, str) else (config.users, None)
        switches.append(
            Switch(
                round=config.round,
                until=config.until,
                ramp=config.ramp,
                share=share,
                among=among,
                model=model,
                rerank=rerank,
                slate=config.slate,
                recommend=config.recommend,
                retrain_every=config.retrain_every,
                transforms=None if config.transform is None else _transforms(config.transform),
                purge=_transforms(config.purge),
            )
        )
    transforms = _transforms(arm.transform)
    choices: dict[tuple[int, int], Recommender] = {}
    for model, policy in enumerate(models):
        first = None
        for number, rerank in enumerate(reranks):
            if policy["kind"] in REFERENCE_ARMS:
                choices[model, number] = first = first or _recommender(policy, [], [])
                continue
            built = first.policy if isinstance(first, PolicyRecommender) else build_policy(policy)
            made = _with_policy(built, rerank, transforms)
            first = first or made
            choices[model, number] = made
    schedule = Schedule(tuple(switches), users, streams.key(STREAM))
    return Switching(schedule, choices, slate, transforms)


def _index(known: list[Any], value: Any) -> int:
    """Return the position of a value in a list; a value that is not in it is appended."""
    if value not in known:
        known.append(value)
    return known.index(value)


def _transforms(specs: list[dict[str, Any]]) -> tuple[LogTransform, ...]:
    return tuple(build_log_transform(spec) for spec in specs)


def _recommender(
    policy: dict[str, Any], rerank: list[dict[str, Any]], transform: list[dict[str, Any]]
) -> Recommender:
    fields = dict(policy)
    kind = fields.get("kind")
    if kind in REFERENCE_ARMS:
        return _reference_arm(kind, fields, rerank)
    return _with_policy(build_policy(fields), rerank, _transforms(transform))


def _with_policy(
    policy: Policy, rerank: list[dict[str, Any]], transforms: tuple[LogTransform, ...]
) -> PolicyRecommender:
    """Return the recommender of a policy; BadInput if its parts say, once they are built, that they do not match."""
    rerankers = [build_reranker(spec) for spec in rerank]
    check_chain(policy, rerankers)
    check_transforms(type(policy), transforms, policy.config.model_dump(exclude_none=True))
    return PolicyRecommender(policy, rerankers, transforms)


def _reference_arm(kind: str, fields: dict[str, Any], rerank: list[dict[str, Any]]) -> Recommender:
    if rerank:
        raise BadInput(f'policy kind = "{kind}" is a reference arm and cannot be reranked. Remove `rerank`.')
    config, recommender, _ = REFERENCE_ARMS[kind]
    fields.pop("kind")
    try:
        config(**fields)
    except ValidationError as error:
        raise BadInput(*mistakes(error, config, f"policy {kind}")) from None
    return recommender(**fields)
