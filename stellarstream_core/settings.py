"""Settings: ``stellarstream.toml``, then environment, then flags.

Environment names are ``STELLARSTREAM_`` and the upper-case key; a plugin's keys are
``STELLARSTREAM_PLUGINS__NAME__KEY`` (dashes as underscores). Lists are comma-separated there. An
empty variable counts as not given: compose files pass those that nobody set.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
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
_SUPERVISION_ENV = frozenset({"API_FAMILY", "HOME", "PYTHON", "ROLE", "SUPERVISED", "SUPERVISOR_PID", "WORKER"})
"""Variables of circus.ini that are no settings."""
_RESERVED_ENV = frozenset({"CONFIG", "LOG_LEVEL", "NO_PLUGINS"}) | _SUPERVISION_ENV
_TEST_ENV = "TEST_"


@dataclass(frozen=True, slots=True)
class Network:
    """A Stellar network that has a name: its passphrase and the public sources of its ledgers.

    A public Horizon is named nowhere: those of the public networks hand out no ``result_meta_xdr``.
    """

    passphrase: str
    rpc_url: str
    lake_url: str | None = None
    horizon_url: str | None = None


_PUBLIC_LAKES = "s3://aws-public-blockchain/v1.1/stellar/ledgers"

NETWORKS: Mapping[str, Network] = {
    "pubnet": Network(
        "Public Global Stellar Network ; September 2015", "https://mainnet.sorobanrpc.com", f"{_PUBLIC_LAKES}/pubnet"
    ),
    # the lake's folder is named after the day testnet last began again
    "testnet": Network(
        "Test SDF Network ; September 2015",
        "https://soroban-testnet.stellar.org",
        f"{_PUBLIC_LAKES}/testnet/2025-12-18",
    ),
    "futurenet": Network("Test SDF Future Network ; October 2022", "https://rpc-futurenet.stellar.org"),
    "sandbox": Network(
        "StellarStream Sandbox ; simulation, not a Stellar network",
        "http://127.0.0.1:8000",
        "http://127.0.0.1:8000/lake",
        "http://127.0.0.1:8000/horizon",
    ),
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
    """The settings of the framework. Read with :func:`load_settings`. What may hold a password is not in its repr."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: str = Field("sqlite:///stellarstream.db", repr=False, description="sqlite:///PATH or postgresql://…")
    network: str = Field("testnet", description="pubnet, testnet, futurenet, sandbox, or any name with a passphrase")
    network_passphrase: str | None = Field(None, description="passphrase of a network that is none of the named ones")
    rpc_url: CommaSeparated = Field([], repr=False, description="Soroban RPC endpoints; several fail over")
    horizon_url: CommaSeparated = Field([], repr=False, description="Horizon endpoints; several fail over")
    lake_url: CommaSeparated = Field(
        [], repr=False, description="data lakes: file:///DIR, s3://BUCKET/PREFIX, https://…"
    )
    contracts: CommaSeparated = Field([], description="scope: contract ids, or '*' for everything")
    prove: bool = Field(True, description="check the hashes of whole ledgers while syncing (false: ten times faster)")
    classic_events: Literal["required", "optional"] = Field(
        "required", description="whether ledgers made without classic events may cover everything and asset contracts"
    )
    start_ledger: int | None = Field(None, ge=FIRST_LEDGER, le=LAST_LEDGER, description="first wanted ledger")
    public_url: str = Field("http://localhost:3000", description="this service's address in links")
    frontend_url: str = Field("http://localhost:5173", description="the frontend's address in links")
    api_host: str = Field("127.0.0.1", description="where the API listens")
    api_port: int = Field(3000, ge=0, le=65535, description="where the API listens")
    secret_key: SecretStr | None = Field(None, description="signs sessions")
    signing_key: SecretStr | None = Field(None, description="the SEP-10 server account's secret")
    session_seconds: int = Field(86_400, ge=60, le=2_592_000, description="how long a login lasts")
    cors_origins: CommaSeparated = Field(
        [], description="origins whose pages may call the API from a browser ('*': all); none: frontend_url's"
    )
    live_readers: int = Field(2_000, ge=0, description="live streams of one worker at the most")
    live_readers_per_client: int = Field(
        50, ge=1, description="live streams of one client address, and of one account, at one worker at the most"
    )
    rate_limit: str = Field(
        "600/minute", description="API requests of one client address, such as '20/second burst 100', or off"
    )
    rate_limit_key: str = Field(
        "6000/minute",
        description="API requests of one API key, of one logged-in account, and of all those at one address; or off",
    )
    trusted_proxies: CommaSeparated = Field(
        [], description="addresses or networks (or unix) whose X-Forwarded-For tells the client's address"
    )
    run_dir: Path | None = Field(
        None, description="folder that the API's workers on one machine share (none: a private one for temporary files)"
    )
    log_format: Literal["text", "json"] = Field("text", description="text or json")
    log_dir: Path | None = Field(
        None, description="folder of the log files of serve and sync (none: the log goes to stderr)"
    )
    log_rotate_mb: float = Field(
        100, ge=0.001, description="a log file is rotated before it is larger than this many millions of bytes"
    )
    log_keep_days: float = Field(
        7, gt=0, description="rotated log files are deleted this many days after their last line"
    )
    log_compress: bool = Field(True, description="whether rotated log files are packed with gzip")
    log_date_format: str = Field("YYYY-MM-DD_HH-mm-ss", description="the date in the name of a rotated log file (UTC)")
    health_seconds: float = Field(30.0, gt=0, le=3600, description="how often the health monitor looks at processes")
    api_memory_mb: int = Field(500, ge=1, description="memory of an API worker above which it is replaced")
    indexer_memory_mb: int = Field(300, ge=1, description="memory of the indexer above which it is restarted")
    cpu_percent: float = Field(90.0, gt=0, description="CPU of a process, through a whole look, that is an alert")
    stuck_seconds: float = Field(
        30.0, gt=0, description="how long an event loop may show no sign of life before its process is killed"
    )
    alert_webhook: SecretStr | None = Field(None, description="address that alerts of the health monitor are posted to")
    allowed_plugins: CommaSeparated | None = Field(None, description="load only these plugins (none: all installed)")
    plugins: dict[str, dict[str, Any]] = Field({}, repr=False, description="the plugins' own sections")

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _sections: dict[type[BaseModel], BaseModel] = PrivateAttr(default_factory=dict)
    _named: dict[str, BaseModel] = PrivateAttr(default_factory=dict)

    @property
    def passphrase(self) -> str:
        """The passphrase of the configured network."""
        if self.network_passphrase:
            return self.network_passphrase
        return NETWORKS[self.network].passphrase

    @property
    def rpc_urls(self) -> list[str]:
        """Soroban RPC endpoints: those configured, else the network's public one where no source is configured."""
        network = self._public
        return self.rpc_url or ([network.rpc_url] if network else [])

    @property
    def lake_urls(self) -> list[str]:
        """Data lakes: those configured, else the network's public one where no source is configured."""
        network = self._public
        return self.lake_url or ([network.lake_url] if network and network.lake_url else [])

    @property
    def horizon_urls(self) -> list[str]:
        """Horizon endpoints: those configured, else the network's own one where no source is configured."""
        network = self._public
        return self.horizon_url or ([network.horizon_url] if network and network.horizon_url else [])

    @property
    def _public(self) -> Network | None:
        """The named network whose own sources are used: who names one source means those named and no others."""
        named = self.rpc_url or self.horizon_url or self.lake_url or self.network_passphrase
        return None if named else NETWORKS.get(self.network)

    @property
    def sections(self) -> Mapping[str, BaseModel]:
        """The plugins' checked sections by name, those at their defaults included."""
        return self._named

    def section(self, model: type[SectionT]) -> SectionT:
        """Return a plugin's settings by their model.

        They were checked by :meth:`with_sections`; a model that was not there has its defaults.
        Raises ``SettingsError`` where it has none for some key.
        """
        found = self._sections.get(model)
        if isinstance(found, model):
            return found
        try:
            return model()
        except ValidationError as error:
            raise SettingsError("\n".join(_problems(error, f"{model.__name__}.", model, {}))) from None

    def origin(self, key: str) -> str:
        """Say where a key's value comes from: ``default``, a file, an environment name or a flag."""
        return self._origins.get(key, "default")

    def with_sections(
        self,
        registered: Iterable[PluginSettings],
        ignored: Iterable[str] = (),
        *,
        lenient: bool = False,
        blame: Callable[[str, BaseException], object] | None = None,
    ) -> Settings:
        """Check the plugins' sections against the models they registered, and return settings that hold them.

        A section that is not written is checked too, as an empty one: a key may be required. Names
        are the same whether written with dashes or underscores. Sections of ``ignored`` plugins
        (installed but not loaded) are left unread; with ``lenient`` so is every section that nobody
        registered, with a warning. A model that fails with anything but a ``ValidationError`` is the
        plugin's fault: ``blame`` is told the section and the error, and without ``blame`` it is a
        ``SettingsError`` like all other faults.
        """
        entries = {entry.name: entry for entry in registered}
        names = {plain_name(name): name for name in entries}
        left_out = set(map(plain_name, ignored)) - set(names)
        settings = self.model_copy()
        settings._origins, settings._sections, settings._named = dict(self._origins), {}, {}
        problems: list[str] = []
        written: dict[str, str] = {}
        for spelling in self.plugins:
            name = names.get(plain_name(spelling))
            if name is not None and name in written:
                problems.append(f"plugins.{spelling}: this is the section plugins.{written[name]} once more.")
            elif name is not None:
                written[name] = spelling
                settings._rename_origins(f"plugins.{spelling}.", f"plugins.{name}.")
            elif plain_name(spelling) not in left_out:
                if lenient:
                    _warn_unread(spelling)
                else:
                    problems.append(_unknown(f"plugins.{spelling}", [f"plugins.{key}" for key in entries], "section"))
        for name, entry in entries.items():
            try:
                section = entry.model.model_validate(self.plugins.get(written.get(name, name), {}))
            except ValidationError as error:
                problems.extend(_problems(error, f"plugins.{name}.", entry.model, settings._origins))
            except (Exception, SystemExit) as error:  # a plugin's validator may raise anything
                if blame is None:
                    problems.append(f"plugins.{name}: its check failed: {type(error).__name__}: {error}.")
                else:
                    blame(name, error)
            else:
                settings._sections[entry.model] = settings._named[name] = section
        if problems:
            raise SettingsError("\n".join(problems))
        return settings

    def _rename_origins(self, old: str, new: str) -> None:
        for key, origin in list(self._origins.items()):
            if key.startswith(old):
                self._origins[new + key.removeprefix(old)] = origin


