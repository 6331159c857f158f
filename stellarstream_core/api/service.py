"""The service: what every request may use, put together once for each worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from loguru import logger
from pydantic import SecretStr

from stellarstream_core.api.auth.authenticator import Authenticator
from stellarstream_core.api.auth.errors import CREDENTIAL_PROBLEMS, ForbiddenError, NotAuthenticatedError
from stellarstream_core.api.auth.keys import ApiKeys
from stellarstream_core.api.auth.sep10 import Challenges
from stellarstream_core.api.auth.site import Site, site_of
from stellarstream_core.api.auth.stellar_toml import stellar_toml
from stellarstream_core.api.auth.tokens import Tokens
from stellarstream_core.api.cache import AnswerCache
from stellarstream_core.api.client_address import AddressReader
from stellarstream_core.api.cluster import ClusterReader
from stellarstream_core.api.cors import Cors
from stellarstream_core.api.cursors import Cursors
from stellarstream_core.api.database import Database
from stellarstream_core.api.knowledge import Knowledge, Known
from stellarstream_core.api.limits.admission import Admission
from stellarstream_core.api.limits.once import IDEMPOTENCY_PROBLEMS, Once
from stellarstream_core.api.limits.quota import parse_limit
from stellarstream_core.api.limits.rate import MemoryRateLimiter, RateLimiter
from stellarstream_core.api.live.feed import Feed
from stellarstream_core.api.live.limits import LiveLimits
from stellarstream_core.api.metrics import Metrics
from stellarstream_core.api.metrics_gauges import PluginGauges
from stellarstream_core.api.minutes import EventMinutes
from stellarstream_core.api.moments import Moments
from stellarstream_core.api.openapi import describe
from stellarstream_core.api.run_dir import RunDir
from stellarstream_core.api.sources import SourceWatch
from stellarstream_core.api.sync_reader import SyncReader
from stellarstream_core.chain import ChainClient
from stellarstream_core.errors import NetworkMismatchError, SettingsError, StellarStreamError
from stellarstream_core.runtime import Runtime
from stellarstream_core.settings import ENV_PREFIX, Settings
from stellarstream_core.storage import Storage

if TYPE_CHECKING:
    from stellarstream_core.api.routes import Route
    from stellarstream_core.plugins import Plugins

T = TypeVar("T")

FEED_SECONDS = 3.0
"""How long requests are held back at the start until the commits are followed."""
METRICS_FOLDER = "metrics"
"""The folder in ``run_dir`` in which workers count together."""


@dataclass(slots=True, repr=False)
class ApiService:
    """What a request may use. Handlers find it as ``call.api``.

    ``database`` runs functions that read or write; ``knowledge`` says what is covered; ``feed`` hears of
    commits; ``cursors`` makes cursors; ``sources`` knows the network's tip; ``sync`` tells
    how far the database is; ``gauges`` reads those of plugins; ``chain`` reads the chain and hands in transactions,
    None where no access to it is configured; ``cluster`` tells of the processes beside this one, None where there is
    no supervisor; ``kept`` holds answers that never change. ``draining`` is set once this worker is about to end.
    """

    runtime: Runtime
    site: Site
    routes: Sequence[Route]
    database: Database
    feed: Feed
    moments: Moments
    knowledge: Knowledge
    cursors: Cursors
    sources: SourceWatch
    sync: SyncReader
    metrics: Metrics
    gauges: PluginGauges
    minutes: EventMinutes
    limits: Admission
    authenticator: Authenticator
    tokens: Tokens
    challenges: Challenges
    idempotency: Once
    addresses: AddressReader
    cors: Cors
    stellar_toml: str
    openapi: bytes
    chain: ChainClient | None = None
    cluster: ClusterReader | None = None
    kept: AnswerCache = field(default_factory=AnswerCache)
    draining: bool = False
    _parts: dict[Callable[[ApiService], Any], Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.runtime.settings

    @property
    def public_url(self) -> str:
        """The address in links, without a slash at its end."""
        return self.site.url

    def part(self, make: Callable[[ApiService], T]) -> T:
        """Return what ``make`` (a class, mostly) returned for this worker, made when it is first asked for.

        For what a plugin's handlers share: caches, lookups in flight. ``make`` itself is the key. A part with an
        ``async def close()`` is closed before the worker ends, while database and chain still answer.
        """
        if make not in self._parts:
            self._parts[make] = make(self)
        part: T = self._parts[make]
        return part

    def start_parts(self) -> None:
        """Make the parts that routes want at the start; one that fails is made when it is asked for, or never."""
        for route in self.routes:
            for make in route.at_start:
                try:
                    self.part(make)
                except Exception as error:  # a plugin's own
                    logger.opt(exception=error).error("{} cannot start what it needs", route.name)

    async def close_parts(self) -> None:
        """Close the parts, the last made first; one that fails at it does not keep the others from it."""
        while self._parts:
            _, part = self._parts.popitem()
            close = getattr(part, "close", None)
            if close is None:
                continue
            try:
                await close()
            except Exception as error:  # a plugin's own
                logger.opt(exception=error).error("{} could not be closed", type(part).__name__)

    async def known(self, contracts: Iterable[str] = ()) -> Known:
        """Return what the database holds of these contracts, without any of all that are indexed.

        Ask before reading what the answer is made of: what it says then holds for everything read later.
        Raises what the database raises.
        """
        return await self.knowledge.of(tuple(sorted(set(contracts))), await self.moments.now())


@asynccontextmanager
async def open_service(
    runtime: Runtime, routes_of: Callable[[Plugins], Sequence[Route]], *, shared: bool = False
) -> AsyncIterator[ApiService]:
    """Open a worker's service for a while; an empty database is prepared.

    ``shared``: other workers answer beside this one, so secrets have to be set and counts are kept in
    ``run_dir``. Raises ``SettingsError``, ``StorageError`` and ``PluginError``.
    """
    settings = runtime.settings
    site = site_of(settings.public_url)
    secret_key, signing_key = _secrets(settings, shared=shared)
    tokens = Tokens(secret_key, site, lifetime=settings.session_seconds)
    async with AsyncExitStack() as stack:
        storage = runtime.open_storage(create=True)
        stack.callback(storage.close)
        _check_network(storage, settings)
        database = Database(storage)
        stack.push_async_callback(database.close)
        shared_folder = RunDir.open(settings) if shared else None
        if shared_folder is not None:
            stack.callback(shared_folder.close)
        metrics = Metrics.open(shared_folder.path / METRICS_FOLDER if shared_folder else None)
        stack.callback(metrics.close)
        database.on_refusal, database.on_wait = metrics.database_rejected, metrics.database_waited
        limiter = RateLimiter.open(shared_folder.path) if shared_folder else MemoryRateLimiter()
        limits = Admission(limiter, parse_limit(settings.rate_limit), parse_limit(settings.rate_limit_key))
        stack.callback(limits.close)
        sources = SourceWatch(runtime)
        stack.push_async_callback(sources.close)
        chain = await _chain(runtime)
        if chain is not None:
            stack.push_async_callback(chain.close)
        challenges = Challenges(
            signing_key, site, settings.passphrase, storage=storage, chain=chain, run=database.write
        )
        keys = ApiKeys(storage, run=database.run)
        stack.push_async_callback(keys.close)
        feed = Feed(storage, LiveLimits(settings.live_readers, settings.live_readers_per_client))
        feed.on_dropped, feed.on_pushed = metrics.reader_dropped, metrics.events_pushed
        stack.push_async_callback(feed.close)
        moments = Moments(database)
        minutes = EventMinutes()
        feed.on_commit(minutes.committed)
        gauges = PluginGauges(runtime, database, metrics)
        gauges.offered(), runtime.plugins.stellar_toml_entries(settings)  # who breaks here offers no routes either
        routes = routes_of(runtime.plugins)
        entries = runtime.plugins.stellar_toml_entries(settings)
        metrics.set_broken_plugins(len(runtime.plugins.broken))
        api = ApiService(
            runtime=runtime,
            site=site,
            routes=routes,
            database=database,
            feed=feed,
            moments=moments,
            knowledge=Knowledge(database, runtime.scope_if_any),
            cursors=Cursors(secret_key.get_secret_value().encode()),
            sources=sources,
            sync=SyncReader(database, runtime, sources, moments, lambda: feed.now),
            metrics=metrics,
            gauges=gauges,
            minutes=minutes,
            limits=limits,
            authenticator=Authenticator(tokens, keys),
            tokens=tokens,
            challenges=challenges,
            idempotency=Once(database),
            addresses=AddressReader(settings.trusted_proxies),
            cors=Cors(settings.cors_origins or [settings.frontend_url]),
            stellar_toml=stellar_toml(
                site, settings.passphrase, challenges.account if chain is not None else None, entries
            ),
            openapi=_described(routes, site),
            chain=chain,
            cluster=ClusterReader.of(settings),
        )
        stack.push_async_callback(api.close_parts)
        feed.start()
        with suppress(TimeoutError):  # it goes on trying; readiness tells
            async with asyncio.timeout(FEED_SECONDS):
                await feed.ready()
        await database.run(minutes.load, storage)
        api.start_parts()
        yield api


def _secrets(settings: Settings, *, shared: bool) -> tuple[SecretStr, SecretStr]:
    """Return what signs sessions and what signs challenges; make those that are not set."""
    missing = [name for name in ("secret_key", "signing_key") if getattr(settings, name) is None]
    if missing and shared:
        raise SettingsError(
            f"{missing[0]}: several workers have to agree on it, and it is not set.",
            help=f"Set it in the environment ({ENV_PREFIX}{missing[0].upper()}); "
            "docs/authentication.md says how to make one.",
        )
    if missing:
        logger.warning(
            "{} not set: made for this process alone. Logins and cursors end with it.", " and ".join(missing)
        )
    return (
        settings.secret_key or SecretStr(token_urlsafe(48)),
        settings.signing_key or SecretStr(_new_signing_key()),
    )


def _new_signing_key() -> str:
    from stellar_sdk import Keypair  # noqa: PLC0415 - 600 ms to import

    return Keypair.random().secret


async def _chain(runtime: Runtime) -> ChainClient | None:
    """Return the chain client, None where there is none: then nobody can log in, and the rest goes on."""
    try:
        client = await runtime.open_chain_client()
    except StellarStreamError as error:
        logger.warning("nobody can log in, since the chain cannot be read: {}", error)
        return None
    if client is None:
        logger.warning("nobody can log in: no access to the chain is configured (rpc_url)")
    return client


def _check_network(storage: Storage, settings: Settings) -> None:
    stored = storage.network_passphrase()
    if stored is not None and stored != settings.passphrase:
        raise NetworkMismatchError(
            f"{storage.url} holds the network '{stored}', not '{settings.passphrase}'.",
            help="Correct 'network', or point 'database_url' at the database of this network.",
        )


def _described(routes: Sequence[Route], site: Site) -> bytes:
    return orjson.dumps(
        describe(
            routes,
            public_url=site.url,
            credential_problems=(*CREDENTIAL_PROBLEMS, NotAuthenticatedError, ForbiddenError),
            creation_problems=IDEMPOTENCY_PROBLEMS,
        )
    )
