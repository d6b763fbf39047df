"""Hostile answers of a recommender service: case(number) says the same bytes, in the same way, on every machine.

`python tests/fuzz/answers.py NUMBER` prints a case as it answers a small question.
"""

from __future__ import annotations

import copy
import json
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.random import Generator, default_rng

SEED = 31
"""Seed of all cases."""
FAMILIES = ("table", "table", "text", "http", "http", "line")
"""Family of a case: that at its number, modulo their count; every 150th is a large body, every 50th a good answer."""
CALLS = ("/recommend", "/recommend", "/recommend", "/fit", "/observe", "/reset")
ITEMS = 60
"""Items of `example_observation`; of them those with item % 9 == 4 are not live."""
ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 59, 60, 2**31, 2**63, -(2**63) - 1, 10**400, 1.0, 0.5, 1e308, -1e39, float("nan"),
    float("inf"), "", "3", "x" * 3000, "\x1b[31mred\x1b[0m", "\u202eabc", "a\x00b", "\ud800", [], [[]], [1], {}, {"a": 1},
    [None], [[1, 2, 3]], list(range(5000)),
)  # fmt: skip
TEXTS = (
    b"", b"oh", b"\x00\x01\x02", b"\xff\xfe\xfa", b"\x1b[2J\x1b]0;title\x07", "\u202e\u2066名前".encode(), b"x" * 100_000,
    b"a\r\nb\nc\td", b"<html><body>502 Bad Gateway</body></html>", b'{"error": "\\ud800"}',
)  # fmt: skip


@dataclass(frozen=True)
class Reply:
    """What a service sends, and how it ends the connection."""

    data: bytes
    body: bytes | None = None
    """The body in it, if it is a complete and correct message of HTTP."""
    end: Literal["close", "reset", "hang"] = "close"
    drips: bool = False
    """Whether it is sent byte by byte, slower than anybody waits."""


@dataclass(frozen=True)
class Case:
    """One hostile answer to one of the calls; the others are answered well."""

    number: int
    family: str
    call: str

    @property
    def is_slow(self) -> bool:
        """Whether it may keep the client waiting until its timeout."""
        return self.family in ("line", "http")

    def reply(self, asked: dict[str, Any]) -> Reply:
        """Return the answer to a question."""
        rng = default_rng([SEED, self.number, 1])
        good = good_answer(asked)
        if self.family == "good":
            return _sent(json.dumps(good).encode())
        if self.family == "large":
            return _large(rng, good)
        if self.family == "table":
            return _sent(_wrong_table(rng, good))
        if self.family == "text":
            return _sent(_wrong_text(rng, json.dumps(good).encode()))
        return (_wrong_http if self.family == "http" else _wrong_line)(rng, json.dumps(good).encode())

    def __str__(self) -> str:
        asked = {"users": [3, 5], "n": 2, "blocked": [[0], []]}
        reply = self.reply(asked)
        how = f"{self.family}, to {self.call}, end = {reply.end}{', byte by byte' if reply.drips else ''}"
        return f"case {self.number} ({how}): {reply.data[:2000]!r}"


def case(number: int) -> Case:
    """Return a case."""
    rng = default_rng([SEED, number])
    family = FAMILIES[number % len(FAMILIES)]
    family = "large" if number % 150 == 149 else "good" if number % 50 == 49 else family
    call = (
        "/recommend" if family in ("table", "text", "large", "good") else CALLS[int(rng.integers(len(CALLS)))]
    )
    return Case(number, family, call)


