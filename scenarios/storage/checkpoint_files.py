"""Checkpoints of runs as files: what is in one, what makes it usable, and which ones stay.

One file per checkpoint, `checkpoints/<course>/round-<rounds>-of-<all>-<hash>.npz` in the folder of results: numpy
arrays and a line of JSON, never a pickle. The hash in its name is that of its content, so a file that is not whole is
not taken. `all` is how many rounds the run has: runs of one course that differ in that may be under way at once, and
each writes and removes its own files only. `kept-<rounds>-<hash>.npz` is the end of a finished run that was asked to be
kept, for a study with more rounds.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...disk import TEMPORARY, bytes_digest, cannot_write, write_atomically
from ...errors import PolicyError
from ..model_version import MODEL_VERSION, version

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = "checkpoints"
FORMAT = 1
"""Raise it when the state of a run has other parts, or the same ones mean something else."""
_NAME = re.compile(r"(round|kept)-(\d+)(?:-of-(\d+))?-([0-9a-f]{32})\.npz")


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
    whole: int = 0
    """Rounds of the run that wrote it; 0 for a kept end."""


@dataclass(frozen=True)
class CheckpointFolder:
    """Where a run keeps its state, and when; for a study, what goes for all of its runs."""

    place: Path
    """The run's own folder; for a study, the folder of these folders."""
    every: int = 0
    """Rounds between checkpoints; 0 = none are written. Those that are there are used all the same."""
    final: bool = False
    """Whether to keep the state at the end of the run."""
    rounds: int = 0
    """Of the run."""

    def of(self, course: str, rounds: int) -> CheckpointFolder:
        """Return the checkpoints of one run, of so many rounds, of the study that this one belongs to."""
        return replace(self, place=self.folder / course, rounds=rounds)

    def candidates(self, rounds: int) -> list[Checkpoint]:
        """Return the checkpoints for a run of so many rounds, latest first, without looking into them."""
        fit = [each for each in self._files() if each.round <= rounds and each.run_rounds <= rounds]
        return sorted(fit, key=lambda c: (-c.round, c.path.name))

    def _files(self) -> list[Checkpoint]:
        """Return all checkpoints of the course."""
        named = [(_NAME.fullmatch(path.name), path) for path in files_in(self.folder)]
        return [
            Checkpoint(path, m[1] == "kept", int(m[2]), m[4], int(m[3] or 0))
            for m, path in named
            if m and not path.is_dir()
        ]

    def latest(self, rounds: int) -> tuple[Checkpoint | None, list[tuple[Checkpoint, str]]]:
        """Return the latest usable checkpoint and, with the reason, later ones that are not."""
        wrong = []
        for each in self.candidates(rounds):
            try:
                read(each)
            except Unusable as why:
                wrong.append((each, str(why)))
            else:
                return each, wrong
        return None, wrong

    def write(self, round: int, state: Mapping[str, NDArray[Any]], *, kept: bool = False) -> None:
        """Write the state after so many rounds; the one before goes when this one is whole. Raises StorageError."""
        data = checkpoint_bytes(round, state)
        what = f"kept-{round:08d}" if kept else f"round-{round:08d}-of-{self.rounds:08d}"
        name = f"{what}-{_digest(data)}.npz"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        write_atomically(self.folder / name, data)
        for each in self._files():
            own = kept if each.final else each.run_rounds == self.rounds
            if own and each.round <= round and each.path.name != name:
                each.path.unlink(missing_ok=True)

    def clear(self, *, last: bool = True) -> None:
        """Remove what a finished or failed run no longer needs; a kept end stays.

        last: whether no other run of the course is to come or under way; only then anything but the run's own
        files goes. The folder of all of them stays: somebody may be about to write there.
        """
        if not last:
            for each in self._files():
                if not each.final and each.run_rounds == self.rounds:
                    each.path.unlink(missing_ok=True)
            return
        for path in files_in(self.folder):
            if not path.name.startswith("kept-") and not path.is_dir():
                path.unlink(missing_ok=True)
        self.clear_empty()

    def clear_empty(self) -> None:
        """Remove the folder where nothing is in it. Only while nobody writes there."""
        with suppress(OSError):  # not empty, or not there
            self.folder.rmdir()

    def clear_unfinished(self) -> None:
        """Remove what a writer that was killed left behind."""
        for path in files_in(self.folder):
            if path.name.startswith(TEMPORARY):
                path.unlink(missing_ok=True)


def checkpoint_bytes(round: int, state: Mapping[str, NDArray[Any]]) -> bytes:
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
            round = header.pop("round")
            if header != {"format": FORMAT, "model": MODEL_VERSION, "echodrift": version()}:
                by = f"echodrift {header['echodrift']} (model {header['model']}, format {header['format']})"
                this = f"echodrift {version()} (model {MODEL_VERSION}, format {FORMAT})"
                raise Unusable(f"was written by {by}; this is {this}")
            if round != checkpoint.round:
                raise Unusable(f"is of round {round}, not of the one in its name")
            return {name: file[name] for name in file.files if name != "header"}
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise Unusable(f"is no checkpoint ({type(error).__name__})") from None


def _digest(data: bytes) -> str:
    """Return the part of a content's hash that its name holds."""
    return bytes_digest(data)[:32]


def files_in(place: Path) -> Iterator[Path]:
    try:
        yield from sorted(place.iterdir())
    except OSError:
        return
