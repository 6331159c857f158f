"""What a node's version means for reading events from it."""

from __future__ import annotations

import re
from typing import NamedTuple

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?!\d)")

RECOMPUTED_IDS = (23, 0, 0)
"""From here on an event's id counts contract events only (stellar-rpc v23, CAP-67)."""

FILTERS_FIXED = (27, 1, 1)
"""Up to 27.1.0 requests whose filters constrain different fields lose events (stellar-rpc #832)."""


class Verdict(NamedTuple):
    """``refusal`` says why the node's ids cannot be used; ``warning`` is a sentence for the log."""

    refusal: str | None = None
    warning: str | None = None


def judge_version(shown: str, version: str | None) -> Verdict:
    """Judge a node by the ``version`` of getVersionInfo; None where it does not offer the method.

    A release candidate counts as its release: 23.0.0-rc has the new ids already. ``0.0.0`` is
    what a build without a tag calls itself, so it is odd rather than old.
    """
    found = _VERSION.match(version or "")
    numbers = tuple(map(int, found.groups())) if found else (0, 0, 0)
    if numbers == (0, 0, 0):
        said = "does not tell its version" if version is None else f"calls its version {version!r:.40}"
        return Verdict(
            warning=f"{shown} {said}, so it cannot be checked. Event ids are right from stellar-rpc v23 on; "
            "answers that show the older numbering will be refused."
        )
    if numbers < RECOMPUTED_IDS:
        return Verdict(
            refusal=f"{shown} runs stellar-rpc {version}. Before v23 event ids also count diagnostic events, so the "
            "same event has another id there than on every current node."
        )
    if numbers < FILTERS_FIXED:
        return Verdict(
            warning=f"{shown} runs stellar-rpc {version}. Before 27.1.1 requests that mix different kinds of filters "
            "lose events. StellarStream sends filters of one kind only, so nothing is lost here; other programs "
            "that read this node may be affected."
        )
    return Verdict()
