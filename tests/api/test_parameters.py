"""Parameters: read by their model, and every fault named by its field."""

from __future__ import annotations

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict
from pydantic import Field

from stellarstream_core.api.models import ListParameters, Nothing
from stellarstream_core.api.parsing import MOST_VALUES, ParameterReader, is_plain
from stellarstream_core.api.problems import InvalidParameterError


class Query(ListParameters):
    some_name: str | None = None
    topic: Annotated[list[str], Field(max_length=2)] = []


READER = ParameterReader("query", Query)


def fault_of(*pairs):
    with pytest.raises(InvalidParameterError) as raised:
        READER.read(MultiDict(pairs))
    return {error.field: error.detail for error in raised.value.errors}


def test_names_are_in_camel_case_and_lists_are_repeated():
    query = READER.read(MultiDict([("someName", "x"), ("topic", "a"), ("topic", "b"), ("limit", "7")]))
    assert (query.some_name, query.topic, query.limit, query.cursor) == ("x", ["a", "b"], 7, None)


def test_an_unknown_name_is_refused_with_the_nearest_one():
    assert fault_of(("limt", "7")) == {"query.limt": "there is no such field; did you mean 'limit'?"}
    assert "query.some_name" in fault_of(("some_name", "x"))


@pytest.mark.parametrize("limit", ["0", "201", "-1", "1e3", "seven", "", "9" * 5000])
def test_a_limit_that_is_none_is_refused(limit):
    assert "query.limit" in fault_of(("limit", limit))


def test_what_is_no_list_is_given_once():
    assert fault_of(("limit", "1"), ("limit", "2")) == {"query.limit": "is given more than once"}


def test_several_faults_are_named_together():
    assert set(fault_of(("limit", "0"), ("topic", "a"), ("topic", "b"), ("topic", "c"))) == {
        "query.limit",
        "query.topic",
    }


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_is_no_text_for_a_database_is_refused(text):
    assert "query.someName" in fault_of(("someName", text))
    assert not is_plain(text)


def test_too_many_parameters_are_refused_before_they_are_looked_at():
    with pytest.raises(InvalidParameterError):
        READER.read(MultiDict([(f"a{n}", "") for n in range(MOST_VALUES + 1)]))


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=8))
def test_whatever_is_sent_is_read_or_refused(pairs):
    try:
        READER.read(MultiDict(pairs))
    except InvalidParameterError as error:
        assert error.errors  # noqa: PT017 - either is right


def test_no_parameters_are_no_parameters():
    assert isinstance(ParameterReader("query", Nothing).read(MultiDict()), Nothing)
    with pytest.raises(InvalidParameterError):
        ParameterReader("query", Nothing).read(MultiDict(a="b"))
