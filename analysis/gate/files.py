"""Write the result of a gate for CI and pull requests: JSON, JUnit XML, Markdown."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from xml.etree import ElementTree as xml

from ...wording import clean
from ..statistics import Interval
from . import words
from .verdicts import AnswerData, Judgement, Verdict

FORMAT = 1
"""Version of the JSON layout."""
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(answer: AnswerData) -> str:
    """Return the whole answer as JSON; undefined numbers are null."""
    fields = {
        "format": FORMAT,
        "study": answer.study,
        "outcome": answer.outcome,
        "exit_code": int(answer.exit_code),
        "seeds": answer.seeds,
        "stopping": answer.stopping,
        "finished": answer.finished,
        "grid_points_without_runs": answer.missing_points,
        "versions": dict(answer.versions),
        "verdicts": [_verdict(verdict) for verdict in answer.verdicts],
    }
    return json.dumps(_plain(fields), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "outcome": verdict.outcome,
        "baseline": verdict.baseline,
        "candidate": verdict.candidate,
        "horizon": verdict.horizon,
        "point": verdict.point,
        "method": verdict.method,
        "level": verdict.level,
        "failed_runs": verdict.failed,
        "lines": [_line(line) for line in verdict.judgements],
        "notes": verdict.notes,
    }


def _line(line: Judgement) -> dict[str, Any]:
    return {
        "role": line.role,
        "measure": line.measure,
        line.side: line.bound,
        "horizon": line.horizon,
        "outcome": line.outcome,
        "estimate": line.estimate,
        "limit": line.limit,
        **_interval(line.interval),
        "candidate": line.candidate,
        "baseline": line.baseline,
        "pairs": line.interval.n,
        "missing_seeds": list(line.missing),
        "one_sided_seeds": list(line.one_sided),
        "share_of_seeds": line.seeds_share,
        "share_of_behaviors": None if line.share is None else _interval(line.share),
        "surface_predicts": line.surface_r2,
        "share_note": line.share.reason if line.share else "",
        "turns_on": [
            {"key": each.key, "value": each.value, "holds": each.holds} for each in line.tipping_points
        ],
        "seeds_needed": line.seeds_needed,
        "reason": line.reason,
    }


def _interval(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def _plain(value: Any) -> Any:
    """Return plain JSON values: non-finite numbers become null, numpy scalars become Python's."""
    if isinstance(value, dict):
        return {str(key): _plain(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inside) for inside in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, str):
        return clean(value, len(value))
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_junit(answer: AnswerData) -> str:
    """Return JUnit XML: a suite per grid point, a test case per line.

    FAIL is a failure and UNDECIDED an error, which readers of JUnit files count as not passed (of skipped cases alone
    they make a success). An undecided grid point with failed runs gets a test case "runs" with an error, and grid
    points without runs a suite with one. Attributes and the order of elements follow both
    common schemas (Jenkins' and that of Ant's JUnit task). Times are 0 and the host is "localhost", so
    that the same results give the same file.
    """
    suites = xml.Element("testsuites")
    for verdict in answer.verdicts:
        broken = verdict.outcome == "UNDECIDED" and verdict.failed > 0
        outcomes = [line.outcome for line in verdict.judgements]
        facts = {"outcome": verdict.outcome, "baseline": verdict.baseline, "candidate": verdict.candidate}
        facts |= {key: str(value) for key, value in verdict.point.items()}
        errors = outcomes.count("UNDECIDED") + broken
        suite = _suite(
            suites, answer, verdict.label, len(outcomes) + broken, outcomes.count("FAIL"), errors, facts
        )
        for line in verdict.judgements:
            _line_case(suite, line)
        if broken:
            message = f"{verdict.failed} runs of baseline and candidate failed"
            case = _case(suite, "gate", "runs", "error", message, "failed runs")
            case.text = _clean("\n".join(verdict.notes))
        _close(suite, "\n".join([words.headline(verdict), *verdict.notes]))
    if answer.missing_points:
        suite = _suite(suites, answer, "grid points without runs", 1, 0, 1, {"outcome": "UNDECIDED"})
        message = words.missing_points(answer)
        _case(suite, "gate", "grid points without runs", "error", f"UNDECIDED: {message}", "UNDECIDED")
        _close(suite, message)
    xml.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(suites, encoding="unicode") + "\n"


