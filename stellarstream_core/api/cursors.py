"""Cursors of lists: opaque, bound to the list and its filters, and refused when changed.

A cursor holds the key of the last item, not an offset: what arrives meanwhile moves no page. It is
signed, so a client cannot ask for a place that no page of this list has led to, and it cannot be
carried to another list or to other filters.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from hashlib import blake2b
from hmac import compare_digest

from stellarstream_core.api.problems import FieldError, InvalidCursorError

LONGEST = 1_024
"""Characters of a cursor; longer ones are not looked at."""

_MAC_BYTES = 16


class Cursors:
    """Makes and reads cursors with a secret that all workers share.

    ``name`` tells secrets apart and says nothing of them: a page whose cursor was made with another secret
    is another page, and belongs under another entity tag.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = blake2b(secret, person=b"cursors", digest_size=32).digest()
        self.name = blake2b(key=self._key, person=b"name", digest_size=8).hexdigest()

    def make(self, what: str, filters: str, key: str) -> str:
        """Return the cursor that stands behind the item ``key`` of the list ``what`` under ``filters``."""
        payload = key.encode()
        return urlsafe_b64encode(self._mac(what, filters, payload) + payload).rstrip(b"=").decode()

    def read(self, what: str, filters: str, cursor: str) -> str:
        """Return the key. Raises :class:`InvalidCursorError` for anything that :meth:`make` did not return."""
        raw = _decoded(cursor) if len(cursor) <= LONGEST else None
        if raw is None or not compare_digest(raw[:_MAC_BYTES], self._mac(what, filters, raw[_MAC_BYTES:])):
            raise InvalidCursorError(
                "The cursor was not given for this list with these filters.",
                errors=[FieldError("query.cursor", "not a cursor of this list with these filters")],
            )
        return raw[_MAC_BYTES:].decode()

    def _mac(self, what: str, filters: str, payload: bytes) -> bytes:
        mac = blake2b(key=self._key, digest_size=_MAC_BYTES)
        for part in (what.encode(), filters.encode(), payload):
            mac.update(len(part).to_bytes(4, "big"))
            mac.update(part)
        return mac.digest()


def _decoded(cursor: str) -> bytes | None:
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (UnicodeEncodeError, Base64Error, ValueError):
        return None
    # base64 has several spellings of the same bytes; only ours counts
    return raw if urlsafe_b64encode(raw).rstrip(b"=").decode() == cursor else None
