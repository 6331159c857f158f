"""The Python client says what the API says: models, parameters, names; and its two clients are one."""

from __future__ import annotations

import inspect
import json
import re
import types
from datetime import datetime
from typing import Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, SecretStr

import nebula_client
import stellarstream_core
from nebula_client import AsyncNebulaClient, NebulaClient, errors, params
from nebula_client._core.history import HistoryPage, VerificationPart
from nebula_client.models import base, events, links, streams, transactions
from scripts.openapi import description
from tests.paths import ROOT

API = json.loads(description())
SCHEMAS = API["components"]["schemas"]

MODELS: dict[str, type[BaseModel]] = {
    "AuditEntryModel": streams.StreamEvent,
    "CancellationModel": transactions.Cancellation,
    "ChainModel": streams.ChainEnd,
    "ChallengeModel": transactions.Challenge,
    "CoverageModel": events.Coverage,
    "CreationModel": transactions.Creation,
    "Decoded": events.Decoded,
    "EventModel": events.ContractEvent,
    "EvidenceModel": events.EvidenceCounts,
    "FailureModel": transactions.Failure,
    "FaultModel": streams.Fault,
    "FoldingModel": events.Projection,
    "GapModel": events.Gap,
    "HistoryModel": HistoryPage,
    "IndexedLedgers": events.IndexedLedgers,
    "InvoiceLinkModel": links.InvoiceLink,
    "ListOfEntries": base.Page[streams.StreamEvent],
    "ListOfEvents": base.Page[events.ContractEvent],
    "ListOfLinks": base.Page[links.OwnInvoiceLink],
    "ListOfStreams": base.Page[streams.Stream],
    "OwnLinkModel": links.OwnInvoiceLink,
    "PaymentModel": links.InvoicePayment,
    "PaymentToSignModel": transactions.PaymentToSign,
    "RevisionModel": streams.Revision,
    "SampleModel": streams.YieldSample,
    "SearchAnswer": base.Page[streams.SearchResult],
    "SearchItem": streams.SearchResult,
    "SourceModel": events.Source,
    "StatsModel": events.Stats,
    "StatusCounts": events.StatusCounts,
    "StreamModel": streams.Stream,
    "StreamPreview": transactions.StreamPreview,
    "SyncModel": events.SyncState,
    "TokenModel": transactions.Token,
    "TokenStats": events.TokenStats,
    "TransactionModel": transactions.Transaction,
    "UnknownModel": events.UnknownEvents,
    "UnknownShapeModel": events.UnknownShape,
    "UnsignedTransaction": transactions.UnsignedTransaction,
    "VerificationModel": VerificationPart,
    "Volume": events.Volume,
    "WithdrawalModel": transactions.Withdrawal,
    "Worth": events.Worth,
    "YieldModel": streams.YieldData,
    "YieldProjectionModel": streams.YieldProjection,
}
ENUMS: dict[str, type[base.Named]] = {
    "Curve": streams.Curve,
    "LinkStatus": links.InvoiceLinkStatus,
    "MatchedBy": links.MatchedBy,
    "Outcome": links.PaymentOutcome,
    "Reason": streams.FaultReason,
    "State": transactions.TransactionStatus,
    "Status": streams.StreamStatus,
}
NOT_READ = {
    "Alive": "/healthz",
    "Check": "/healthz",
    "MinuteModel": "/events/rate",
    "Problem": "errors read it",
    "RateModel": "/events/rate",
    "Readiness": "/healthz",
    "SubmittedModel": "read as a Transaction",
}
SENT = {"Cancellation", "InvoiceLinkRequest", "NewStream", "Payer", "SignedChallenge", "SignedPayment"}
SENT |= {"SignedTransaction", "StatusChange", "Withdrawal"}

_TIME = re.compile(r".*(At|Time|Until)$|since|asOf")


def test_every_shape_of_the_api_is_known():
    assert set(SCHEMAS) == set(MODELS) | set(ENUMS) | set(NOT_READ) | SENT


@pytest.mark.parametrize("name", sorted(ENUMS))
def test_enumerations_have_the_api_s_values(name):
    assert [member.value for member in ENUMS[name]] == SCHEMAS[name]["enum"]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_models_have_the_api_s_fields(name):
    model, schema = MODELS[name], SCHEMAS[name]
    fields = {field.alias: field for field in model.model_fields.values()}
    assert set(fields) == set(schema["properties"])
    required = set(schema.get("required", []))
    for alias, field in fields.items():
        said = schema["properties"][alias]
        may_be_null = _is_nullable(said)
        may_be_missing = alias not in required
        hint = field.annotation
        assert hint is Any or (type(None) in get_args(hint)) == (may_be_null or may_be_missing), f"{name}.{alias}"
        assert field.is_required() == (not may_be_missing), f"{name}.{alias}"
        assert _fits(_without_none(hint), _without_null(said), alias), f"{name}.{alias}: {hint} is not {said}"


