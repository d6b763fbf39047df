"""Tables that fit a width: nothing is lost, nothing sticks out, names give way to numbers only where it helps."""

from __future__ import annotations

import io

from echodrift.scenarios.offline.results.layout import Columns, legend, parts, short_names, table
from echodrift.scenarios.offline.split_size import (
    SplitSize,
    averaging_unit,
    describe_sizes,
    small_split_warnings,
)
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

WORDS = st.text("abcdefgh=.", min_size=1, max_size=18)
NAMES = st.lists(st.lists(WORDS, min_size=1, max_size=5).map(" ".join), min_size=1, max_size=5, unique=True)


def drawn(columns: Columns, width: int) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=width).print(table(columns))
    return text.getvalue().splitlines()


@given(
    names=NAMES,
    headings=st.lists(WORDS, min_size=1, max_size=7, unique=True).filter(lambda found: "policy" not in found),
    size=st.integers(1, 17),
    width=st.integers(80, 140),
)
def test_every_cell_is_shown_once_within_the_width(
    names: list[str], headings: list[str], size: int, width: int
) -> None:
    cells = {
        heading: [f"{row}{column}".rjust(size, "_") for row in range(len(names))]
        for column, heading in enumerate(headings)
    }
    short = short_names(names, cells, width)
    lines = legend(names, short, width)
    found = parts({"policy": short} | cells, width)
    assert [heading for part in found for heading in list(part)[1:]] == headings
    for part in found:
        page = drawn(part, width)
        assert max(map(len, page)) <= width
        if short != names or max(map(len, names)) < 10:
            for heading in list(part)[1:]:
                assert all(any(cell in line for line in page) for cell in cells[heading])
    assert max(map(len, lines), default=0) <= width
    if short != names:
        assert " ".join(" ".join(lines).split()) == " ".join(
            f"{place} {name}" for place, name in enumerate(names, 1)
        )


def test_names_give_way_only_where_it_helps() -> None:
    cells = {heading: ["0.1234 ± 0.0123"] for heading in "abcd"}
    # 4 columns of 15 + 3 leave 6 of 80 for the names, and blanks at both ends
    assert short_names(["policy"], cells, 80) == ["policy"]
    assert all(line.count("0.1234 ± 0.0123") == 4 for line in drawn({"policy": ["policy"]} | cells, 80)[3:4])
    assert short_names(["policies"], cells, 80) == ["1"]
    assert len(parts({"policy": ["policies"]} | cells, 80)) == 2
    # two tables either way: the names stay
    assert short_names(["policies"], cells | {"e": ["0.1234 ± 0.0123"]}, 80) == ["policies"]
    # a name that is itself too long
    assert short_names(["x " * 45], {"a": ["1"]}, 80) == ["1"]
    assert legend(["b c", "d"], ["1", "2"], 80) == ["1  b c", "2  d"]
    assert legend(["b c"], ["b c"], 80) == []


def test_what_numbers_rest_on_in_words() -> None:
    assert describe_sizes([SplitSize(1)], "test") == "1 test user, whole catalog ranked"
    assert describe_sizes([SplitSize(20), SplitSize(1200)], "validation").startswith(
        "2 splits of 20 to 1,200 validation users"
    )
    pairs = [SplitSize(2, 3)]
    assert describe_sizes(pairs, "test") == "3 test pairs of 2 users, each ranked among its own negatives"
    assert (averaging_unit(pairs), averaging_unit([SplitSize(2)])) == ("test pairs", "users")
    assert (
        small_split_warnings([SplitSize(30), SplitSize(31)], "test") == []
        and "29 test users" in small_split_warnings([SplitSize(29)], "test")[0]
    )
