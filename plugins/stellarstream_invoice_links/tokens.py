"""What a token says of itself: decimals, symbol, name (SEP-41), asked once by simulation and kept for ever.

A token is a stranger's contract: what it calls itself is cut short and freed from what would not be seen, or would turn
around what stands beside it. It may still call itself what another token is called; the address alone tells them apart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from loguru import logger
from peewee import Database

from stellarstream_core.api.expiring import ExpiringCache
from stellarstream_core.chain import ChainClient, Simulation
from stellarstream_core.errors import StellarStreamError, XdrError
from stellarstream_core.xdr.invocation import read_call_envelope
from stellarstream_core.xdr.scval import Arm, ScValue, decode_scval
from stellarstream_invoice_links.tables import InvoiceToken
from stellarstream_invoice_links.texts import cleaned

if TYPE_CHECKING:
    from stellarstream_core.api.service import ApiService

MOST_DECIMALS = 38
"""An i128 has at most 39 digits."""
LONGEST_SYMBOL, LONGEST_NAME = 32, 64
PATIENCE_SECONDS = 5.0
"""How long a request waits for the chain. What it asked goes on, for whoever asks next."""
DOWN_SECONDS = 5.0
"""How long nobody is asked again where nobody answered."""
NO_TOKEN_SECONDS = 300.0
"""How long a contract is taken for no token: it may be one that is not deployed yet."""
_MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What a token said at ``ledger``. ``symbol`` and ``name`` are safe to show, and empty where it tells none."""

    token: str
    decimals: int
    symbol: str
    name: str
    ledger: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is known for so many seconds; ``facts`` None: the chain does not answer, or it is no token."""

    facts: TokenFacts | None
    lasts: float = inf


class Tokens:
    """The tokens that this worker was asked about: ``call.api.part(Tokens)``."""

    def __init__(self, api: ApiService, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._chain = api.chain
        self._database = api.database
        self._known: ExpiringCache[str, _Answer] = ExpiringCache(_MOST_KEPT, lambda answer: answer.lasts, clock=clock)

    async def of(self, token: str) -> TokenFacts | None:
        """Return what a token (C…) says of itself; None where it is no token, or the chain does not answer soon.

        However many ask at the same time, the chain is asked once. Raises what the database raises.
        """
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return (await self._known.get(token, self._look_up)).facts
        except TimeoutError:
            return None

    async def _look_up(self, token: str) -> _Answer:
        storage = self._database.storage
        kept = await self._database.run(storage.read, partial(kept_token, token=token))
        if kept is not None:
            return _Answer(kept)
        if self._chain is None:
            return _Answer(None, DOWN_SECONDS)
        try:
            facts = await read_token(self._chain, token)
        except StellarStreamError as error:
            logger.warning("the token {} cannot be read: {}", token, error)
            return _Answer(None, DOWN_SECONDS)
        if facts is None:
            return _Answer(None, NO_TOKEN_SECONDS)
        return _Answer(
            await self._database.write(storage.write, partial(keep_token, facts=facts, now=int(time.time())))
        )


# --- the database -----------------------------------------------------------------------------------


def kept_token(database: Database, token: str) -> TokenFacts | None:
    """Return what a token said when it was asked, None where it was not yet."""
    columns = (InvoiceToken.token, InvoiceToken.decimals, InvoiceToken.symbol, InvoiceToken.name, InvoiceToken.ledger)
    row = InvoiceToken.select(*columns).where(InvoiceToken.token == token).tuples().execute(database)
    return next((TokenFacts(*values) for values in row), None)


def keep_token(database: Database, facts: TokenFacts, now: int) -> TokenFacts:
    """Keep what a token said, and return what is kept: the first answer stays, whoever asked."""
    InvoiceToken.insert(
        token=facts.token,
        decimals=facts.decimals,
        symbol=facts.symbol,
        name=facts.name,
        ledger=facts.ledger,
        read_at=now,
    ).on_conflict_ignore().execute(database)
    return kept_token(database, facts.token) or facts


# --- asking a token ---------------------------------------------------------------------------------


async def read_token(chain: ChainClient, token: str) -> TokenFacts | None:
    """Ask a token (C…) by simulation; None where it tells no possible number of decimals. Raises ``SourceError``."""
    decimals, symbol, name = await asyncio.gather(
        *(chain.simulate(read_call_envelope(token, function)) for function in ("decimals", "symbol", "name"))
    )
    places = _told(decimals)
    if places is None or places.arm is not Arm.U32 or places.value > MOST_DECIMALS:
        return None
    return TokenFacts(
        token=token,
        decimals=places.value,
        symbol=_text(symbol, LONGEST_SYMBOL),
        name=_text(name, LONGEST_NAME),
        ledger=decimals.ledger,
    )


def _told(simulation: Simulation) -> ScValue | None:
    if simulation.error is not None or not simulation.result:
        return None
    try:
        return decode_scval(simulation.result)
    except XdrError:
        return None


def _text(simulation: Simulation, longest: int) -> str:
    value = _told(simulation)
    if value is None or value.arm not in {Arm.STRING, Arm.SYMBOL} or not isinstance(value.value, str):
        return ""  # SEP-41 says text; bytes are text that is not UTF-8
    return cleaned(value.value, longest)
