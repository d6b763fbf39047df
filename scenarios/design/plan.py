"""Expand a study into its runs: arms × grid points × seeds, each with a key that hashes all inputs of its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...disk import input_digest, json_digest
from ...keys import set_value
from ...wording import slug
from ..code.identity import Identities, identify
from ..code.study_code import named_code
from ..model_version import MODEL_VERSION
from ..specs.data_files import input_files
from ..specs.study import Arm, Study
from .drawn_studies import drawn_studies
from .draws import world_seed
from .grid import grid_points
from .run import PlannedRun
from .switches import slates_of


def seeds_of(study: Study) -> list[int]:
    """Return the seeds of a study as a list."""
    return list(range(study.seeds)) if isinstance(study.seeds, int) else list(study.seeds)


def expand(
    study: Study, digests: Mapping[str, str] | None = None, code: Identities | None = None
) -> list[PlannedRun]:
    """Return all runs in the order of the tables: arm, grid point, seed.

    Two runs share a key if a grid key does not affect an arm: they are executed once and appear at each of
    their grid points. digests: path → hash of data files that need not be read again. code: what identifies the
    code that the study names (`scenarios.code.study_code.identities`); without it the keys do not cover that code.
    Raises BadInput if a data file cannot be read.
    """
    return list(_expand(study, dict(digests or {}), code))


def with_seeds(plan: Sequence[PlannedRun], seeds: Sequence[int]) -> list[PlannedRun]:
    """Return the runs of a plan with one of these seeds, as `expand` would for a study with only these seeds."""
    wanted = set(seeds)
    return [run for run in plan if run.seed in wanted]


def _expand(study: Study, digests: dict[str, str], code: Identities | None) -> Iterator[PlannedRun]:
    seeds = seeds_of(study)
    points = [(values, drawn_studies(study, point, seeds)) for values, point in grid_points(study)]
    for number, named in enumerate(study.arms):
        for values, drawn in points:
            cell, own, previous = {}, {}, None
            for seed, (seed_study, draw) in zip(seeds, drawn, strict=True):
                arm = seed_study.arms[number]
                if seed_study is not previous:
                    own = _own_code(arm, code)
                    cell, previous = cell_of(seed_study, arm, digests), seed_study
                    # Runs of built-in components keep the keys that they had before keys covered code.
                    cell |= {"code": own} if own else {}
                world = world_seed(study.uncertainty, seed)
                digest = json_digest({**cell, "seed": world})
                title = f"{slug(named.name)[:40].strip('-')}-seed{world}"
                prefix_key = f"{title}-{prefix_digest(cell, world)[:20]}"
                yield PlannedRun(
                    f"{title}-{digest[:20]}",
                    seed_study,
                    arm,
                    seed,
                    values,
                    prefix_key,
                    draw=draw,
                    world=world,
                    code=own,
                )


def _own_code(arm: Arm, code: Identities | None) -> Identities:
    """Return what identifies the code that an arm names; only what a prior draws may be missing in `code`."""
    if code is None:
        return {}
    named = named_code([arm])
    names = sorted({*named.targets, *named.files, *named.services})
    return {name: code[name] if name in code else identify(name) for name in names}


def cell_of(study: Study, arm: Arm, digests: dict[str, str]) -> dict[str, Any]:
    """Return what determines the results of an arm at a grid point, apart from the seed.

    Data files are identified by their content, not by their name. digests: path → hash, filled as files are read.
    """
    data = study.model_dump(
        mode="json", include={"rounds", "world", "behavior", "platform", "measures", "split_by"}
    )
    # Its values are written out.
    data["world"].pop("preset", None)
    for key, path in input_files(study).items():
        if path not in digests:
            digests[path] = input_digest(Path(path))
        set_value(data, key, f"sha256 {digests[path]}")
    # The world is generated for the widest slate of the study, so that all arms run in the same world.
    described = arm.model_dump(mode="json")
    for name in ("transform", "switch"):
        if not described[name]:
            # Results from before these settings existed keep their keys.
            del described[name]
    return {"model": MODEL_VERSION, **data, "arm": described, "widest_slate": widest_slate(study)}


def prefix_digest(cell: Mapping[str, Any], seed: int | None = None) -> str:
    """Return a hash of all inputs of a run except its number of rounds and the model version.

    cell: from `cell_of`. Of two runs with the same hash, the shorter one is a prefix of the longer one (cells, if
    there is no seed).
    """
    rest = {name: value for name, value in cell.items() if name not in ("rounds", "model")}
    return json_digest(rest if seed is None else {**rest, "seed": seed})


def widest_slate(study: Study) -> int:
    """Return the longest slate of any arm in any round."""
    slates = [{**study.platform.model_dump(), **arm.platform}["slate"] for arm in study.arms]
    return max([*slates, *(length for arm in study.arms for length in slates_of(arm))])


def study_digest(study: Study) -> str:
    """Return the hash of a whole study, as recorded in the manifest."""
    return json_digest(study.model_dump(mode="json"))
