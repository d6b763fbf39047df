"""Study files: find, read, override, validate, and write them out with every default spelled out."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

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
        raise BadInput(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise BadInput(f"{path}: not valid TOML: nested too deeply") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from None


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
    placed: list[tuple[list[Step], str]] = []
    for option, key, value in overrides:
        try:
            placed.append((assign(data, key, plain(value, option)), option))
        except BadInput as error:
            raise BadInput(f"{option}: {error}") from None
    study = validate(Study, _absolute(data, Path()), label, placed)
    from .grid import grid_points

    points = grid_points(study, label)
    spelled = spell_out(study, label)
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
        lines = []
        for way, text in complaints(error, model):
            options = [option for to, option in placed or () if way[: len(to)] == to]
            parts = (options[-1] if options else label, written(way), text)
            lines.append(": ".join(part for part in parts if part))
    except (RecursionError, ValueError) as error:
        lines = [f"{label or 'a value'}: too deep or too long ({error})"]
    raise BadInput("\n".join(lines))


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


def spell_out(study: Study, label: str) -> Study:
    """Return the study with every default of its policies and rerankers written down, and check them."""
    from ..sim.platform import Platform
    from .components import spelled_out

    arms = []
    for number, arm in enumerate(study.arms):
        where: list[Step] = ["arms", number]
        merged = {**study.platform.model_dump(mode="json"), **arm.platform}
        try:
            validate(Platform, merged, "")
        except BadInput as error:
            raise BadInput(_prefixed(error, label, [*where, "platform"])) from None
        try:
            arms.append(spelled_out(arm))
        except BadInput as error:
            raise BadInput(_prefixed(error, label, where)) from None
    return study.model_copy(update={"arms": arms})


def _prefixed(error: BadInput, label: str, way: list[Step]) -> str:
    return "\n".join(f"{label}: {written(way)}.{line}" for line in str(error).splitlines())


def dump(study: Study) -> str:
    """Return the study as TOML, every default spelled out; `load_study` of it gives the same study."""
    import tomli_w

    return tomli_w.dumps(study.model_dump(mode="json", exclude_none=True))
