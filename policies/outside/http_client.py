"""HTTP client for services: requests bounded in time and size, retries with backoff, no redirects, tokens kept secret."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import ssl
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from ...errors import BadInput, PolicyError
from ...wording import clean

MAX_BYTES = 64 * 2**20
"""Size of the largest answer to accept."""
MAX_PAUSE = 30.0
"""Maximum number of seconds between two attempts."""
RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}
"""Status codes of failures that may be temporary."""
TOKEN = re.compile(r"[\x21-\x7e]{8,4096}")
"""What a token looks like; shorter ones could not be told from the numbers and words of an answer."""
VERSION = re.compile(r"[\x20-\x7e]{1,200}")
"""What a service can tell as its version."""


class ServiceUnavailable(PolicyError):
    """The service did not answer in any attempt."""


def read_token(variable: str | None) -> str | None:
    """Return the token in an environment variable, None without a name; BadInput if it is missing or not a token."""
    if variable is None:
        return None
    token = os.environ.get(variable, "").strip()
    if not token:
        raise BadInput(
            f"the environment variable {variable}, which token_env names, is not set here. Set it to the "
            f"service's token: export {variable}=…"
        )
    if not TOKEN.fullmatch(token):
        raise BadInput(
            f"the environment variable {variable} holds no token that can be sent: 8 to 4096 printable ASCII "
            "characters without spaces"
        )
    return token


class Client:
    """One service. Every request carries a key, which is the same when it is repeated, so retries are safe.

    token_env: the environment variable with the token. It is read at every request and stored nowhere; answers in
    which it appears are refused, and it is cut out of what errors quote.
    """

    def __init__(self, url: str, retries: int, backoff: float, token_env: str | None = None) -> None:
        self.url = url
        self.retries = retries
        self.backoff = backoff
        self.token_env = token_env
        self._parts = urlsplit(url)

    def post(self, path: str, body: dict[str, Any], key: str, timeout: float, where: str) -> bytes:
        """Return the body of the answer to POST path; ServiceUnavailable or PolicyError, saying `where` in the run.

        timeout: seconds for each attempt as a whole. In all at most (retries + 1) × timeout plus the pauses.
        """
        data = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
        asked = f"the service at {self.url} (POST {path}, {where})"
        try:
            token = read_token(self.token_env)
        except BadInput as error:
            raise PolicyError(f"{asked} cannot be asked: {error}") from None
        began, pause, problem = time.monotonic(), self.backoff, ""
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(min(pause, MAX_PAUSE))
                pause *= 2
            try:
                status, answer, kind = self._attempt("POST", path, data, _headers(key, token), timeout)
            except ssl.SSLCertVerificationError as error:
                raise PolicyError(f"{asked} has a certificate that cannot be trusted: {error}") from None
            except (OSError, http.client.HTTPException) as error:
                problem = _describe_error(error, timeout)
                continue
            if status in RETRY_STATUS:
                problem = f"it answered {_status(status)}{_excerpt(answer, token)}"
                continue
            if len(answer) > MAX_BYTES:
                raise PolicyError(
                    f"{asked} answers with more than {MAX_BYTES // 2**20} MiB. Ask for fewer users at once: "
                    "lower batch"
                )
            if 300 <= status < 400:
                raise PolicyError(
                    f"{asked} answers with a redirect ({status} to {clean(_without(token, kind), 200) or 'nowhere'}), which is "
                    "not followed: give the final address as url"
                )
            if not 200 <= status < 300:
                lost = (
                    " It seems to have lost the run: it was restarted, or forgot it." if status == 409 else ""
                )
                if status in (401, 403) and token is None:
                    lost = (
                        ' If it needs a token, name the environment variable that holds it: token_env = "…"'
                    )
                raise PolicyError(
                    f"{asked} refuses: it answered {_status(status)}{_excerpt(answer, token)}.{lost}"
                )
            if token and token.encode() in answer:
                raise PolicyError(
                    f"{asked} repeats the token of {self.token_env} in its answer, which could reach results"
                )
            return answer
        spent = time.monotonic() - began
        tries = f"{self.retries + 1} attempts" if self.retries else "one attempt"
        raise ServiceUnavailable(
            f"{asked} does not answer: {problem} ({tries} in {spent:.1f} s). Start it, or raise timeout, "
            "fit_timeout or retries"
        )

    def version(self, timeout: float) -> str | None:
        """Return what GET /version tells as {"version": "…"}; None without an answer in one attempt."""
        try:
            token = read_token(self.token_env)
            status, answer, _ = self._attempt("GET", "/version", None, _headers(None, token), timeout)
            told = json.loads(answer)["version"] if status == 200 else None
        except (
            BadInput,
            OSError,
            http.client.HTTPException,
            ValueError,
            LookupError,
            TypeError,
            RecursionError,
        ):
            return None
        usable = isinstance(told, str) and VERSION.fullmatch(told) and not (token and token in told)
        return told if usable else None

    def _attempt(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str], timeout: float
    ) -> tuple[int, bytes, str]:
        """Return status, body (one byte more than allowed at most) and the target of a redirect."""
        parts = self._parts
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=timeout)
        late = threading.Event()
        began = time.monotonic()
        try:
            connection.connect()
            line: socket.socket = connection.sock  # type: ignore[assignment]
            # A socket's own timeout restarts with every byte, so a slow trickle would never end.
            watch = threading.Timer(max(0.0, timeout - (time.monotonic() - began)), _hang_up, (line, late))
            watch.daemon = True
            watch.start()
            try:
                connection.request(method, parts.path + path, data, headers)
                response = connection.getresponse()
                body = response.read(MAX_BYTES + 1)
                missing = response.length if len(body) <= MAX_BYTES else 0
            finally:
                watch.cancel()
            if late.is_set():
                raise TimeoutError
            if missing:
                raise http.client.IncompleteRead(body, missing)
            return response.status, body, response.headers.get("Location", "")
        except ValueError as error:  # Of http.client, about the negative length of a chunk
            raise http.client.HTTPException(str(error)) from None
        except (OSError, http.client.HTTPException):
            if late.is_set():
                raise TimeoutError from None
            raise
        finally:
            connection.close()


def _hang_up(line: socket.socket, late: threading.Event) -> None:
    late.set()
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It is closed already


def _headers(key: str | None, token: str | None) -> dict[str, str]:
    """Return the headers of a request; without a key those of a GET."""
    return {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": "echodrift",
        **({"Content-Type": "application/json", "Idempotency-Key": key} if key else {}),
        **({"Authorization": f"Bearer {token}"} if token else {}),
    }


def _describe_error(error: Exception, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no complete answer within {timeout:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused, nothing listens there"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended in the middle of the answer"
    if isinstance(error, (ConnectionError, http.client.RemoteDisconnected)):
        return "the connection was closed without an answer"
    if isinstance(error, http.client.HTTPException):
        return f"the answer is not HTTP ({type(error).__name__})"
    return str(error) or type(error).__name__


def _status(status: int) -> str:
    return f"{status} {http.client.responses.get(status, '')}".strip()


def _without(token: str | None, text: str) -> str:
    return text.replace(token, "…") if token else text


def _excerpt(body: bytes, token: str | None) -> str:
    # Before the cut, which could leave a part of the token.
    text = _without(token, body[: 400 + len(token or "")].decode("utf-8", "replace"))[:400]
    text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(text.split())
    return f', "{text[:200]}"' if text else ""
