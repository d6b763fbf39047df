"""A running service as a policy: echodrift sends requests over HTTP, the service answers with slates."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.random import Generator
from pydantic import Field, field_validator

from ...config import Config as BaseConfig
from ...errors import PolicyError
from ..base import Policy, Ranking
from ..interactions import IntArray, Interactions, Observation
from .http_answers import read_slates
from .http_client import VERSION, Client, read_token

ENTRIES = 100_000
"""Maximum number of interactions in one request."""
COLUMNS = ("user", "item", "round", "rank", "source")
"""Fields of an interaction that are sent."""
PROTOCOL = 1
"""Version of the protocol in openapi.json."""
ASKED_FOR_VERSION = 5.0
"""Seconds to wait for a service's version."""


TOKEN_ADVICE = (
    "A token belongs in an environment variable (export MY_SERVICE_TOKEN=…), and the study names the variable: "
    'token_env = "MY_SERVICE_TOKEN"'
)


class HttpConfig(BaseConfig):
    """The address of the service, and how long to wait for it."""

    url: str = Field()
    """Address of the service, for example "http://127.0.0.1:8000"; its calls are below it."""
    token_env: str | None = Field(default=None)
    """Environment variable with the service's token, sent as `Authorization: Bearer …` and written nowhere."""
    version: str | None = Field(default=None)
    """The service's version; when omitted, the service is asked (GET /version). Without either, finished runs
    are never taken over."""
    timeout: float = Field(default=10.0, gt=0, le=3600)
    """Seconds that an attempt may take as a whole, answer included."""
    fit_timeout: float = Field(default=300.0, gt=0, le=86400)
    """The same for POST /fit."""
    retries: int = Field(default=4, ge=0, le=10)
    """Further attempts after a failure that may be temporary: no connection, no answer, 429, 5xx."""
    backoff: float = Field(default=0.5, ge=0, le=30)
    """Seconds before the second attempt; doubled before each further one, up to 30."""
    batch: int = Field(default=500, ge=1, le=100_000)
    """Users per request."""
    scores: bool = Field(default=False)
    """The service must give a score for every item it lists; only then can rerankers weigh its scores."""

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        # First, and without quoting the address, for what follows quotes it.
        if "@" in url:
            raise ValueError(
                "must not hold a name or password: settings are written into results. " + TOKEN_ADVICE
            )
        if "?" in url or "#" in url:
            raise ValueError("must not have a query (?…) or a fragment (#…). " + TOKEN_ADVICE)
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
        except ValueError:
            usable, parts = False, urlsplit("")
        if not usable or not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError('must be an address as "http://127.0.0.1:8000"')
        return url.rstrip("/")

    @field_validator("token_env")
    @classmethod
    def _variable(cls, name: str | None) -> str | None:
        # Not quoted: it may be the token itself.
        if name is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,99}", name):
            raise ValueError(
                "names an environment variable: capital letters, digits and underscores. " + TOKEN_ADVICE
            )
        return name

    @field_validator("version")
    @classmethod
    def _printable(cls, version: str | None) -> str | None:
        if version is not None and not VERSION.fullmatch(version):
            raise ValueError("must be 1 to 200 printable ASCII characters")
        return version


