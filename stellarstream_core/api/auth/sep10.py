"""Logging in with a Stellar account: SEP-10, version 3.4.

``build`` makes a challenge: a transaction that no network takes (sequence number 0), for the account to
sign. ``verify`` takes it back once. An account that exists must have signed with the weight of its
medium threshold, what moving funds takes (SEP-10, "Verifying Authority to Move Funds"; the Anchor
Platform asks for the same); signers without weight and those that are no plain key count for nothing.
An account that does not exist must be signed for by its master key and nobody else. Which of both it
is, the chain says; where it cannot be asked nobody is let in, since the master key of an account may
have been removed, and only the chain knows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from loguru import logger
from peewee import Database
from pydantic import SecretStr

from stellarstream_core.api.auth import challenge
from stellarstream_core.api.auth.client_domain import ClientDomains
from stellarstream_core.api.auth.errors import (
    AccountUnsupportedError,
    AuthUnavailableError,
    ChallengeReplayedError,
    ClientDomainKeyError,
)
from stellarstream_core.api.auth.site import Site
from stellarstream_core.chain import ChainClient, account_signers
from stellarstream_core.errors import InvalidStrkeyError, SettingsError, SourceError, StellarStreamError, XdrError
from stellarstream_core.storage import Storage
from stellarstream_core.storage.tables import ApiChallenge
from stellarstream_core.xdr.strkey import account_id_bytes

LIFETIME_SECONDS = 900
CHAIN_SECONDS = 15.0
"""How long the chain may take to say who may sign; its client gives up before that by itself."""
MASTER_KEY = (1, 1)
"""Weight and threshold of an account that does not exist: its master key is all there is."""

_SWEEP_SECONDS = 60.0
_SWEEP_ROWS = 1_000
_SWEEP_MARGIN = 300
"""How long a used challenge is remembered beyond its end, for workers whose clocks are late."""

Run = Callable[..., Awaitable[Any]]
"""Calls a function that blocks, with its arguments, somewhere else, and returns what it returns."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What GET /auth answers: the transaction's XDR in base64, and the network it is signed for."""

    transaction: str
    network_passphrase: str


@dataclass(frozen=True, slots=True)
class Verified:
    """Who a challenge was signed by: the account (G…), and the wallet's domain if that signed too."""

    account: str
    client_domain: str | None = None


class Domains(Protocol):
    """What :class:`ClientDomains` does."""

    async def signing_key(self, domain: str) -> tuple[str, str]:
        """Return the domain in its ASCII form, and its SIGNING_KEY."""
        ...