def _is_nullable(schema: dict[str, Any]) -> bool:
    return any(one.get("type") == "null" for one in schema.get("anyOf", []))


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    found = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
    return {**schema, **found[0]} if found else schema


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in {Union, types.UnionType}:
        (hint,) = [one for one in get_args(hint) if one is not type(None)]
    return hint


def _fits(hint: Any, schema: dict[str, Any], alias: str) -> bool:
    """Tell whether a type reads what a schema says."""
    if reference := schema.get("$ref"):
        name = reference.rsplit("/", 1)[-1]
        return hint is {**MODELS, **ENUMS}.get(name)
    if "enum" in schema:
        return issubclass(hint, base.Named) and [member.value for member in hint] == schema["enum"]
    match schema.get("type"):
        case "array":
            return get_origin(hint) is list and _fits(get_args(hint)[0], schema["items"], "")
        case "object":
            return get_origin(hint) is dict
        case "string":
            return hint is (datetime if _TIME.fullmatch(alias) else SecretStr if alias == "token" else str)
        case "integer" | "number" | "boolean" as kind:
            return hint is {"integer": int, "number": float, "boolean": bool}[kind]
        case None:
            return hint is Any
    return False


BODIES = {"NewStream": params.CreateStreamParams, "InvoiceLinkRequest": params.CreateInvoiceLinkParams}
FILTERS = {
    "/streams": params.StreamFilter,
    "/events": params.EventFilter,
    "/events/live": params.LiveFilter,
    "/audit-log": params.StreamEventFilter,
    "/invoice-links": params.InvoiceLinkFilter,
}
OTHER_QUERIES = {
    "/events/live": {"since"},
    "/sync": {"contract"},
    "/auth": {"account", "memo", "home_domain", "client_domain"},
    "/streams/{id}": {"at"},
    "/audit-log/{streamId}": {"limit", "cursor", "order"},
    "/audit-log/chain/verify": {"stream", "cursor"},
    "/search": {"q", "limit"},
    "/yield/{streamId}": {"samples"},
    "/yield/{streamId}/projection": {"days"},
}
CALLED = {
    *("GET /events", "GET /events/{id}", "GET /events/live", "GET /sync", "GET /auth", "POST /auth"),
    *("POST /invoice-links", "GET /invoice-links", "GET /invoice-links/{slug}", "DELETE /invoice-links/{slug}"),
    *("PATCH /invoice-links/{id}/status", "POST /invoice-links/{slug}/transaction"),
    *("POST /invoice-links/{slug}/submit", "GET /invoice-links/{slug}/live"),
    *("GET /streams", "POST /streams", "GET /streams/{id}", "POST /streams/withdraw", "POST /streams/cancel"),
    *("GET /audit-log", "GET /audit-log/{streamId}", "GET /audit-log/chain/verify", "GET /stats", "GET /search"),
    *("GET /yield/{streamId}", "GET /yield/{streamId}/projection", "POST /transactions", "GET /transactions/{hash}"),
}
NOT_CALLED = {"GET /events/rate"} | {
    f"GET /invoice-links/{{slug}}/{name}" for name in ("qr.svg", "qr.png", "invoice.pdf")
}


def test_every_route_is_called_or_left_out_for_a_reason():
    routes = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, found in API["paths"].items()
        for method in found
        if path.startswith("/api/v1")
    }
    assert routes == CALLED | NOT_CALLED


@pytest.mark.parametrize("name", sorted(BODIES))
def test_what_a_call_takes_is_what_the_api_takes(name):
    said, taken = SCHEMAS[name], BODIES[name]
    camel = {key: base.to_camel(key) for key in taken.__annotations__}
    assert set(camel.values()) == set(said["properties"])
    assert {camel[key] for key in taken.__required_keys__} == set(said["required"])


def test_filters_are_the_api_s():
    for path, found in API["paths"].items():
        short = path.removeprefix("/api/v1")
        if not path.startswith("/api/v1") or f"GET {short}" not in CALLED:
            continue
        said = {one["name"] for one in found["get"].get("parameters", []) if one["in"] == "query"}
        taken = {base.to_camel(key) for key in getattr(FILTERS.get(short), "__annotations__", ())}
        assert taken | OTHER_QUERIES.get(short, set()) == said, path


