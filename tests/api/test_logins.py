"""Logging in over HTTP against a network, from stellar.toml to a call in an account's name; and every refusal."""

from __future__ import annotations

import base64
import json
import time
import tomllib
from collections.abc import Iterator
from urllib.parse import quote, urlencode, urlsplit

import jwt
import orjson
import pytest
from pydantic import SecretStr
from stellar_sdk import Keypair, MuxedAccount

from stellarstream_core.api.auth.site import site_of
from stellarstream_core.api.auth.tokens import Tokens
from stellarstream_core.settings import NETWORKS
from tests.api.auth.kit import made, signed
from tests.api.kit import SECRET, SIGNING, Running, Said
from tests.cli.conftest import Node

PASSPHRASE = NETWORKS["sandbox"].passphrase
PUBNET = NETWORKS["pubnet"].passphrase
SERVER = Keypair.from_secret(SIGNING)
HOME = "localhost:3000"
JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"


def new_node() -> Node:
    from stellarstream_sandbox.config import SandboxConfig

    return Node(SandboxConfig(seed=5, ledgers=5, genesis_time=1_780_000_000, port=0, live=False))


@pytest.fixture(scope="module")
def network() -> Iterator[Node]:
    node = new_node()
    yield node
    node.stop()


@pytest.fixture(scope="module")
def api(running, network) -> Running:
    return running(rpc_url=[network.url])


@pytest.fixture(scope="module")
def described(api) -> dict:
    return api.get("/openapi.json").json["paths"]


def challenge(api: Running, account: str) -> str:
    said = api.get(f"/api/v1/auth?account={account}")
    assert (said.status, said.header("Cache-Control")) == (200, "no-store"), said
    assert said.json["network_passphrase"] == PASSPHRASE
    return said.json["transaction"]


def posted(api: Running, transaction: str) -> Said:
    body = orjson.dumps({"transaction": transaction})
    return api.get("/api/v1/auth", JSON, method="POST", body=body)


def login(api: Running, account: str, *signers: Keypair) -> Said:
    return posted(api, signed(challenge(api, account), *signers, passphrase=PASSPHRASE))


def place(api: Running, *headers: str) -> Said:
    return api.get("/api/v1/orders", JSON, *headers, method="POST", body=b'{"amount":"1"}')


def change(network: Node, account: str, **setup: object) -> None:
    network.network.set_account(account, **setup)
    network.close_ledgers(1)


def test_a_wallet_finds_the_login_and_gets_a_token_that_works(api):
    toml = tomllib.loads(api.get("/.well-known/stellar.toml", "Origin: https://wallet.example").body.decode())
    assert toml["SIGNING_KEY"] == SERVER.public_key
    assert toml["NETWORK_PASSPHRASE"] == PASSPHRASE
    path = urlsplit(toml["WEB_AUTH_ENDPOINT"]).path
    account = Keypair.random()
    said = api.get(f"{path}?account={account.public_key}&home_domain={HOME}")
    envelope = signed(said.json["transaction"], account, passphrase=said.json["network_passphrase"])
    token = posted(api, envelope).json["token"]
    assert place(api).status == 401
    said = place(api, f"Authorization: Bearer {token}")
    assert (said.status, said.json["account"]) == (201, account.public_key)
    said = place(api, f"authorization: bearer  {token} ")
    assert said.status == 201, "schemes are the same in small letters"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["iss"], claims["aud"]) == (toml["WEB_AUTH_ENDPOINT"], f"http://{HOME}")


def test_an_account_that_the_network_has_logs_in_by_a_form_too(api, network):
    alice = Keypair.from_secret(network.network.secret_key("alice"))
    assert alice.public_key == network.network.accounts["alice"]
    envelope = signed(challenge(api, alice.public_key), alice, passphrase=PASSPHRASE)
    said = api.get("/api/v1/auth", FORM, method="POST", body=urlencode({"transaction": envelope}).encode())
    assert said.status == 200
    assert place(api, f"Authorization: Bearer {said.json['token']}").json["account"] == alice.public_key


def test_of_an_account_of_several_enough_have_to_sign(api, network):
    account, first, second, third, stranger = (Keypair.random() for _ in range(5))
    signers = {first.public_key: 1, second.public_key: 1, third.public_key: 3}
    change(network, account.public_key, signers=signers, master_weight=0, thresholds=(0, 2, 4))
    assert login(api, account.public_key, account).code == "challenge-unknown-signers"
    assert login(api, account.public_key, first).code == "challenge-not-signed-enough"
    assert login(api, account.public_key, first, first).status == 400
    assert login(api, account.public_key, first, stranger).code == "challenge-unknown-signers"
    for enough in ((first, second), (third,), (first, second, third)):
        said = login(api, account.public_key, *enough)
        assert said.status == 200
        assert place(api, f"Authorization: Bearer {said.json['token']}").json["account"] == account.public_key


