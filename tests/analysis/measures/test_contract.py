"""The catalog of measures, their contract, and how a run uses them."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from echodrift.analysis.measures import MEASURES, Column, Measure, UserMeasure, build, catalog, measure_class
from echodrift.analysis.measures.describe import table
from echodrift.analysis.measures.testing import (
    MEASURE_CLAUSES,
    Trial,
    check_measure,
    random_round,
    random_setup,
    random_world,
)
from echodrift.errors import BadInput
from hypothesis import given, settings
from hypothesis import strategies as st

CLASSES = list(dict.fromkeys(measure_class(name) for name in MEASURES))
DOC = Path(__file__).parents[3] / "docs" / "measures.md"


@pytest.fixture(scope="module", params=CLASSES, ids=lambda kind: kind.__name__)
def trial(request):
    return Trial(request.param)


@pytest.mark.parametrize("clause", MEASURE_CLAUSES)
def test_contract(trial, clause):
    MEASURE_CLAUSES[clause](trial)


def test_catalog_and_classes_agree():
    declared = {column.name: kind for kind in CLASSES for column in kind.columns}
    assert declared == {name: measure_class(name) for name in MEASURES}
    assert [column.name for column in catalog()] == list(MEASURES)
    assert all(column.title and column.low < column.high for column in catalog())


def test_documentation_is_in_step_with_the_catalog():
    assert table() in DOC.read_text("utf-8"), (
        "paste `python -m echodrift.analysis.measures.describe` into docs/measures.md"
    )


def test_code_in_the_documentation_runs():
    blocks = re.findall(r"```python\n(.*?)```", DOC.read_text("utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, {})  # noqa: S102


def test_unknown_measure_is_answered_with_the_closest():
    with pytest.raises(BadInput, match=r'unknown measure "nich_exposure".*Did you mean "niche_exposure"\?'):
        build(random_setup(random_world(rng := np.random.default_rng(0)), rng), ["welfare", "nich_exposure"])


def test_build_returns_what_was_asked_for_in_that_order():
    rng = np.random.default_rng(0)
    world = random_world(rng)
    even = np.arange(len(world.users)) % 2 == 0
    setup = random_setup(world, rng, splits={"group=even": even})
    chosen = build(setup, ["welfare", "niche_consumed", "coverage", "welfare"])
    values = chosen.update(random_round(world, rng))
    expected = ["welfare", "welfare:group=even", "niche_consumed", "niche_consumed:group=even", "coverage"]
    assert list(values) == [column.name for column in chosen.columns] == expected
    everything = [column.name for column in build(setup).columns]
    assert [name for name in everything if ":" not in name] == [c.name for c in catalog() if c.usual]
    assert list(MEASURES) == [c.name for c in catalog()]
    assert list(build(setup, []).columns) == list(build(setup).columns)


def test_window_is_stored_once_and_never_shared_between_runs():
    rng = np.random.default_rng(0)
    world = random_world(rng)
    setup = random_setup(world, rng)
    one, other = build(setup), build(setup)
    windows = {id(measure._window) for measure in one.measures if hasattr(measure, "_window")}
    assert len(windows) == 1
    assert windows.isdisjoint(id(m._window) for m in other.measures if hasattr(m, "_window"))


def test_a_run_goes_on_from_its_state():
    rng = np.random.default_rng(1)
    world = random_world(rng, newborn=5)
    setup = random_setup(world, rng)
    rounds = [random_round(world, rng, index) for index in range(45)]
    undisturbed, first = build(setup), build(setup)
    for round in rounds[:30]:
        undisturbed.update(round)
        first.update(round)
    second = build(setup)
    second.restore({name: array.copy() for name, array in first.state().items()})
    for round in rounds[30:]:
        np.testing.assert_equal(second.update(round), undisturbed.update(round))


def test_state_does_not_grow_with_rounds():
    rng = np.random.default_rng(1)
    world = random_world(rng)
    measures = build(random_setup(world, rng))
    sizes = []
    for index in range(120):
        measures.update(random_round(world, rng, index))
        sizes.append(sum(array.nbytes for array in measures.state().values()))
    assert len(set(sizes)) == 1 and sizes[0] > 0


def test_rounds_out_of_order_are_refused():
    rng = np.random.default_rng(1)
    world = random_world(rng)
    measures = build(random_setup(world, rng), ["coverage"])
    measures.update(random_round(world, rng, 7))
    with pytest.raises(ValueError, match="round 3 came after round 7"):
        measures.update(random_round(world, rng, 3))


def test_means_over_users_count_every_user_equally():
    """Over many rounds, a user who visits nine times as often weighs the same."""
    rng = np.random.default_rng(5)
    world = random_world(rng, users=2)
    world.users.activity[:] = [0.9, 0.1]

    class Who(UserMeasure):
        """The visitor's number."""

        columns = (Column("who", "", "", 0, 1, "neither", "tastes"),)

        def per_user(self, round):
            return {"who": round.users.astype(float)}

    setup = random_setup(world, rng)
    measure = Who(setup)
    both = [value for i in range(4000) if (r := random_round(world, rng, i)).users.size == 2
            for value in measure.update(r).values()]  # fmt: skip
    assert both and np.allclose(both, (1 / 0.1) / (1 / 0.1 + 1 / 0.9))


