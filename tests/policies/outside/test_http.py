"""A service in the loop: the shipped schema against real messages, every lie named, every failure bounded."""

from __future__ import annotations

import copy
import json
import socket
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from echodrift.errors import BadInput, PolicyError
from echodrift.policies.outside import http_client
from echodrift.policies.outside.http_answers import read_slates
from echodrift.policies.outside.http_policy import Http, service_version
from echodrift.policies.testing import check_policy
from echodrift.policies.testing.example import example_observation
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((files("echodrift.policies.outside") / "openapi.json").read_text(encoding="utf-8"))


def valid(name, message):
    import jsonschema

    schema = {"$ref": f"#/components/schemas/{name}", "components": SCHEMA["components"]}
    jsonschema.Draft202012Validator(schema).validate(message)


@contextmanager
def serving(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def example_handler():
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        import http_server
    finally:
        sys.path.pop(0)
    return http_server.Service


class Scripted(BaseHTTPRequestHandler):
    """Answers as the example server would, unless `fault(self, asked, good)` has done so."""

    calls: list
    fault: object

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(raw)
        self.calls.append((self.path, asked, self.headers["Idempotency-Key"]))
        good = {"users": asked.get("users", []), "items": [], "scores": []}
        for blocked in asked.get("blocked", []):
            free = [i for i in range(60) if i % 9 != 4 and i not in blocked]
            good["items"].append(free[: asked["n"]])
            good["scores"].append([float(-i) for i in range(len(free[: asked["n"]]))])
        if not type(self).fault(self, asked, good):
            self.say(200, good)

    def say(self, status, body, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def scripted(fault=lambda self, asked, good: False):
    return type("Handler", (Scripted,), {"calls": [], "fault": staticmethod(fault)})


def lying(change):
    """A service whose answers to /recommend are altered."""

    def fault(self, asked, good):
        if self.path == "/recommend":
            change(good)
        return False

    return scripted(fault)


def ask(url, n=5, users=None, **fields):
    seen = example_observation()
    policy = Http(url=url, **{"backoff": 0.0, "retries": 0, **fields})
    policy.fit(seen, default_rng(0))
    users = np.arange(seen.n_users, dtype=np.int32) if users is None else np.array(users, np.int32)
    return policy.rank(seen, users, n, default_rng(1))


@pytest.mark.parametrize("batch", [5, 500])
def test_the_example_server_keeps_the_contract(batch):
    with serving(example_handler()) as url:
        assert "exhausted" in check_policy("http", url=url, batch=batch)


def test_the_example_server_ranks_bestsellers():
    with serving(example_handler()) as url:
        items = ask(url, n=8, users=[0, 7]).items
    seen = example_observation()
    for row, user in zip(items, (0, 7), strict=True):
        free = seen.available(np.array([user], np.int32))[0]
        best = np.sort(np.where(free, seen.popularity, -1))[::-1][:8]
        assert seen.popularity[row].tolist() == best.tolist()


def test_every_message_fits_the_schema():
    handler = scripted(
        lambda self, asked, good: valid("Slates", good) if self.path == "/recommend" else False
    )
    with serving(handler) as url:
        ask(url, batch=7, scores=True)
    paths = [path for path, _, _ in handler.calls]
    assert paths == ["/reset", "/observe", "/fit", *["/recommend"] * 4]
    assert {*paths, "/version"} == set(SCHEMA["paths"])
    for path, asked, key in handler.calls:
        valid(path.strip("/").capitalize(), asked)
        assert key == f"{asked['run']}-{asked['call']}"
    assert [asked["call"] for _, asked, _ in handler.calls] == list(range(1, 8))


def test_the_schema_refuses_what_the_policy_refuses():
    import jsonschema

    for wrong in ({"users": [1]}, {"users": [1], "items": [[1.5]]}, {"users": [1], "items": [[1, 1]]}):
        with pytest.raises(jsonschema.ValidationError):
            valid("Slates", wrong)


def test_the_log_is_told_once_and_anew_only_when_it_is_another():
    handler = scripted()
    with serving(handler) as url:
        policy = Http(url=url, retries=0)
        known = []
        for rounds in (6, 9, 12, 12):
            seen = example_observation(rounds=rounds)
            policy.fit(seen, default_rng(0))
            policy.rank(seen, np.array([1], np.int32), 3, default_rng(0))
        fewer = replace(seen, log=seen.log.where(seen.log.user != 2))
        policy.rank(fewer, np.array([1], np.int32), 3, default_rng(0))
    observed = [asked for path, asked, _ in handler.calls if path == "/observe"]
    sizes = [6 * 23, 9 * 23, 12 * 23]
    assert [asked["first"] for asked in observed] == [0, sizes[0], sizes[1], 0]
    for asked in observed:
        del known[asked["first"] :]
        known += asked["interactions"]["item"]
    assert known == fewer.log.item.tolist()
    assert len({asked["run"] for _, asked, _ in handler.calls}) == 1


def put(table, key, row, place, value):
    table[key][row][place] = value


def consumed_by(user):
    """Return a live item in the user's cool-down."""
    seen = example_observation()
    return int(np.flatnonzero(seen.live & seen.blocked.rows(np.array([user]))[0, : seen.n_items])[0])


LIES = [
    (
        lambda t: put(t, "items", 0, 1, 60),
        "user 0 .row 0., position 2: item 60 does not exist: ids run from 0 to 59",
    ),
    (lambda t: put(t, "items", 0, 1, -1), "item -1 does not exist"),
    (lambda t: put(t, "items", 0, 1, 4), "item 4 is not live"),
    (
        lambda t: put(t, "items", 2, 1, t["items"][2][0]),
        "user 2 .row 2., position 2: item .* is listed twice",
    ),
    (lambda t: put(t, "items", 0, 0, consumed_by(0)), "must not be shown to this user"),
    (lambda t: t["items"][0].pop(), "4 items, although 5 of the 5 asked for are available"),
    (lambda t: t["items"][0].append(50), "6 items where 5 were asked for"),
    (lambda t: put(t, "items", 0, 0, 1.0), "1.0 is not a whole number"),
    (lambda t: put(t, "items", 0, 0, True), "true is not a whole number"),
    (lambda t: put(t, "items", 0, 0, "3"), '"3" is not a whole number'),
    (lambda t: put(t, "items", 0, 0, 10**400), "does not exist"),
    (lambda t: t["items"].pop(), "23 rows for 24 users"),
    (lambda t: t.update(items=3), "must be a list of lists"),
    (lambda t: t["items"].__setitem__(1, {}), "user 1: must be a list, got an object"),
    (lambda t: t.pop("items"), 'lacks the field "items"'),
    (lambda t: t.pop("users"), 'lacks the field "users"'),
    (lambda t: t.pop("scores"), 'lacks the field "scores", which scores = true promises'),
    (lambda t: t.update(score=1), 'a field "score". Did you mean "scores"'),
    (lambda t: t["users"].pop(), '"users" lacks user 23'),
    (lambda t: t["users"].append(99), "user 99, who was not asked for"),
    (lambda t: t["users"].__setitem__(1, 0), "user 0 more than once"),
    (lambda t: t["users"].reverse(), "another order"),
    (lambda t: t["users"].__setitem__(0, None), "null is not a whole number"),
    (lambda t: put(t, "scores", 0, 0, float("nan")), "not valid JSON: NaN is no JSON number"),
    (lambda t: put(t, "scores", 0, 0, 1e39), "not a finite number that a float32 can hold"),
    (lambda t: put(t, "scores", 0, 4, 1.0), "position 5: 1.0 is above the score before it"),
    (lambda t: put(t, "scores", 0, 0, "x"), '"x" is not a finite number'),
    (lambda t: t["scores"][3].pop(), "user 3 .row 3.: 4 scores for 5 items"),
]


@pytest.mark.parametrize(("change", "said"), LIES)
def test_a_lie_is_named(change, said):
    refused = pytest.raises(PolicyError, match=said.replace("?", r"\?"))
    with serving(lying(change)) as url, refused as caught:
        ask(url, scores=True)
    assert "POST /recommend, round 12" in str(caught.value) and url in str(caught.value)


@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["users", "items", "scores", "x"]), inner),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_answer_crashes_the_reader(answer):
    free = np.ones((2, 5), bool)
    try:
        items, scores = read_slates(answer, np.array([0, 1], np.int32), 2, free, free[0], "here")
    except PolicyError as error:
        assert str(error).startswith("here: ")
    else:
        assert items.shape == scores.shape == (2, 2) and (items >= 0).all()


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"", "not valid JSON"), (b"<html>", "starts with '<html>'"), (b"[" * 100_000, "nested too deeply"),
     (b"\xff\xfe", "not valid JSON"), (b'{"users": [' + b"9" * 5000 + b"]}", "not valid JSON"), (b"[]", "must be a JSON object")],
)  # fmt: skip
def test_what_is_no_answer_at_all(body, said):
    def fault(self, asked, good):
        return self.path == "/recommend" and (self.say(200, body) or True)

    with serving(scripted(fault)) as url, pytest.raises(PolicyError, match=said):
        ask(url)


