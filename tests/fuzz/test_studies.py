"""Study files of all kinds: each is read or refused in words, and what is accepted can be run.

A fault prints its case; `python tests/fuzz/studies.py NUMBER` prints it again. ECHODRIFT_FUZZ=long: 12,000 files, and
runs of all that are accepted.
"""

from __future__ import annotations

import faulthandler
import math
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import studies
from echodrift.analysis.measures.columns import describe
from echodrift.errors import BadInput, PolicyError
from echodrift.scenarios import api
from echodrift.scenarios.design.changes import trace_mistakes
from echodrift.scenarios.design.check_gate import check_decidable
from echodrift.scenarios.design.load import load_study
from echodrift.scenarios.design.plan import expand
from echodrift.scenarios.design.run import PlannedRun
from echodrift.scenarios.execution.build import build_run
from echodrift.scenarios.runner import check_runnable
from echodrift.scenarios.specs.overrides import parse_set
from echodrift.scenarios.specs.study import Study
from echodrift.wording import clean
from numpy.random import default_rng

IS_LONG = os.environ.get("ECHODRIFT_FUZZ") == "long"
FILES = 500
"""Cases of one test."""
FEW = [0]
MORE = list(range(500, 12_000 if IS_LONG else 2_500, FILES))
"""First cases of the tests, quick and slow."""
RUN_SHARE = 1.0 if IS_LONG else 0.15
"""Share of the accepted studies that are run."""
WHOLE = range(20_000, 20_600) if IS_LONG else range(20_000, 20_040)
"""Cases that are run with tables, comparison, gate and report."""
PATIENCE = 120
"""Seconds after which a case is named on stderr with the place where it is; it goes on."""


@contextmanager
def watched(case: studies.Case) -> Iterator[None]:
    """Name a case that takes very long, so that one that never ends can be found."""

    def tell() -> None:
        print(f"case {case.number} takes more than {PATIENCE} s", file=sys.__stderr__, flush=True)
        faulthandler.dump_traceback(sys.__stderr__)

    timer = threading.Timer(PATIENCE, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def checked(case: studies.Case, path: Path) -> Study:
    """Load and check a case as the command line does, from a file."""
    path.write_bytes(case.text)
    options = [parse_set(option) for option in case.options]
    study = load_study(path, options)
    with trace_mistakes(path, options, study):
        check_runnable(study)
    return study


def wrong_message(error: BadInput, path: Path) -> str:
    """Return what is wrong with the text of a refusal; empty if nothing is."""
    text = str(error)
    lines = text.split("\n")
    if not text.strip():
        return "an empty message"
    if len(lines) > 100 or max(map(len, lines)) > 10_000:
        return f"a message of {len(lines)} lines, the longest of {max(map(len, lines))} characters"
    if any(clean(line, 10_000) != line for line in lines):
        return f"a message that cannot be printed: {text!r}"
    if str(path) not in text and "--set" not in text:
        return f"a message without file or option: {text}"
    return ""


def failed(runs: list[PlannedRun]) -> Iterator[str]:
    """Run some runs of one arm; yield what is wrong with them."""
    told: list[str] = []
    for run in runs:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                built = build_run(run.study, run.arm, run.world_seed)
                for _ in range(built.rounds):
                    built.step()
                built.tables()
        except PolicyError as error:
            told.append(str(error))
        except Exception as error:  # noqa: BLE001  Whatever it is, it belongs to its case.
            yield f"{run.label}: {type(error).__name__}: {error}"
        else:
            yield from (f"{run.label}: {wrong}" for wrong in out_of_range(built.rows))
    if told and len(told) == len(runs):
        yield f"every run of an arm fails: {told[0]}"


def out_of_range(rows: list[dict[str, float]]) -> set[str]:
    found = set()
    for name, value in ((name, value) for row in rows for name, value in row.items()):
        column = describe(name)
        if math.isinf(value) or value < column.low - 1e-6 or value > column.high + 1e-6:
            found.add(f"{name} = {value} is not in {column.low} to {column.high}")
    return found


def faults_of(first: int, folder: Path) -> list[str]:
    """Check the cases of one test; return each fault with its case."""
    found = []
    for number in range(first, first + FILES):
        case, path, wrong = studies.case(number), folder / "case.toml", []
        with watched(case):
            try:
                study = checked(case, path)
            except BadInput as error:
                wrong.append(wrong_message(error, path))
            except Exception as error:  # noqa: BLE001
                wrong.append(f"{type(error).__name__}: {error}")
            else:
                rng = default_rng([number])
                if rng.random() < RUN_SHARE:
                    plan = expand(study)
                    for arm in study.arms:
                        of_arm = [run for run in plan if run.arm.name == arm.name]
                        some = rng.choice(len(of_arm), min(2, len(of_arm)), replace=False)
                        wrong += failed([of_arm[place] for place in some])
        found += [f"{text}\n{case}" for text in wrong if text]
    return found


@pytest.mark.parametrize("first", [*FEW, *(pytest.param(first, marks=pytest.mark.slow) for first in MORE)])
def test_a_study_file_is_refused_in_words_or_can_be_run(first: int, tmp_path: Path) -> None:
    faults = faults_of(first, tmp_path)
    assert not faults, f"{len(faults)} faults, such as\n" + "\n\n".join(faults[:3])


def can_decide(study: Study) -> bool:
    try:
        check_decidable(study)
    except BadInput:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", [pytest.param(range(WHOLE.start + i, WHOLE.stop, 4), id=str(i)) for i in range(4)]
)
def test_an_accepted_study_has_tables_a_comparison_and_a_report(number: range, tmp_path: Path) -> None:
    for each in number:
        case = studies.case(each)
        try:
            study = checked(case, tmp_path / "case.toml")
        except BadInput:
            continue
        if len(expand(study)) > 12:
            continue
        with watched(case):
            try:
                result = api.run(study, out=tmp_path / str(each))
                assert not len(result.failed), result.failed["error"].iloc[0]
                result.compare()
                result.report()
                if study.gate is not None and can_decide(study):
                    result.gate()
            except Exception as error:
                raise AssertionError(f"{type(error).__name__}: {error}\n{case}") from error


def test_a_case_is_the_same_text_every_time() -> None:
    assert [studies.case(number) for number in range(20)] == [studies.case(number) for number in range(20)]
    assert len({studies.case(number).text for number in range(200)}) > 190
