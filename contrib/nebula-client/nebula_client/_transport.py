"""What both drivers have to do with httpx2: limits, and its failures as ours."""

from __future__ import annotations

from http import HTTPStatus

import httpx2

from nebula_client._core.effects import Answer, Send
from nebula_client._core.live import MEDIA_TYPE
from nebula_client.errors import BadResponseError, ConfigurationError, NebulaError, NetworkError, RequestTimeoutError

FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, TimeoutError)
LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
"""Live streams hold a connection each: nobody waits for one of those."""


def failure_of(error: Exception, send: Send) -> NebulaError:
    """Return our error for one of httpx2's. Its text is shown only where no header or body can be in it."""
    what = f"{send.method} {path_of(send)}"
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        unsent = isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout)
        return RequestTimeoutError(f"{what}: no answer within {send.timeout:g} s.", maybe_sent=not unsent)
    if isinstance(error, httpx2.NetworkError):
        unsent = isinstance(error, httpx2.ConnectError)
        reason = f" ({error})" if str(error) else ""
        lost = "the service cannot be reached" if unsent else "the connection was lost"
        return NetworkError(f"{what}: {lost}{reason}.", maybe_sent=not unsent)
    if isinstance(error, httpx2.DecodingError):
        return BadResponseError(f"{what}: the answer cannot be unpacked.")
    if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
        return ConfigurationError(f"{what}: base_url is no address that can be asked.")
    return NetworkError(f"{what}: the connection was lost ({type(error).__name__}).")


def closed() -> NebulaError:
    """Return the error of a client that was closed."""
    return ConfigurationError("The client is closed.")


def waits_for_itself(key: tuple[str, str | None]) -> NebulaError:
    """Return the error of a call that would wait for the one that it was made in."""
    what, account = key
    return ConfigurationError(
        f"A {what} of {account or 'this signer'} is under way, and waits for this call: a signer or a callback that "
        "calls the client for the same account would wait for itself."
    )


def path_of(send: Send) -> str:
    """Return the address without its query."""
    return send.url.partition("?")[0]


def too_late(send: Send) -> RequestTimeoutError:
    """Return the error for an answer that takes too long as a whole."""
    return RequestTimeoutError(f"{send.method} {path_of(send)}: no answer within {send.timeout:g} s.")


def timeouts(send: Send, silence: float | None = None) -> httpx2.Timeout:
    """Return httpx2's limits of each step; with ``silence`` those of an answer without an end."""
    return httpx2.Timeout(send.timeout, read=silence or send.timeout)


def answer_of(response: httpx2.Response, body: bytes) -> Answer:
    """Return an answer as operations know it."""
    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


def is_live(response: httpx2.Response) -> bool:
    """Tell whether an answer is a live stream."""
    kind: str = response.headers.get("content-type", "")
    return response.status_code == HTTPStatus.OK and kind.startswith(MEDIA_TYPE)