class Challenges:
    """Makes challenges and takes them back, each once across all workers of a database.

    ``run`` calls storage functions outside of the event loop, ``Database.run`` in the service. Without
    ``chain`` nobody can log in: ``build`` and ``verify`` raise ``AuthUnavailableError``.
    """

    def __init__(
        self,
        signing_key: SecretStr,
        site: Site,
        passphrase: str,
        *,
        storage: Storage,
        chain: ChainClient | None,
        run: Run = asyncio.to_thread,
        domains: Domains | None = None,
    ) -> None:
        """Take the server account's secret (S…). Raises ``SettingsError`` where it is none."""
        # imported now: 600 ms that the first login should not wait for
        from stellar_sdk.sep import stellar_web_authentication  # noqa: PLC0415 - and that no other command needs

        self._sdk = stellar_web_authentication
        self._signing_key = signing_key
        self.account = public_key_of(signing_key)
        self._site = site
        self._passphrase = passphrase
        self._storage = storage
        self._chain = chain
        self._run = run
        self._domains = domains or ClientDomains()
        self._sweep_at = 0.0

    def __repr__(self) -> str:
        return f"<Challenges of {self.account} for {self._site.domain}>"

    async def build(self, account: str, client_domain: str | None = None) -> Challenge:
        """Return a challenge for an account (G…), good for 15 minutes.

        Raises ``AccountUnsupportedError``, the errors of a client domain, and ``AuthUnavailableError``.
        """
        self._require_chain()
        try:
            account_id_bytes(account)
        except InvalidStrkeyError:
            raise AccountUnsupportedError("Only the id of an account (G…) can log in.") from None
        domain = key = None
        if client_domain is not None:
            domain, key = await self._domains.signing_key(client_domain)
            if key in {self.account, account}:  # a key of this server would sign for the domain by itself
                raise ClientDomainKeyError("The client domain's SIGNING_KEY is this server's or the account itself.")
        transaction = self._sdk.build_challenge_transaction(
            self._signing_key.get_secret_value(),
            account,
            self._site.domain,
            self._site.domain,
            self._passphrase,
            timeout=LIFETIME_SECONDS,
            client_domain=domain,
            client_signing_key=key,
        )
        return Challenge(transaction, self._passphrase)

    async def verify(self, envelope_xdr: str) -> Verified:
        """Return whose challenge this is, once: only a challenge that passes every check is used up.

        Raises a ``ChallengeError`` that says why not, ``AccountUnsupportedError``,
        ``AuthUnavailableError``, and ``StorageError`` where the use cannot be noted.
        """
        from stellar_sdk.sep.exceptions import InvalidSep10ChallengeError  # noqa: PLC0415 - 600 ms to import

        chain = self._require_chain()
        envelope = challenge.parsed(envelope_xdr, self._passphrase)
        challenge.require_ours(envelope, self.account)
        canonical = envelope.to_xdr()
        try:
            self._sdk.read_challenge_transaction(
                canonical, self.account, self._site.domain, self._site.domain, self._passphrase
            )
        except (InvalidSep10ChallengeError, ValueError):
            raise challenge.why_refused(envelope, self._site.domain) from None
        account = challenge.client_account(envelope)
        if len(envelope.signatures) == 1:  # the server's own: nothing to ask the chain for
            raise challenge.why_not_signed(envelope, self.account, {account})
        weights, threshold = await self._signers(chain, account)
        try:
            self._sdk.verify_challenge_transaction_threshold(
                canonical,
                self.account,
                self._site.domain,
                self._site.domain,
                self._passphrase,
                threshold,
                [_signer(key, weight) for key, weight in weights.items()],
            )
        except (InvalidSep10ChallengeError, ValueError):
            raise challenge.why_not_signed(envelope, self.account, weights) from None
        bounds = envelope.transaction.preconditions.time_bounds if envelope.transaction.preconditions else None
        await self._use_up(envelope.hash_hex(), bounds.max_time if bounds else 0)
        domain = challenge.client_domain(envelope)
        return Verified(account, domain[0] if domain else None)

    def _require_chain(self) -> ChainClient:
        if self._chain is None:
            raise AuthUnavailableError(
                "This service is not connected to the network, so nobody can log in.",
                help="The operator has to set rpc_url. API keys work without it.",
            )
        return self._chain

    async def _signers(self, chain: ChainClient, account: str) -> tuple[dict[str, int], int]:
        """Return who may sign for the account with which weight (never 0), and the weight it takes (at least 1)."""
        try:
            async with asyncio.timeout(CHAIN_SECONDS):
                found = await account_signers(chain, account)
        except (SourceError, XdrError, TimeoutError) as error:
            logger.warning("nobody can log in: {} does not tell who signs for an account: {}", chain.name, error)
            raise AuthUnavailableError("Who may sign for the account cannot be found out now.") from error
        if found is None:
            weight, threshold = MASTER_KEY
            return {account: weight}, threshold
        weights = {**found.signers, account: found.master_weight}
        # The network takes a threshold of 0 as: any signer. Without this a removed master key would be enough.
        return {key: weight for key, weight in weights.items() if weight > 0}, max(found.thresholds.medium, 1)

    async def _use_up(self, digest: str, expires_at: int) -> None:
        """Note that a challenge was used. Raises ``ChallengeReplayedError`` where it was used before."""

        def note(database: Database) -> bool:
            row = ApiChallenge.insert(hash=digest, expires_at=expires_at).on_conflict_ignore()
            return bool(row.as_rowcount().execute(database))

        if not await self._run(self._storage.write, note):
            raise ChallengeReplayedError("The challenge was used already.")
        await self._sweep()

    async def _sweep(self) -> None:
        """Remove what has expired, now and then, a bounded number of rows. That it fails is no login's fault."""
        if time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + _SWEEP_SECONDS
        ended = int(time.time()) - _SWEEP_MARGIN

        def remove(database: Database) -> int:
            old = ApiChallenge.select(ApiChallenge.hash).where(ApiChallenge.expires_at < ended).limit(_SWEEP_ROWS)
            return int(ApiChallenge.delete().where(ApiChallenge.hash.in_(old)).execute(database))

        try:
            if await self._run(self._storage.write, remove, wait_seconds=1.0) == _SWEEP_ROWS:
                self._sweep_at = 0.0
        except StellarStreamError as error:
            logger.warning("used challenges that have expired are not removed: {}", error)


def _signer(account: str, weight: int) -> Any:
    from stellar_sdk.sep.ed25519_public_key_signer import Ed25519PublicKeySigner  # noqa: PLC0415 - 600 ms to import

    return Ed25519PublicKeySigner(account, weight)


def public_key_of(signing_key: SecretStr) -> str:
    """Return the account (G…) of a secret key (S…). Raises ``SettingsError``, which never shows it."""
    from stellar_sdk import Keypair  # noqa: PLC0415 - 600 ms to import

    try:
        return Keypair.from_secret(signing_key.get_secret_value()).public_key
    except Exception:  # the SDK's error repeats the secret
        raise SettingsError(
            "signing_key: this is not the secret key of an account (S…).",
            help="Make one: python -c 'from stellar_sdk import Keypair; print(Keypair.random().secret)'",
        ) from None
