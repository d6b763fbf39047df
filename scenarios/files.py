"""Study files: find, read, override, validate, and write them out with every default spelled out."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..agents.settings import WorldConfig
from ..errors import BadInput, did_you_mean
from .complaints import complaints
from .keys import Step, assign, written
from .plain import plain
from .spec import LogConfig, Study

LIBRARY = Path(__file__).parent / "library"
"""Where the studies that come with echodrift live."""

Override = tuple[str, str, Any]
"""Option as typed (for messages), dotted key, value."""


def library() -> dict[str, Path]:
    """Return the studies that come with echodrift: name → file."""
    return {path.stem: path for path in sorted(LIBRARY.glob("*.toml"))}


def find_study(source: str | Path) -> Path:
    """Return the file of a study given by path, or by the name of one in the library."""
    path = Path(source)
    try:
        if path.is_dir():
            raise BadInput(
                f"{path} is a folder; name the study file in it, for example {path / 'study.toml'}"
            )
        if path.suffix == ".toml" or path.exists():
            return path
    except (OSError, ValueError) as error:
        raise BadInput(f"{str(source)!r} cannot be a study file: {error}") from error
    known = library()
    if str(source) not in known:
        raise BadInput(
            f'no study "{source}": it is neither a file nor in the library ({", ".join(known) or "empty"}).'
            f"{did_you_mean(str(source), known)} A path to a study ends in .toml."
        )
    return known[str(source)]


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file, or raise BadInput with the file, the line and the column."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        close = did_you_mean(path.name, [other.name for other in _siblings(path)])
        raise BadInput(f"{path}: there is no such file.{close}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not a UTF-8 text file (byte {error.start}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: not valid TOML: {error}{_line_of(path, str(error))}") from None
    except RecursionError:
        raise BadInput(f"{path}: not valid TOML: nested too deeply") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from None


def _line_of(path: Path, problem: str) -> str:
    """Return the text of the line that a TOML error names, to be put after it."""
    number = re.search(r"at line (\d+)", problem)
    if number is None:
        return ""
    # TOML ends lines with newlines only; other separators would shift the count.
    lines = path.read_bytes().decode("utf-8-sig").split("\n")
    text = lines[int(number[1]) - 1].strip() if int(number[1]) <= len(lines) else ""
    return f": {text[:77] + '…' if len(text) > 78 else text}" if text else ""


def _siblings(path: Path) -> list[Path]:
    try:
        return list(path.parent.glob("*.toml"))
    except OSError:
        return []


def parse_set(text: str) -> Override:
    """Read `key=value` with the value in TOML syntax; a bare word or path is taken as text."""
    option = f"--set {text}"
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not key or not value:
        raise BadInput(f"{option}: write it as key=value, for example --set behavior.reinforcement=0.02")
    try:
        parsed = tomllib.loads(f"value = {value}")
        if list(parsed) == ["value"]:
            return option, key, parsed["value"]
        problem = "more than one value"
    except tomllib.TOMLDecodeError as error:
        problem = str(error)
    except (RecursionError, ValueError) as error:
        problem = f"nested too deeply or too long ({type(error).__name__})"
    if value[0] in "[{\"'" or not value.isprintable() or "#" in value:
        raise BadInput(
            f'{option}: the value is not valid TOML ({problem}); text with special characters needs "…"'
        )
    return option, key, value


def load_study(source: str | Path | Mapping[str, Any] | Study, overrides: Iterable[Override] = ()) -> Study:
    """Return a validated study from a path, the name of one in the library, a mapping, or a Study.

    overrides: put over what the study says, in order. Every key is checked, in the study and in every
    combination of its grid; paths to data are made absolute: those in a file are relative to that file,
    all others to the current folder. Raises BadInput with one line per mistake.
    """
    if isinstance(source, Study):
        label, base, raw = f'study "{source.name}"', Path(), source.model_dump(mode="json", exclude_none=True)
    elif isinstance(source, Mapping):
        label, base, raw = "study", Path(), plain(source, "study")
    elif isinstance(source, str | Path):
        path = find_study(source)
        from_library = path.parent == LIBRARY
        label, base = (path.stem if from_library else str(path)), (Path() if from_library else path.parent)
        raw = plain(read_toml(path), label)
    else:
        raise BadInput(f"a study is a name, a path, a mapping or a Study, not {type(source).__name__}")
    data = _absolute(raw, base)
    _check_grid_keys(data, label)
    before = data.get("world")
    before = dict(before) if isinstance(before, dict) else {}
    placed: list[tuple[list[Step], str]] = []
    for option, key, value in overrides:
        try:
            placed.append((assign(data, key, plain(value, option)), option))
        except BadInput as error:
            raise BadInput(f"{option}: {error}") from None
    _check_kind_of_world(before, data.get("world"), placed, label)
    study = validate(Study, _absolute(data, Path()), label, placed)
    from .grid import grid_points

    points = grid_points(study, label)
    spelled = spell_out(study, label, placed)
    for values, point in points:
        if values:
            spell_out(
                point, f"{label}: at {', '.join(f'{key} = {value!r}' for key, value in values.items())}"
            )
    return spelled


def validate(
    model: type[BaseModel],
    data: dict[str, Any],
    label: str,
    placed: list[tuple[list[Step], str]] | None = None,
) -> Any:
    """Return `model` filled from plain data, strictly typed, or raise BadInput with one line per mistake.

    placed: ways that options wrote to, so that a mistake there names the option instead of the file.
    """
    try:
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        lines = [_line(label, way, text, data, placed or ()) for way, text in complaints(error, model)]
    except (RecursionError, ValueError) as error:
        lines = [f"{label or 'a value'}: too deep or too long ({error})"]
    raise BadInput("\n".join(lines))


def _line(
    label: str, way: list[Step], text: str, data: dict[str, Any], placed: Iterable[tuple[list[Step], str]]
) -> str:
    """Return a mistake with what it came from: the last option that can be behind it, else the file."""
    options = [option for to, option in placed if _is_behind(to, way, text)]
    key = by_name(way, data) if options else written(way)
    return ": ".join(part for part in (options[-1] if options else label, key, text) if part)


def _is_behind(to: list[Step], way: list[Step], text: str) -> bool:
    """Whether an option that wrote to one place can be behind a mistake found at another."""
    if way[: len(to)] == to:
        return True
    if to[: len(way)] == way:
        # Found further up: the option made a table of an unknown name, or the text names its key.
        return (
            text.startswith("unknown key")
            or re.search(rf"\b{re.escape(str(to[len(way)]))}\b", text) is not None
        )
    return text.startswith("is missing") and to[:-1] == way[:-1]


def by_name(way: list[Step], data: dict[str, Any]) -> str:
    """Return steps as a dotted key, an arm by its name."""
    arms = data.get("arms")
    if len(way) > 1 and way[0] == "arms" and isinstance(arms, list) and isinstance(way[1], int):
        arm = arms[way[1]]
        if isinstance(arm, dict) and isinstance(arm.get("name"), str):
            return written([f"arms[{arm['name']}]", *way[2:]])
    return written(way)


def _check_grid_keys(data: dict[str, Any], label: str) -> None:
    """Raise BadInput for a grid key without quotes, which TOML reads as a table in a table."""
    grid = data.get("grid")
    for key, inside in grid.items() if isinstance(grid, dict) else ():
        way = [key]
        while isinstance(inside, dict) and inside:
            step = next(iter(inside))
            way.append(step)
            inside = inside[step]
        if len(way) > 1:
            raise BadInput(f'{label}: grid.{".".join(way)}: put the key in quotes: "{".".join(way)}" = …')


def _check_kind_of_world(
    before: dict[str, Any], world: Any, placed: list[tuple[list[Step], str]], label: str
) -> None:
    """Raise BadInput where options mix a generated world with one from a log."""
    if not isinstance(world, dict) or "log" not in world:
        return
    generated, from_log = set(WorldConfig.model_fields), set(LogConfig.model_fields)
    options = [(to, option) for to, option in placed if len(to) > 1 and to[0] == "world"]
    left = [
        key
        for key, value in before.items()
        if key in world
        and world[key] == value
        and (key not in from_log or key == "items" and _is_number(value))
    ]
    if "log" not in before and left:
        log = next((option for to, option in options if to[1] == "log"), "world.log")
        raise BadInput(
            f"{log}: world.log makes this a world from a log, but {label} describes a generated one "
            f"({', '.join(left)}). Type: echodrift run movielens --set world.log={world['log']} --set world.items=…"
        )
    for to, option in options:
        if to[1] in generated - from_log:
            raise BadInput(
                f'{option}: a world from a log has no "{to[1]}": users, items and tastes come from the log. '
                f"Allowed: {', '.join(sorted(from_log))}."
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _absolute(data: dict[str, Any], base: Path) -> dict[str, Any]:
    """Make the paths of a raw study absolute, in place."""
    world = data.get("world")
    if isinstance(world, dict):
        graph = world.get("graph")
        for table, key in [*((world, name) for name in FILES if "log" in world), (graph, "path")]:
            if isinstance(table, dict) and isinstance(table.get(key), str):
                table[key] = os.path.abspath(base / Path(table[key]).expanduser())
    return data


FILES = ("log", "items", "social", "tags")
"""Fields of a log world that name files."""


def input_files(study: Study) -> dict[str, str]:
    """Return the data files that a study reads: dotted key → absolute path."""
    if isinstance(study.world, LogConfig):
        named = {f"world.{field}": getattr(study.world, field) for field in FILES}
    else:
        named = {"world.graph.path": getattr(study.world.graph, "path", None)}
    return {key: path for key, path in named.items() if path is not None}


def spell_out(study: Study, label: str, placed: Iterable[tuple[list[Step], str]] = ()) -> Study:
    """Return the study with every default of its policies and rerankers written down, and check them.

    placed: as in `validate`.
    """
    from ..sim.platform import Platform
    from .components import spelled_out

    arms = []
    for number, arm in enumerate(study.arms):
        where: list[Step] = ["arms", number]
        merged = {**study.platform.model_dump(mode="json"), **arm.platform}
        try:
            validate(Platform, merged, "")
        except BadInput as error:
            raise BadInput(_prefixed(error, label, [*where, "platform"], study, placed)) from None
        try:
            arms.append(spelled_out(arm))
        except BadInput as error:
            raise BadInput(_prefixed(error, label, where, study, placed)) from None
    return study.model_copy(update={"arms": arms})


def _prefixed(
    error: BadInput, label: str, way: list[Step], study: Study, placed: Iterable[tuple[list[Step], str]]
) -> str:
    placed = list(placed)
    arms = {"arms": [{"name": arm.name} for arm in study.arms]}
    lines = []
    for line in str(error).splitlines():
        key, _, text = line.partition(": ")
        inner: list[Step] = [
            int(step[1:-1]) if step.startswith("[") else step for step in re.findall(r"\[\d+\]|[^.\[]+", key)
        ]
        lines.append(_line(label, [*way, *inner], text, arms, placed))
    return "\n".join(lines)


def dump(study: Study) -> str:
    """Return the study as TOML, every default spelled out; `load_study` of it gives the same study."""
    import tomli_w

    return tomli_w.dumps(study.model_dump(mode="json", exclude_none=True))