def plain_name(section: str) -> str:
    """Return a section's name as all its spellings have it: the environment has no dashes and no small letters."""
    return section.lower().replace("_", "-")


def load_settings(
    config: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    """Read settings from file, environment and flags; raise :class:`SettingsError` naming every fault.

    Without ``config`` the file is ``$STELLARSTREAM_CONFIG``, else ``stellarstream.toml`` here if
    it exists. ``flags`` with the value None and empty variables count as not given.
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
        if (keys := _env_keys(name)) and text.strip():
            _put(values, origins, _as_in_file(keys, values), text, f"${name}")
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
    _check_limits(settings)


def _check_limits(settings: Settings) -> None:
    from stellarstream_core.api.limits.quota import parse_limit  # noqa: PLC0415 - it must not need settings

    for key in ("rate_limit", "rate_limit_key"):
        try:
            parse_limit(getattr(settings, key))
        except ValueError as error:
            raise SettingsError(f"{key}: {error}.", help="'off' is no limit at all.") from None
    if settings.trusted_proxies:
        from stellarstream_core.api.client_address import TrustedProxies  # noqa: PLC0415 - only where it is needed

        try:
            TrustedProxies(settings.trusted_proxies)
        except ValueError as error:
            raise SettingsError(f"trusted_proxies: {error}.") from None
    if settings.log_date_format != Settings.model_fields["log_date_format"].default:
        from stellarstream_core.ops.log_names import parse_date_format  # noqa: PLC0415 - likewise

        try:
            parse_date_format(settings.log_date_format)
        except ValueError as error:
            raise SettingsError(f"log_date_format: {error}.") from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}.", help="Name a readable file with --config.") from None
    except (ValueError, RecursionError) as error:  # not TOML or not UTF-8, a huge number, nested without end
        raise SettingsError(f"{path}: {error}.", help="The file must be TOML: https://toml.io") from None


def _env_keys(name: str) -> tuple[str, ...] | None:
    if not name.startswith(ENV_PREFIX):
        return None
    key = name.removeprefix(ENV_PREFIX)
    if key in _RESERVED_ENV or key.startswith(_TEST_ENV) or not key:
        return None
    parts = key.split("__")
    if parts[0] == "PLUGINS" and len(parts) == 3:
        return "plugins", plain_name(parts[1]), parts[2].lower()
    return (key.lower(),)


def _as_in_file(keys: tuple[str, ...], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys with a section's name as the file spells it: the environment has no dashes."""
    sections = values.get("plugins")
    if len(keys) != 3 or not isinstance(sections, dict):
        return keys
    spelling = next((name for name in sections if plain_name(name) == keys[1]), keys[1])
    return keys[0], spelling, keys[2]


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
        dotted = f"{prefix}{key}" if key else prefix.rstrip(".")
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


def _warn_unread(section: str) -> None:
    from loguru import logger  # noqa: PLC0415 - 60 ms that --help does without

    logger.warning("plugins.{} is left unread: it may belong to a plugin that is broken or switched off", section)
