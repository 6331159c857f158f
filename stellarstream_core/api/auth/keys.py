"""API keys as requests bring them: looked up, remembered for seconds, and their use noted behind the request's back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from loguru import logger

from stellarstream_core.api.auth.identity import Identity
from stellarstream_core.api.auth.key_store import (
    USE_NOTED_SECONDS,
    KeyInfo,
    StoredKey,
    find_key,
    identity_of,
    note_use,
    split_key,
)
from stellarstream_core.api.expiring import ExpiringCache
from stellarstream_core.storage import Storage

KEPT_SECONDS = 3.0
"""How long a key is taken from memory. With the time a lookup takes, a revoked one is refused within five."""

_KEPT_KEYS = 1_024
_NOTE_AGAIN_SECONDS = 60.0
"""How soon it is tried again to write a key's use that could not be written."""

Run = Callable[..., Awaitable[Any]]
"""Calls a function that blocks, with its arguments, somewhere else, and returns what it returns."""


class ApiKeys:
    """Looks keys up, for one event loop. ``run`` calls storage functions outside of it."""

    def __init__(
        self,
        storage: Storage,
        *,
        run: Run = asyncio.to_thread,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._run = run
        self._now = now
        self._clock = clock
        # who is unknown is not kept: strangers' guesses would push out the keys that are in use
        self._keys: ExpiringCache[str, StoredKey] = ExpiringCache(
            _KEPT_KEYS, lambda stored: KEPT_SECONDS if stored.info else 0.0, clock=clock
        )
        self._noted: dict[str, float] = {}
        self._noting: set[asyncio.Task[None]] = set()

    async def lookup(self, text: str, *, before_look_up: Callable[[], object] | None = None) -> Identity:
        """Return whom a key (``ss_ID_SECRET``) stands for, and note that it was used.

        ``before_look_up`` is called before the database is asked, and may raise. Raises
        ``KeyMalformedError``, ``KeyUnknownError``, ``KeyRevokedError``, ``KeyExpiredError``, and
        ``StorageError`` where the key cannot be looked up.
        """
        key_id, secret_hash = split_key(text)
        stored = self._keys.peek(key_id)
        if stored is None:
            if before_look_up is not None:
                before_look_up()
            stored = await self._keys.get(key_id, self._found)
        now = self._now()
        identity = identity_of(stored, secret_hash, now)
        if stored.info is not None:
            self._note_use(stored.info, int(now))
        return identity

    async def close(self) -> None:
        """Wait a moment for what is being written."""
        if self._noting:
            await asyncio.wait(self._noting, timeout=2.0)

    async def _found(self, key_id: str) -> StoredKey:
        found: StoredKey = await self._run(find_key, self._storage, key_id)
        return found

    def _note_use(self, info: KeyInfo, now: int) -> None:
        """Write a key's use later: whether that works is no matter of the request."""
        if info.last_used_at is not None and info.last_used_at > now - USE_NOTED_SECONDS:
            return
        if self._noted.get(info.id, 0.0) > self._clock():
            return
        if len(self._noted) >= _KEPT_KEYS:
            self._noted.clear()
        self._noted[info.id] = self._clock() + _NOTE_AGAIN_SECONDS
        task = asyncio.get_running_loop().create_task(self._noted_use(info.id, now))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def _noted_use(self, key_id: str, now: int) -> None:
        try:
            await self._run(note_use, self._storage, key_id, now, wait_seconds=0.5)
        except Exception as error:  # a database that is busy, or gone
            logger.info("the use of the API key {} could not be written: {}", key_id, type(error).__name__)
