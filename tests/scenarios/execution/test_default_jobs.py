"""How many runs are done at a time where nothing is said: the same in Python and on the command line."""

from __future__ import annotations

import inspect

import echodrift as ed
import pytest
from echodrift.cli.log_options import LogOptions
from echodrift.cli.study_options import StudyOptions
from echodrift.policies import registry
from echodrift.policies.baselines import Popularity
from echodrift.scenarios.execution.parallel import jobs_or_default


def test_python_and_the_command_line_agree() -> None:
    assert StudyOptions().jobs == LogOptions().jobs == jobs_or_default(None, []) == -1
    for function in (ed.run, ed.evaluate, ed.tune):
        defaults = inspect.signature(function).parameters
        assert defaults["jobs"].default is defaults["progress"].default is None


@pytest.mark.parametrize(
    ("components", "jobs"),
    [
        ({"policy": {"kind": "ease"}, "rerank": [{"kind": "mmr"}]}, -1),
        ({"policy": {"kind": "my_package:Mine"}}, -1),
        ({"policy": {"kind": "__main__:Mine"}}, 1),
        ({"policy": {"kind": "ease"}, "rerank": [{"kind": "__main__:Mine"}]}, 1),
        ({"policy": {"kind": "bandit", "policy": {"kind": "__main__:Mine"}}}, 1),
        ([[{"kind": "only_here"}, []]], 1),
    ],
)
def test_classes_of_this_process_are_run_one_at_a_time(monkeypatch, components, jobs) -> None:
    monkeypatch.setitem(registry._REGISTERED["policies"], "only_here", Popularity)
    assert jobs_or_default(None, components) == jobs
    assert jobs_or_default(3, components) == 3