def failing(times, fail):
    """A service that fails the first so many calls to /recommend, then recovers."""
    left = [times]

    def fault(self, asked, good):
        if self.path == "/recommend" and left[0] > 0:
            left[0] -= 1
            fail(self)
            return True
        return False

    return scripted(fault)


def die(self):
    self.connection.shutdown(socket.SHUT_RDWR)


def half(self):
    self.say(200, b'{"users', **{"Content-Length": "500"})
    die(self)


@pytest.mark.parametrize(
    "fail", [lambda s: s.say(500, {"error": "oh"}), lambda s: s.say(503, b""), lambda s: s.say(429, b""), die, half]
)  # fmt: skip
def test_it_recovers_with_the_same_key(fail):
    handler = failing(2, fail)
    with serving(handler) as url:
        ask(url, retries=2)
    keys = [key for path, _, key in handler.calls if path == "/recommend"]
    assert len(keys) == 3 and len(set(keys)) == 1


@pytest.mark.parametrize(
    ("fail", "said"),
    [
        (lambda s: s.say(500, {"error": "no memory"}), 'it answered 500 Internal Server Error, "{"error": "no memory"}"'),
        (die, "the connection was closed without an answer"),
        (half, "the connection ended in the middle of the answer"),
    ],
)  # fmt: skip
def test_it_gives_up_in_the_end(fail, said):
    handler = failing(99, fail)
    with serving(handler) as url, pytest.raises(http_client.ServiceUnavailable) as caught:
        ask(url, retries=1)
    assert said in str(caught.value) and "2 attempts" in str(caught.value)
    assert sum(path == "/recommend" for path, _, _ in handler.calls) == 2


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (400, {}, "refuses: it answered 400 Bad Request"),
        (404, {}, "refuses"),
        (409, {}, "lost the run"),
        (
            302,
            {"Location": "http://elsewhere/"},
            "redirect .302 to http://elsewhere/., which is not followed",
        ),
    ],
)
def test_what_is_not_tried_again(status, headers, said):
    handler = failing(99, lambda s: s.say(status, b"", **headers))
    with serving(handler) as url, pytest.raises(PolicyError, match=said):
        ask(url, retries=3)
    assert sum(path == "/recommend" for path, _, _ in handler.calls) == 1


