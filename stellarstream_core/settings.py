"""Settings: ``stellarstream.toml``, then environment, then flags.

Environment names are ``STELLARSTREAM_`` and the upper-case key; a plugin's keys are
``STELLARSTREAM_PLUGINS__NAME__KEY`` (dashes as underscores). Lists are comma-separated there.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError

from stellarstream_core.errors import InvalidStrkeyError, SettingsError
from stellarstream_core.hookspecs import PluginSettings
from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER
from stellarstream_core.scope import EVERYTHING
from stellarstream_core.xdr.strkey import contract_id_bytes

CONFIG_FILE = "stellarstream.toml"
ENV_PREFIX = "STELLARSTREAM_"
ENV_CONFIG = "STELLARSTREAM_CONFIG"
_RESERVED_ENV = frozenset({"CONFIG", "LOG_LEVEL"})
_TEST_ENV = "TEST_"


@dataclass(frozen=True, slots=True)
class Network:
    """A Stellar network that has a name: its passphrase and where its public RPC answers."""

    passphrase: str
    rpc_url: str


NETWORKS: Mapping[str, Network] = {
    "pubnet": Network("Public Global Stellar Network ; September 2015", "https://mainnet.sorobanrpc.com"),
    "testnet": Network("Test SDF Network ; September 2015", "https://soroban-testnet.stellar.org"),
    "futurenet": Network("Test SDF Future Network ; October 2022", "https://rpc-futurenet.stellar.org"),
    "sandbox": Network("StellarStream Sandbox ; simulation, not a Stellar network", "http://127.0.0.1:8000"),
}


def _comma_separated(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


CommaSeparated = Annotated[list[str], BeforeValidator(_comma_separated)]
"""A list that may also be written as one comma-separated string."""

SectionT = TypeVar("SectionT", bound=BaseModel)


class PluginSection(BaseModel):
    """Base for a plugin's settings: unknown keys are errors, values are read once."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Settings(BaseModel):
    """The settings of the framework. Read with :func:`load_settings`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: str = Field("sqlite:///stellarstream.db", description="sqlite:///PATH or postgresql://…")
    network: str = Field("testnet", description="pubnet, testnet, futurenet, sandbox, or any name with a passphrase")
    network_passphrase: str | None = Field(None, description="passphrase of a network that is none of the named ones")
    rpc_url: CommaSeparated = Field([], description="Soroban RPC endpoints; several fail over")
    horizon_url: CommaSeparated = Field([], description="Horizon endpoints; several fail over")
    lake_url: CommaSeparated = Field([], description="data lakes: file:///DIR, s3://BUCKET/PREFIX, https://…")
    contracts: CommaSeparated = Field([], description="scope: contract ids, or '*' for everything")
    start_ledger: int | None = Field(None, ge=FIRST_LEDGER, le=LAST_LEDGER, description="first wanted ledger")
    public_url: str = Field("http://localhost:3000", description="this service's address in links")
    frontend_url: str = Field("http://localhost:5173", description="the frontend's address in links")
    api_host: str = Field("127.0.0.1", description="where the API listens")
    api_port: int = Field(3000, ge=0, le=65535, description="where the API listens")
    secret_key: SecretStr | None = Field(None, description="signs sessions")
    signing_key: SecretStr | None = Field(None, description="the SEP-10 server account's secret")
    log_format: Literal["text", "json"] = Field("text", description="text or json")
    allowed_plugins: CommaSeparated | None = Field(None, description="load only these plugins (none: all installed)")
    plugins: dict[str, dict[str, Any]] = Field({}, description="the plugins' own sections")

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _sections: dict[type[BaseModel], BaseModel] = PrivateAttr(default_factory=dict)

    @property
    def passphrase(self) -> str:
        """The passphrase of the configured network."""
        if self.network_passphrase:
            return self.network_passphrase
        return NETWORKS[self.network].passphrase

    @property
    def rpc_urls(self) -> list[str]:
        """Soroban RPC endpoints: those configured, else the network's public one."""
        if self.rpc_url or self.network not in NETWORKS or self.network_passphrase:
            return self.rpc_url
        return [NETWORKS[self.network].rpc_url]

    def section(self, model: type[SectionT]) -> SectionT:
        """Return a plugin's settings by their model; defaults where the section is absent."""
        found = self._sections.get(model)
        return found if isinstance(found, model) else model()

    def origin(self, key: str) -> str:
        """Say where a key's value comes from: ``default``, a file, an environment name or a flag."""
        return self._origins.get(key, "default")

    def with_sections(self, registered: Iterable[PluginSettings], ignored: Iterable[str] = ()) -> Settings:
        """Check the plugins' sections against the models they registered, and return settings that hold them.

        Sections of ``ignored`` plugins (installed but not loaded) are left unread.
        """
        left_out = set(ignored)
        problems: list[str] = []
        known = {entry.name: entry.model for entry in registered}
        settings = self.model_copy()
        settings._origins = dict(self._origins)
        settings._sections = {}
        for name, values in self.plugins.items():
            if name in left_out:
                continue
            model = known.get(name)
            if model is None:
                problems.append(_unknown(f"plugins.{name}", [f"plugins.{key}" for key in known], "section"))
                continue
            try:
                settings._sections[model] = model.model_validate(values)
            except ValidationError as error:
                problems.extend(_problems(error, f"plugins.{name}.", model, self._origins))
        if problems:
            raise SettingsError("\n".join(problems))
        return settings


