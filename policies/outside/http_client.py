"""HTTP client for services: POST requests bounded in time and size, retries with backoff, no redirects."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from ...errors import PolicyError
from ...wording import clean

MAX_BYTES = 64 * 2**20
"""Size of the largest answer to accept."""
MAX_PAUSE = 30.0
"""Maximum number of seconds between two attempts."""
RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}
"""Status codes of failures that may be temporary."""


class ServiceUnavailable(PolicyError):
    """The service did not answer in any attempt."""


class Client:
    """One service. Every request carries a key, which is the same when it is repeated, so retries are safe."""

    def __init__(self, url: str, retries: int, backoff: float) -> None:
        self.url = url
        self.retries = retries
        self.backoff = backoff
        self._parts = urlsplit(url)

    def post(self, path: str, body: dict[str, Any], key: str, timeout: float, where: str) -> bytes:
        """Return the body of the answer to POST path; ServiceUnavailable or PolicyError, saying `where` in the run.

        timeout: seconds for each attempt as a whole. In all at most (retries + 1) × timeout plus the pauses.
        """
        data = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
        asked = f"the service at {self.url} (POST {path}, {where})"
        began, pause, problem = time.monotonic(), self.backoff, ""
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(min(pause, MAX_PAUSE))
                pause *= 2
            try:
                status, answer, kind = self._attempt(path, data, key, timeout)
            except ssl.SSLCertVerificationError as error:
                raise PolicyError(f"{asked} has a certificate that cannot be trusted: {error}") from None
            except (OSError, http.client.HTTPException) as error:
                problem = _describe_error(error, timeout)
                continue
            if status in RETRY_STATUS:
                problem = f"it answered {_status(status)}{_excerpt(answer)}"
                continue
            if len(answer) > MAX_BYTES:
                raise PolicyError(
                    f"{asked} answers with more than {MAX_BYTES // 2**20} MiB. Ask for fewer users at once: "
                    "lower batch"
                )
            if 300 <= status < 400:
                raise PolicyError(
                    f"{asked} answers with a redirect ({status} to {clean(kind, 200) or 'nowhere'}), which is not followed: "
                    "give the final address as url"
                )
            if not 200 <= status < 300:
                lost = (
                    " It seems to have lost the run: it was restarted, or forgot it." if status == 409 else ""
                )
                raise PolicyError(f"{asked} refuses: it answered {_status(status)}{_excerpt(answer)}.{lost}")
            return answer
        spent = time.monotonic() - began
        tries = f"{self.retries + 1} attempts" if self.retries else "one attempt"
        raise ServiceUnavailable(
            f"{asked} does not answer: {problem} ({tries} in {spent:.1f} s). Start it, or raise timeout, "
            "fit_timeout or retries"
        )

    def _attempt(self, path: str, data: bytes, key: str, timeout: float) -> tuple[int, bytes, str]:
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
                connection.request("POST", parts.path + path, data, _headers(key))
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


def _headers(key: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Idempotency-Key": key,
        "User-Agent": "echodrift",
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


def _excerpt(body: bytes) -> str:
    text = "".join(c if c.isprintable() else " " for c in body[:400].decode("utf-8", "replace"))
    text = " ".join(text.split())
    return f', "{text[:200]}"' if text else ""
