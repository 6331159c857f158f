"""Who may do what: one function decides, and what it does not allow is denied."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Keypair

from stellarstream_core.api.auth.errors import ForbiddenError, NotAuthenticatedError
from stellarstream_core.api.auth.identity import Access, Identity
from stellarstream_core.api.auth.policy import authorize

ACCOUNT = Keypair.random().public_key
SESSION = Identity(ACCOUNT, "session")
READER = Identity(ACCOUNT, "key", frozenset({"read"}), "AAAAAAAAAAAA")
scopes = st.sampled_from(["read", "write", "nebula:write", "", "admin"])
identities = st.one_of(
    st.none(),
    st.just(SESSION),
    st.builds(Identity, st.just(ACCOUNT), st.just("key"), st.frozensets(scopes), st.just("AAAAAAAAAAAA")),
)


@pytest.mark.parametrize("identity", [None, SESSION, READER])
@pytest.mark.parametrize("scope", ["read", "write", ""])
def test_public_routes_are_open_to_everybody(identity, scope):
    authorize(identity, Access.PUBLIC, scope)


def test_who_brings_nothing_is_not_authenticated():
    with pytest.raises(NotAuthenticatedError) as caught:
        authorize(None, Access.ACCOUNT, "read")
    assert (caught.value.status, caught.value.code) == (401, "not-authenticated")


@pytest.mark.parametrize("scope", ["read", "write", "nebula:write"])
def test_a_session_has_every_scope_of_its_account(scope):
    authorize(SESSION, Access.ACCOUNT, scope)


def test_a_key_has_the_scopes_that_it_names_and_write_holds_no_read():
    authorize(READER, Access.ACCOUNT, "read")
    for identity, scope in (
        (READER, "write"),
        (READER, "nebula:read"),
        (READER, "rea"),
        (Identity(ACCOUNT, "key", frozenset({"write"})), "read"),
        (Identity(ACCOUNT, "key"), "read"),
    ):
        with pytest.raises(ForbiddenError) as caught:
            authorize(identity, Access.ACCOUNT, scope)
        assert caught.value.status == 403


@pytest.mark.parametrize("access", ["public", "account", "PUBLIC", None, True, 0, "admin"])
def test_an_access_that_is_none_is_closed_to_everybody(access):
    for identity in (SESSION, READER):
        with pytest.raises(ForbiddenError):
            authorize(identity, access, "read")
    with pytest.raises(NotAuthenticatedError):
        authorize(None, access, "read")


@pytest.mark.parametrize("scope", ["", None])
def test_a_route_without_a_scope_is_closed_to_everybody(scope):
    for identity in (SESSION, READER, Identity(ACCOUNT, "key", frozenset({"", None}))):
        with pytest.raises(ForbiddenError):
            authorize(identity, Access.ACCOUNT, scope)


def test_another_kind_of_identity_may_nothing():
    with pytest.raises(ForbiddenError):
        authorize(Identity(ACCOUNT, "root", frozenset({"write"})), Access.ACCOUNT, "write")  # type: ignore[arg-type]


@given(identities, st.sampled_from(list(Access)), scopes)
def test_it_is_allowed_exactly_where_the_rule_says_so(identity, access, scope):
    allowed = access is Access.PUBLIC or (
        identity is not None and scope != "" and (identity.kind == "session" or scope in identity.scopes)
    )
    try:
        authorize(identity, access, scope)
    except (NotAuthenticatedError, ForbiddenError):
        assert not allowed
    else:
        assert allowed
