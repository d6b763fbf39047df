"""`echodrift list`, `echodrift schema` and `echodrift describe`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ...errors import BadInput, did_you_mean
from ..study_options import Debug, NoCode, Set, overrides_of


class Listed(StrEnum):
    """What can be listed."""

    policies = "policies"
    rerankers = "rerankers"
    transforms = "transforms"
    measures = "measures"
    studies = "studies"
    worlds = "worlds"


def list_(
    what: Annotated[Listed, typer.Argument(help="What to list.")],
    debug: Debug = False,
) -> None:
    """List policies, rerankers, log transforms, measures, or the studies and worlds that come with echodrift."""
    from .. import catalog

    rows = {
        Listed.policies: catalog.policies,
        Listed.rerankers: catalog.rerankers,
        Listed.transforms: catalog.transforms,
        Listed.measures: catalog.measures,
        Listed.studies: catalog.studies,
        Listed.worlds: catalog.worlds,
    }[what]()
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        print(f"{name:<{width}}  {text}".rstrip())


def schema(debug: Debug = False) -> None:
    """Print the JSON Schema of study files, for editors."""
    import json

    from ...scenarios.specs.study import Study

    print(json.dumps(Study.model_json_schema(), indent=2, ensure_ascii=False))


def describe(
    study: Annotated[
        str,
        typer.Argument(
            metavar="[STUDY | WORLD | KIND]",
            help="A study, a world from `list worlds`, the kind of a policy, reranker or log transform, or a measure.",
        ),
    ] = "default",
    changes: Set = None,
    no_code: NoCode = False,
    debug: Debug = False,
) -> None:
    """Say what a study does (arms, runs, world, every setting), what a world is like, or what a kind does or measures."""
    from ...scenarios.design.load import load_study
    from ...scenarios.specs.files import library, presets
    from ..catalog import describe
    from ..component_help import describe_component
    from ..preset_help import describe_preset, is_preset

    if no_code and ":" in study:
        raise BadInput(f"{study} names code, which --no-code refuses")
    if is_preset(study):
        if changes:
            raise BadInput(f"--set changes a study, and {study} is a world")
        print(describe_preset(study))
        return
    page = None if study in library() or study.endswith(".toml") else describe_component(study)
    if page is None and not changes and study not in library() and "." not in study and "/" not in study:
        from ..component_help import kinds_with_help

        raise BadInput(
            f'there is no study, world, policy, reranker, log transform or measure "{study}".'
            f"{did_you_mean(study, [*library(), *presets(), *kinds_with_help()])} See echodrift list studies | worlds | "
            "policies | rerankers | transforms | measures; a path to a study ends in .toml"
        )
    if page is not None and changes:
        raise BadInput(f"--set changes a study, and {study} is a kind")
    print(page or describe(load_study(study, overrides_of(changes), no_code=no_code)))
