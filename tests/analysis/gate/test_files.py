"""The gate's answer as JUnit, JSON and Markdown, of a study whose names are as bad as they can be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from echodrift.analysis.gate.judge import Answer, answer
from echodrift.analysis.results import Results


def hostile(planted: Callable[..., Results]) -> Answer:
    results = planted(
        np.array(
            [[0.01, 0.02, 0.03, 0.04, 0.025], [0.1, -0.1, 0.1, -0.1, 0.0], [-1.1, -1.2, -1.3, -1.2, -1.2]]
        ),
        [{"at_least": "baseline"}] * 3,
    )
    for one, name in (("old", "<a & b | `c`>\x01\n*"), ("new", '"d" ]]>\ufffe 🙂')):
        results.runs["arm"] = results.runs["arm"].replace(one, name)
        results.rounds["arm"] = results.rounds["arm"].replace(one, name)
        results.study["gate"]["baseline" if one == "old" else "candidate"] = name
    results.study["arms"] = [{"name": name} for name in results.runs["arm"].unique()]
    results.study["name"] = "a | b <script>\x00"
    results.manifest["finished"] = "2026-01-02T03:04:05+00:00"
    return answer(results)


def test_junit_keeps_the_rules_of_the_common_schemas(planted: Callable[..., Results]) -> None:
    found = hostile(planted)
    suites = ElementTree.fromstring(found.junit())
    assert suites.tag == "testsuites" and [suite.tag for suite in suites] == ["testsuite"]
    [suite] = suites
    # Ant's schema: all of these, in this order of elements; Jenkins' schema: no others
    assert set(suite.attrib) == {"name", "package", "id", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"}  # fmt: skip
    tags = [element.tag for element in suite]
    assert tags == ["properties", "testcase", "testcase", "testcase", "system-out", "system-err"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
    cases = suite.findall("testcase")
    assert all(set(case.attrib) == {"classname", "name", "time"} for case in cases)
    assert [[child.tag for child in case] for case in cases] == [[], ["error"], ["failure"]]
    counted = {tag: len(suite.findall(f"testcase/{tag}")) for tag in ("failure", "error", "skipped")}
    assert (suite.attrib["tests"], suite.attrib["failures"], suite.attrib["errors"], suite.attrib["skipped"]) == (
        str(len(cases)), str(counted["failure"]), str(counted["error"]), str(counted["skipped"]))  # fmt: skip
    assert all({"message", "type"} == set(child.attrib) for case in cases for child in case)
    assert found.junit() == hostile(planted).junit()


@pytest.mark.parametrize("pairs", [[0.1, 0.2, 0.3], [0.1, -0.1, 0.1, -0.1, 0.0]])
def test_undecided_does_not_look_like_a_success(planted: Callable[..., Results], pairs: list[float]) -> None:
    """Readers of JUnit files call a file with neither failures nor errors passed, whatever was skipped."""
    [suite] = ElementTree.fromstring(answer(planted(pairs, [{"at_least": "baseline"}])).junit())
    assert suite.attrib["errors"] == "1" and suite.attrib["skipped"] == suite.attrib["failures"] == "0"
    error = suite.find("testcase/error")
    assert error is not None and error.attrib["message"].startswith("UNDECIDED: ")
    assert ("too few seeds to say" in error.attrib["message"]) == (len(pairs) < 5)


def test_grid_points_without_runs_do_not_look_like_a_success(planted: Callable[..., Results]) -> None:
    pairs = np.full((2, 1, 8), 0.1) + 0.01 * np.arange(8)
    whole = planted(pairs, [{"at_least": "baseline"}], grid={"k": [1, 2]})
    half = replace(whole, rounds=whole.rounds[whole.rounds["k"] == 1], runs=whole.runs[whole.runs["k"] == 1])
    suites = ElementTree.fromstring(answer(half).junit())
    assert [suite.attrib["errors"] for suite in suites] == ["0", "1"]
    assert len(suites.findall("testsuite/testcase/error")) == 1


def test_json_has_every_number_or_null(planted: Callable[..., Results]) -> None:
    found = json.loads(hostile(planted).json(), parse_constant=lambda name: pytest.fail(name))
    assert (found["outcome"], found["exit_code"], found["format"]) == ("FAIL", 3, 1)
    [verdict] = found["verdicts"]
    first = verdict["lines"][0]
    assert first["at_least"] == "baseline" and first["outcome"] == "PASS" and first["pairs"] == 5
    assert (first["mean"], first["low"], first["high"]) == pytest.approx(
        (0.025, 0.0111178, 0.0388822), abs=1e-7
    )
    assert first["share_of_behaviors"] is None and first["share_of_seeds"] == 1
    one = json.loads(answer(planted([[[0.1, np.nan]]], [{"at_least": "baseline"}])).json())
    assert one["verdicts"][0]["lines"][0]["low"] is None


def test_markdown_is_a_table_with_a_row_per_line(planted: Callable[..., Results]) -> None:
    text = hostile(planted).markdown()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    bars = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert len(rows) == 2 + 3 and len(bars) == 1
    assert "<script>" not in text and "FAIL" in text.splitlines()[0]