class Good(Measure):
    """The number of visitors so far, which stops at 9; the broken ones below each break one thing."""

    columns = (Column("good", "", "", 0, 9, "neither", "echo"),)

    def __init__(self, setup):
        super().__init__(setup)
        self.count = 0

    def update(self, round):
        self.count = min(self.count + round.users.size, 9)
        return {"good": float(self.count)}

    def state(self):
        return {"count": np.array(self.count)}

    def restore(self, state):
        self.count = int(state["count"])


class Undocumented(Good):
    pass


class Extra(Good):
    """Gives a value that is no column."""

    def update(self, round):
        return {**super().update(round), "more": 0.0}


class Whole(Good):
    """Gives whole numbers."""

    def update(self, round):
        return {"good": int(super().update(round)["good"])}


class TooHigh(Good):
    """Says at most 1, and goes to 9."""

    columns = (Column("good", "", "", 0, 1, "neither", "echo"),)


class TooOften(Good):
    """Says every fifth round, and always has a value."""

    every = 5


class Unsplit(Good):
    """Every label gets the value of the whole, and so does a split of nobody."""

    splits = True

    def update(self, round):
        value = super().update(round)["good"]
        return {"good": value, **{f"good:{label}": value for label in self.setup.splits}}


class Forgetful(Good):
    """Its state says nothing."""

    def update(self, round):
        self.count += 0.001
        return {"good": self.count % 1}

    def state(self):
        return {"count": np.array(0)}


class Hoarder(Good):
    """Keeps all slates."""

    def update(self, round):
        self.slates = [*getattr(self, "slates", []), round.slates]
        return super().update(round)


class Unsteady(Good):
    """Counts its runs over all of them."""

    runs = 0

    def __init__(self, setup):
        super().__init__(setup)
        Unsteady.runs += 1
        self.run = Unsteady.runs

    def update(self, round):
        # the run that goes on from a state takes over its number, too
        return {"good": float(self.run % 9)}

    def state(self):
        return {"run": np.array(self.run)}

    def restore(self, state):
        self.run = int(state["run"])


class Overwrites(Good):
    """Clears a slate."""

    def update(self, round):
        round.slates[:1] = -1
        return super().update(round)


class GlobalNumpy(Good):
    """Draws a number, and drops it."""

    def update(self, round):
        np.random.random()  # noqa: NPY002
        return super().update(round)


@pytest.mark.parametrize(
    ("measure", "clause", "says"),
    [
        (Undocumented, "documentation", "no docstring"),
        (Extra, "columns", "'more'"),
        (Whole, "columns", "is a int"),
        (TooHigh, "range", "out of range"),
        (TooOften, "schedule", "has a value in round 1"),
        (Unsplit, "splits", "split by nobody"),
        (Forgetful, "state", "resumed"),
        (Hoarder, "memory", "memory grows"),
        (Unsteady, "determinism", "two runs differ"),
        (Overwrites, "inputs", "an input was changed"),
        (GlobalNumpy, "global_rng", "global RNG"),
    ],
)
def test_a_broken_measure_fails_the_right_clause(measure, clause, says):
    with pytest.raises(AssertionError, match=f'fails the clause "{clause}": .*{says}'):
        check_measure(measure)


def test_a_good_measure_of_ones_own_passes():
    check_measure(Good)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.integers(1, 25),
    items=st.integers(1, 30),
    topics=st.integers(1, 4),
    tastes=st.integers(1, 4),
    communities=st.integers(1, 4),
    degree=st.integers(0, 4),
    appetite=st.integers(1, 4),
    slate=st.integers(1, 12),
    newborn=st.integers(0, 8),
)
def test_every_column_stays_in_its_range(
    seed, users, items, topics, tastes, communities, degree, appetite, slate, newborn
):
    rng = np.random.default_rng(seed)
    world = random_world(rng, users, items, topics, tastes, communities, degree, appetite, newborn)
    setup = random_setup(world, rng, slate, {"odd": np.arange(users) % 2 == 1})
    measures = build(setup)
    for index in range(26):
        values = measures.update(random_round(world, rng, index, slate))
        for column in measures.columns:
            value = values[column.name]
            inside = column.low - 1e-9 <= value <= column.high + 1e-9
            assert math.isnan(value) or inside, f"{column.name} = {value} in round {index}"
        for name, value in values.items():
            assert not math.isinf(value), name
