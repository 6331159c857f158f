"""Telling people: each alert goes to the log, and to a webhook where one is set.

The webhook's address often is a secret, so it is never logged. A webhook that hangs, fails or lies disturbs nothing:
it is called from a thread of its own, with a timeout, a few times, and what piles up is dropped.
"""

from __future__ import annotations

import queue
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http.client import HTTPMessage
from typing import IO
from urllib.parse import urlsplit

import orjson
from loguru import logger

from stellarstream_core.ops.health_state import Alert

TIMEOUT_SECONDS = 10.0
WAITS = (1.0, 5.0, 15.0)
"""Seconds to wait after an attempt that failed, before the next one."""
QUEUED = 100
_DONE = 200, 300


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What is posted goes to the address that was set and to no other."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follow none: the answer then is an error."""


class Webhook:
    """Posts alerts as JSON, one after the other, from a thread."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS, waits: Sequence[float] = WAITS) -> None:
        if not is_http(url):
            raise ValueError("alert_webhook: it is no http or https address")
        self._url, self._timeout, self._waits = url, timeout, waits
        self._opener = urllib.request.build_opener(_NoRedirects)
        self._queue: queue.Queue[bytes] = queue.Queue(QUEUED)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def send(self, alert: Alert) -> None:
        """Post this alert soon; at once back."""
        try:
            self._queue.put_nowait(_body(alert))
        except queue.Full:
            logger.warning("the alert webhook does not take alerts fast enough: one is not sent")

    def close(self) -> None:
        """Send nothing more."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            body = self._queue.get()
            for wait in (*self._waits, None):
                fault = self._post(body)
                if fault is None:
                    break
                if wait is None:
                    logger.warning("an alert could not be sent to the webhook: {}", fault)
                elif self._ended.wait(wait):
                    return

    def _post(self, body: bytes) -> str | None:
        """Post once; return what went wrong, in words that hold nothing of the address."""
        try:
            request = urllib.request.Request(  # noqa: S310 - the scheme was checked
                self._url, body, {"Content-Type": "application/json", "User-Agent": "stellarstream"}, method="POST"
            )
            with self._opener.open(request, timeout=self._timeout) as answer:
                first, last = _DONE
                return None if first <= answer.status < last else f"it answered {answer.status}"
        except urllib.error.HTTPError as error:
            with error:
                return f"it answered {error.code}"
        except Exception as error:  # an address may be wrong in many ways
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            return type(reason).__name__ if isinstance(reason, BaseException) else "it cannot be reached"


def is_http(url: str) -> bool:
    """Tell whether this is an http or https address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


class Alerts:
    """Where alerts go. ``remember`` keeps them for whoever asks later."""

    def __init__(self, remember: Callable[[Alert], object], webhook: Webhook | None = None) -> None:
        self._remember, self._webhook = remember, webhook

    def tell(self, alert: Alert) -> None:
        """Tell everybody."""
        logger.bind(alert=alert.kind, watcher=alert.watcher).warning("{}: {}", alert.kind, alert.text)
        self._remember(alert)
        if self._webhook is not None:
            self._webhook.send(alert)


def _body(alert: Alert) -> bytes:
    """Return the JSON of an alert; ``text`` is a whole sentence of its own, as chat services want it."""
    host = socket.gethostname()
    return orjson.dumps(
        {
            "text": f"StellarStream on {host}: {alert.kind}: {alert.text}",
            "service": "stellarstream",
            "host": host,
            "at": datetime.fromtimestamp(alert.at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "kind": alert.kind,
            "watcher": alert.watcher,
            "pid": alert.pid,
            "detail": alert.text,
        }
    )