class Http(Policy):
    """A running service, queried over HTTP.

    Four calls, POST with JSON (policies/outside/openapi.json): /reset at the start of a run; /observe with the
    interactions since the last call, and the items no longer live; /fit when a refit is due; /recommend with
    users, n and each user's blocked items, in batches. The answer lists exactly n items per user, or all that
    are left, best first; it is validated like that of any policy, down to a missing user. Without scores, an item's
    score is n minus its position.

    Every run has its own id, and every call a key that is the same when it is repeated; a failed attempt
    is repeated with growing pauses. If the service stays unavailable, the run fails.

    Bit-identical on repetition only if the service is (it gets a seed with /fit and /recommend); there is no
    checkpointed state: an interrupted run starts over, with a new id.

    Cost: one request per `batch` users and round; about 0.3 KB per user each way at n = 10.
    """

    kind = "http"
    Config = HttpConfig
    config: HttpConfig

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._client = Client(
            self.config.url, self.config.retries, self.config.backoff, self.config.token_env
        )
        self._run = ""
        self._calls = 0
        self._sent = 0
        self._digest = b""
        self._last_observed: tuple[Any, ...] | None = None

    @property
    def gives_scores(self) -> bool:  # type: ignore[override]
        """Whether the configuration promises scores from the service."""
        return self.config.scores

    def fit(self, seen: Observation, rng: Generator) -> None:
        """Send what is new, then ask the service to learn."""
        if not self._run:
            self._run = uuid.uuid4().hex
            self._post("/reset", {"protocol": PROTOCOL}, seen)
        self._observe(seen)
        self._post("/fit", {"round": seen.round, "seed": _seed(rng)}, seen, self.config.fit_timeout)

    def fold_in(self, seen: Observation, users: IntArray, rng: Generator) -> None:
        """Do nothing: the service has everybody's history before it ranks."""

    def rank(self, seen: Observation, users: IntArray, n: int, rng: Generator) -> Ranking:
        """Send what is new, then request rankings batch by batch."""
        if not self._run:
            raise PolicyError(f"{self.kind}: rank() before fit()")
        self._observe(seen)
        seed = _seed(rng)
        items = np.empty((users.size, n), np.int32)
        scores = np.empty((users.size, n), np.float32)
        for start in range(0, users.size, self.config.batch):
            part = users[start : start + self.config.batch]
            rows = slice(start, start + part.size)
            blocked = seen.blocked.rows(part)[:, : seen.n_items] & seen.live
            body = {
                "round": seen.round,
                "seed": seed,
                "n": n,
                "users": part.tolist(),
                "blocked": [np.flatnonzero(row).tolist() for row in blocked],
            }
            answer = self._post("/recommend", body, seen)
            where = f"the service at {self.config.url} (POST /recommend, round {seen.round})"
            free = ~blocked & seen.live
            items[rows], scores[rows] = read_slates(
                answer, part, n, free, seen.live, where, self.config.scores
            )
        return Ranking(users, items, scores)

    def _observe(self, seen: Observation) -> None:
        """Send the parts of log and catalog that the service does not have yet."""
        log, first = seen.log, self._sent
        if first and (first > len(log) or _digest(log.part(0, first)) != self._digest):
            first = 0  # The log differs from the one sent: a purge, a window, a user left out
        not_live = np.flatnonzero(~seen.live).tolist()
        observed = (seen.round, seen.n_users, seen.n_items, len(log), not_live)
        if first == len(log) and observed == self._last_observed:
            return
        while True:
            part = log.part(first, first + ENTRIES)
            body = {
                "round": seen.round,
                "n_users": seen.n_users,
                "n_items": seen.n_items,
                "not_live": not_live,
                "first": first,
                "interactions": {name: getattr(part, name).tolist() for name in COLUMNS},
            }
            self._post("/observe", body, seen)
            first += len(part)
            if first >= len(log):
                break
        self._sent, self._digest, self._last_observed = len(log), _digest(log), observed

    def _post(
        self, path: str, body: dict[str, Any], seen: Observation, timeout: float | None = None
    ) -> bytes:
        self._calls += 1
        key = f"{self._run}-{self._calls}"
        whole = {"run": self._run, "call": self._calls, **body}
        where = f"round {seen.round}"
        return self._client.post(path, whole, key, timeout or self.config.timeout, where)


def service_version(fields: Mapping[str, Any]) -> str | None:
    """Return the version of a service: what the fields of its policy say, otherwise what the service tells, or None."""
    config = HttpConfig(**{name: value for name, value in fields.items() if name != "kind"})
    if config.version is not None:
        return config.version
    return Client(config.url, 0, 0.0, config.token_env).version(min(config.timeout, ASKED_FOR_VERSION))


def check_token(policy: Mapping[str, Any]) -> None:
    """Raise BadInput if a policy is a service and the environment variable that it names holds no token."""
    if policy.get("kind") == "http":
        read_token(policy.get("token_env"))


def _seed(rng: Generator) -> int:
    return int(rng.integers(2**31))


def _digest(log: Interactions) -> bytes:
    """Return a fingerprint of the entries."""
    found = blake2b(digest_size=16)
    for name in COLUMNS:
        found.update(getattr(log, name).tobytes())
    return found.digest()
