"""Checkpoints of runs as files: their format, when they are usable, and which ones are removed.

One file per checkpoint, `checkpoints/<prefix_key>/round-<rounds>-of-<all>-<hash>.npz` in the results folder: numpy
arrays and a line of JSON, never a pickle. The name contains a hash of the content, so an incomplete file is detected.
`all` is the total number of rounds of the run: runs with the same prefix key but other totals may run at the same time,
and each writes and removes only its own files. `kept-<rounds>-<hash>.npz` is the final state of a finished run, kept on
request for a study with more rounds.
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

from ...disk import (
    CHANGED,
    TEMPORARY,
    bytes_digest,
    cannot_write,
    describe_unreadable,
    read_file,
    write_atomically,
)
from ...errors import PolicyError
from ..model_version import MODEL_VERSION, version

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = "checkpoints"
FORMAT = 2
"""Increase it when the parts of a run's state, or their meaning, change."""
_NAME = re.compile(r"(round|kept)-(\d+)(?:-of-(\d+))?-([0-9a-f]{32})\.npz")


class Unusable(Exception):
    """A checkpoint that a run cannot resume from; the message is the reason, as a predicate ("is damaged")."""


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint file."""

    path: Path
    final: bool
    """Whether it is the final state of a finished run."""
    round: int
    digest: str
    run_rounds: int = 0
    """Total rounds of the run that wrote it; 0 for a final state."""


@dataclass(frozen=True)
class CheckpointFolder:
    """The folder of a run's checkpoints, and when they are written; also the parent folder for all runs of a study."""

    folder: Path
    """The run's own folder; for a study, the parent of the runs' folders."""
    every: int = 0
    """Rounds between checkpoints; 0 = none are written, but existing ones are still used."""
    keep_final: bool = False
    """Whether to keep the final state of the run."""
    rounds: int = 0
    """Total rounds of the run."""

    def for_run(self, prefix_key: str, rounds: int) -> CheckpointFolder:
        """Return the checkpoint folder of a run with this many rounds, inside this folder of a study."""
        return replace(self, folder=self.folder / prefix_key, rounds=rounds)

    def candidates(self, rounds: int) -> list[Checkpoint]:
        """Return the checkpoints for a run of this many rounds, latest first, judged by their names only."""
        fit = [each for each in self._files() if each.round <= rounds and each.run_rounds <= rounds]
        return sorted(fit, key=lambda c: (-c.round, c.path.name))

    def _files(self) -> list[Checkpoint]:
        """Return all checkpoints in the folder."""
        named = [(_NAME.fullmatch(path.name), path) for path in files_in(self.folder)]
        return [
            Checkpoint(path, m[1] == "kept", int(m[2]), m[4], int(m[3] or 0))
            for m, path in named
            if m and not path.is_dir()
        ]

    def latest(self, rounds: int) -> tuple[Checkpoint | None, list[tuple[Checkpoint, str]]]:
        """Return the latest usable checkpoint (or None), and the later, unusable ones with the reasons."""
        wrong = []
        for each in self.candidates(rounds):
            try:
                read(each)
            except Unusable as why:
                wrong.append((each, str(why)))
            else:
                return each, wrong
        return None, wrong

    def write(self, round: int, state: Mapping[str, NDArray[Any]], *, final: bool = False) -> None:
        """Write the state after `round` rounds, then remove the previous one. Raises StorageError."""
        data = checkpoint_bytes(self.folder.name, round, state)
        what = f"kept-{round:08d}" if final else f"round-{round:08d}-of-{self.rounds:08d}"
        name = f"{what}-{_short_digest(data)}.npz"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        write_atomically(self.folder / name, data)
        for each in self._files():
            own = final if each.final else each.run_rounds == self.rounds
            if own and each.round <= round and each.path.name != name:
                each.path.unlink(missing_ok=True)

    def clear(self, *, last: bool = True) -> None:
        """Remove the checkpoints of a finished or failed run; a kept final state stays.

        last: whether no other run with this prefix key is pending or running; only then files of other runs are
        removed. The parent folder stays, because another run may be about to write there.
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
        """Remove the folder if it is empty. Only while no run writes there."""
        with suppress(OSError):  # Not empty, or missing.
            self.folder.rmdir()

    def clear_unfinished(self) -> None:
        """Remove temporary files of killed writers."""
        for path in files_in(self.folder):
            if path.name.startswith(TEMPORARY):
                path.unlink(missing_ok=True)


def checkpoint_bytes(run: str, round: int, state: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the content of a checkpoint file; raises PolicyError if the state contains Python objects.

    run: the prefix key of the run, as in the name of its folder.
    """
    import numpy as np

    objects = [name for name, array in state.items() if array.dtype.hasobject]
    if objects:
        raise PolicyError(
            f"{objects[0]} of the state contains Python objects: state() must return arrays of numbers or text. "
            "With --checkpoint-every 0 no state is stored"
        )
    header = json.dumps(
        {"format": FORMAT, "model": MODEL_VERSION, "echodrift": version(), "round": round, "run": run}
    )
    buffer = io.BytesIO()
    arrays: dict[str, Any] = dict(state)
    np.savez(buffer, header=np.frombuffer(header.encode(), np.uint8), **arrays)
    return buffer.getvalue()


def read(checkpoint: Checkpoint) -> dict[str, NDArray[Any]]:
    """Return the state in a checkpoint; raises Unusable."""
    import numpy as np

    try:
        data = read_file(checkpoint.path)
    except OSError as error:
        raise Unusable(f"cannot be read ({error.strerror or error})") from None
    if _short_digest(data) != checkpoint.digest:
        raise Unusable("is damaged")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes())
            round, run = header.pop("round"), header.pop("run", "")
            if header != {"format": FORMAT, "model": MODEL_VERSION, "echodrift": version()}:
                by = f"echodrift {header['echodrift']} (model {header['model']}, format {header['format']})"
                this = f"echodrift {version()} (model {MODEL_VERSION}, format {FORMAT})"
                raise Unusable(f"was written by {by}; this is {this}")
            if round != checkpoint.round:
                raise Unusable(f"is of round {round}, not of the one in its name")
            state = {name: file[name] for name in file.files if name != "header"}
            if run != checkpoint.path.parent.name:
                raise Unusable(f"is of another run ({run})")
            return state
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise Unusable(f"is no checkpoint ({type(error).__name__})") from None


def what_is_wrong(path: Path) -> str | None:
    """Return what is wrong with the content of a checkpoint file, as a predicate; None if it is no checkpoint."""
    named = _NAME.fullmatch(path.name)
    if named is None:
        return None
    try:
        data = read_file(path)
    except OSError as error:
        return describe_unreadable(error)
    if _short_digest(data) != named[4]:
        return CHANGED
    try:
        read(Checkpoint(path, named[1] == "kept", int(named[2]), named[4]))
    except Unusable as why:
        # One of another version is as it was written.
        return "" if "was written by" in str(why) else str(why)
    return ""


def _short_digest(data: bytes) -> str:
    """Return the hash of a content, as shortened in file names."""
    return bytes_digest(data)[:32]


def files_in(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(folder.iterdir())
    except OSError:
        return