# --- the two clients ------------------------------------------------------------------------------------------

PROMISED = [
    "login",
    "logout",
    "set_auth_token",
    "set_api_key",
    "set_signer",
    "create_stream",
    "withdraw_from_stream",
    "cancel_stream",
    "get_stream",
    "get_streams",
    "list_streams",
    "iterate_streams",
    "search_streams",
    "search",
    "get_stream_history",
    "get_stream_events",
    "iterate_stream_events",
    "verify_history",
    "get_yield_data",
    "calculate_yield",
    "get_stats",
    "get_sync",
    "list_events",
    "iterate_events",
    "get_event",
    "watch_events",
    "watch_stream",
    "create_invoice_link",
    "get_invoice_link",
    "list_invoice_links",
    "iterate_invoice_links",
    "update_invoice_link_status",
    "delete_invoice_link",
    "pay_invoice_link",
    "watch_invoice_link",
    "get_transaction",
    "submit_transaction",
    "wait_for_transaction",
    "with_options",
    "close",
]


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_both_clients_have_every_promised_call():
    assert public(NebulaClient) == public(AsyncNebulaClient) == set(PROMISED)


@pytest.mark.parametrize("name", PROMISED)
def test_calls_of_both_clients_are_alike(name):
    one, other = getattr(NebulaClient, name), getattr(AsyncNebulaClient, name)
    first, second = inspect.signature(one), inspect.signature(other)
    theirs = [str(parameter).replace("AnySigner", "Signer") for parameter in second.parameters.values()]
    assert [str(parameter) for parameter in first.parameters.values()] == theirs
    assert inspect.getdoc(one) == inspect.getdoc(other)
    waits = inspect.iscoroutinefunction(other)
    iterates = second.return_annotation.startswith("AsyncGenerator[")
    expected = second.return_annotation
    if iterates:
        expected = expected.replace("AsyncGenerator[", "Generator[").replace(", None]", ", None, None]")
    assert first.return_annotation == expected.replace("AsyncNebulaClient", "NebulaClient")
    plain = {"logout", "set_auth_token", "set_api_key", "set_signer", "with_options"}
    assert (waits, iterates, name in plain).count(True) == 1


def test_the_typescript_sdk_has_the_same_calls_and_errors():
    source = ROOT / "contrib" / "nebula-sdk" / "src"
    calls = re.findall(r"^  (?:async )?([a-z]\w+)\(", (source / "client.ts").read_text(), re.MULTILINE)
    ours = {re.sub(r"_(\w)", lambda found: found[1].upper(), name) for name in PROMISED}
    assert set(calls) - {"constructor"} == ours - {"withOptions", "close"}
    theirs = set(re.findall(r"^export (?:abstract )?class (\w+)", (source / "errors.ts").read_text(), re.MULTILINE))
    assert theirs - {"NebulaAbortError"} == {
        name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)
    }


# --- what is there -----------------------------------------------------------------------------------------------


def test_the_version_is_the_service_s():
    assert nebula_client.__version__ == stellarstream_core.__version__


def test_everything_that_is_offered_is_there_and_sorted():
    assert [name for name in nebula_client.__all__ if not hasattr(nebula_client, name)] == []
    assert len(set(nebula_client.__all__)) == len(nebula_client.__all__)
    kinds = {
        name for name, kind in vars(errors).items() if inspect.isclass(kind) and kind.__module__ == errors.__name__
    }
    assert kinds <= set(nebula_client.__all__)


def test_codes_of_errors_never_change():
    codes = {
        name: kind.code
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.NebulaError) and "code" in vars(kind)
    }
    assert codes == {
        "NebulaError": "nebula-error",
        "NotInitializedError": "not-initialized",
        "ConfigurationError": "bad-configuration",
        "InvalidAmountError": "invalid-amount",
        "SignerMissingError": "signer-missing",
        "SigningError": "signing-refused",
        "ChallengeError": "bad-challenge",
        "TransactionMismatchError": "transaction-mismatch",
        "TransactionFailedError": "transaction-failed",
        "TransactionPendingError": "transaction-pending",
        "PaymentUnderWayError": "payment-under-way",
        "LiveResetError": "live-reset",
        "NetworkError": "network-error",
        "RequestTimeoutError": "timeout",
        "BadResponseError": "bad-response",
    }
