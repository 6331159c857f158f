"""A local network to develop, demo and test against: a simulation that answers as a Soroban RPC does."""

from __future__ import annotations

from collections.abc import Sequence

from stellarstream_core.hookspecs import CommandSpec, PluginSettings, hookimpl


@hookimpl
def register_settings() -> PluginSettings:
    """Offer ``[plugins.sandbox]``."""
    from stellarstream_sandbox.settings import SandboxSection  # noqa: PLC0415 - pydantic only where it is needed

    return PluginSettings("sandbox", SandboxSection)


@hookimpl
def register_commands() -> Sequence[CommandSpec]:
    """Offer ``stellarstream sandbox`` and ``stellarstream demo``."""
    return [
        CommandSpec("sandbox", "stellarstream_sandbox.command:sandbox", "Run a simulated network on this machine."),
        CommandSpec("demo", "stellarstream_sandbox.demo:demo", "Sandbox network and indexer, end to end."),
    ]