def test_an_answer_that_is_too_large(monkeypatch):
    monkeypatch.setattr(http_client, "MAX_BYTES", 100)
    with (
        serving(failing(9, lambda s: s.say(200, b" " * 101))) as url,
        pytest.raises(PolicyError, match="lower batch"),
    ):
        ask(url)


def drip(self):
    self.send_response(200)
    self.end_headers()
    try:
        for _ in range(100):
            self.wfile.write(b" ")
            time.sleep(0.05)
    except OSError:
        pass


@pytest.mark.parametrize("slow", [lambda s: time.sleep(3), drip])
def test_a_slow_service_is_not_waited_for(slow):
    began = time.monotonic()
    with serving(failing(9, slow)) as url:
        with pytest.raises(
            http_client.ServiceUnavailable, match="no complete answer within 0.3 s .2 attempts"
        ):
            ask(url, retries=1, timeout=0.3)
        assert time.monotonic() - began < 2.5


def test_nothing_listens_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(http_client.ServiceUnavailable, match="connection refused, nothing listens there"):
        ask(f"http://127.0.0.1:{port}", retries=1)


def test_pauses_double_up_to_a_bound(monkeypatch):
    pauses = []
    monkeypatch.setattr(http_client.time, "sleep", pauses.append)
    with pytest.raises(http_client.ServiceUnavailable):
        http_client.Client("http://127.0.0.1:1", 8, 0.5).post("/fit", {}, "k", 1.0, "round 0")
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"url": "127.0.0.1:8000"}, {"url": "ftp://x"}, {"url": "http://"}, {"url": "http://a:b@x"},
        {"url": "http://x?y=1"}, {"url": "http://x:99999"}, {"url": "http://x y"},
        {"url": "http://x", "token_env": "lower"}, {"url": "http://x", "version": ""}, {"url": "http://x", "version": "ä"},
        {"url": "http://x", "timeout": 0}, {"url": "http://x", "retries": -1}, {"url": "http://x", "batch": 0},
    ],
)  # fmt: skip
def test_bad_settings(fields):
    with pytest.raises(BadInput):
        Http(**fields)


