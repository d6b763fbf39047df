"""Apply draws from the priors to a study, and check the study at the bounds of every prior and at every draw."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...analysis.sensitivity.priors import describe_prior
from ...config import plain
from ...errors import BadInput, Mistake
from ...keys import expand_key, set_value
from ...wording import counted, short, toml
from ..specs.overrides import Override
from ..specs.study import LogConfig, Study
from ..specs.uncertainty import Prior, Uncertainty, is_number
from ..specs.validation import validate_study
from .components import spell_out
from .draws import LAST_SEED, draws_of, world_seed
from .grid import grid_points
from .joint_rows import place_of
from .switches import refresh_comparison_arms

PROBE = 0.381966
"""Position between low and high at which a prior is tested for non-integer values."""


def spell_out_uncertainty(study: Study, point: Study, label: str) -> Study:
    """Return a study with its uncertainty spelled out, after checking both bounds of every prior.

    Spelled out: whether a prior draws whole numbers, and the number of seeds that a Saltelli design needs.
    point: the study without uncertainty in which the bounds are tried, one at a time. Raises BadInput with one
    line per mistake.
    """
    if study.uncertainty is None:
        return study
    wrong: list[Mistake] = []
    priors = {}
    for key, prior in study.uncertainty.priors.items():
        if prior.choice is None and prior.sample is None and prior.whole is None:
            prior = prior.model_copy(update={"whole": _is_whole(point, key, prior)})
        for text, value in _bounds(prior):
            if _problem(point, {key: value}, "") and _problem(point, _row(study.uncertainty, key, value), ""):
                where = _where(study.uncertainty, key, value, text)
                problem = _problem(point, {key: value}, f"{label}: {where}")
                wrong += problem.mistakes if problem else ()
                break
        priors[key] = prior
    if wrong:
        raise BadInput(*wrong)
    config = study.uncertainty.model_copy(update={"priors": priors})
    return study.model_copy(update={"uncertainty": config, "seeds": _seeds(study, label)})


def _where(config: Uncertainty, key: str, value: Any, text: str) -> str:
    """Return the place of a value that a prior can draw, for messages; of joint rows with the row in the file."""
    if config.sample is not None and config.priors[key].sample is not None:
        return f"uncertainty.sample: {config.sample}, {place_of(config.sample, key, value)}"
    return f'uncertainty.priors."{key}" {text}'


def _row(config: Uncertainty, key: str, value: Any) -> dict[str, Any]:
    """Return what is drawn with a value of a key: the first joint row that has it, or the value alone."""
    rows = {each: prior.sample for each, prior in config.priors.items() if prior.sample is not None}
    if key not in rows:
        return {key: value}
    at = rows[key].index(value)
    return {each: values[at] for each, values in rows.items()}


def _bounds(prior: Prior) -> list[tuple[str, Any]]:
    if prior.choice is not None:
        return [(f"has the choice {short(toml(value))}", value) for value in prior.choice]
    if prior.sample is not None:
        # Of numbers one that is not whole, if any, and the ends; what seeds draw is checked row by row.
        listed = list(dict.fromkeys(prior.sample))
        if all(map(is_number, listed)):
            broken = next((value for value in listed if value != int(value)), listed[0])
            listed = [broken, min(listed), max(listed)]
        return [(f"has {short(toml(value))} in a row", value) for value in listed]
    bounds = [int(bound) if prior.whole and bound == int(bound) else bound for bound in prior.bounds]
    return [(f"reaches {bound:g}", bound) for bound in bounds]


def _is_whole(point: Study, key: str, prior: Prior) -> bool:
    """Return whether a key accepts only whole numbers: a bound is valid and a value in between is not."""
    low, high = prior.bounds
    tried = low + PROBE * (high - low)
    if _problem(point, {key: tried}, "") is None:
        return False
    return any(_problem(point, {key: int(end)}, "") is None for end in (low, high) if end == int(end))


def _problem(point: Study, values: Mapping[str, Any], source: str) -> BadInput | None:
    """Return the error of a study with these values; None if it is valid."""
    try:
        with_values(point)(values, lambda _: source)
    except BadInput as error:
        return error
    return None


def _seeds(study: Study, label: str) -> int | list[int]:
    """Return the seeds of a study, or the number that its Saltelli design needs."""
    config = study.uncertainty
    needed = config.seeds_needed if config else None
    if config is None or needed is None:
        most = study.seeds - 1 if isinstance(study.seeds, int) else max(study.seeds)
        if most > LAST_SEED:
            raise BadInput(
                f"{label}: seeds: with [uncertainty] a seed is the number of a draw, 0 to {LAST_SEED}, but one is {most}"
            )
        return study.seeds
    sum_ = (
        f"{config.base} × {config.rows_per_pair} rows × {counted(config.replicates, 'replicate')} = {needed} seeds "
        f"for {counted(len(config.priors), 'prior')}"
    )
    if needed > 100_000:
        raise BadInput(f"{label}: uncertainty: {sum_}; at most 100000 are allowed. Lower base or replicates")
    if "seeds" in study.model_fields_set and study.seeds not in (needed, list(range(needed))):
        given = study.seeds if isinstance(study.seeds, int) else f"a list of {len(study.seeds)}"
        raise BadInput(
            f'{label}: seeds = {given}: design = "saltelli" needs {sum_}. Leave seeds out, or set seeds = {needed}; '
            "for fewer runs lower uncertainty.base or uncertainty.replicates"
        )
    return needed


def check_overrides(study: Study, overrides: Iterable[Override]) -> None:
    """Raise BadInput for an option that sets a key with a prior: every draw would override it."""
    drawn = study.uncertainty.priors if study.uncertainty else {}
    for option, key, _ in overrides:
        if key in drawn:
            raise BadInput(
                f'{option}: "{key}" has a prior, whose draws override this value. To keep it at one value '
                f"set the prior to a single choice: uncertainty.priors.{key} = {{ choice = [value] }}"
            )


def with_values(point: Study) -> Callable[[Mapping[str, Any], Callable[[str], str]], Study]:
    """Return a function that sets values (dotted key → value) in a study and validates the result.

    Its second argument maps a key to the source of its value, for messages.
    """
    base = plain(point.model_dump(mode="json", exclude_none=True), "study")
    text = json.dumps(base)

    def put(values: Mapping[str, Any], source_of: Callable[[str], str]) -> Study:
        data = json.loads(text)  # The fastest deep copy.
        placed = [
            (set_value(data, each, plain(value, source_of(key))), source_of(key))
            for key, value in values.items()
            for each in expand_key(base, key)
        ]
        study = refresh_comparison_arms(validate_study(data, "", placed))
        spell_out(study, "", placed)
        return study

    return put


def drawn_studies(study: Study, point: Study, seeds: Iterable[int]) -> list[tuple[Study, dict[str, Any]]]:
    """Return for every seed (the study at a design point with the seed's draw applied, the draw).

    Without uncertainty, the same study and an empty draw for all seeds. Raises BadInput, with the seed and its
    draw, if drawn values are invalid in combination.
    """
    seeds = list(seeds)
    if study.uncertainty is None:
        return [(point, {})] * len(seeds)
    put = with_values(point)
    found = []
    for seed, draw in zip(seeds, draws_of(study.uncertainty, seeds), strict=True):
        try:
            found.append((put(draw, study.uncertainty.source), draw))
        except BadInput as error:
            raise _at_draw(error, seed, draw) from None
    return found


def _at_draw(error: BadInput, seed: int, draw: Mapping[str, Any]) -> BadInput:
    values = ", ".join(
        f"{key} = {value:.4g}" if isinstance(value, float) else f"{key} = {short(toml(value))}"
        for key, value in draw.items()
    )
    about = [("uncertainty", "priors", key) for key in draw]
    return BadInput(
        f"uncertainty: what seed {seed} draws does not go together ({values}): {error}", about=about
    )


def study_at_seed(study: Study, seed: int) -> tuple[Study, int]:
    """Return a study with one seed's draw applied, ignoring grid and zip tables, and the seed of its random numbers."""
    plain_one = study.model_copy(update={"grid": {}, "zip": [], "uncertainty": None})
    needed = study.uncertainty.seeds_needed if study.uncertainty else None
    if needed is not None and seed >= needed:
        raise BadInput(f'seed = {seed}: design = "saltelli" has seeds 0 to {needed - 1}')
    found, _ = drawn_studies(study, plain_one, [seed])[0]
    return found, world_seed(study.uncertainty, seed)


def check_draws(study: Study, seeds: Iterable[int], check: Callable[[Study], Any]) -> None:
    """Check every drawn study before any run; raises BadInput with the seed and its draw.

    check: checks what the schema cannot (files, sizes relative to each other). Worlds from a log are checked only
    at the bounds of priors over the world, because every draw would require the log to be filtered again.
    """
    if study.uncertainty is None:
        return
    seeds = list(seeds)
    for _, point in grid_points(study):
        if isinstance(point.world, LogConfig):
            drawn_studies(study, point, seeds)
            put = with_values(point)
            for key, prior in study.uncertainty.priors.items():
                if key.startswith("world.") or key == "platform.slate":
                    for text, value in _bounds(prior):
                        where = _where(study.uncertainty, key, value, text)
                        try:
                            check(put(_row(study.uncertainty, key, value), lambda _, where=where: where))
                        except BadInput as error:
                            about = [("uncertainty", "priors", key)]
                            raise BadInput(f"{where}: {error}", about=about) from None
            continue
        for seed, (drawn, draw) in zip(seeds, drawn_studies(study, point, seeds), strict=True):
            try:
                check(drawn)
            except BadInput as error:
                raise _at_draw(error, seed, draw) from None


def design_notes(study: Study) -> list[str]:
    """Return notes that readers of the tables need about the design; empty unless it is Saltelli's."""
    config = study.uncertainty
    if config is None or config.design != "saltelli":
        return []
    worlds = counted(config.replicates, "world")
    averaged = f"each averaged over its {counted(config.replicates, 'replicate')}"
    note = (
        f"Saltelli's design: comparisons, curves and intervals rest on the {2 * config.base} independent rows of "
        f"{config.base * config.rows_per_pair}, {averaged}. All rows have the same random numbers, so they hold for "
        f"{'this' if config.replicates == 1 else 'these'} {worlds}: how much worlds differ is not in the intervals."
    )
    return [note]


def describe_design(study: Study) -> str:
    """Return "4 design points, 3 priors drawn for 64 seeds, " without the parts that do not apply."""
    points = len(grid_points(study))
    parts = [counted(points, "design point")] if points > 1 else []
    config = study.uncertainty
    if config is not None and config.design == "saltelli":
        pairs, replicates = counted(config.base, "pair"), counted(config.replicates, "replicate")
        parts.append(
            f"{counted(len(config.priors), 'prior')} in {pairs} of draws × {config.rows_per_pair} rows × {replicates}"
        )
    elif config is not None:
        seeds = study.seeds if isinstance(study.seeds, int) else len(study.seeds)
        rows = _joint_rows(config)
        alone = [prior for prior in config.priors.values() if prior.sample is None]
        drawn = [*([rows] if rows else []), *([counted(len(alone), "prior")] if alone else [])]
        parts.append(f"{' and '.join(drawn)} drawn for {counted(seeds, 'seed')}")
    return "".join(f"{part}, " for part in parts)


def _joint_rows(config: Uncertainty) -> str:
    """Return "512 joint rows of 12 keys"; empty without any."""
    samples = [prior.sample for prior in config.priors.values() if prior.sample is not None]
    return f"{counted(len(samples[0]), 'joint row')} of {counted(len(samples), 'key')}" if samples else ""


def describe_uncertainty(study: Study) -> list[str]:
    """Return a description of a study's uncertainty: one line about the design, then one per prior."""
    config = study.uncertainty
    if config is None:
        return []
    if config.design == "saltelli":
        how = (
            f"Saltelli's design: {config.base} pairs of draws × {config.rows_per_pair} rows × "
            f"{counted(config.replicates, 'replicate')}"
        )
    else:
        sampler = (
            "Sobol' points" if config.sampler == "sobol" else f"Latin hypercubes of {config.block} seeds"
        )
        rows = _joint_rows(config)
        named = f"; {rows} from {config.sample}" if config.sample else f"; {rows}"
        how = f"{sampler}, one draw per seed{named if rows else ''}"
    return [how, *(f"{key}: {describe_prior(prior.model_dump())}" for key, prior in config.priors.items())]


def without_rows(study: Study) -> Study:
    """Return a study with the name of its file of joint rows instead of the rows, to be shown."""
    config = study.uncertainty
    if config is None or config.sample is None:
        return study
    priors = {key: prior for key, prior in config.priors.items() if prior.sample is None}
    return study.model_copy(update={"uncertainty": config.model_copy(update={"priors": priors})})
