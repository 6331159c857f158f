"""One lake: what it is, how far it reaches, and its objects, one attempt at a time."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from hashlib import sha256
from itertools import product
from threading import Lock

from loguru import logger

from stellarstream_core.endpoints.failures import AttemptError, OverlongError, UnreachableError
from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.errors import ProtocolUpgradeNeededError, XdrError
from stellarstream_core.settings import Settings
from stellarstream_core.sources import Reason
from stellarstream_core.xdr.ledger import LedgerHeader, signed_for
from stellarstream_data_lake.batches import Fingerprint, read_header, read_object
from stellarstream_data_lake.failures import DamagedError, DeniedError, MissingError, RefusedError
from stellarstream_data_lake.layout import BEFORE_THE_NEWEST, Layout, layout_of, usual_layouts
from stellarstream_data_lake.manifest import KEY, MAX_BYTES, BadManifestError, Manifest, read_manifest
from stellarstream_data_lake.settings import DataLakeSettings
from stellarstream_data_lake.stores import Store
from stellarstream_data_lake.survey import highest, lowest, next_listed, oldest_listed

SURVEY_EVERY = 30.0
"""Seconds without a new object after which it is looked for past a hole."""

UNFINISHED = 3
"""So many of the newest objects may be unreadable, being written, before the lake counts as damaged."""

KEPT_SECONDS = 20.0
"""So long the newest object, which was read to see whether it can be, need not be fetched again."""

_REMEMBERED = 16_384
_PACE_LEDGERS = 500


class _UnusableError(Exception):
    """The lake can never serve."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Lake:
    """A lake, an endpoint of a :class:`~stellarstream_core.endpoints.pool.Pool`.

    ``oldest`` and ``latest`` are ledgers, 0 until they are known. ``passphrase`` is what its manifest
    says; ``foreign`` tells that it belongs to another network. ``tail`` is the last ledger that was
    read of it, with its hash, for whoever goes on after it.
    """

    def __init__(
        self, store: Store, settings: Settings, own: DataLakeSettings, timing: Timing, threads: Executor, shown: str
    ) -> None:
        self.store = store
        self.shown = store.shown = shown
        self.unusable: tuple[Reason, str] | None = None
        self.oldest = 0
        self.latest = 0
        self.failures = 0
        self.told = False
        self.cooling_until = 0.0
        self.outage_until = 0.0
        self.checked = False
        self.foreign = False
        self.passphrase: str | None = None
        self.version: str | None = None
        self.protocol: int | None = None
        self.latest_closed_at: int | None = None
        self.ledger_seconds: float | None = None
        self.warnings: list[str] = []
        self.tail: tuple[int, bytes] | None = None
        self.layout = Layout(1, 1)
        self._settings = settings
        self._own = own
        self._timing = timing
        self._threads = threads
        self._lists = store.lists
        self._refusal: RefusedError | None = None
        self._readable = False
        self._lowest = self._highest = 0
        self._read_up_to = -1
        self._surveyed_at = 0.0
        self._pace: tuple[int, int] | None = None
        self._seen: dict[int, Fingerprint] = {}
        self._seen_lock = Lock()
        self._kept: tuple[int, float, bytes] | None = None

    # --- what it is ------------------------------------------------------------------------

    async def check(self) -> None:
        """Learn the lake's network, layout and reach, once; set ``unusable`` where it can never serve."""
        if self.checked:
            return
        try:
            await self._open()
        except _UnusableError as error:
            self.unusable = error.reason, error.detail
        except RefusedError as error:
            self.unusable = error.reason, error.message
        self.checked = self.unusable is None

    def check_again(self) -> None:
        """Do nothing: a lake's layout does not change, and its network is looked at with every ledger."""

    async def _open(self) -> None:
        self.warnings, self._refusal = [], None
        self._lists, self._readable = self.store.lists, False
        manifest = await self._manifest()
        if manifest is not None:
            self.passphrase, self.version = manifest.passphrase, manifest.version
            if self.passphrase not in {None, self._settings.passphrase}:
                self.foreign = True
                raise _UnusableError(Reason.UNSUPPORTED, f"{self.shown} is on the network {self.passphrase!r}.")
        newest = await self._newest_name()
        if newest is not None:
            self.layout = self._layout_by_name(newest, manifest)
            await self._survey_listed()
        elif self._lists and manifest is not None:
            raise UnreachableError(f"{self.shown} has no ledgers yet.")
        elif self._lists:
            raise _UnusableError(
                Reason.UNAVAILABLE, f"{self.shown} has neither {KEY} nor ledgers where 'lake_url' points to."
            )
        else:
            await self._survey_probed(manifest)
        self._surveyed_at = self._timing.now()
        await self._settle()

    async def _manifest(self) -> Manifest | None:
        try:
            raw = await self.store.get(KEY, MAX_BYTES)
        except DeniedError:
            raise
        except (MissingError, RefusedError) as error:
            logger.debug("{}", error)
            return None
        except OverlongError as error:
            raise _UnusableError(Reason.UNSUPPORTED, error.message) from None
        if not raw:
            raise DamagedError(f"{self.shown}: {KEY} is empty.")
        self._readable = True
        try:
            return read_manifest(raw)
        except BadManifestError as error:
            raise _UnusableError(
                Reason.UNSUPPORTED,
                f"{self.shown}: {KEY} cannot be used: {error}. Correct it, or point 'lake_url' elsewhere.",
            ) from None

    async def _newest_name(self) -> str | None:
        if not self._lists:
            return None
        try:
            return await self.store.after(BEFORE_THE_NEWEST, lambda name: layout_of(name) is not None)
        except MissingError:
            raise _UnusableError(Reason.UNAVAILABLE, f"{self.shown} has nothing where 'lake_url' points to.") from None
        except DeniedError:
            raise
        except RefusedError as error:
            logger.debug("{} It is looked at object by object.", error)
            self._lists = False
            self._refusal = error
            return None

    def _layout_by_name(self, newest: str, manifest: Manifest | None) -> Layout:
        """Return the layout that names show, for what is there is there; settings win."""
        shown = layout_of(newest) or self.layout
        own = self._own
        layout = Layout(
            own.ledgers_per_batch or shown.ledgers_per_batch,
            own.batches_per_partition or shown.batches_per_partition,
            own.suffix or shown.suffix,
        )
        if manifest is not None and (layout.ledgers_per_batch, layout.batches_per_partition) != (
            manifest.ledgers_per_batch,
            manifest.batches_per_partition,
        ):
            said = Layout(manifest.ledgers_per_batch, manifest.batches_per_partition, layout.suffix)
            self.warnings.append(f"{self.shown}: {KEY} says {said}, but its objects lie as {layout}.")
        return layout

    # --- how far it reaches ----------------------------------------------------------------

    async def _survey_listed(self) -> None:
        newest = await self._below(self.layout.last_number + 1)
        if newest is None:
            raise _UnusableError(
                Reason.UNSUPPORTED, f"{self.shown} has no object laid out as the settings say ({self.layout})."
            )
        first = self.layout.first_number
        there = await self._has(first)
        self._lowest = first if there else await oldest_listed(self._below, first, newest)
        self._highest = newest

    async def _survey_probed(self, manifest: Manifest | None) -> None:
        own, has = self._own, self._has
        known: int | None = None
        per_batch = own.ledgers_per_batch or (manifest.ledgers_per_batch if manifest else None)
        batches = own.batches_per_partition or (manifest.batches_per_partition if manifest else None)
        hints = [hint for hint in (own.first_ledger, self._settings.start_ledger, 2) if hint is not None]
        layouts = list(usual_layouts(per_batch, batches, own.suffix))
        if own.batches_per_partition is None:  # whatever a manifest says of partitions, there may be none
            layouts += [one for one in usual_layouts(per_batch, 1, own.suffix) if one not in layouts]
        for layout, hint in product(layouts, hints):
            self.layout = layout
            number = max(layout.number(hint), layout.first_number)
            try:
                if await has(number):
                    known = number
                    break
            except RefusedError as error:
                self._refusal = error
        if known is None:
            ledgers = " or ".join(map(str, hints))
            detail = (
                f"{self.shown} has no object for ledger {ledgers} where 'lake_url' points to, and cannot be listed: "
                "name a ledger that it has with 'first_ledger' in [plugins.data-lake]."
            )
            raise _UnusableError(Reason.UNAVAILABLE, f"{self._refusal or ''} {detail}".strip())
        self._readable = True
        last = self.layout.last_number
        if await has(last):
            raise _UnusableError(
                Reason.UNSUPPORTED,
                f"{self.shown} says that it has every object it is asked for, even those of no ledger.",
            )
        first = self.layout.first_number
        self._lowest = first if await has(first) else await lowest(has, known, first)
        self._highest = await highest(has, known, last)

    async def _has(self, number: int) -> bool:
        """Tell whether an object is there.

        Where nothing can be listed but something could be read, a refusal is how the store says that
        the object is not there (S3 without s3:ListBucket): nothing better is to be known.
        """
        try:
            return await self.store.exists(self.layout.key(number))
        except RefusedError as error:
            if self._lists or not self._readable or isinstance(error, DeniedError):
                raise
            return False

    async def _below(self, number: int) -> int | None:
        name = BEFORE_THE_NEWEST if number > self.layout.last_number else self.layout.key(number)
        found = await self.store.after(name, lambda key: self.layout.number_of(key) is not None)
        return None if found is None else self.layout.number_of(found)

    async def next_object(self, first: int, last: int) -> int | None:
        """Return the first object's number from ``first`` to ``last`` that is there, ``last + 1`` where none is.

        None where the store cannot be listed.
        """
        if not self._lists:
            return None
        found = await next_listed(self._below, first, last)
        return last + 1 if found is None else found

    async def read_range(self) -> None:
        """Look whether newer objects are there, asking for the next one only unless it is."""
        now = self._timing.now()
        try:
            grown = await self._has(self._highest + 1)
        except RefusedError:
            grown = False
            self._surveyed_at = min(self._surveyed_at, now - SURVEY_EVERY)
        if grown:
            self._highest = await highest(self._has, self._highest + 1, self.layout.last_number)
            self._surveyed_at = now
        elif now - self._surveyed_at >= SURVEY_EVERY:
            self._surveyed_at = now
            if self._lists:
                self._highest = max(self._highest, await self._below(self.layout.last_number + 1) or 0)
            else:
                self._highest = await highest(self._has, self._highest, self.layout.last_number, past_holes=True)
        await self._settle()

    async def _settle(self) -> None:
        """Read the newest object that can be read; those after it are still being written."""
        failure: AttemptError | None = None
        for number in range(self._highest, max(self._read_up_to, self._lowest - 1, self._highest - UNFINISHED), -1):
            try:
                data, metas = await self._read(number)
                self._note_tip(number, metas)
            except (MissingError, DamagedError) as error:
                logger.debug("Not taken as the newest: {}", error)
                failure = failure or error
                continue
            except ProtocolUpgradeNeededError as error:
                logger.warning("{}: ledger {} cannot be read: {}", self.shown, self.layout.ledgers(number).last, error)
                self._reached(number)
                return
            self._kept = number, self._timing.now() + KEPT_SECONDS, data
            await self._note_pace(number)
            return
        if self._read_up_to < 0 and failure is not None:
            raise failure

    def _note_tip(self, number: int, metas: list[bytes]) -> None:
        header = self.header_in(metas, number, self.layout.ledgers(number).last)
        if self._read_up_to < 0 and self.passphrase is None and self._is_foreign(metas):
            self.foreign = True
            raise _UnusableError(Reason.UNSUPPORTED, f"{self.shown} has ledgers signed for another network.")
        self._reached(number)
        self.latest_closed_at = header.close_time
        self.protocol = header.protocol

    def _reached(self, number: int) -> None:
        self._read_up_to = number
        self.oldest = self.oldest or self.layout.ledgers(self._lowest).first
        self.latest = max(self.latest, self.layout.ledgers(number).last)
        self.latest_closed_at = None

    def _is_foreign(self, metas: list[bytes]) -> bool:
        try:
            return any(signed_for(meta, self._settings.passphrase) is False for meta in metas[:8])
        except XdrError:
            return False  # what is wrong with it is told when it is read as a ledger

    async def _note_pace(self, number: int) -> None:
        now = self.latest, self.latest_closed_at or 0
        if self._pace is None:
            self._pace = now
            back = max(self._lowest, number - max(1, _PACE_LEDGERS // self.layout.ledgers_per_batch))
            try:
                _, metas = await self._read(back)
                header = self.header_in(metas, back, self.layout.ledgers(back).last)
                self._pace = header.sequence, header.close_time
            except AttemptError as error:
                logger.debug("How long ledgers take is not known yet: {}", error)
        ledgers, seconds = now[0] - self._pace[0], now[1] - self._pace[1]
        if ledgers > 0 and seconds > 0:
            self.ledger_seconds = seconds / ledgers

    # --- its objects -----------------------------------------------------------------------

    async def fetch(self, number: int) -> bytes:
        """Return an object's bytes. An object that changed since it was read is read until it stays as it is.

        Raises an :class:`AttemptError`.
        """
        if self._kept is not None and self._kept[0] == number:
            _, until, kept = self._kept
            self._kept = None
            if self._timing.now() < until:
                return kept
        key = self.layout.key(number)
        data = await self.store.get(key, self._own.max_batch_bytes)
        known = self._seen.get(number)
        if known is not None and Fingerprint.of(data) != known:
            again = await self.store.get(key, self._own.max_batch_bytes)
            if again != data:
                raise DamagedError(f"{self.shown}: {key} changes while it is read.")
            self._seen.pop(number, None)
            logger.warning(
                "{}: {} was replaced since it was read, with {} bytes for {}; it is read anew. "
                "Run 'stellarstream verify' over its ledgers.",
                self.shown,
                key,
                len(data),
                known.size,
            )
        return data

    def metas(self, number: int, data: bytes) -> tuple[int, list[bytes]]:
        """Return the size of an object's content and each of its ledgers; CPU only, for a thread.

        Raises ``DamagedError`` naming the object.
        """
        try:
            found = read_object(data, self.layout.ledgers(number), self._own.max_batch_bytes)
        except DamagedError as error:
            raise DamagedError(f"{self.shown}: {self.layout.key(number)}: {error.message}.") from None
        fingerprint = Fingerprint.of(data)
        with self._seen_lock:
            self._seen.pop(number, None)
            self._seen[number] = fingerprint
            if len(self._seen) > _REMEMBERED:
                del self._seen[next(iter(self._seen))]
        return found

    async def _read(self, number: int) -> tuple[bytes, list[bytes]]:
        data = await self.fetch(number)
        loop = asyncio.get_running_loop()
        _, metas = await loop.run_in_executor(self._threads, self.metas, number, data)
        return data, metas

    def header_in(self, metas: list[bytes], number: int, ledger: int) -> LedgerHeader:
        """Return the header of one of an object's ledgers; raise ``DamagedError`` where its hash is not its own."""
        try:
            header = read_header(metas[ledger - self.layout.ledgers(number).first], ledger)
        except DamagedError as error:
            raise DamagedError(f"{self.shown}: {self.layout.key(number)}: {error.message}.") from None
        if sha256(header.xdr).digest() != header.hash:
            raise DamagedError(f"{self.shown}: {self.layout.key(number)}: ledger {ledger}'s header has another hash.")
        return header

    async def header(self, ledger: int) -> LedgerHeader:
        """Fetch a ledger's object and return the ledger's header. Raises an :class:`AttemptError`."""
        number = self.layout.number(ledger)
        _, metas = await self._read(number)
        return self.header_in(metas, number, ledger)

    async def close(self) -> None:
        """Close connections. Safe to call twice."""
        await self.store.close()
