"""The sandbox network's stream contracts, written apart from the catalogue, publish what the catalogue knows."""

from __future__ import annotations

import base64
from collections import Counter

from stellarstream_core.testing.scripted import made_event
from stellarstream_nebula.decoders import decoder_specs
from stellarstream_nebula.model import V1, V2
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.simulation import Simulation

DECODERS = {spec.family: spec.decode for spec in decoder_specs()}


def test_the_sandbox_networks_contracts_publish_nothing_unknown():
    simulation = Simulation(SandboxConfig(ledgers=250, genesis_time=1_800_000_000, port=0, live=False, seed=3))
    for _ in simulation.close_history():
        pass
    families = {"streams-v1": V1, "streams-v1-older": V1, "streams-v2": V2}
    by_id = {contract: families[name] for name, contract in simulation.contracts.items() if name in families}
    names: dict[str, Counter[str]] = {V1: Counter(), V2: Counter()}
    history = simulation.history.snapshot()
    for record in history.events(history.oldest, history.latest):
        topics = tuple(base64.b64decode(topic) for topic in record.topics)
        event = made_event(5)._replace(topics=topics, value=base64.b64decode(record.value))
        found = {family: decode([event])[0] for family, decode in DECODERS.items()}
        family = by_id.get(record.contract_id)
        if family is None or record.type == "system":
            assert set(found.values()) == {None}
            continue
        assert found[family] is not None, record
        names[family][found[family].name] += 1
    assert {"create", "claim", "cancel", "pause", "resume", "topup"} <= names[V1].keys()
    assert {"create_v2", "claim", "cancel", "top_up", "benefic", "migrated", "btch_crt"} <= names[V2].keys()
