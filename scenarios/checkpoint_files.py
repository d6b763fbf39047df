"""Checkpoints of runs as files: what is in one, what makes it usable, and which ones stay.

One file per checkpoint, `checkpoints/<course>/round-<rounds>-<hash>.npz` in the folder of results: numpy arrays and a
line of JSON, never a pickle. The hash in its name is that of its content, so a file that is not whole is not taken.
`kept-…` in place of `round-…` is the end of a finished run that was asked to be kept, for a study with more rounds.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import PolicyError
from .ledger import version
from .plan import MODEL_VERSION, PlannedRun
from .store import TEMPORARY, cannot_write, write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = "checkpoints"
FORMAT = 1
"""Raise it when the state of a run has other parts, or the same ones mean something else."""
_NAME = re.compile(r"(round|kept)-(\d+)-([0-9a-f]{32})\.npz")


class Unusable(Exception):
    """A checkpoint that cannot be gone on from; the message says why, as half a sentence."""


@dataclass(frozen=True)
class Checkpoint:
    """One file."""

    path: Path
    kept: bool
    """Whether it is the end of a finished run."""
    round: int
    digest: str


@dataclass(frozen=True)
class Keeping:
    """Where a run keeps its state, and when; for a study, what goes for all of its runs."""

    place: Path
    """The run's own folder; for a study, the folder of these folders."""
    every: int = 0
    """Rounds between checkpoints; 0 = none are written. Those that are there are used all the same."""
    final: bool = False
    """Whether to keep the state at the end of the run."""

    def of(self, run: PlannedRun) -> Keeping:
        """Return the keeping of one run of the study that this one belongs to."""
        return replace(self, place=self.place / run.course)

    def found(self, rounds: int) -> list[Checkpoint]:
        """Return the checkpoints for a run of so many rounds, latest first, without looking into them."""
        named = [(_NAME.fullmatch(path.name), path) for path in files_in(self.place)]
        there = [Checkpoint(path, m[1] == "kept", int(m[2]), m[3]) for m, path in named if m]
        return sorted((c for c in there if c.round <= rounds), key=lambda c: (-c.round, c.path.name))

    def latest(self, rounds: int) -> tuple[Checkpoint | None, list[tuple[Checkpoint, str]]]:
        """Return the latest usable checkpoint and, with the reason, later ones that are not."""
        wrong = []
        for each in self.found(rounds):
            try:
                read(each)
            except Unusable as why:
                wrong.append((each, str(why)))
            else:
                return each, wrong
        return None, wrong

    def write(self, round: int, state: Mapping[str, NDArray[Any]], *, kept: bool = False) -> None:
        """Write the state after so many rounds; the one before goes when this one is whole. Raises StorageError."""
        data = packed(round, state)
        name = f"{'kept' if kept else 'round'}-{round:08d}-{_digest(data)}.npz"
        try:
            self.place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.place, error) from error
        write_atomically(self.place / name, data)
        for each in self.found(round):
            if each.path.name != name and (kept or not each.kept):
                each.path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what a finished or failed run no longer needs; a kept end stays."""
        for path in files_in(self.place):
            if not path.name.startswith("kept-"):
                path.unlink(missing_ok=True)
        for folder in (self.place, self.place.parent):
            try:
                folder.rmdir()
            except OSError:  # not empty, or not there
                return

    def clear_unfinished(self) -> None:
        """Remove what a writer that was killed left behind."""
        for path in files_in(self.place):
            if path.name.startswith(TEMPORARY):
                path.unlink(missing_ok=True)


def packed(round: int, state: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the content of a checkpoint's file."""
    import numpy as np

    objects = [name for name, array in state.items() if array.dtype.hasobject]
    if objects:
        raise PolicyError(
            f"{objects[0]} of the state to be kept holds Python objects: state() must give arrays of numbers or text. "
            "With --checkpoint-every 0 nothing is kept"
        )
    header = json.dumps({"format": FORMAT, "model": MODEL_VERSION, "echodrift": version(), "round": round})
    buffer = io.BytesIO()
    arrays: dict[str, Any] = dict(state)
    np.savez(buffer, header=np.frombuffer(header.encode(), np.uint8), **arrays)
    return buffer.getvalue()


def read(checkpoint: Checkpoint) -> dict[str, NDArray[Any]]:
    """Return the state in a checkpoint; raises Unusable."""
    import numpy as np

    try:
        data = checkpoint.path.read_bytes()
    except OSError as error:
        raise Unusable(f"cannot be read ({error.strerror or error})") from None
    if _digest(data) != checkpoint.digest:
        raise Unusable("is damaged")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes())
            own = {
                "format": FORMAT,
                "model": MODEL_VERSION,
                "echodrift": version(),
                "round": checkpoint.round,
            }
            if header != own:
                by = f"echodrift {header['echodrift']} (model {header['model']}, format {header['format']})"
                this = f"echodrift {version()} (model {MODEL_VERSION}, format {FORMAT})"
                raise Unusable(f"was written by {by}; this is {this}")
            return {name: file[name] for name in file.files if name != "header"}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise Unusable(f"is no checkpoint ({type(error).__name__})") from None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def files_in(place: Path) -> Iterator[Path]:
    try:
        yield from sorted(place.iterdir())
    except OSError:
        return