def test_scores_are_places_unless_given():
    with serving(lying(lambda table: table.pop("scores"))) as url:
        ranking = ask(url, n=3, users=[0])
        assert ranking.scores.tolist() == [[2, 1, 0]]
        assert not Http(url=url).gives_scores and Http(url=url, scores=True).gives_scores
    with serving(scripted()) as url:
        assert ask(url, n=3, users=[0], scores=True).scores.tolist() == [[0, -1, -2]]


def test_a_service_that_stays_away_is_a_failed_row_beside_others(tmp_path):
    import echodrift as ed

    handler = failing(10**6, lambda s: s.say(503, b""))
    small = {"world.users": 40, "world.items": 60, "platform.warmup": 5, "platform.slate": 5}
    with serving(handler) as url:
        arms = [
            {"name": "pop", "policy": {"kind": "popularity"}},
            {"name": "away", "policy": {"kind": "http", "url": url, "retries": 1, "backoff": 0.0}},
        ]
        changes = copy.deepcopy(small) | {"arms": arms, "reference": "pop"}
        result = ed.run("default", rounds=2, seeds=1, jobs=1, out=tmp_path / "x", set=changes)
    assert result.failed["arm"].tolist() == ["away"]
    assert "does not answer: it answered 503" in result.failed["error"].iloc[0]


TOKEN = "s3cret-Token.4711"


def with_token(fault=lambda self, asked, good: False):
    """A service that refuses calls without the token, unless `fault(self, asked, good)` has answered."""

    def guarded(self, asked, good):
        if self.headers["Authorization"] == f"Bearer {TOKEN}":
            return fault(self, asked, good)
        self.say(401, {"error": f"not {self.headers['Authorization']}"})
        return True

    return scripted(guarded)


def test_a_token_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("ECHO_TOKEN", TOKEN)
    with serving(with_token()) as url:
        assert ask(url, token_env="ECHO_TOKEN").items.shape[1] == 5
        with pytest.raises(PolicyError, match="401 Unauthorized.*name the environment variable.*token_env"):
            ask(url)
        monkeypatch.delenv("ECHO_TOKEN")
        with pytest.raises(PolicyError, match="variable ECHO_TOKEN, .* is not set here.* export ECHO_TOKEN="):
            ask(url, token_env="ECHO_TOKEN")