def test_a_master_key_that_was_taken_away_does_not_log_in_any_more(api, network):
    account, other = Keypair.random(), Keypair.random()
    assert login(api, account.public_key, account).status == 200, "it does not exist yet"
    change(network, account.public_key, signers={other.public_key: 1}, master_weight=0)
    assert login(api, account.public_key, account).code == "challenge-unknown-signers"
    assert login(api, account.public_key, other).status == 200


def test_only_plain_accounts_log_in(api, described):
    account = Keypair.random().public_key
    muxed = MuxedAccount(account, 7).account_muxed
    contract = "CDLZFC3SYJYDZT7K67VZ75HPJVIEUVNIXF47ZG2FB2RMQQVU2HHGCYSC"
    for query in (f"account={muxed}", f"account={contract}", f"account={account}&memo=1", "account=G", "account=*"):
        said = api.get(f"/api/v1/auth?{query}")
        assert (said.status, said.code) == (400, "account-unsupported"), query
    assert "[account-unsupported]" in described["/api/v1/auth"]["get"]["responses"]["400"]["description"]
    assert api.get(f"/api/v1/auth?account={account}&home_domain=other.example").code == "challenge-wrong-domain"


CLIENT = Keypair.random()
OTHER = Keypair.random()


def by_us(**changed) -> str:
    """Return a challenge that this service's own key made, as it is or with something changed, signed."""
    passphrase = changed.setdefault("passphrase", PASSPHRASE)
    transaction = made(changed.pop("server", SERVER), CLIENT.public_key, **{"home": HOME, "web": HOME, **changed})
    return signed(transaction, CLIENT, passphrase=passphrase)


def unsigned() -> str:
    return made(SERVER, CLIENT.public_key, home=HOME, web=HOME, passphrase=PASSPHRASE)


REFUSED = {
    "expired": ("challenge-expired", lambda: by_us(begins=-1000, ends=-60)),
    "to come": ("challenge-not-yet-valid", lambda: by_us(begins=600, ends=900)),
    "another network": ("challenge-wrong-network", lambda: by_us(passphrase=PUBNET)),
    "another network's signature": (
        "challenge-wrong-network",
        lambda: signed(unsigned(), CLIENT, passphrase=PUBNET),
    ),
    "another service's home": ("challenge-wrong-domain", lambda: by_us(home="other.example")),
    "another login server": ("challenge-wrong-domain", lambda: by_us(web="other.example")),
    "another server's key": ("challenge-not-ours", lambda: by_us(server=OTHER)),
    "not signed": ("challenge-not-signed-enough", unsigned),
    "a stranger's signature": (
        "challenge-unknown-signers",
        lambda: signed(by_us(), OTHER, passphrase=PASSPHRASE),
    ),
    "a sequence number": ("challenge-malformed", lambda: by_us(sequence=5)),
    "no transaction": ("challenge-malformed", lambda: "AAAA"),
    "no base64": ("challenge-malformed", lambda: "'; DROP TABLE api_challenges; --"),
    "as long as may be": ("challenge-malformed", lambda: "A" * 32_768),
}  # fmt: skip


@pytest.mark.parametrize(("code", "transaction"), REFUSED.values(), ids=list(REFUSED))
def test_every_other_challenge_is_refused_by_its_own_name(api, described, code, transaction):
    said = posted(api, transaction())
    assert (said.status, said.code) == (400, code)
    assert f"[{code}]" in described["/api/v1/auth"]["post"]["responses"]["400"]["description"]
    assert api.get(f"/docs/problems/{code}").status == 200


def test_a_challenge_is_good_once(api, described):
    envelope = signed(challenge(api, CLIENT.public_key), CLIENT, passphrase=PASSPHRASE)
    assert posted(api, envelope).status == 200
    said = posted(api, envelope)
    assert (said.status, said.code) == (400, "challenge-replayed")
    # in another dress it is the same challenge
    again = signed(envelope, CLIENT, passphrase=PASSPHRASE)
    assert posted(api, again).status == 400
    assert "[challenge-replayed]" in described["/api/v1/auth"]["post"]["responses"]["400"]["description"]


# --- tokens ---------------------------------------------------------------------------------------


def issue(*, secret: str = SECRET, url: str = "http://localhost:3000", at: float = 0) -> str:
    tokens = Tokens(SecretStr(secret), site_of(url), now=lambda: time.time() + at)
    return tokens.issue(CLIENT.public_key)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def of_algorithm(name: str, header: dict | None = None) -> str:
    """Return a good token whose header claims another algorithm, with the signature it had."""
    _, claims, signature = issue().split(".")
    return f"{part({'alg': name, 'typ': 'JWT', **(header or {})})}.{claims}.{'' if name == 'none' else signature}"


