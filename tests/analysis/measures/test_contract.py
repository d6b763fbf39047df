"""The catalog of measures, their contract, and how a run uses them."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from echodrift.analysis.measures import MEASURES, Column, Measure, UserMeasure, build, catalog, measure_class
from echodrift.analysis.measures.describe import table
from echodrift.analysis.measures.testing import check_measure, random_round, random_setup, random_world
from echodrift.errors import BadInput
from hypothesis import given, settings
from hypothesis import strategies as st

CLASSES = list(dict.fromkeys(measure_class(name) for name in MEASURES))
DOC = Path(__file__).parents[3] / "docs" / "measures.md"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_contract(kind):
    check_measure(kind)


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
    assert [name for name in everything if ":" not in name] == list(MEASURES)
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


def test_check_measure_catches_a_measure_that_leaves_its_range():
    class Wrong(Measure):
        """Says at most 1, returns 2."""

        columns = (Column("wrong", "", "", 0, 1, "neither", "echo"),)

        def update(self, round):
            return {"wrong": 2.0}

    with pytest.raises(AssertionError, match="out of range"):
        check_measure(Wrong)


def test_check_measure_catches_growing_memory():
    class Hoarder(Measure):
        """Keeps everything."""

        columns = (Column("hoarder", "", "", 0, 1, "neither", "echo"),)

        def __init__(self, setup):
            super().__init__(setup)
            self.slates = []

        def update(self, round):
            self.slates.append(round.slates)
            return {"hoarder": 0.0}

    with pytest.raises(AssertionError, match="memory grows"):
        check_measure(Hoarder)


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
