"""``stellarstream config``: the settings and where they come from."""

from __future__ import annotations

from typing import Any

import click
from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import to_jsonable_python

from stellarstream_core.cli.options import json_option, runtime
from stellarstream_core.cli.output import print_json
from stellarstream_core.redact import origin_of, redact_url
from stellarstream_core.settings import Settings

_SOURCE_URLS = frozenset({"rpc_url", "horizon_url", "lake_url"})


@click.group()
def config() -> None:
    """Show or check the settings: file, then environment, then flags."""


@config.command()
@json_option
@click.pass_context
def show(ctx: click.Context, as_json: bool) -> None:
    """Print every setting, its value and where it comes from. Secrets are never printed."""
    found = runtime(ctx)
    rows = [*_rows(found.settings, found.settings, "")]
    for name, section in found.settings.sections.items():
        rows += _rows(section, found.settings, f"plugins.{name}.")
    if as_json:
        print_json({key: {"value": value, "from": origin} for key, value, origin in rows})
        return
    width = max(len(key) for key, _, _ in rows)
    for key, value, origin in rows:
        shown = ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else value
        click.echo(f"{key:<{width}}  {shown}  [{origin}]")


@config.command()
@click.pass_context
def check(ctx: click.Context) -> None:
    """Check every setting, the plugins' included. Exit code 2 where one is wrong or unknown."""
    found = runtime(ctx)
    found.check_database_url()
    click.echo(f"the settings are fine: network {found.settings.network}, {redact_url(found.settings.database_url)}")


def _rows(model: BaseModel, settings: Settings, prefix: str) -> list[tuple[str, Any, str]]:
    rows = []
    for name in type(model).model_fields:
        if not prefix and name == "plugins":
            continue
        value, origin = getattr(model, name), settings.origin(f"{prefix}{name}")
        if not prefix and name == "rpc_url" and not value and settings.rpc_urls:
            value, origin = settings.rpc_urls, "network"
        rows.append((f"{prefix}{name}", _shown(f"{prefix}{name}", value), origin))
    return rows


def _shown(key: str, value: Any) -> Any:
    """Return a value as JSON has it, secrets and what may be secret in URLs left out."""
    if isinstance(value, (SecretStr, SecretBytes)):
        return "(set)"
    if key in _SOURCE_URLS:
        return [origin_of(url) for url in value]
    if key == "database_url":
        return redact_url(value)
    return _redacted(to_jsonable_python(value, fallback=str))


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact_url(value) if "://" in value or (":" in value and "@" in value) else value
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    if isinstance(value, dict):
        return {key: _redacted(item) for key, item in value.items()}
    return value
