"""What plugins offer becomes projectors; what cannot begin waits, what breaks is taken out."""

from __future__ import annotations

import pytest

from stellarstream_core.chain import ChainClientSpec
from stellarstream_core.errors import SourceUnavailableError
from stellarstream_core.plugins import Plugins
from stellarstream_core.projection import opening
from stellarstream_core.projection.opening import open_projectors
from stellarstream_core.projection.status import read_projections
from stellarstream_core.projections import ProjectionSpec
from stellarstream_core.runtime import Runtime
from tests.projection.conftest import commit
from tests.projection.toy import Toy, toy_event


@pytest.fixture
def found(tmp_path, monkeypatch):
    """Return a function that makes a runtime whose plugins offer these projections, by name."""

    def make(**opens) -> Runtime:
        runtime = Runtime(
            built_in_only=True,
            flags={"database_url": f"sqlite:///{tmp_path / 'opened.db'}", "network": "sandbox", "rpc_url": []},
        )
        specs = {name: ProjectionSpec(name, "made", open) for name, open in opens.items()}
        monkeypatch.setattr(runtime.plugins, "projections", lambda: specs)
        return runtime

    return make


@pytest.fixture
def opened(found):
    runtime = found()
    storage = runtime.open_storage(create=True)
    yield storage
    storage.close()


async def toy(given):
    return Toy()


async def nothing(given):
    return None


class Chain:
    name = "made"
    closed = False

    async def ledger_entries(self, keys):
        raise AssertionError("nobody asks")

    async def close(self):
        self.closed = True


async def test_a_projection_is_opened_with_settings_storage_and_chain_client(found, opened, monkeypatch):
    heard = []

    async def told(given):
        heard.append((given.settings.network, given.storage, given.chain))
        return Toy()

    async def connect(settings):
        return chain

    chain, runtime = Chain(), found(toy=told)
    monkeypatch.setattr("stellarstream_core.runtime._CHAIN_CLIENT_METHODS", ("ledger_entries", "close"))
    clients = {"made": ChainClientSpec("made", "made", lambda settings: True, connect)}
    monkeypatch.setattr(runtime.plugins, "chain_clients", lambda: clients)
    async with open_projectors(runtime, opened) as projectors:
        assert not heard, "a node that does not answer holds up nothing"
        await projectors.finish()
        assert [one.name for one in projectors.running] == ["toy"]
        assert projectors.chain is chain
        assert not chain.closed
    assert chain.closed
    monkeypatch.setattr(runtime.plugins, "chain_clients", dict)
    async with open_projectors(runtime, opened, strict=True) as projectors:
        assert [one.name for one in projectors.running] == ["toy"]
    assert heard == [("sandbox", opened, chain), ("sandbox", opened, None)]


async def test_one_that_nothing_is_configured_for_is_left_out_and_waits_for_nothing(found, opened):
    commit(opened, toy_event(10, 1, 0, "a", begin=True))
    async with open_projectors(found(toy=toy), opened) as projectors:
        await projectors.finish()
    assert [state.name for state in read_projections(opened, ["toy"])] == ["toy"]
    async with open_projectors(found(toy=nothing), opened) as projectors:
        await projectors.finish()
        assert projectors.running == []
    assert read_projections(opened, ["toy"]) == []
    async with open_projectors(found(toy=toy), opened) as projectors:
        await projectors.finish()
    assert [state.trouble for state in read_projections(opened, ["toy"])] == [None]


async def test_one_that_says_that_it_cannot_begin_is_kept_for_later(found, opened, logged):
    ready = False

    async def open(given):
        if not ready:
            raise SourceUnavailableError("the node does not answer")
        return Toy()

    async with open_projectors(found(toy=open), opened) as projectors:
        for _ in range(2):
            await projectors.finish()
            assert projectors.running == []
        ready = True
        await projectors.finish()
        assert [one.name for one in projectors.running] == ["toy"]
        assert projectors.reopen() is None
    assert len([message for message in logged if "the node does not answer" in message]) == 1
    ready = False
    with pytest.raises(SourceUnavailableError):
        async with open_projectors(found(toy=open), opened, strict=True):
            raise AssertionError("what it says is raised")


@pytest.mark.parametrize("what", ["raises", "has another name", "lacks a method"])
async def test_one_that_breaks_takes_its_plugin_out_and_no_other_projection(found, opened, monkeypatch, what):
    async def bad(given):
        if what == "raises":
            raise RuntimeError("boom")
        made = Toy()
        if what == "lacks a method":
            made.follow_up = None
            made.name = "bad"
        return made

    blamed = []
    runtime = found(bad=bad, toy=toy)
    monkeypatch.setattr(runtime.plugins, "blame", lambda hook, name, error: blamed.append((hook, name)))
    async with open_projectors(runtime, opened) as projectors:
        await projectors.finish()
        assert [one.name for one in projectors.running] == ["toy"]
    assert blamed == [(opening.HOOK, "bad")]


async def test_without_projections_no_chain_client_is_opened(found, opened, monkeypatch):
    monkeypatch.setattr(Plugins, "chain_clients", lambda self: pytest.fail("nobody needs one"))
    async with open_projectors(found(), opened) as projectors:
        await projectors.finish()
        assert projectors.running == []
