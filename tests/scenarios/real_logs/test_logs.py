"""Reading, cleaning and refusing logs, and the files that come with them."""

import numpy as np
import pandas as pd
import pytest
from echodrift.errors import BadInput
from echodrift.scenarios.real_logs.logs import read_log
from echodrift.scenarios.real_logs.metadata import read_items, read_tags, read_ties
from echodrift.scenarios.specs.study import LogConfig
from hypothesis import given, settings
from hypothesis import strategies as st

ROWS = [
    ("7", "30", "4.0", "100"),
    ("7", "4", "2.5", "300"),
    ("10", "30", "5.0", "200"),
    ("10", "5", "1.0", "400"),
]
HEADER = ("userId", "movieId", "rating", "timestamp")


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return str(path)


def joined(separator, rows, header=None, end="\n"):
    return end.join(separator.join(row) for row in ([header] if header else []) + list(rows)) + end


def load(path, **fields):
    return read_log(LogConfig(**{"log": path, "user_core": 0, **fields}))


FORMS = {
    "ratings.csv": joined(",", ROWS, HEADER),
    "ratings.dat": joined("::", ROWS),
    "u.data": joined("\t", ROWS),
    "user_artists.dat": joined("\t", ROWS, ("userID", "artistID", "weight", "timestamp"), "\r\n"),
    "log.tsv": joined("\t", ROWS, ("user", "item", "score", "time")),
    "semicolons.csv": joined(";", ROWS, HEADER),
    "quoted.csv": joined(",", [tuple(f'"{cell}"' for cell in row) for row in ROWS], HEADER),
    "commented.csv": "# a comment\n\n" + joined(",", ROWS),
    "bom.csv": "\ufeff" + joined(",", ROWS, HEADER),
    "blanks.csv": joined(",", ROWS, HEADER).replace("\n", "\n\n"),
    "shuffled_columns.csv": joined(",", [row[::-1] for row in ROWS], HEADER[::-1]),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_log(tmp_path, name):
    log = load(write(tmp_path, name, FORMS[name]))
    assert log.users == ["7", "10"] and log.items == ["4", "5", "30"]
    assert log.user.tolist() == [0, 1, 0, 1] and log.item.tolist() == [2, 2, 0, 1]
    assert log.rating.tolist() == [4.0, 5.0, 2.5, 1.0] and log.time.tolist() == [100, 200, 300, 400]
    assert log.notes == ()


def test_parquet_and_named_columns(tmp_path):
    frame = pd.DataFrame(ROWS, columns=["who", "what", "liked", "when"]).astype(
        {"who": float, "liked": float, "when": int}
    )
    frame.to_parquet(tmp_path / "x.parquet")
    named = {"user_column": "who", "item_column": "what", "rating_column": "liked", "time_column": "when"}
    log = load(str(tmp_path / "x.parquet"), **named)
    assert log.users == ["7", "10"] and log.time.tolist() == [100, 200, 300, 400]
    with pytest.raises(BadInput, match=r'user_column = "wo".*Did you mean "who"\?.*who, what, liked, when'):
        load(str(tmp_path / "x.parquet"), **{**named, "user_column": "wo"})


def test_text_ids_latin1_and_dates(tmp_path):
    text = "user,item,date\nJosé,b,2024-01-02\nana,B,2024-01-01T10:00:00\nana,b,2023-12-31\n"
    log = load(write(tmp_path, "a.csv", text, "latin-1"))
    assert log.users == ["José", "ana"] and log.items == ["B", "b"]
    assert log.user.tolist() == [1, 1, 0]
    assert np.diff(log.time).tolist() == [34 * 3600, 14 * 3600]


def test_third_column_of_big_numbers_is_a_timestamp(tmp_path):
    log = load(write(tmp_path, "a.csv", "1,1,1300000001\n2,1,1300000000\n"))
    assert log.rating.tolist() == [1, 1] and log.user.tolist() == [1, 0]


def test_repeats_keep_the_latest_and_say_so(tmp_path):
    rows = [("1", "1", "1", "50"), ("1", "1", "5", "90"), ("1", "1", "3", "70"), ("2", "1", "4", "60")]
    log = load(write(tmp_path, "a.csv", joined(",", rows, HEADER)))
    assert log.rating.tolist() == [4, 5] and "2 repeated rows" in log.notes[0]
    untimed = load(write(tmp_path, "b.csv", "user,item,rating\n1,1,1\n2,1,4\n1,1,3\n"))
    assert untimed.rating.tolist() == [4, 3] and "last in the file" in untimed.notes[0]


def brute_core(pairs, user_core, item_core):
    pairs = set(pairs)
    while True:
        users, items = [u for u, _ in pairs], [i for _, i in pairs]
        kept = {(u, i) for u, i in pairs if users.count(u) >= user_core and items.count(i) >= item_core}
        if kept == pairs:
            return kept
        pairs = kept


@settings(max_examples=40, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40),
    user_core=st.integers(0, 4),
    item_core=st.integers(0, 4),
)
def test_core_equals_brute_force(tmp_path_factory, pairs, user_core, item_core):
    path = write(
        tmp_path_factory.mktemp("core"), "a.csv", "user,item\n" + "".join(f"{u},{i}\n" for u, i in pairs)
    )
    expected = brute_core(pairs, user_core, item_core)
    if not expected:
        with pytest.raises(BadInput, match="nothing is left after the filters"):
            load(path, user_core=user_core, item_core=item_core)
        return
    log = load(path, user_core=user_core, item_core=item_core)
    assert {
        (int(log.users[u]), int(log.items[i])) for u, i in zip(log.user, log.item, strict=True)
    } == expected
    assert log.user_counts.min() >= 1 and log.item_counts.min() >= 1