def good_answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of a service that keeps the contract."""
    good: dict[str, Any] = {"users": asked.get("users", []), "items": [], "scores": []}
    for blocked in asked.get("blocked", []):
        free = [item for item in range(ITEMS) if item % 9 != 4 and item not in blocked][: asked["n"]]
        good["items"].append(free)
        good["scores"].append([float(-item) for item in free])
    return good


def _sent(body: bytes) -> Reply:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return Reply(head.encode() + body, body)


def _pick(rng: Generator, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def _ways(table: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    return [found for key, value in inside for found in [(*way, key), *_ways(value, (*way, key))]]


def _wrong_table(rng: Generator, good: dict[str, Any]) -> bytes:
    """Return an answer with something wrong in its table."""
    table: Any = copy.deepcopy(good)
    for _ in range(int(rng.integers(1, 3))):
        ways = _ways(table)
        if not ways:
            break
        way = ways[int(rng.integers(len(ways)))]
        holder = table
        for step in way[:-1]:
            holder = holder[step]
        key, what = way[-1], int(rng.integers(7))
        if what <= 2:
            holder[key] = copy.deepcopy(_pick(rng, ODD))
        elif what == 3:
            del holder[key]
        elif what == 4 and isinstance(holder, list):
            holder.insert(int(rng.integers(len(holder) + 1)), copy.deepcopy(holder[key]))
        elif what == 5 and isinstance(holder, list):
            holder.reverse()
        elif isinstance(holder, dict):
            holder[_pick(rng, ["score", "item", "x" * 9000, "\x1b[1m", "\u202e", ""])] = holder.pop(key)
        else:
            holder[key] = [holder[key]]
    if rng.random() < 0.1:
        table = _pick(rng, [[table], None, 3, "text", {"slates": table}])
    text = json.dumps(table)
    if rng.random() < 0.1 and text.startswith("{"):
        text = f'{{"items": [[1]], {text[1:]}' if rng.random() < 0.5 else f'{text[:-1]}, "items": []}}'
    return text.encode()


def _wrong_text(rng: Generator, good: bytes) -> bytes:
    """Return an answer whose bytes are damaged."""
    found, what = bytearray(good), int(rng.integers(9))
    place = int(rng.integers(len(found)))
    if what == 0:
        return bytes(found[:place])
    if what == 1:
        found[place : place + int(rng.integers(1, 9))] = b""
    elif what == 2:
        found[place:place] = bytes(rng.integers(0, 256, int(rng.integers(1, 5)), dtype=np.uint8))
    elif what == 3:
        found[place : place + 1] = _pick(
            rng, [b"[", b"]", b"{", b"}", b",", b'"', b"\x00", b"9", b"-", b".", b"e"]
        )
    elif what == 4:
        return _pick(rng, TEXTS)
    elif what == 5:
        return _pick(rng, [b"[", b'{"items":', b"[{"]) * int(_pick(rng, [10, 990, 100_000]))
    elif what == 6:
        return b"\xef\xbb\xbf" + good
    elif what == 7:
        return good + _pick(rng, [b"x", b"\n\n", good, b"\x00"])
    else:
        return good.replace(b"0", _pick(rng, [b"9" * 5000, b"NaN", b"1e999", b"-Infinity", b"0x1", b"00"]))
    return bytes(found)


def _wrong_http(rng: Generator, body: bytes) -> Reply:
    """Return an answer that is wrong as a message of HTTP, or refuses."""
    what, length = int(rng.integers(12)), len(body)
    line, end = b"HTTP/1.1 200 OK", "close"
    head = f"Content-Length: {length}".encode()
    status = int(
        _pick(
            rng,
            [
                100,
                101,
                204,
                205,
                301,
                302,
                307,
                400,
                401,
                403,
                404,
                409,
                413,
                418,
                429,
                500,
                502,
                503,
                599,
                999,
            ],
        )
    )
    text = _pick(rng, TEXTS)
    if what <= 2:
        line, head, body = (
            f"HTTP/1.1 {status} ".encode() + text[:200],
            f"Content-Length: {len(text)}".encode(),
            text,
        )
    elif what == 3:
        line = _pick(rng, [b"", b"HTTP/1.1", b"HTTP/9.9 200", b"HTTP/1.1 abc", b"HTTP/1.1 -1 x", b"200 OK", b"HTTP/1.1 99999 x",
                           b"SSH-2.0-OpenSSH", b"HTTP/1.1 200 " + b"x" * 100_000, b"\xff\xfe", b"HTTP/1.0 200 OK"])  # fmt: skip
    elif what == 4:
        lengths = [
            b"-1",
            b"abc",
            b"",
            str(length + 50).encode(),
            str(max(length - 5, 0)).encode(),
            b"9" * 30,
            b"0",
            b"1e3",
            b" 7 7",
        ]
        head = b"Content-Length: " + _pick(rng, lengths)
    elif what == 5:
        head = b"Transfer-Encoding: chunked"
        whole = f"{length:x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
        body = _pick(rng, [b"zz\r\n" + body, b"-5\r\n" + body, b"ffffffffff\r\n" + body, whole[:-7], whole[3:], b"5\r\n", b"\r\n" * 50,
                           b"5;" + b"x" * 200_000 + b"\r\n", b"f" * 5000 + b"\r\n"])  # fmt: skip
    elif what == 6:
        places = [
            b"http://elsewhere/",
            b"",
            b"x" * 50_000,
            b"\x1b[31mred",
            b"http://[",
            b"/" + "名".encode(),
            b"javascript:alert(1)",
        ]
        line, head = (
            f"HTTP/1.1 {_pick(rng, [301, 302, 303, 307, 308])} Moved".encode(),
            b"Location: " + _pick(rng, places),
        )
        body = b""
    elif what == 7:
        head = _pick(
            rng,
            [b"x: y\r\n" * 500, b"x: " + b"y" * 200_000, b"no colon", b": empty", b"\x00: \x00", b"a\xff: b"],
        ).rstrip()
    elif what == 8:
        head = b"Content-Encoding: gzip\r\n" + head
        body = b"\x1f\x8b\x08" + body[3:]
    elif what == 9:
        return Reply(
            b"HTTP/1.1 100 Continue\r\n\r\n" * int(_pick(rng, [1, 50, 5000])),
            end=_pick(rng, ["close", "hang"]),
        )
    elif what == 10:
        return Reply(
            bytes(rng.integers(0, 256, int(rng.integers(0, 3000)), dtype=np.uint8)),
            end=_pick(rng, ["close", "reset"]),
        )
    else:
        whole = line + b"\r\n" + head + b"\r\n\r\n" + body
        return Reply(whole[: int(rng.integers(len(whole)))], end=_pick(rng, ["close", "reset"]))
    return Reply(line + b"\r\n" + head + b"\r\n\r\n" + body, end=end)


def _wrong_line(rng: Generator, body: bytes) -> Reply:
    """Return an answer over a connection that breaks, or never ends."""
    whole = _sent(body).data
    part = whole[: int(_pick(rng, [0, 5, 30, len(whole) - 1]))]
    if rng.random() < 0.2:
        return Reply(whole, drips=True)
    return Reply(part, end=_pick(rng, ["close", "reset", "reset", "hang"]))


def _large(rng: Generator, good: dict[str, Any]) -> Reply:
    """Return an answer of 50 MB or more."""
    text, size = json.dumps(good).encode(), 50_000_000
    body = _pick(
        rng,
        [
            text + b" " * size,
            b" " * (64 * 2**20 + 1) + text,
            b'{"users": "' + b"x" * size + b'"}',
            b"\x00" * size,
        ],
    )
    return _sent(body)


class _Service(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 50
    case: Case
    answered: Reply | None
    """The reply to the last call that the case is about."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.stopped = threading.Event()

    def handle_error(self, *_: Any) -> None:
        """Say nothing: a client that hangs up is what is tested."""


class _Connection(socketserver.StreamRequestHandler):
    server: _Service

    def handle(self) -> None:
        call = self.rfile.readline().split(b" ")[1].decode()
        length = 0
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        asked, case = json.loads(self.rfile.read(length)), self.server.case
        if call != case.call:
            self.request.sendall(_sent(json.dumps(good_answer(asked)).encode()).data)
            return
        reply = self.server.answered = case.reply(asked)
        if reply.drips:
            for place in range(len(reply.data)):
                self.request.sendall(reply.data[place : place + 1])
                time.sleep(0.05)
        self.request.sendall(b"" if reply.drips else reply.data)
        if reply.end == "hang":
            self.server.stopped.wait(20)
        if reply.end == "reset":
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.request.close()


@contextmanager
def service() -> Iterator[tuple[_Service, str]]:
    """Serve cases: set `.case` and ask the address."""
    server = _Service()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.stopped.set()
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    print(case(int(sys.argv[1])))
