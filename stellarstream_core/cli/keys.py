"""``stellarstream keys``: API keys for programs that act for an account."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from stellarstream_core.cli.options import database_option, json_option, runtime
from stellarstream_core.cli.output import print_json, say

if TYPE_CHECKING:
    from stellarstream_core.api.auth.key_store import KeyInfo

DAY = 86_400


@click.group()
def keys() -> None:
    """Make, list and revoke API keys.

    A key lets a program use the API in an account's name, as far as the key's scopes go: it is sent as
    'X-API-Key: ss_…'. Only a hash of it is stored, so a key that is lost cannot be shown again: revoke
    it and make another.

    \b
    stellarstream keys create --account G… --name 'price bot'
    stellarstream keys create --account G… --scope read --scope write --expires-in 90
    stellarstream keys list
    stellarstream keys revoke 4fK9sWq0ZbR2
    """


@keys.command()
@click.option("--account", metavar="G…|C…", required=True, help="Account or contract in whose name the key acts.")
@click.option(
    "--scope",
    "scopes",
    metavar="SCOPE",
    multiple=True,
    default=("read",),
    help="What the key may do: read, write, or a plugin's NAME:ACTION. May be given several times. Default: read.",
)
@click.option("--name", default="", help="A word on what it is for; shown by 'keys list'.")
@click.option(
    "--expires-in", metavar="DAYS", type=click.IntRange(1, 3650), help="Days it is good for. Default: no end."
)
@database_option
@json_option
@click.pass_context
def create(
    ctx: click.Context,
    account: str,
    scopes: tuple[str, ...],
    name: str,
    expires_in: int | None,
    database: str | None,
    as_json: bool,
) -> None:
    """Make a key and print it, this once, on stdout; all else is on stderr.

    \b
    stellarstream keys create --account G… > key.txt
    stellarstream keys create --account G… --scope read --scope write --expires-in 30 --json
    """
    from stellarstream_core.api.auth.key_store import create_key  # noqa: PLC0415 - not needed to show help

    found = runtime(ctx, database_url=database)
    now = int(time.time())
    expires_at = None if expires_in is None else now + expires_in * DAY
    with closing(found.open_storage(create=True)) as storage:
        made = create_key(storage, account, scopes, name=name, expires_at=expires_at, now=now)
    if as_json:
        print_json({**_to_json(made.info), "key": made.key.get_secret_value()})
    else:
        say(made.key.get_secret_value())
        say(_line(made.info), err=True)
    say("This is the only time the key is shown: keep it where secrets are kept, never in code.", err=True)


@keys.command("list")
@click.option("--account", metavar="G…|C…", help="Only the keys of this account.")
@database_option
@json_option
@click.pass_context
def list_(ctx: click.Context, account: str | None, database: str | None, as_json: bool) -> None:
    """Show every key, newest first: what it may do, whether it is good, and when it was used last.

    The time of use is exact to the hour. Keys themselves are not stored and cannot be shown.
    """
    from stellarstream_core.api.auth.key_store import list_keys  # noqa: PLC0415 - not needed to show help

    found = runtime(ctx, database_url=database)
    with closing(found.open_storage()) as storage:
        infos = list_keys(storage, account)
    if as_json:
        print_json({"keys": [_to_json(info) for info in infos]})
        return
    for info in infos:
        say(_line(info))
    if not infos:
        say("no keys", err=True)


@keys.command()
@click.argument("key_id", metavar="ID")
@database_option
@json_option
@click.pass_context
def revoke(ctx: click.Context, key_id: str, database: str | None, as_json: bool) -> None:
    """Take a key back: within five seconds no worker takes it any more.

    ID is the part between 'ss_' and the secret, as 'keys list' shows it. A key that was revoked before
    stays so. Exit code 2 where there is no key with this id.

    \b
    stellarstream keys revoke 4fK9sWq0ZbR2
    """
    from stellarstream_core.api.auth.key_store import revoke_key  # noqa: PLC0415 - not needed to show help

    found = runtime(ctx, database_url=database)
    with closing(found.open_storage()) as storage:
        info = revoke_key(storage, key_id)
    if as_json:
        print_json(_to_json(info))
    else:
        say(f"revoked {info.id} at {_time(info.revoked_at)}")


def _line(info: KeyInfo) -> str:
    name = f"  {info.name!r}" if info.name else ""
    end = f"until {_time(info.expires_at)}" if info.expires_at is not None else "without end"
    used = f"used {_time(info.last_used_at)}" if info.last_used_at is not None else "never used"
    return (
        f"{info.id}  {info.state(time.time())}  {info.account}  {' '.join(info.scopes)}{name}  "
        f"made {_time(info.created_at)}, {end}, {used}"
    )


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _to_json(info: KeyInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "account": info.account,
        "scopes": list(info.scopes),
        "name": info.name,
        "state": info.state(time.time()),
        "createdAt": _time(info.created_at),
        "expiresAt": _time(info.expires_at),
        "revokedAt": _time(info.revoked_at),
        "lastUsedAt": _time(info.last_used_at),
    }
