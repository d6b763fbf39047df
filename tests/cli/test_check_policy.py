"""`echodrift check-policy`: which clause fails, what to do, and the exit code."""

import os
import subprocess
import sys

import pytest
from echodrift.cli import app
from echodrift.policies.testing.log_transform_clauses import LOG_TRANSFORM_CLAUSES
from echodrift.policies.testing.policy_clauses import POLICY_CLAUSES
from echodrift.policies.testing.reranker_clauses import RERANKER_CLAUSES
from echodrift.policies.testing.words import CLAUSES
from typer.testing import CliRunner

MINE = '''
import random
import numpy as np
from echodrift.policies import LogTransform, Policy, Ranking, Reranker, ScorePolicy

class Good(ScorePolicy):
    """Falling ids."""
    def fit(self, seen, rng):
        pass
    def scores(self, seen, users, rng):
        return np.tile(np.arange(seen.n_items, dtype=np.float32), (len(users), 1))

class Writes(Good):
    def fit(self, seen, rng):
        seen.tags[0] = 0

class Numpy(Good):
    def fit(self, seen, rng):
        np.random.rand()

class Stdlib(Good):
    def fit(self, seen, rng):
        random.random()

class Crashes(Good):
    def fit(self, seen, rng):
        1 / 0

class Short(Good):
    def scores(self, seen, users):
        return np.zeros((len(users), seen.n_items), np.float32)

class Wide(Good):
    def scores(self, seen, users, rng):
        return np.zeros((len(users), seen.n_items + 1), np.float32)

class Double(Policy):
    def fit(self, seen, rng):
        pass
    def rank(self, seen, users, n, rng):
        return Ranking(users, np.zeros((len(users), n), np.int64), np.zeros((len(users), n)))

class Retired(Policy):
    def fit(self, seen, rng):
        pass
    def rank(self, seen, users, n, rng):
        items = np.tile(np.arange(n, dtype=np.int32), (len(users), 1))
        return Ranking(users, items, -items.astype(np.float32))

class Chance(Good):
    def scores(self, seen, users, rng):
        return np.random.default_rng().random((len(users), seen.n_items), dtype=np.float32)

class Emptied(LogTransform):
    def prepare(self, seen):
        return None

class Quits(Good):
    def fit(self, seen, rng):
        raise SystemExit(0)

class Needy(Good):
    def __init__(self, **fields):
        raise OSError("no disk")

class Turned(Reranker):
    """The candidates from the last to the first."""
    candidates = 20
    def rerank(self, ranking, seen, n, rng):
        return type(ranking)(ranking.users, ranking.items[:, ::-1][:, :n], ranking.scores[:, ::-1][:, :n])

class Fewer(Turned):
    def rerank(self, ranking, seen, n, rng):
        return type(ranking)(ranking.users, ranking.items[:, :1], ranking.scores[:, :1])

class Writing(LogTransform):
    """Overwrites."""
    def prepare(self, seen):
        seen.log.item[:] = 0
        return seen

NOT = 3
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A file of one's own in the current directory, which is on no path."""
    (tmp_path / "mine_to_check.py").write_text(MINE)
    (tmp_path / "broken_to_check.py").write_text("def x(:\n")
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("mine_to_check", None)


def check(*words):
    done = CliRunner().invoke(app, ["check-policy", *words])
    assert "Traceback" not in done.output or "--debug" in words
    return done.exit_code, " ".join(done.output.split())


def test_every_clause_has_words():
    suites = {*POLICY_CLAUSES, *RERANKER_CLAUSES, *LOG_TRANSFORM_CLAUSES}
    assert set(CLAUSES) == suites


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["popularity", "--set", "window=3"], len(POLICY_CLAUSES)),
        (["calibrated"], len(RERANKER_CLAUSES)),
        (["recent_window"], len(LOG_TRANSFORM_CLAUSES)),
        (["mine_to_check:Good"], len(POLICY_CLAUSES)),
        (
            [
                "adapter",
                "--set",
                "model=implicit.als:AlternatingLeastSquares",
                "--set",
                "arguments.factors=4",
            ],
            len(POLICY_CLAUSES),
        ),
    ],
)
def test_a_component_that_keeps_the_contract(words, count, mine):
    code, said = check(*words)
    assert code == 0 and f"{words[0]} keeps the contract" in said
    assert said.count(" ok ") == count


@pytest.mark.parametrize(
    ("name", "clause", "words"),
    [
        ("Writes", "inputs", "seen.tags was changed"),
        ("Numpy", "global_rng", "numpy's global generator was used"),
        ("Stdlib", "global_rng", "the random module was used"),
        ("Crashes", "shapes", "ZeroDivisionError: division by zero"),
        ("Quits", "shapes", "SystemExit: 0"),
        ("Turned", "few_candidates", "-1"),
        ("Writing", "inputs", "seen.log.item was changed"),
    ],
)
def test_one_that_does_not(name, clause, words, mine):
    code, said = check(f"mine_to_check:{name}")
    assert code == 5 and f"FAILS {clause} " in said and words in said
    assert CLAUSES[clause].remedy in said and "--debug" in said


@pytest.mark.parametrize(
    ("name", "clause", "words"),
    [
        ("Short", "shapes", "TypeError"),
        ("Crashes", "shapes", "ZeroDivisionError"),
        ("Wide", "shapes", "scores must have shape (users, items) = (24, 60), got (24, 61)"),
        (
            "Double",
            "shapes",
            "must be an array of shape (users, n) = (24, 1) and type int32, got (24, 1) of int64",
        ),
        ("Retired", "shapes", "cool-down"),
        ("Chance", "determinism", "other items"),
        ("Fewer", "shapes", "must be an array of shape"),
        ("Emptied", "log_only", "prepare() must return an Observation, got NoneType"),
    ],
)
def test_one_fault_is_one_accusation(name, clause, words, mine):
    code, said = check(f"mine_to_check:{name}")
    assert code == 5 and said.count(" FAILS ") == 1 and f"FAILS {clause} " in said and words in said
    untried = said.count(f"not tried: it needs {clause}")
    assert untried >= 3 and f": {clause} ({untried} not tried)" in said


def test_debug_shows_where_in_the_code(mine):
    code, said = check("mine_to_check:Crashes", "--debug")
    assert code == 5 and "1 / 0" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["popularty"], 'Did you mean "popularity"'),
        (["mine_to_check:Goof"], 'has no "Goof". Did you mean "Good"'),
        (["mine_to_check.py:Good"], "name the module, not the file: mine_to_check:Good"),
        (["mine_to_check.Good"], "name the class, too"),
        (["mine_to_check:NOT"], "must be a class derived from one of echodrift.policies.Policy"),
        (["mine_to_check:Needy"], "cannot be built: OSError: no disk"),
        (["nowhere_to_check:X"], "there is no such module in this directory"),
        (["broken_to_check:X"], "importing it fails: SyntaxError"),
        ([":X"], "write it as package.module:Class"),
        (["ease", "--set", "l3=4"], 'Did you mean "l2"'),
        (["ease", "--set", "l2"], "write it as key=value"),
        (["http"], "http: url: is missing"),
    ],
)
def test_bad_input(words, said, mine):
    code, output = check(*words)
    assert code == 2 and said in output


def test_a_service_that_is_away_is_asked_once(mine):
    code, said = check("http", "--set", "url=http://127.0.0.1:1", "--set", "retries=0")
    assert code == 5 and said.count("FAILS") == 1 and "the other clauses were not tried" in said


@pytest.mark.slow
def test_the_current_directory_counts_for_the_command_itself(mine):
    command = os.path.join(os.path.dirname(sys.executable), "echodrift")
    done = subprocess.run(
        [command, "check-policy", "mine_to_check:Good"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
