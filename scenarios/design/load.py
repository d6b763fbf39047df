"""Load studies from files, names or mappings with overrides, validate them, and write them as TOML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...config import plain
from ...errors import BadInput, KeyPath, Mistake, Mistakes
from ..code.study_code import refuse_code
from ..specs.data_files import with_absolute_paths
from ..specs.files import LIBRARY, find_study, read_toml
from ..specs.overrides import Override, apply_overrides
from ..specs.study import Study
from ..specs.validation import Placed, arm_names, traced, validate
from .all_mistakes import beside_components, beside_schema
from .components import spell_out
from .drawn_studies import check_overrides, spell_out_uncertainty
from .grid import VARIED, grid_points, varied_keys
from .joint_rows import fill_joint_rows
from .preset_values import as_written, fill_from_preset
from .switches import with_comparison_arms


def load_study(
    source: str | Path | Mapping[str, Any] | Study,
    overrides: Iterable[Override] = (),
    *,
    no_code: bool = False,
) -> Study:
    """Return a validated study from a path, the name of one in the library, a mapping, or a Study.

    overrides: replace values of the study, in order. What both leave out, the preset of the world fills in. Every key is
    checked, in the study and at every point of its grid. Paths to data and presets are made absolute: those in a file are relative to that file,
    all others to the current folder. no_code: refuse a study that names code, before that is imported. Raises
    BadInput with one line per mistake.
    """
    label, base = label_of(source), Path()
    if isinstance(source, Study):
        raw = as_written(source)
    elif isinstance(source, Mapping):
        raw = plain(source, "study")
    else:
        path = find_study(source)
        base = Path() if path.parent == LIBRARY else path.parent
        raw = plain(read_toml(path), label)
    data = with_absolute_paths(raw, base)
    overrides = list(overrides)
    _check_quotes(data, label)
    placed = apply_overrides(data, overrides, label)
    data = with_absolute_paths(data, Path())
    fill_joint_rows(data, label, placed)
    # Options come last: of all that wrote to a key, the last one is named.
    placed = [*fill_from_preset(data, label, placed), *placed]
    study = _validated(data, label, placed)
    if no_code:
        refuse_code(study, label, placed)
    wrong = Mistakes()
    with wrong.collect():
        check_overrides(study, overrides)
    spelled, points = None, []
    with wrong.collect():
        spelled = spell_out(study, label, placed)
    # Whether arms are equal, or have a value, must not depend on which defaults the file spells out.
    needs_defaults = any(arm.switch for arm in study.arms) or any("[*]" in key for key in varied_keys(study))
    if spelled and needs_defaults:
        study = with_comparison_arms(spelled)
    if spelled or not needs_defaults:
        with wrong.collect():
            points = grid_points(study, label)
            if spelled:
                spelled = spell_out(study, label, placed)
                _check_points(points, label)
    if wrong.found or spelled is None:
        others = BadInput(*beside_components(study))
        with wrong.collect():
            raise traced(others, label, placed, [arm.name for arm in study.arms])
        raise BadInput(*wrong.found)
    # The bounds of priors are checked in the study at its first grid point: only the grid may make them valid.
    return spell_out_uncertainty(spelled, points[0][1], label)


def _validated(data: dict[str, Any], label: str, placed: Placed) -> Study:
    """Return the study of plain data; BadInput has every mistake that can be told, not only those of the schema."""
    try:
        return validate(Study, data)
    except BadInput as error:
        wrong = BadInput(*error.mistakes, *beside_schema(data, error.mistakes))
        raise traced(wrong, label, placed, arm_names(data)) from None


def _check_points(points: list[tuple[dict[str, Any], Study]], label: str) -> None:
    """Raise BadInput for the components at the points of a grid, each mistake once."""
    found: dict[tuple[KeyPath, str], Mistake] = {}
    for values, point in points:
        if not values:
            continue
        at = ", ".join(f"{key} = {value!r}" for key, value in values.items())
        try:
            spell_out(point, f"{label}: at {at}")
        except BadInput as error:
            for mistake in error.mistakes:
                found.setdefault((mistake.path, mistake.text), mistake)
    if found:
        raise BadInput(*found.values())


def label_of(source: str | Path | Mapping[str, Any] | Study) -> str:
    """Return the name of a study in messages: its file, its name in the library, or "study" for a mapping."""
    if isinstance(source, Study):
        return f'study "{source.name}"'
    if isinstance(source, Mapping):
        return "study"
    if not isinstance(source, str | Path):
        raise BadInput(f"a study is a name, a path, a mapping or a Study, not {type(source).__name__}")
    path = find_study(source)
    return path.stem if path.parent == LIBRARY else str(path)


def _check_quotes(data: dict[str, Any], label: str) -> None:
    """Raise BadInput for a varied key without quotes, which TOML reads as nested tables."""
    zipped, uncertainty = data.get("zip"), data.get("uncertainty")
    priors = uncertainty.get("priors") if isinstance(uncertainty, dict) else None
    tables = [("grid", data.get("grid"), 1), ("uncertainty.priors", priors, 2)]
    tables += [
        (f"zip[{number}]", table, 1)
        for number, table in enumerate(zipped if isinstance(zipped, list) else ())
    ]
    for name, table, least in tables:
        for key, inside in table.items() if isinstance(table, dict) else ():
            path = [key]
            while isinstance(inside, dict) and inside:
                step = next(iter(inside))
                path.append(step)
                inside = inside[step]
            if len(path) > least and key in VARIED:
                written = ".".join(path[: len(path) + 1 - least])
                raise BadInput(f'{label}: {name}.{written}: put the key in quotes: "{written}" = …')


def dump(study: Study) -> str:
    """Return the study as TOML, every default spelled out; `load_study` reads the same study from it."""
    import tomli_w

    return tomli_w.dumps(study.model_dump(mode="json", exclude_none=True))
