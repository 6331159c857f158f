"""The JSON mapping is the documented one, and nothing in it is merged or dropped."""

import base64
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellarstream_core.xdr.scval import Arm, decode_scval, scval_to_json
from tests.core import scval_oracle as oracle
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "json-mapping.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| (.+?) \| `([A-Za-z0-9+/=]+)` \| `(.+)` \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("arm", "why", "raw", "reads_as"), ROWS, ids=[f"{row[0]}: {row[1]:.40}" for row in ROWS])
def test_the_examples_of_the_documentation_read_as_it_says(arm, why, raw, reads_as):
    data = base64.b64decode(raw, validate=True)
    assert decode_scval(data).arm.name.lower() == arm
    assert json.dumps(scval_to_json(data), ensure_ascii=False) == reads_as


def test_the_documentation_has_every_arm_in_order_and_every_row_is_tested():
    every_arm = PAGE.split("## Every arm")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` ", every_arm, re.MULTILINE) == [arm.name.lower() for arm in Arm]
    assert len(ROWS) == len(re.findall(r"^\| `", PAGE, re.MULTILINE))


def test_the_python_of_the_documentation_runs():
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(code, "json-mapping.md", "exec"), {})  # the page's own example


@pytest.mark.parametrize("arm", Arm, ids=lambda arm: arm.name)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_arm_reads_as_the_mapping_says(arm, data):
    made = data.draw(oracle.scval_of[arm])
    assert scval_to_json(made.to_xdr_bytes()) == oracle.json_of(made)


@settings(max_examples=200, deadline=None)
@given(made=oracle.any_scval)
def test_nested_values_read_as_the_mapping_says_and_survive_json(made):
    found = scval_to_json(made.to_xdr_bytes())
    assert found == oracle.json_of(made)
    # dumps tells 1 from true, which == does not
    assert json.dumps(found) == json.dumps(oracle.json_of(made))
    assert json.loads(json.dumps(found)) == found


keys = st.sampled_from([b"a", b"b", b"", b"\xff", b"\xfe"]).flatmap(
    lambda raw: st.sampled_from([oracle.symbol(raw), oracle.string(raw)])
) | st.sampled_from([oracle.boolean(True), oracle.integer(Arm.U32, 1), oracle.integer(Arm.U64, 1)])


@settings(max_examples=200, deadline=None)
@given(keys=st.lists(keys, max_size=5))
def test_maps_keep_every_pair_in_order(keys):
    pairs = [(key, oracle.integer(Arm.U32, place)) for place, key in enumerate(keys)]
    found = scval_to_json(oracle.mapping(pairs).to_xdr_bytes())
    values = list(found.values()) if isinstance(found, dict) else [value for _, value in found]
    assert values == list(range(len(keys)))


def test_addresses_and_numbers_as_keys_are_no_object():
    wanted = {
        oracle.address(oracle.Address("CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA").to_xdr_sc_address()),
        oracle.integer(Arm.I128, 5),
        oracle.octets(b"\xaa"),
    }
    for key in wanted:
        found = scval_to_json(oracle.mapping([(key, oracle.void())]).to_xdr_bytes())
        assert found == [[oracle.json_of(key), None]]


def test_the_keys_of_an_inner_map_do_not_decide_for_the_outer_one():
    inner = oracle.mapping([(oracle.integer(Arm.U64, 1), oracle.void())])
    outer = oracle.mapping([(oracle.symbol(b"inner"), inner), (oracle.symbol(b"list"), oracle.vec([inner]))])
    assert scval_to_json(outer.to_xdr_bytes()) == {"inner": [["1", None]], "list": [[["1", None]]]}
