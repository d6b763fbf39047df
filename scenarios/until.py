"""`--until decided`: run seeds in batches, and stop once the gate or the primary measures are decided."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import BadInput, Mistake
from ..wording import counted
from .design.check_gate import check_decidable
from .design.plan import seeds_of
from .execution.progress import Progress
from .specs.study import Study
from .storage.folder import Folder

FIRST = 8
"""Seeds of the first batch."""
STEP = 4
"""Least seeds of each later batch; a quarter of the seeds so far if that is more."""


def look_schedule(most: int) -> list[int]:
    """Return the numbers of seeds at the interim looks: 8, 12, 16, 20, 25, 31, …, most.

    They depend only on `most`, so a study stops at the same seed however it is run or interrupted.
    """
    found = [min(FIRST, most)]
    while found[-1] < most:
        found.append(min(most, found[-1] + max(STEP, found[-1] // 4)))
    return found


class Until:
    """Runs a study until its gate, or without one its primary measures, are decided.

    After each batch, every line of the gate is judged by a confidence sequence, which is valid at all looks
    together (`echodrift.analysis.statistics.sequence_at_looks`); without a gate, the difference of every arm
    from the reference on every primary measure is. The study stops when all are decided, when a line of the
    gate FAILs (which decides the gate), at the maximum number of seeds, or when a run of a judged arm failed.
    """

    def __init__(self, study: Study, most: int | None = None) -> None:
        """most: maximum number of seeds; the study's own number if omitted.

        Raises BadInput if that is too few to decide anything, or if no number of seeds can decide the gate.
        """
        own = seeds_of(study)
        _check(study, len(own) if most is None else most, most is None)
        most = len(own) if most is None else most
        self.most = most
        self.study = study if most == len(own) else study.model_copy(update={"seeds": _first(study, most)})
        """The study with all seeds that may be run."""
        self._seen: list[int] = []
        self._decided: bool | None = None
        self._open: list[str] = []
        self._why = ""

    @property
    def manifest_entry(self) -> dict[str, Any]:
        """The entry "stopping" of the manifest; decided is null until the current batch is judged."""
        what = "line of the gate" if self.study.gate else "primary measure of every arm"
        return {
            "rule": (
                f"look after {', '.join(map(str, look_schedule(self.most)[:4]))}, … seeds, {self.most} at most; stop when the "
                f"confidence sequence of every {what} decides it{', or one FAILs' if self.study.gate else ''}"
            ),
            "most": self.most,
            "looks": list(self._seen),
            "decided": self._decided,
            "undecided": list(self._open),
            "stopped": self._why,
        }

    def batches(self, folder: Path, progress: Progress) -> Iterator[Study]:
        """Yield the study with the seeds of each batch; its tables must be in `folder` before the next is requested."""
        self._seen = []
        for count in look_schedule(self.most):
            self._seen.append(count)
            self._decided, self._open, self._why = None, [], ""
            yield self.study.model_copy(update={"seeds": _first(self.study, count)})
            self._look(folder, count, progress)
            if self._why:
                return

    def _look(self, folder: Path, count: int, progress: Progress) -> None:
        """Judge the tables and record the result in the manifest."""
        from ..analysis.gate.questions import questions
        from ..analysis.results import read_results

        asked = questions(read_results(folder))
        self._open = [question.name for question in asked if not question.decided]
        fails = [question.name for question in asked if question.decides_all]
        self._decided = not self._open or bool(fails)
        failed = any(question.failed for question in asked)
        stuck = [question for question in asked if question.blocked]
        if failed:
            self._why = "runs failed"
        elif self._decided:
            self._why = "decided"
        elif stuck:
            self._why = f"the gate can no longer pass: {stuck[0].name}: {stuck[0].blocked}"
        elif count == self.most:
            self._why = "most seeds reached"
        done = len(asked) - len(self._open)
        left = f" (open: {_shortened(self._open)})" if self._open else ""
        left += f"; {_shortened(fails)} FAILs, which decides the whole" if fails and self._open else ""
        progress.note(
            f"after {counted(count, 'seed')}: {done} of {counted(len(asked), 'question')} decided{left}"
        )
        results = Folder(folder)
        results.write_manifest({**results.manifest(), "stopping": self.manifest_entry})


def earlier_looks(folder: Path) -> dict[str, Any] | None:
    """Return the interim looks at a folder's earlier results, if any, for the manifest of a study with fixed seeds.

    Fixing the number of seeds after interim looks does not undo them, so the entry "looked" keeps them.
    """
    try:
        # Also if its hash is wrong: looks that may have been taken are not forgotten.
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        looks = manifest.get("stopping") or manifest.get("looked")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return {**looks, "stopped": "run on with a set number of seeds"} if isinstance(looks, dict) else None


def _first(study: Study, count: int) -> int | list[int]:
    return count if isinstance(study.seeds, int) else study.seeds[:count]


def _shortened(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _check(study: Study, most: int, is_own: bool) -> None:
    """Raise BadInput if the study can never be decided. is_own: `most` is the study's own number of seeds."""
    from ..analysis.statistics.sequential import first_look

    least = first_look(study.gate.level if study.gate else 0.95)
    if is_own and most < least:
        more = "List more" if isinstance(study.seeds, list) else "Type --max-seeds 200 in place of it"
        text = f"{most} is too few for --until decided: a confidence sequence is no interval below {least} seeds. {more}"
        raise BadInput(Mistake(text, ("seeds",)))
    if isinstance(most, bool) or not isinstance(most, int) or not least <= most <= 100_000:
        raise BadInput(
            f"--max-seeds {most!r}: must be {least} to 100000; a confidence sequence is no interval below {least} seeds"
        )
    if isinstance(study.seeds, list) and most > len(study.seeds):
        raise BadInput(
            f"--max-seeds {most}: the study lists {counted(len(study.seeds), 'seed')}, which are taken in that order; "
            "list more, or write their number"
        )
    if study.gate is None and (not study.primary or len(study.arms) < 2):
        raise BadInput(
            "--until decided: there is nothing to decide. Name primary measures and a second arm, or add a [gate]"
        )
    if study.uncertainty is not None and study.uncertainty.design == "saltelli":
        raise BadInput(
            '--until decided: a Saltelli design is run as a whole; take uncertainty.design = "draws"'
        )
    if study.gate is not None:
        check_decidable(study, most)


def parse_until(rule: Any, study: Study, seeds: Any, max_seeds: int | None) -> Until | None:
    """Return the stopping rule of the options; None if all seeds are run."""
    if rule is None:
        if max_seeds is not None:
            raise BadInput(
                f"--max-seeds {max_seeds}: goes with --until decided; for a set number type --seeds"
            )
        return None
    if rule != "decided":
        raise BadInput(f"--until {rule}: must be decided, or left out")
    if seeds is not None and max_seeds is not None:
        raise BadInput(f"--seeds {seeds} and --max-seeds {max_seeds}: name the most seeds once")
    return Until(study, max_seeds)
