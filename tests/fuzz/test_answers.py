"""Hostile answers of a service: each ends in a clear error within its time, or in exactly the slates that it holds.

A fault prints its case; `python tests/fuzz/answers.py NUMBER` prints it again. ECHODRIFT_FUZZ=long: 3,000 answers.
"""

from __future__ import annotations

import json
import os

import answers
import numpy as np
import pytest
from echodrift.errors import PolicyError
from echodrift.policies.outside.http_policy import Http
from echodrift.policies.testing.example import example_observation
from echodrift.policies.validation import validate_ranking
from echodrift.wording import clean
from numpy.random import default_rng

CASES = 100
"""Cases of one test."""
MORE = range(100, 3000 if os.environ.get("ECHODRIFT_FUZZ") == "long" else 600, CASES)
"""First cases of the slow tests; the first cases of all are quick."""
USERS = np.array([0, 3, 5, 9], np.int32)
SLATE = 5


def fault_of(case: answers.Case, server: answers._Service, url: str) -> str:
    """Ask a service that answers with the case; return what is wrong with the outcome, empty if nothing is."""
    seen = example_observation()
    server.case, server.answered = case, None
    # A short time only where waiting is all that can happen: a busy machine may be slow to answer well.
    policy = Http(
        url=url, retries=0, backoff=0.0, timeout=0.3 if case.is_slow else 60.0, fit_timeout=0.3, scores=True
    )
    try:
        if case.call != "/fit":
            policy = Http(**{**policy.config.model_dump(), "fit_timeout": 60.0})
        policy.fit(seen, default_rng(0))
        ranking = policy.rank(seen, USERS, SLATE, default_rng(1))
    except PolicyError as error:
        text = str(error)
        if case.family == "good":
            return f"a good answer is refused: {text}"
        if clean(text, 1500) != text or "\n" in text:
            return f"a message that is too long or cannot be printed: {text!r}"
        return "" if url in text else f"a message that does not name the service: {text}"
    except Exception as error:  # noqa: BLE001  Whatever it is, it belongs to its case.
        return f"{type(error).__name__}: {error}"
    validate_ranking(ranking, seen, USERS, SLATE)
    if case.call != "/recommend" or server.answered is None or server.answered.body is None:
        return ""
    told = json.loads(server.answered.body)
    same = told["users"] == USERS.tolist() and told["items"] == ranking.items.tolist()
    return "" if same else f"the slates are not those of the answer: {ranking.items.tolist()}"


@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in MORE)])
def test_a_hostile_answer_is_an_error_in_words(first: int) -> None:
    faults = []
    with answers.service() as (server, url):
        for number in range(first, first + CASES):
            case = answers.case(number)
            wrong = fault_of(case, server, url)
            sent = server.answered.data[:2000] if server.answered else b""
            faults += [f"{wrong}\n{case.family} {number}, to {case.call}: {sent!r}"] if wrong else []
    assert not faults, f"{len(faults)} faults, such as\n" + "\n\n".join(faults[:3])
