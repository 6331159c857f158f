"""The environment that circusd is started with: what circus.ini needs, from the settings and their defaults."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from stellarstream_core.api.run_dir import default_path
from stellarstream_core.errors import SettingsError, UsageError
from stellarstream_core.ops.workers import API_WORKERS, workers_asked_for
from stellarstream_core.settings import ENV_CONFIG, Settings

RUN_DIR = "STELLARSTREAM_RUN_DIR"
LOG_DIR = "STELLARSTREAM_LOG_DIR"
HOME = "STELLARSTREAM_HOME"
PYTHON = "STELLARSTREAM_PYTHON"
API_HOST = "STELLARSTREAM_API_HOST"
API_PORT = "STELLARSTREAM_API_PORT"
CTL_ENDPOINT = "CIRCUSCTL_ENDPOINT"
"""Where circusctl finds circusd."""
CONTROL_SOCKET = "control.sock"
EVENTS_SOCKET = "events.sock"
PID_FILE = "circusd.pid"
_LONGEST_SOCKET = 100
"""A unix socket's path has 108 bytes at the most."""


def home_folder(environ: Mapping[str, str]) -> Path:
    """Return where settings and relative paths are looked for: ``STELLARSTREAM_HOME``, else this folder."""
    if environ.get(HOME):
        return Path(environ[HOME]).expanduser().absolute()
    here = Path.cwd()
    named = Path(environ.get("PWD") or here)  # with its symbolic links: a later release may be put behind one
    return named if named.is_absolute() and named.exists() and named.samefile(here) else here


def run_folder(settings: Settings) -> Path:
    """Return the folder of sockets, locks and signs of life: ``run_dir``, else a private one for temporary files."""
    return settings.run_dir.expanduser().absolute() if settings.run_dir else default_path(settings)


def control_endpoint(run_dir: Path) -> str:
    """Return where circusd is steered."""
    return f"ipc://{run_dir / CONTROL_SOCKET}"


def cluster_environment(
    settings: Settings, home: Path, *, config: Path | None = None, workers: int | None = None
) -> dict[str, str]:
    """Return the variables to start circusd with, beside those that are set already.

    Raises ``SettingsError`` and ``UsageError`` where circusd could not work with them.
    """
    run_dir = run_folder(settings)
    if any(character.isspace() or character in "'\"\\$" for character in str(run_dir)):
        raise SettingsError(
            f"run_dir: {run_dir} holds a character that circus does not take in a path.",
            help="Set it to a path without blanks, quotes and '$', such as /run/stellarstream.",
        )
    if len(os.fsencode(run_dir / CONTROL_SOCKET)) > _LONGEST_SOCKET:
        raise SettingsError(
            f"run_dir: {run_dir} is too long: a socket's path has {_LONGEST_SOCKET} bytes at the most.",
            help="Set it to a shorter path, such as /run/stellarstream.",
        )
    if settings.api_port == 0:
        raise SettingsError("api_port: workers that share a socket need a port with a number.")
    if ":" in settings.api_host:
        raise SettingsError(
            f"api_host: circus opens no IPv6 address such as {settings.api_host}.",
            help="Listen on an IPv4 address, and let a proxy before it listen on IPv6.",
        )
    found = {
        RUN_DIR: str(run_dir),
        LOG_DIR: str(settings.log_dir.expanduser().absolute() if settings.log_dir else home / "logs"),
        HOME: str(home),
        PYTHON: os.environ.get(PYTHON) or sys.executable,
        API_HOST: settings.api_host,
        API_PORT: str(settings.api_port),
        CTL_ENDPOINT: control_endpoint(run_dir),
    }
    if config is not None:
        found[ENV_CONFIG] = str(config.absolute())
    if workers is not None:
        found[API_WORKERS] = str(workers)
    else:
        try:
            workers_asked_for(os.environ)
        except ValueError as error:
            raise UsageError(f"{API_WORKERS}: {error}.") from None
    return found


def as_lines(environment: Mapping[str, str]) -> str:
    """Return ``NAME=value`` lines that a shell and systemd's EnvironmentFile read alike."""
    return "\n".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