def test_min_rating_comes_before_the_core_and_is_reported(tmp_path):
    log = load(write(tmp_path, "a.csv", joined(",", ROWS, HEADER)), min_rating=2.0, user_core=2)
    assert log.users == ["7"] and len(log) == 2
    assert log.notes[0] == "world.min_rating = 2 left 3 of 4 interactions."
    assert "dropped 1 users and 0 items" in log.notes[1]


GOOD = "userId,movieId,rating,timestamp\n1,1,3,5\n"
BAD = {
    "empty": ("", "the file is empty"),
    "only blank": ("\n \n", "the file is empty"),
    "header only": ("userId,movieId\n", "a header but no rows"),
    "too many fields": (GOOD + "2,1,3,5,9\n", r"line 3: 5 fields, but line 1 has 4"),
    "too few fields": (GOOD + "\n2,1,3\n", r"line 4: 3 fields, but line 1 has 4"),
    "rating text": (GOOD + "2,1,good,5\n", r'line 3: the rating "good" is not a finite number'),
    "rating NaN": (GOOD + "2,1,NaN,5\n", r"line 3: the rating is missing or NaN"),
    "rating empty": (GOOD + "2,1,,5\n", r"line 3: the rating is missing or NaN"),
    "rating infinite": (GOOD + "2,1,inf,5\n", r'line 3: the rating "inf" is not a finite'),
    "user empty": (GOOD + ",1,3,5\n", "line 3: the user id is missing"),
    "item NaN": (GOOD + "1,nan,3,5\n", "line 3: the item id is missing"),
    "bad date": (GOOD + "1,2,3,yesterday\n", 'line 3: the timestamp "yesterday"'),
    "no user column": ("person,movieId\n1,2\n", r"no column of user ids.*person, movieId.*world.user_column"),
    "no item column": ("userId,thing\n1,2\n", r"no column of item ids.*userId, thing.*world.item_column"),
    "one column": ("userId\n1\n2\n", "only one column"),
    "twice the same header": ("userId,movieId,movieId\n1,2,3\n", 'two columns are named "movieId"'),
    "quoted, uneven": ('userId,movieId\n"1","2"\n"1"\n', "line 3: 1 fields, but line 1 has 2"),
    "wide matrix": ("0 0 3 0 1\n1 0 0 2 0\n", "5 columns and no header"),
    "binary": (b"\x00\x01\x02,", "neither a text table"),
    "gzip": (b"\x1f\x8b\x08rest", "compressed"),
    "broken parquet": (b"PAR1rest", "not a readable Parquet"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_logs_get_one_clear_message(tmp_path, case):
    text, message = BAD[case]
    with pytest.raises(BadInput, match=message) as raised:
        load(write(tmp_path, "bad.csv", text))
    assert "bad.csv" in str(raised.value)


def test_missing_file_folder_and_rating(tmp_path):
    with pytest.raises(BadInput, match=r'world.log = ".*no.csv": there is no such file'):
        load(str(tmp_path / "no.csv"))
    with pytest.raises(BadInput, match="cannot be read"):
        load(str(tmp_path))
    with pytest.raises(BadInput, match=r"world.min_rating needs one.*user, item.*world.rating_column"):
        load(write(tmp_path, "a.csv", "user,item\n1,2\n"), min_rating=3)


MOVIES = {
    "movies.csv": 'movieId,title,genres\n1,"Heat, the (1995)",Crime|Drama\n2,Amélie,(no genres listed)\n3,Up,Drama\n',
    "movies.dat": "1::Heat, the (1995)::Crime|Drama\n2::Amélie::(no genres listed)\n3::Up::Drama\n",
}


@pytest.mark.parametrize("name", MOVIES)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_item_files(tmp_path, name, encoding):
    found = read_items(write(tmp_path, name, MOVIES[name], encoding), ["1", "2", "3"])
    assert found.names == ["Heat, the (1995)", "Amélie", "Up"] and found.genre_names == ["Crime", "Drama"]
    np.testing.assert_allclose(found.genres.toarray(), [[0.5, 0.5], [0, 0], [0, 1]])


# Rows as in MovieLens 100K: id, title, two dates, address, and 19 flags
U_ITEM = """\
1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0
2|GoldenEye, Le (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?GoldenEye|0|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0|1|0|0
267|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0
3|Amélie|01-Jan-1995||http://us.imdb.com/M/title-exact?A|0|0|0|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|1
"""
U_GENRE = "unknown|0\n" + "".join(f"genre no. {place}|{place}\n" for place in range(1, 19)) + "\n"


def genres_of(found):
    return [[found.genre_names[t] for t in row.indices] for row in found.genres]


def test_u_item_flags(tmp_path):
    path = write(tmp_path, "u.item", U_ITEM, "latin-1")
    found = read_items(path, ["1", "2", "267", "3"])
    assert found.names == ["Toy Story (1995)", "GoldenEye, Le (1995)", "unknown", "Amélie"]
    named = [
        ["Animation", "Children's", "Comedy"],
        ["Action", "Adventure", "Thriller"],
        [],
        ["Drama", "Western"],
    ]
    assert genres_of(found) == named
    np.testing.assert_allclose(found.genres.sum(axis=1).ravel(), [[1, 1, 0, 1]])
    assert "columns of 0 and 1: Action, Adventure, Animation, Children's, Comedy" in found.notes[0]


@pytest.mark.parametrize(
    ("beside", "last"),
    [(U_GENRE, "genre no. 18"), (U_GENRE[:40], "Western"), ("Action\n", "Western"), (U_GENRE.replace("17", "16"), "Western")],
)  # fmt: skip
def test_u_genre_beside_u_item(tmp_path, beside, last):
    write(tmp_path, "u.genre", beside, "latin-1")
    found = read_items(write(tmp_path, "u.item", U_ITEM, "latin-1"), ["1", "2", "3"])
    assert found.genre_names[-1] == last and len(found.genre_names) == 18


def test_flags_under_a_header(tmp_path):
    header = "movie id|movie title|release date|unknown|Action|Sci_Fi|Children's\n"
    found = read_items(write(tmp_path, "u.item", header + "1|Up|x|0|1|0|1\n2|Me|x|1|0|0|0\n"), ["1", "2"])
    assert found.names == ["Up", "Me"] and genres_of(found) == [["Action", "Children's"], []]
    header = "movieId,title,genres,action,drama,comedy\n"
    found = read_items(write(tmp_path, "m.csv", header + "1,Up,A|B,1,0,0\n2,Me,B,1,0,0\n"), ["1", "2"])
    assert genres_of(found) == [["A", "B"], ["B"]]


def test_items_that_the_file_lacks(tmp_path):
    path = write(tmp_path, "movies.csv", MOVIES["movies.csv"])
    found = read_items(path, ["1", "2", "3", "99"])
    assert found.names[3] == "99" and "1 of 4 items are not in the item file (e.g. 99)" in found.notes[0]
    with pytest.raises(BadInput, match="lacks 4 of the 5 items in the log, e.g. 10, 11, 12, 13"):
        read_items(path, ["1", "10", "11", "12", "13"])


def test_tags(tmp_path):
    text = "artistID\ttag_rank\n1\t5\n1\t5\n2\t7\n9\t5\n"
    counts, labels, notes = read_tags(write(tmp_path, "t.tsv", text), ["1", "2", "3"])
    assert labels == ["5", "7"] and counts.toarray().tolist() == [[2, 0], [0, 1], [0, 0]]
    assert notes == ["1 tag rows of items outside the log were dropped."]
    movielens = "userId,movieId,tag,timestamp\n5,1,Funny,9\n6,1,funny,9\n"
    counts, labels, _ = read_tags(write(tmp_path, "t.csv", movielens), ["1"])
    assert labels == ["funny"] and counts.toarray().tolist() == [[2]]
    weighted, _, _ = read_tags(write(tmp_path, "w.csv", "1,a,3\n2,b,4\n"), ["1", "2"])
    assert weighted.toarray().tolist() == [[3, 0], [0, 4]]
    with pytest.raises(BadInput, match="no item of the log has a tag"):
        read_tags(write(tmp_path, "t.tsv", text), ["100"])
    with pytest.raises(BadInput, match="line 2: the count -3 is negative"):
        read_tags(write(tmp_path, "n.csv", "1,a,3\n2,b,-3\n"), ["1", "2"])


@pytest.mark.parametrize("header", ["", "userID\tfriendID\n"])
def test_ties_drop_strangers_and_self_ties(tmp_path, header):
    rows = "1\t2\n2\t1\n3\t3\n2\t3\n3\t2\n1\t50\n50\t1\n1\t2\n"
    ties = read_ties(write(tmp_path, "f.dat", header + rows), ["1", "2", "3"])
    assert ties.indptr.tolist() == [0, 1, 3, 4] and ties.indices.tolist() == [1, 0, 2, 1]
    assert [note.split(" ")[0] for note in ties.notes] == ["1", "2", "1"]


def test_one_way_list_is_mirrored_and_directed_list_kept(tmp_path):
    once = read_ties(write(tmp_path, "a", "1,2\n1,3\n"), ["1", "2", "3"])
    assert once.indptr.tolist() == [0, 2, 3, 4] and "both directions" in once.notes[0]
    mixed = read_ties(write(tmp_path, "b", "1,2\n2,1\n1,3\n"), ["1", "2", "3"])
    assert mixed.indptr.tolist() == [0, 2, 3, 3] and "67%" in mixed.notes[0]
    with pytest.raises(BadInput, match="no tie joins two users"):
        read_ties(write(tmp_path, "c", "8,9\n"), ["1"])
