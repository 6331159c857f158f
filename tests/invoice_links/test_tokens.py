"""What tokens say of themselves: asked once, kept for ever, never trusted, and never guessed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import scval

from stellarstream_core.api.database import Database
from stellarstream_core.hookspecs import PluginSettings
from stellarstream_core.settings import Settings
from stellarstream_invoice_links import tokens as module
from stellarstream_invoice_links.tables import InvoiceToken
from stellarstream_invoice_links.texts import cleaned, lines_of
from stellarstream_invoice_links.tokens import (
    DOWN_SECONDS,
    NO_TOKEN_SECONDS,
    TokenFacts,
    Tokens,
    keep_token,
    kept_token,
    read_token,
)
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.network import SandboxNetwork
from stellarstream_soroban_rpc.chain_client import SorobanRpcChainClient
from stellarstream_soroban_rpc.settings import SECTION, SorobanRpcSettings
from tests.invoice_links.kit import COIN, GEM
from tests.invoice_links.picture_kit import COIN_SAYS, TokenChain

FACTS = TokenFacts(COIN, 7, "USDC", "US Dollar", 100)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def chain() -> TokenChain:
    return TokenChain({COIN: COIN_SAYS})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def tokens_of(storage, clock) -> AsyncIterator[Callable[..., Tokens]]:
    """Return a function that makes the part of a worker, over the database of the test."""
    database = Database(storage)
    yield lambda chain: Tokens(SimpleNamespace(chain=chain, database=database), clock=clock)
    await database.close()


# --- asked once -------------------------------------------------------------------------------------


async def test_a_token_is_asked_once_and_kept(tokens_of, chain, storage, clock):
    tokens = tokens_of(chain)
    assert await tokens.of(COIN) == FACTS
    clock.now += 10**9
    assert await tokens.of(COIN) == FACTS
    assert chain.asked == {"simulate": 3}
    assert storage.read(lambda database: kept_token(database, COIN)) == FACTS


async def test_another_worker_reads_what_is_kept(tokens_of, chain):
    await tokens_of(chain).of(COIN)
    silent = TokenChain()
    silent.down = True
    assert await tokens_of(silent).of(COIN) == FACTS
    assert await tokens_of(None).of(COIN) == FACTS
    assert silent.asked == {}


async def test_many_at_the_same_time_ask_the_chain_once(tokens_of, chain):
    tokens = tokens_of(chain)
    assert await asyncio.gather(*(tokens.of(COIN) for _ in range(50))) == [FACTS] * 50
    assert chain.asked == {"simulate": 3}


def test_the_first_answer_stays(storage):
    def keep(decimals: int) -> TokenFacts:
        facts = TokenFacts(COIN, decimals, "USDC", "US Dollar", 100 + decimals)
        return storage.write(lambda database: keep_token(database, facts, 5))

    assert keep(7).decimals == keep(2).decimals == 7
    rows = storage.read(lambda database: list(InvoiceToken.select().tuples().execute(database)))
    assert rows == [(COIN, 7, "USDC", "US Dollar", 107, 5)]


async def test_workers_that_ask_at_the_same_time_say_the_same(tokens_of, storage):
    first, second = (TokenChain({COIN: {**COIN_SAYS, "decimals": scval.to_uint32(decimals)}}) for decimals in (7, 2))
    told = await asyncio.gather(tokens_of(first).of(COIN), tokens_of(second).of(COIN))
    assert told == [storage.read(lambda database: kept_token(database, COIN))] * 2


# --- asked again ------------------------------------------------------------------------------------


async def test_a_silent_chain_is_asked_again_after_a_while(tokens_of, chain, clock):
    tokens = tokens_of(chain)
    chain.down = True
    assert await tokens.of(COIN) is None
    chain.down = False
    clock.now += DOWN_SECONDS - 0.1
    assert await tokens.of(COIN) is None
    clock.now += 0.2
    assert await tokens.of(COIN) == FACTS


async def test_what_is_no_token_is_asked_again_after_a_while(tokens_of, chain, clock, storage):
    tokens = tokens_of(chain)
    assert await tokens.of(GEM) is None
    asked = dict(chain.asked)
    chain.tokens[GEM] = COIN_SAYS
    clock.now += NO_TOKEN_SECONDS - 1
    assert await tokens.of(GEM) is None
    assert chain.asked == asked
    assert storage.read(lambda database: kept_token(database, GEM)) is None
    clock.now += 2
    assert (await tokens.of(GEM)).symbol == "USDC"


async def test_a_part_of_an_answer_is_not_kept(tokens_of, chain, storage, clock):
    answer, asked = chain.simulation, []

    def breaks(envelope: bytes):
        asked.append(envelope)
        chain.down = len(asked) == 2
        return answer(envelope)

    chain.simulation = breaks
    tokens = tokens_of(chain)
    assert await tokens.of(COIN) is None
    assert storage.read(lambda database: kept_token(database, COIN)) is None
    chain.down = False
    clock.now += DOWN_SECONDS
    assert await tokens.of(COIN) == FACTS


async def test_nobody_waits_long_for_a_slow_chain_and_its_answer_is_not_lost(tokens_of, chain, monkeypatch):
    gate = asyncio.Event()
    simulate = chain.simulate

    async def slow(envelope: bytes):
        await gate.wait()
        return await simulate(envelope)

    chain.simulate = slow
    tokens = tokens_of(chain)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    assert await tokens.of(COIN) is None
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 30)
    waiting = asyncio.ensure_future(tokens.of(COIN))
    await asyncio.sleep(0)
    gate.set()
    assert await waiting == FACTS
    assert chain.asked == {"simulate": 3}


async def test_without_a_chain_nothing_is_known(tokens_of):
    assert await tokens_of(None).of(COIN) is None


# --- never trusted ----------------------------------------------------------------------------------


@pytest.mark.parametrize("decimals", [0, 7, 38])
async def test_possible_decimals_are_taken(chain, decimals):
    chain.tokens[COIN] = {**COIN_SAYS, "decimals": scval.to_uint32(decimals)}
    assert (await read_token(chain, COIN)).decimals == decimals


@pytest.mark.parametrize(
    "decimals",
    [
        scval.to_uint32(39),
        scval.to_uint32(2**32 - 1),
        scval.to_int32(7),
        scval.to_int32(-1),
        scval.to_uint64(7),
        scval.to_int128(7),
        scval.to_string("7"),
        scval.to_void(),
        scval.to_bool(True),
        scval.to_vec([scval.to_uint32(7)]),
        None,
    ],
)
async def test_what_tells_no_possible_decimals_is_no_token(chain, decimals):
    says = {"symbol": COIN_SAYS["symbol"], "name": COIN_SAYS["name"]}
    chain.tokens[COIN] = says if decimals is None else {**says, "decimals": decimals}
    assert await read_token(chain, COIN) is None


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (scval.to_string("USDC"), "USDC"),
        (scval.to_symbol("USDC"), "USDC"),
        (scval.to_string("Š€日本"), "Š€日本"),
        (scval.to_string("a" * 33), "a" * 32),
        (scval.to_string("a" * 10**6), "a" * 32),
        (scval.to_string(" US\tDC\n"), "US DC"),
        (scval.to_string("US\u202eCD\u2066X\u200f\u061c"), "USCDX"),
        (scval.to_string("\0\x1b[31mUS\x7f\x85DC\ufeff"), "[31mUS DC"),
        (scval.to_string("U\u200bS\u00adD\u3164C\ufe0f\U000e0041"), "USDC"),
        (scval.to_string("\u0336\u0338U" + "\u0301" * 30 + "S"), "U\u0301\u0301S"),
        (scval.to_string(b"US\xff"), ""),
        (scval.to_bytes(b"USDC"), ""),
        (scval.to_uint32(1), ""),
        (scval.to_void(), ""),
        (None, ""),
    ],
)
async def test_a_hostile_symbol_is_cut_and_cleaned(chain, said, shown):
    chain.tokens[COIN] = {name: value for name, value in {**COIN_SAYS, "symbol": said}.items() if value is not None}
    assert (await read_token(chain, COIN)).symbol == shown


async def test_a_name_may_be_longer(chain):
    chain.tokens[COIN] = {**COIN_SAYS, "name": scval.to_string("n" * 100)}
    assert (await read_token(chain, COIN)).name == "n" * 64


async def test_bytes_that_are_no_value_are_no_token(chain):
    answer = chain.simulation

    def cut(envelope: bytes):
        found = answer(envelope)
        return type(found)(found.ledger, data=found.data, result=found.result[:-1])

    chain.simulation = cut
    assert await read_token(chain, COIN) is None


@given(st.text(max_size=200), st.integers(1, 64))
def test_cleaned_text_is_short_on_one_line_and_clean_already(text, longest):
    found = cleaned(text, longest)
    assert len(found) <= longest
    assert found.isprintable()
    assert found == found.strip()
    assert cleaned(found, longest) == found


@given(st.text(max_size=200))
def test_lines_hold_nothing_that_is_not_seen(text):
    lines = lines_of(text)
    assert all(line == line.rstrip() and "\u202e" not in line and "\0" not in line for line in lines)
    assert not lines or (lines[0] and lines[-1])
    assert "" not in [one + other for one, other in zip(lines, lines[1:], strict=False)]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("\n" * 1_000, []),
        ("one\n\n\n\ntwo\r\nthree\u2028four\n", ["one", "", "two", "three", "four"]),
        ("\ta\tb ", [" a b"]),
        ("\u202eevil", ["⟨U+202E⟩evil"]),
        ("❤\ufe0f", ["❤"]),
        ("e" + "\u0301" * 900 + "x", ["e\u0301\u0301x"]),
        ("\u0338\u0338#", ["#"]),
    ],
)
def test_lines_as_they_are_read(text, lines):
    assert lines_of(text) == lines


# --- a real contract --------------------------------------------------------------------------------


async def test_the_tokens_of_a_sandbox_tell_what_they_are():
    async with SandboxNetwork(SandboxConfig(ledgers=20, port=0, live=False)) as network:
        settings = Settings(network="made", network_passphrase=network.passphrase, rpc_url=[network.url])
        chain = SorobanRpcChainClient(settings.with_sections([PluginSettings(SECTION, SorobanRpcSettings)]))
        try:
            world = network.simulation.world
            told = [await read_token(chain, token.contract) for token in world.tokens]
            assert [(one.decimals, one.symbol, one.name) for one in told] == [
                (7, "native", "native"),
                (7, "USDC", f"USDC:{world.issuer}"),
                (7, "NOVA", "NOVA"),
            ]
            assert await read_token(chain, network.contracts["streams-v2"]) is None
        finally:
            await chain.close()
