"""Install T-RECS 0.2.1 into a separate Python 3.8 environment, or return the reason why that is impossible."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE / ".venv-trecs"
LOOP = HERE / "trecs_peer" / "loop.py"
REQUIREMENTS = HERE / "trecs_peer" / "requirements.txt"


def find_python() -> str | None:
    """Return a working Python 3.8: $TRECS_PYTHON, python3.8 on the path, or one of pyenv; None without one."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    pyenv = sorted(str(path) for path in root.glob("versions/3.8.*/bin/python"))
    for candidate in (os.environ.get("TRECS_PYTHON"), shutil.which("python3.8"), *pyenv):
        if candidate and _is_38(candidate):
            return candidate
    return None


def _is_38(python: str) -> bool:
    code = "import sys; sys.exit(sys.version_info[:2] != (3, 8))"
    try:
        return (
            subprocess.run([python, "-c", code], check=False, capture_output=True, timeout=60).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def prepare() -> tuple[str | None, str]:
    """Return the interpreter of the environment, installing it if needed; or None and the reason."""
    python = FOLDER / "bin" / "python"
    if _works(python):
        return str(python), ""
    base = find_python()
    if base is None:
        return None, "no Python 3.8 found (name one in TRECS_PYTHON)"
    print(f"installing T-RECS into {FOLDER.name} …", flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    for command in (
        [base, "-m", "venv", str(FOLDER)],
        [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS)],
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return None, f"T-RECS could not be installed: {last}"
    if not _works(python):
        return None, "T-RECS was installed but does not import"
    return str(python), ""


def _works(python: Path) -> bool:
    if not python.exists():
        return False
    # Importing T-RECS writes a log into the working folder.
    command = [str(python), "-c", "import trecs.models"]
    done = subprocess.run(command, check=False, capture_output=True, cwd=FOLDER)
    return done.returncode == 0
