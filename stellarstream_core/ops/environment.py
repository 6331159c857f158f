"""The environment that circusd is started with: what circus.ini needs, from the settings and their defaults."""

from __future__ import annotations

import os
import shlex
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from stellarstream_core.api.run_dir import default_path
from stellarstream_core.errors import SettingsError, UsageError
from stellarstream_core.ops.workers import API_WORKERS, INDEXERS, indexer_asked_for, workers_asked_for
from stellarstream_core.settings import CONFIG_FILE, ENV_CONFIG, Settings

RUN_DIR = "STELLARSTREAM_RUN_DIR"
LOG_DIR = "STELLARSTREAM_LOG_DIR"
HOME = "STELLARSTREAM_HOME"
PYTHON = "STELLARSTREAM_PYTHON"
API_HOST = "STELLARSTREAM_API_HOST"
API_PORT = "STELLARSTREAM_API_PORT"
API_FAMILY = "STELLARSTREAM_API_FAMILY"
"""``AF_INET`` or ``AF_INET6``: circus does not tell by the address."""
NO_PLUGINS = "STELLARSTREAM_NO_PLUGINS"
LOG_LEVEL = "STELLARSTREAM_LOG_LEVEL"
CTL_ENDPOINT = "CIRCUSCTL_ENDPOINT"
"""Where circusctl finds circusd."""
CONTROL_SOCKET = "control.sock"
EVENTS_SOCKET = "events.sock"
PID_FILE = "circusd.pid"
_LONGEST_SOCKET = 100
"""A unix socket's path has 108 bytes at the most."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line says of the processes to start; None, or False, is what the environment says.

    ``indexer``: whether one is started on this machine; ``built_in_only``: no other plugins.
    """

    config: Path | None = None
    workers: int | None = None
    indexer: bool | None = None
    built_in_only: bool = False
    log_level: str | None = None


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


def cluster_folder(settings: Settings, home: Path, config: Path | None = None) -> Path:
    """Return the run folder of what 'up' starts: ``run_dir``, else a private one of this home and settings file.

    Not of what is set there: who changes ``database_url`` must still find what runs, and several homes may share a
    database.
    """
    if settings.run_dir:
        return settings.run_dir.expanduser().absolute()
    named = "" if config in {None, home / CONFIG_FILE} else str(config)
    name = sha256(f"{home}\n{named}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"stellarstream-{os.geteuid()}-{name}"


def log_folder(settings: Settings, home: Path) -> Path:
    """Return the folder of the log files that a service writes: ``log_dir``, else one in its home."""
    return settings.log_dir.expanduser().absolute() if settings.log_dir else home / "logs"


def control_endpoint(run_dir: Path) -> str:
    """Return where circusd is steered."""
    return f"ipc://{run_dir / CONTROL_SOCKET}"


def address_of(environment: Mapping[str, str]) -> str:
    """Return the API's address as a URL."""
    host, port = environment[API_HOST], environment[API_PORT]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def starts_indexer(environment: Mapping[str, str]) -> bool:
    """Tell whether circusd starts an indexer with these variables beside our own. Raises ``UsageError``."""
    try:
        return indexer_asked_for({**os.environ, **environment})
    except ValueError as error:
        raise UsageError(
            f"{INDEXERS}: {error}.", help="0: none is started on this machine; 1, or nothing: one is."
        ) from None


def cluster_environment(settings: Settings, home: Path, wishes: Wishes = Wishes()) -> dict[str, str]:
    """Return the variables to start circusd with, beside those that are set already.

    Raises ``SettingsError`` and ``UsageError`` where circusd could not work with them.
    """
    run_dir = cluster_folder(settings, home, wishes.config)
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
    found = {
        RUN_DIR: str(run_dir),
        LOG_DIR: str(log_folder(settings, home)),
        HOME: str(home),
        PYTHON: os.environ.get(PYTHON) or sys.executable,
        API_HOST: settings.api_host,
        API_PORT: str(settings.api_port),
        API_FAMILY: _family_of(settings.api_host).name,
        CTL_ENDPOINT: control_endpoint(run_dir),
    }
    if wishes.config is not None:
        found[ENV_CONFIG] = str(wishes.config.absolute())
    if wishes.built_in_only:
        found[NO_PLUGINS] = "1"
    if wishes.log_level is not None:
        found[LOG_LEVEL] = wishes.log_level
    if wishes.indexer is not None:
        found[INDEXERS] = str(int(wishes.indexer))
    starts_indexer(found)
    for name, value in found.items():
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            raise SettingsError(f"{name}: {value!r} holds a control character.")  # no line of a file can hold it
    if wishes.workers is not None:
        found[API_WORKERS] = str(wishes.workers)
    else:
        try:
            workers_asked_for(os.environ)
        except ValueError as error:
            raise UsageError(f"{API_WORKERS}: {error}.") from None
    return found


def _family_of(host: str) -> socket.AddressFamily:
    """Return the family of an address; of a name that of an IPv4 address, if it has one: circus would find no other.

    Raises ``SettingsError``.
    """
    try:
        found = {family for family, *_ in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise SettingsError(
            f"api_host: {host} is no address, nor a name that has one: {error.strerror or error}.",
            help="127.0.0.1 or ::1 is for this machine alone, 0.0.0.0 or :: for all that reach it.",
        ) from None
    return socket.AF_INET if socket.AF_INET in found else socket.AF_INET6


def as_lines(environment: Mapping[str, str]) -> str:
    """Return ``NAME=value`` lines that a shell and systemd's EnvironmentFile read alike."""
    return "\n".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
