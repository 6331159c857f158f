"""Telling systemd how the service is: that it is ready, and that it is alive (its watchdog)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

READY = "READY=1"
ALIVE = "WATCHDOG=1"


def watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """Return how often at least systemd wants to hear that the service is alive; None where it does not ask."""
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1_000_000 if text.isdigit() and int(text) > 0 and environ.get("NOTIFY_SOCKET") else None


def tell_service_manager(state: str, environ: Mapping[str, str] | None = None) -> None:
    """Send ``state`` (sd_notify's words) to who manages this service; without one nothing happens."""
    address = (os.environ if environ is None else environ).get("NOTIFY_SOCKET", "")
    if address[:1] not in {"/", "@"}:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1.0)
        sock.sendto(state.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)
