"""Find study files and presets of worlds, and read them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from ...disk import read_file
from ...errors import BadInput, did_you_mean
from ...wording import short

LIBRARY = Path(__file__).parents[1] / "library"
"""Folder of the studies that come with echodrift."""


def library() -> dict[str, Path]:
    """Return the studies that come with echodrift: name → file."""
    return {path.stem: path for path in sorted(LIBRARY.glob("*.toml"))}


def presets() -> dict[str, Path]:
    """Return the presets of worlds that come with echodrift: name → file."""
    return {path.stem: path for path in sorted((LIBRARY / "worlds").glob("*.toml"))}


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
    if str(source) in presets():
        raise BadInput(
            f'"{source}" is a world, not a study: write preset = "{source}" under [world] in a study, or add '
            f"--set world.preset={source}"
        )
    if str(source) not in known:
        raise BadInput(
            f'no study "{source}": it is neither a file nor in the library ({", ".join(known) or "empty"}).'
            f"{did_you_mean(str(source), known)} A path to a study ends in .toml."
        )
    return known[str(source)]


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file, or raise BadInput with the file, the line and the column."""
    try:
        return tomllib.loads(read_file(path).decode("utf-8-sig"))
    except FileNotFoundError:
        close = did_you_mean(path.name, [other.name for other in _siblings(path)])
        raise BadInput(f"{path}: there is no such file.{close}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not a UTF-8 text file (byte {error.start}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: not valid TOML: {error}{_line_of(path, str(error))}") from None
    except RecursionError:
        raise BadInput(f"{path}: not valid TOML: nested too deeply") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise BadInput(f"{path}: cannot be read: {error}") from None


def _line_of(path: Path, problem: str) -> str:
    """Return the text of the line that a TOML error names, to be appended to the error."""
    number = re.search(r"at line (\d+)", problem)
    if number is None:
        return ""
    # TOML ends lines with newlines only; splitlines() would also split at other separators.
    lines = path.read_bytes().decode("utf-8-sig").split("\n")
    text = lines[int(number[1]) - 1].strip() if int(number[1]) <= len(lines) else ""
    hint = ' (TOML has no ";" between keys: put each on a line of its own)' if ";" in text else ""
    return f": {short(text, 78)}{hint}" if text else ""


def _siblings(path: Path) -> list[Path]:
    try:
        return list(path.parent.glob("*.toml"))
    except OSError:
        return []