@pytest.mark.parametrize(
    "token", ["short", "two words here", "line\nbreak-in-it", "no-äscii-token", "x" * 5000]
)
def test_what_is_no_token(monkeypatch, token):
    monkeypatch.setenv("ECHO_TOKEN", token)
    with pytest.raises(PolicyError, match="holds no token that can be sent") as caught:
        ask("http://127.0.0.1:1", token_env="ECHO_TOKEN")
    assert token not in str(caught.value)


def moved(self):
    self.say(302, b"", Location=f"http://elsewhere/{TOKEN}")


@pytest.mark.parametrize(
    "answer",
    [
        lambda s: s.say(400, {"error": f"{'x' * 170}{TOKEN}"}),
        lambda s: s.say(400, f"{'x' * 390}{TOKEN}".encode()),
        lambda s: s.say(503, {"seen": s.headers["Authorization"]}),
        lambda s: s.say(200, {"users": [TOKEN], "items": []}),
        lambda s: s.say(200, TOKEN.encode()),
        moved,
    ],
)
def test_no_error_shows_a_token(monkeypatch, answer):
    monkeypatch.setenv("ECHO_TOKEN", TOKEN)
    handler = with_token(lambda self, asked, good: self.path == "/recommend" and (answer(self) or True))
    with serving(handler) as url, pytest.raises(PolicyError) as caught:
        ask(url, token_env="ECHO_TOKEN")
    assert TOKEN[:6] not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"url": f"http://me:{TOKEN}@x"}, {"url": f"ftp://me:{TOKEN}@x"}, {"url": f"http://[me:{TOKEN}@x"},
        {"url": f"http://x?token={TOKEN}"}, {"url": f"http://x/#{TOKEN}"}, {"url": "http://x", "token_env": TOKEN},
    ],
)  # fmt: skip
def test_a_token_in_the_study_is_refused_with_what_to_type(fields):
    with pytest.raises(BadInput, match='export MY_SERVICE_TOKEN=.*token_env = "MY_SERVICE_TOKEN"') as caught:
        Http(**fields)
    assert TOKEN not in str(caught.value)


def test_a_missing_token_ends_a_study_before_it_starts_and_none_is_stored(tmp_path, monkeypatch):
    import echodrift as ed

    small = {"world.users": 40, "world.items": 60, "platform.warmup": 5, "platform.slate": 5}
    monkeypatch.setenv("ECHO_TOKEN", TOKEN)
    handler = with_token(lambda self, asked, good: asked.get("round") == 1 and (self.say(400, self.headers["Authorization"].encode()) or True))  # fmt: skip
    with serving(handler) as url:
        http = {"kind": "http", "url": url, "token_env": "ECHO_TOKEN", "retries": 0}
        arms = [{"name": "pop", "policy": {"kind": "popularity"}}, {"name": "web", "policy": http}]
        changes = small | {"arms": arms, "reference": "pop"}
        result = ed.run("default", rounds=2, seeds=1, out=tmp_path / "x", set=changes)
        assert "refuses: it answered 400" in result.failed["error"].iloc[0]
        result.report()
        monkeypatch.delenv("ECHO_TOKEN")
        before = len(handler.calls)
        with pytest.raises(BadInput, match="policy: the environment variable ECHO_TOKEN, .* is not set here"):
            ed.run("default", rounds=2, seeds=1, out=tmp_path / "y", set=changes)
        assert len(handler.calls) == before and not (tmp_path / "y").exists()
        # A folder can be read and reported on without the token.
        assert ed.Result(tmp_path / "x").study.arms[1].policy["token_env"] == "ECHO_TOKEN"
    stored = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(stored) > 5 and not any(TOKEN.encode() in path.read_bytes() for path in stored)