def changed() -> str:
    header, claims, signature = issue().split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    return f"{header}.{part({**said, 'sub': OTHER.public_key})}.{signature}"


def signed_by_the_public_key() -> str:
    claims = jwt.decode(issue(), options={"verify_signature": False})
    return jwt.encode(claims, SERVER.public_key, "HS256")


TOKENS = {
    "expired": ("token-expired", lambda: issue(at=-90_000)),
    "from the future": ("token-not-yet-valid", lambda: issue(at=600)),
    "of another secret": ("token-forged", lambda: issue(secret="another secret of thirty-two characters")),
    "of the secret itself": ("token-forged", lambda: jwt.encode({"sub": CLIENT.public_key}, SECRET, "HS256")),
    "of the public key": ("token-forged", signed_by_the_public_key),
    "of another audience": ("token-other-audience", lambda: issue(url="https://pay.example.org")),
    "of a service below another path": ("token-other-audience", lambda: issue(url="http://localhost:3000/other")),
    "changed": ("token-forged", changed),
    "cut short": ("token-forged", lambda: issue()[:-3]),
    "alg none": ("token-forged", lambda: of_algorithm("none")),
    "alg None": ("token-forged", lambda: of_algorithm("None")),
    "alg RS256": ("token-forged", lambda: of_algorithm("RS256")),
    "alg HS512": ("token-forged", lambda: of_algorithm("HS512")),
    "a key from elsewhere": ("token-forged", lambda: of_algorithm("HS512", {"jku": "http://127.0.0.1:9/"})),
    "an API key": ("token-malformed", lambda: "ss_000000000000_" + "a" * 43),
    "no token": ("token-malformed", lambda: "no-token-at-all"),
    "too long": ("token-malformed", lambda: "x" * 3_000),
    "three dots": ("token-malformed", lambda: issue() + ".x"),
    "SQL": ("token-malformed", lambda: "'OR'1'='1"),
}


@pytest.mark.parametrize(("code", "token"), TOKENS.values(), ids=list(TOKENS))
def test_every_other_token_is_refused_by_its_own_name_wherever_it_is_sent(api, described, code, token):
    header = f"Authorization: Bearer {token()}"
    for said in (place(api, header), api.get("/api/v1/events?limit=1", header), api.get("/healthz/live", header)):
        assert (said.status, said.code) == (401, code)
        assert said.header("WWW-Authenticate") == "Bearer"
        assert said.header("Cache-Control") == "no-store"
        assert token()[:40] not in said.body.decode()
    for path, method in (("/api/v1/orders", "post"), ("/api/v1/events", "get")):
        assert f"[{code}]" in described[path][method]["responses"]["401"]["description"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        (("Authorization: Basic eDp5",), 401, "credential-malformed"),
        (("Authorization: {token}",), 401, "credential-malformed"),
        (("X-API-Key: {token}",), 401, "api-key-malformed"),
        (("Authorization: Bearer {token}", "X-API-Key: {key}"), 400, "two-credentials"),
        (("Authorization: Bearer {token}", "Authorization: Bearer {token}"), 400, "two-credentials"),
        (("X-API-Key: {key}", "X-API-Key: {key}"), 400, "two-credentials"),
        (("X-API-Key: {key}x",), 401, "api-key-malformed"),
        (("X-API-Key: {other}",), 401, "api-key-unknown"),
        (("Cookie: token={token}; Authorization=Bearer {token}",), 401, "not-authenticated"),
    ],
)
def test_credentials_are_sent_once_and_where_they_belong(api, headers, status, code):
    token, key = issue(), api.key()
    other = key[:-1] + ("a" if key[-1] != "a" else "b")
    said = place(api, *(header.format(token=token, key=key, other=other) for header in headers))
    assert (said.status, said.code) == (status, code)


def test_credentials_in_the_address_are_not_taken(api):
    token = issue()
    for name in ("token", "access_token", "apiKey", "X-API-Key", "authorization"):
        said = api.get(f"/api/v1/orders?{name}={quote(token)}", JSON, method="POST", body=b'{"amount":"1"}')
        assert said.code == "not-authenticated"


# --- the network is away --------------------------------------------------------------------------


def test_while_the_network_is_away_nobody_logs_in_and_tokens_go_on_working(running):
    node = new_node()
    api = running(rpc_url=[node.url])
    account = Keypair.random()
    token = login(api, account.public_key, account).json["token"]
    waiting = signed(challenge(api, account.public_key), account, passphrase=PASSPHRASE)
    node.stop()
    said = posted(api, waiting)
    assert (said.status, said.code) == (503, "auth-unavailable")
    assert int(said.header("Retry-After")) >= 1
    assert place(api, f"Authorization: Bearer {token}").status == 201
    assert node.url not in said.body.decode()
