"""``stellarstream config``: the settings and where they come from."""

from __future__ import annotations

from typing import Any

import click
from pydantic import BaseModel, SecretStr

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
    for section in found.plugins.settings_sections():
        rows += _rows(found.settings.section(section.model), found.settings, f"plugins.{section.name}.")
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
    click.echo(f"the settings are fine: network {found.settings.network}, {redact_url(found.settings.database_url)}")


def _rows(model: BaseModel, settings: Settings, prefix: str) -> list[tuple[str, Any, str]]:
    rows = []
    for name in type(model).model_fields:
        if not prefix and name == "plugins":
            continue
        value = getattr(model, name)
        rows.append((f"{prefix}{name}", _shown(name, value), settings.origin(f"{prefix}{name}")))
    return rows


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "(set)"
    if name in _SOURCE_URLS:
        return [origin_of(url) for url in value]
    if name == "database_url":
        return redact_url(value)
    return value