@pytest.mark.slow
def test_a_token_that_is_set_later_reaches_processes_that_run_already(tmp_path, monkeypatch):
    import echodrift as ed

    # The service knows nothing of items that have left.
    small = {
        "world.users": 40,
        "world.items": 60,
        "world.arrivals": 0,
        "platform.warmup": 5,
        "platform.slate": 5,
    }
    with serving(with_token()) as url:
        http = {"kind": "http", "url": url, "retries": 0}
        for token, failed in ((None, 2), (TOKEN, 0), ("another-token", 2)):
            if token:
                monkeypatch.setenv("ECHO_TOKEN", token)
                http["token_env"] = "ECHO_TOKEN"
            changes = small | {"arms": [{"name": "web", "policy": http}], "reference": "web"}
            found = ed.run("default", rounds=2, seeds=2, jobs=2, set=changes)
            assert len(found.failed) == failed, found.failed["error"].tolist()


class Telling(Scripted):
    """A service that tells its version."""

    told: bytes
    seen: list

    def do_GET(self):
        self.seen.append((self.path, self.headers["Authorization"]))
        self.say(200 if self.told else 404, self.told)


def telling(told):
    return type("Handler", (Telling,), {"calls": [], "seen": [], "told": told, "fault": None})


@pytest.mark.parametrize(
    ("told", "version"),
    [
        (b'{"version": "2.1"}', "2.1"), (b"", None), (b'{"version": 2}', None), (b'{"version": ""}', None), (b"[]", None),
        (b"{}", None), (b"<html>", None), (b"\xff", None), (b"[" * 100_000, None), (b'{"version": "a\\nb"}', None),
        (b'{"version": "' + b"9" * 300 + b'"}', None), (b'{"version": "' + TOKEN.encode() + b'"}', None),
    ],
)  # fmt: skip
def test_a_service_tells_its_version(told, version, monkeypatch):
    monkeypatch.setenv("ECHO_TOKEN", TOKEN)
    handler = telling(told)
    with serving(handler) as url:
        fields = {"kind": "http", "url": url, "token_env": "ECHO_TOKEN"}
        assert service_version(fields) == version
        assert handler.seen == [("/version", f"Bearer {TOKEN}")]
        assert service_version({**fields, "version": "7"}) == "7" and len(handler.seen) == 1
        monkeypatch.delenv("ECHO_TOKEN")
        assert service_version(fields) is None
    if version:
        valid("Version", json.loads(told))


def test_no_version_from_a_service_that_is_away_or_slow():
    assert service_version({"url": "http://127.0.0.1:1"}) is None
    enough = threading.Event()

    def late(self):
        enough.wait(30)
        self.say(200, b'{"version": "2"}')

    with serving(type("Handler", (Telling,), {"do_GET": late})) as url:
        assert service_version({"url": url, "timeout": 0.2}) is None
        enough.set()


def raw(*parts):
    """A service that sends these bytes to /recommend, whatever they are."""

    def fault(self, asked, good):
        if self.path != "/recommend":
            return False
        self.wfile.write(b"".join(parts))
        self.close_connection = True
        return True

    return scripted(fault)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}", "the answer is not HTTP"),
        (b"HTTP/1.1 302 x\r\nLocation: \x1b[31mred" + b"x" * 9000 + b"\r\nContent-Length: 0\r\n\r\n", "302 to redxxx"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"users": ["\\ud800"], "items": []}', "is not a whole number"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"\\u001b[2J": 1}', 'the answer has a field ""'),
        (b'HTTP/1.1 200 OK\r\n\r\n{"users": [0], "items": [[1]], "items": [[2]]}', 'the field "items" is there twice'),
    ],
)  # fmt: skip
def test_what_a_service_sends_reaches_no_terminal_and_no_traceback(sent, said):
    with serving(raw(sent)) as url, pytest.raises(PolicyError) as caught:
        ask(url)
    text = str(caught.value)
    assert said in text and len(text) < 1500
    assert "\x1b" not in text and text.encode("utf-8")
