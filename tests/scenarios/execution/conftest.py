"""Policies of users that do what they must not, as a module that worker processes can import."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HOSTILE = '''
import ctypes, os, sys, time
import numpy as np
from echodrift.policies.base import ScorePolicy

class Good(ScorePolicy):
    def fit(self, seen, rng):
        pass
    def scores(self, seen, users, rng):
        return rng.random((len(users), seen.n_items)).astype(np.float32)

class Exits(Good):
    def fit(self, seen, rng):
        os._exit(0)

class Aborts(Good):
    def fit(self, seen, rng):
        os.abort()

class Crashes(Good):
    def fit(self, seen, rng):
        ctypes.string_at(0)

class Leaves(Good):
    def fit(self, seen, rng):
        sys.exit(0)

class Interrupts(Good):
    def fit(self, seen, rng):
        raise KeyboardInterrupt

class Base(Good):
    def fit(self, seen, rng):
        raise BaseException("of an unusual kind")

class Hangs(Good):
    def fit(self, seen, rng):
        while True:
            time.sleep(1)

class HangsInC(Good):
    """Never lets other threads run."""
    def fit(self, seen, rng):
        ctypes.PyDLL(None).sleep(1000)

class Forks(Good):
    def fit(self, seen, rng):
        os.fork()

class Moves(Good):
    def fit(self, seen, rng):
        with open("where", "a") as file:
            file.write(os.getcwd() + "\\n")
        os.chdir(os.path.dirname(__file__))

class Prints(Good):
    def fit(self, seen, rng):
        print("x" * 3_000_000)
        os.write(1, b"past Python\\x1b[31m")
        print("and on stderr", file=sys.stderr)

class Asks(Good):
    def fit(self, seen, rng):
        input()

class Unencodable(Good):
    def fit(self, seen, rng):
        raise ValueError("bad \\ud800, \\x1b[31mred\\x1b[0m, \\x00null, \\u202eturned")

class Unprintable(Good):
    def fit(self, seen, rng):
        class Unprintable(Exception):
            def __str__(self):
                raise RuntimeError("no")
            __repr__ = __str__
        raise Unprintable

class Long(Good):
    def fit(self, seen, rng):
        raise ValueError("y" * 5_000_000)

class Notes(Good):
    def remarks(self):
        return ["warning: \\ud800\\x1b[31m|x|<b>&" + "z" * 5_000_000, *(chr(97 + i) * 3 for i in range(26)), "]]>"]

class Writes(Good):
    def fit(self, seen, rng):
        seen.log.user[:] = 0

class Revives(Good):
    def fit(self, seen, rng):
        seen.live[:] = True

class Counts(Good):
    def fit(self, seen, rng):
        seen.counts.data[:] = 1e6
    def scores(self, seen, users, rng):
        seen.counts.data[:] = 1e6
        return super().scores(seen, users, rng)
'''


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Return a maker of studies: hostile("Exits", …) has an arm for each, beside `Good`; the module is `hostile`."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/hostile.py").write_text(HOSTILE)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.delitem(sys.modules, "hostile", raising=False)
    monkeypatch.chdir(tmp_path)

    def make(*names: str, **changes: Any) -> dict[str, Any]:
        arms = [{"name": name, "policy": {"kind": f"hostile:{name}"}} for name in ("Good", *names)]
        return {
            "name": "hostile",
            "rounds": 6,
            "seeds": 2,
            "world": {"users": 30, "items": 40},
            "platform": {"slate": 4, "warmup": 4},
            "measures": ["niche_exposure"],
            "primary": ["niche_exposure"],
            "arms": arms,
            **changes,
        }

    return make