def _suite(
    suites: xml.Element,
    answer: AnswerData,
    label: str,
    tests: int,
    failures: int,
    errors: int,
    facts: dict[str, str],
) -> xml.Element:
    suite = xml.SubElement(
        suites,
        "testsuite",
        {
            "name": _clean(f"gate of {answer.study}" + (f" at {label}" if label else "")),
            "package": "echodrift.gate",
            "id": str(len(suites)),
            "tests": str(tests),
            "failures": str(failures),
            "errors": str(errors),
            "skipped": "0",
            "time": "0",
            "timestamp": (answer.finished or "1970-01-01T00:00:00")[:19],
            "hostname": "localhost",
        },
    )
    properties = xml.SubElement(suite, "properties")
    for name, value in facts.items():
        xml.SubElement(properties, "property", {"name": _clean(name), "value": _clean(value)})
    return suite


def _close(suite: xml.Element, text: str) -> None:
    xml.SubElement(suite, "system-out").text = _clean(text)
    xml.SubElement(suite, "system-err").text = ""


def _line_case(suite: xml.Element, line: Judgement) -> None:
    _, _, difference, interval = words.numbers(line)
    message = f"{line.estimate}: {difference or words.numbers(line)[0]}, interval {interval}, {line.interval.n} pairs"
    at = suite, f"gate.{line.role}", words.requirement(line)
    if line.outcome == "FAIL":
        _case(*at, "failure", message, "FAIL").text = _clean("\n".join([message, *words.remarks(line)]))
    elif line.outcome == "UNDECIDED":
        _case(*at, "error", f"UNDECIDED: {message}; {line.reason}", "UNDECIDED")
    else:
        _case(*at)


def _case(
    suite: xml.Element, classname: str, name: str, tag: str = "", message: str = "", kind: str = ""
) -> xml.Element:
    """Add a test case; return it, or the element in it that says why it did not pass."""
    case = xml.SubElement(suite, "testcase", {"classname": classname, "name": _clean(name), "time": "0"})
    return xml.SubElement(case, tag, {"message": _clean(message), "type": kind}) if tag else case


def _clean(text: str) -> str:
    """Return the text with the characters that XML 1.0 cannot represent replaced."""
    return _NOT_XML.sub("\ufffd", text)


_SIGNS = {"PASS": "✅", "FAIL": "❌", "UNDECIDED": "❔"}


def as_markdown(answer: AnswerData) -> str:
    """Return a table for a pull request, one per grid point."""
    text = [f"## {_SIGNS[answer.outcome]} Gate: {answer.outcome}", "", _escaped(answer.study)]
    for verdict in answer.verdicts:
        has_shares = any(line.share is not None for line in verdict.judgements)
        heads = ["", "must hold", "candidate", "baseline", "difference", "interval", "holds in"]
        heads += ["plausible behaviors", "turns on"] if has_shares else []
        text += ["", f"**{_escaped(words.headline(verdict))}**", ""]
        text += [_bar(heads), _bar(["---", "---", *["--:"] * 4, *["---"] * (len(heads) - 6)])]
        for line in verdict.judgements:
            cells = [
                f"{_SIGNS[line.outcome]} {line.outcome}",
                words.requirement(line),
                *words.numbers(line),
                words.seeds(line),
            ]
            if has_shares:
                cells += [
                    _share(line),
                    "; ".join(words.describe_tipping_point(each) for each in line.tipping_points) or "–",
                ]
            text.append(_bar([_escaped(cell) for cell in cells]))
        reasons = [
            f"- {_escaped(f'{line.measure}: {line.reason}')}" for line in verdict.judgements if line.reason
        ]
        text += ["", *reasons] if reasons else []
    remarks = [*words.notes(answer), *([words.stopped(answer)] if answer.stopping else [])]
    text += ["", *(f"- {_escaped(note)}" for note in remarks)] if remarks else []
    return "\n".join(text) + "\n"


def _share(line: Judgement) -> str:
    mean, between = words.share(line)
    if mean == "–":
        return words.describe_share(line) if line.share else mean
    return mean + (f" ({between})" if between else "") + words.describe_surface(line)


def _bar(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escaped(text: str) -> str:
    """Escape text for Markdown, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>|#@])", r"\\\1", " ".join(clean(text, len(text)).split()))
