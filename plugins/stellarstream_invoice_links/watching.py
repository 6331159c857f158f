"""Pay pages that are kept up to date: who watches which link, and one query for all of them.

A watcher is told the state that its link has now, then each change of it. The states of all watched links are read
together, once a second while anybody watches, and a moment after a commit; no watcher holds a connection.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from time import time
from types import TracebackType
from typing import TYPE_CHECKING

from loguru import logger

from stellarstream_core.api.live.frames import HEARTBEAT, bye, retry
from stellarstream_core.api.live.owners import Owners
from stellarstream_core.api.problems import ShuttingDownError, TooManyReadersError
from stellarstream_invoice_links.problems import LinkNotFoundError
from stellarstream_invoice_links.seen import Seen, gone, seen_in
from stellarstream_invoice_links.settings import InvoiceLinkSettings

if TYPE_CHECKING:
    from stellarstream_core.api.service import ApiService
    from stellarstream_core.events import ContractEvent

LOOK_SECONDS = 1.0
"""How often the states are read while somebody watches."""
AFTER_COMMIT_SECONDS = 0.25
"""How long after a commit they are read: what is folded from its events is written by then, mostly."""
SHORTEST_SECONDS = 0.5
"""However many commits come, they are not read more often."""
NOTICE_SECONDS = 0.2
"""How long it takes at the most to notice that the service ends."""


def _nothing() -> None:
    pass


class Watcher:
    """One open page. Iterate over :meth:`frames` and send what it yields; close it in the end.

    For :func:`stellarstream_core.api.live.stream.stream` it is what a subscription is.
    """

    def __init__(self, watching: Watching, slug: str, owners: Sequence[str]) -> None:
        self.slug = slug
        self.owners = owners
        """Whom it counts for."""
        self.on_hurry: Callable[[], None] = _nothing
        """Called when the service is about to end: stop waiting for the client."""
        self.on_cut_off: Callable[[], None] = _nothing
        """Called when the service can wait no longer."""
        self._watching = watching
        self._loop = asyncio.get_running_loop()
        self._known = False
        self._seen: Seen | None = None
        self._untold = False
        self._news = asyncio.Event()
        # pages that were opened together are not sent their heartbeats together
        self._longest_silence = watching.heartbeat_seconds * random.uniform(0.8, 1.0)  # noqa: S311 - no secret

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Watch no more. Safe to call twice."""
        self._watching.leave(self)

    def tell(self, seen: Seen | None) -> None:
        """Take the state as of now, None where the link is not there any more."""
        if not self._known or seen != self._seen:
            self._known, self._seen, self._untold = True, seen, True
            self._news.set()

    def hurry(self) -> None:
        """Come to an end."""
        self._news.set()
        self.on_hurry()

    def cut_off(self) -> None:
        """End now."""
        self.on_cut_off()

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield what is to be sent, whole frames, until the service ends or the link is not there any more."""
        greeting = retry(int(self._watching.retry_milliseconds * random.uniform(0.75, 1.25)))  # noqa: S311 - no secret
        due = self._loop.time()
        while not self._watching.closing:
            self._news.clear()
            if self._untold:
                self._untold = False
                if self._seen is None:
                    yield greeting + gone()
                    return
                yield greeting + self._seen.frame()
            elif self._loop.time() >= due:
                yield greeting or HEARTBEAT
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._news.wait()
                continue
            greeting, due = b"", self._loop.time() + self._longest_silence
        yield bye()


class Watching:
    """Made once a worker: ``call.api.part(Watching)``."""

    def __init__(self, api: ApiService) -> None:
        self._api = api
        self._most = api.settings.section(InvoiceLinkSettings).most_watchers
        self._owners = Owners(api.feed.limits.readers_per_client)
        self._watchers: dict[str, dict[Watcher, None]] = {}
        self._count = 0
        self._committed = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._failing = False
        api.feed.on_commit(self._commit)

    def __len__(self) -> int:
        return self._count

    @property
    def closing(self) -> bool:
        """Whether the service is about to end."""
        return self._api.feed.closing

    @property
    def heartbeat_seconds(self) -> float:
        """The longest silence that a watcher sees."""
        return self._api.feed.limits.heartbeat_seconds

    @property
    def retry_milliseconds(self) -> int:
        """After how long a watcher whose stream ends connects again."""
        return self._api.feed.limits.retry_milliseconds

    def watch(self, slug: str, owners: Sequence[str]) -> Watcher:
        """Return a new watcher of a link. It counts until it is closed, also for each of its ``owners``.

        Raises ``TooManyReadersError``, ``TooManyReadersOfClientError`` and ``ShuttingDownError``.
        """
        if self.closing:
            raise ShuttingDownError("This worker takes no new readers.")
        if self._count >= self._most:
            raise TooManyReadersError(f"This worker keeps {self._count} pay pages up to date.")
        self._owners.enter(owners)
        watcher = Watcher(self, slug, owners)
        self._count += 1
        self._watchers.setdefault(slug, {})[watcher] = None
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_on())
        return watcher

    async def begin(self, watcher: Watcher) -> None:
        """Tell a new watcher the present state. Raises ``LinkNotFoundError`` and what the database raises."""
        seen = (await self._read([watcher.slug])).get(watcher.slug)
        if seen is None:
            raise LinkNotFoundError("There is no invoice link at this address.")
        watcher.tell(seen)

    def leave(self, watcher: Watcher) -> None:
        """Forget a watcher. Called by it when it is closed."""
        group = self._watchers.get(watcher.slug, {})
        if watcher not in group:
            return
        del group[watcher]
        if not group:
            del self._watchers[watcher.slug]
        self._count -= 1
        self._owners.leave(watcher.owners)

    async def close(self) -> None:
        """Look no more, and cut off whoever is left."""
        for watcher in self._all():
            watcher.cut_off()
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    # --- the looks --------------------------------------------------------------------------------

    async def _look_on(self) -> None:
        """Look while anybody watches; where the service ends, hurry them all."""
        while self._watchers:
            await self._pause()
            if self.closing:
                for watcher in self._all():
                    watcher.hurry()
                return
            try:
                await self._look()
                self._failing = False
            except Exception as error:  # the next look may do better, and nobody else would
                if not self._failing:
                    logger.warning("the links of open pay pages cannot be read: {}", error)
                self._failing = True

    async def _look(self) -> None:
        """Read the states of all that is watched, and tell them."""
        slugs = sorted(self._watchers)
        found = await self._read(slugs)
        for slug in slugs:
            for watcher in tuple(self._watchers.get(slug, ())):
                watcher.tell(found.get(slug))

    async def _read(self, slugs: Sequence[str]) -> dict[str, Seen]:
        database = self._api.database
        return await database.run(database.storage.read, partial(seen_in, slugs, time()))

    async def _pause(self) -> None:
        """Wait for the next look: a second, or until a moment after a commit."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        due, earliest = now + LOOK_SECONDS, now + SHORTEST_SECONDS
        while not self.closing and (left := due - loop.time()) > 0:
            if self._committed.is_set():
                self._committed.clear()
                due = min(due, max(earliest, loop.time() + AFTER_COMMIT_SECONDS))
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, NOTICE_SECONDS)):
                    await self._committed.wait()

    def _commit(self, _position: int, _events: Iterable[ContractEvent]) -> None:
        self._committed.set()

    def _all(self) -> list[Watcher]:
        return [watcher for group in self._watchers.values() for watcher in group]
