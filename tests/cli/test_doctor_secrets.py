"""``doctor`` says what keeps a service from starting, though it is no fault for who only indexes."""

from __future__ import annotations

import pytest

from tests.api.kit import SECRET, SIGNING

BOTH = {"SECRET_KEY": SECRET, "SIGNING_KEY": SIGNING}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "secret_key and signing_key not set: 'up' and 'serve --fd' do not start without."),
        ({"SECRET_KEY": SECRET}, "signing_key not set: 'up' and 'serve --fd' do not start without."),
        ({**BOTH, "SECRET_KEY": "tiny!"}, "'up' refuses to start: secret_key: it is too short"),
        (BOTH, None),
    ],
)
def test_without_the_keys_of_a_service_doctor_warns_that_up_refuses(on_node, node, given, said):
    contract = node.contracts["streams-v2"]
    on_node("sync", "--contract", contract, "--from", "2")
    outcome = on_node("doctor", **given)
    assert outcome.code == 0, outcome.out
    assert [line.startswith(f"warn   {said}") for line in outcome.out.splitlines() if "warn" in line] == [True] * bool(
        said
    )
    told = on_node("doctor", "--json").json
    assert (told["ok"], len(told["warnings"])) == (True, int(said is not None))
    assert SECRET not in outcome.out
    assert "tiny!" not in outcome.out