def load_settings(
    config: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    """Read settings from file, environment and flags; raise :class:`SettingsError` naming every fault.

    Without ``config`` the file is ``$STELLARSTREAM_CONFIG``, else ``stellarstream.toml`` here if
    it exists. ``flags`` with the value None count as not given.
    """
    env = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    path = config or (Path(env[ENV_CONFIG]) if env.get(ENV_CONFIG) else None)
    if path is not None or Path(CONFIG_FILE).is_file():
        path = path or Path(CONFIG_FILE)
        for key, value in _read_toml(path).items():
            _put(values, origins, (key,), value, str(path))
    for name, text in sorted(env.items()):
        if keys := _env_keys(name):
            _put(values, origins, keys, text, f"${name}")
    for key, flag in (flags or {}).items():
        if flag is not None:
            _put(values, origins, (key,), flag, "flag")
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(_problems(error, "", Settings, origins))) from None
    settings._origins = origins
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    if settings.network not in NETWORKS and not settings.network_passphrase:
        raise SettingsError(
            f"network: {settings.network!r} has no known passphrase.",
            help=f"Use one of {', '.join(NETWORKS)}, or set 'network_passphrase' too.",
        )
    for contract in settings.contracts:
        if contract != EVERYTHING:
            try:
                contract_id_bytes(contract)
            except InvalidStrkeyError as error:
                raise SettingsError(f"contracts: {error.message}", help=error.help) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}.", help="Name a readable file with --config.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}.", help="The file must be TOML: https://toml.io") from None


def _env_keys(name: str) -> tuple[str, ...] | None:
    if not name.startswith(ENV_PREFIX):
        return None
    key = name.removeprefix(ENV_PREFIX)
    if key in _RESERVED_ENV or key.startswith(_TEST_ENV) or not key:
        return None
    parts = key.split("__")
    if parts[0] == "PLUGINS" and len(parts) == 3:
        return "plugins", parts[1].lower().replace("_", "-"), parts[2].lower()
    return (key.lower(),)


def _put(values: dict[str, Any], origins: dict[str, str], keys: tuple[str, ...], value: Any, origin: str) -> None:
    at = values
    for key in keys[:-1]:
        below = at.setdefault(key, {})
        if not isinstance(below, dict):
            return  # the wrong type is reported by the model
        at = below
    at[keys[-1]] = value
    _note_origins(origins, ".".join(keys), value, origin)


def _note_origins(origins: dict[str, str], dotted: str, value: Any, origin: str) -> None:
    origins[dotted] = origin
    if isinstance(value, dict):
        for key, below in value.items():
            _note_origins(origins, f"{dotted}.{key}", below, origin)


def _problems(error: ValidationError, prefix: str, model: type[BaseModel], origins: Mapping[str, str]) -> list[str]:
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        key = str(fault["loc"][0]) if fault["loc"] else ""
        dotted = f"{prefix}{key}"
        origin = origins.get(dotted)
        where = f" (from {origin})" if origin else ""
        if fault["type"] == "extra_forbidden":
            known = [f"{prefix}{name}" for name in model.model_fields]
            lines.append(_unknown(dotted, known, "setting") + where)
        else:
            lines.append(f"{dotted}: {fault['msg'][0].lower()}{fault['msg'][1:]}{where}.")
    return lines


def _unknown(name: str, known: Iterable[str], what: str) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"{name}: there is no such {what}.{hint}"
