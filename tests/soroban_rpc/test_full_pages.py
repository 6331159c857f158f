"""A full page never says that everything was scanned: by the node's own rule its cursor is its last event."""

from __future__ import annotations

import pytest

from stellarstream_core.scope import Scope
from stellarstream_core.testing.rpc_history import MadeHistory, contract_event
from stellarstream_sandbox.get_events import get_events
from stellarstream_soroban_rpc.event_list import BadPageError
from stellarstream_soroban_rpc.pages import Ask, get_events_params, read_get_events
from tests.soroban_rpc.kit import A


def test_a_full_page_with_the_cursor_of_a_short_one_is_refused():
    history = MadeHistory([contract_event(10, 1, k, A) for k in range(5)], 2, 100)
    ask = Ask(Scope.of([A]), 10, 20, 3)
    result = get_events(get_events_params(ask), history)
    assert len(read_get_events(dict(result), ask, 1).events) == 3
    result["cursor"] = f"{20 << 32 | 0xFFFFF << 12 | 0xFFF:019d}-4294967295"
    with pytest.raises(BadPageError, match="not full"):
        read_get_events(result, ask, 1)
